"""Everything a training run is made of, as frozen dataclasses; the command line is derived from them."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from hrm_agents.errors import UserError
from hrm_agents.models.hrm import Architecture


@dataclass(frozen=True)
class EnvConfig:
    """The environment to learn in."""

    id: str = "HRM/Sudoku-4x4-v0"
    """Gymnasium id; `hrm-agents envs` lists the built-in ones."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keywords of the environment, such as num_puzzles or segment_cost."""


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser of the network (AdamATan2) and of the task embedding (SignSGD)."""

    lr: float = 7e-4
    """Peak learning rate."""
    weight_decay: float = 0.1
    """Decoupled weight decay."""
    beta1: float = 0.9
    """Decay of the gradient's running mean."""
    beta2: float = 0.95
    """Decay of the squared gradient's running mean."""
    warmup: int = 200
    """Updates of linear warm-up."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """What the learning rate does after the warm-up."""
    min_lr_ratio: float = 0.02
    """Where the cosine ends, as a share of the peak."""
    max_grad_norm: float | None = None
    """Scale gradients of a larger norm down to this; the norm is logged either way."""
    ema_decay: float = 0.999
    """Decay of the weight average that is evaluated and saved."""
    embedding_lr: float = 1e-2
    """Learning rate of the task embedding, where the task has identities."""
    embedding_weight_decay: float = 0.1
    """Decay of the visited rows of the task embedding."""


@dataclass(frozen=True)
class HaltingConfig:
    """How the Q-head learns when to stop."""

    exploration: Literal["episode", "segment"] = "episode"
    """Draw the minimum number of segments once an episode (the paper's text) or at every segment (its code)."""
    exploration_prob: float = 0.1
    """Probability of a minimum drawn from 2..M; otherwise 1."""
    gamma: float = 1.0
    """Discount from segment to segment."""
    q_loss: Literal["auto", "bce", "mse"] = "auto"
    """Q as logits of a probability (bce) or as plain values (mse); auto takes bce where rewards allow it."""
    q_weight: float = 0.5
    """Weight of the two Q losses beside the answer loss."""


@dataclass(frozen=True)
class RunConfig:
    """Length, records and hardware of a run."""

    updates: int = 6000
    """Optimiser steps, one a segment."""
    batch_size: int = 32
    """Rows of the vector environment."""
    seed: int = 0
    """Of weights, environment and exploration."""
    answer_loss: Literal["stablemax", "softmax"] = "stablemax"
    """Cross-entropy of the answer head."""
    log_every: int = 50
    """Updates between two rows in TensorBoard."""
    eval_every: int = 1000
    """Updates between two evaluations; 0 evaluates at the end only."""
    eval_puzzles: int = 500
    """Unseen puzzles in each of those; the final one takes 1,000."""
    save_every: int = 1000
    """Updates between two checkpoints."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""
    compile: bool = False
    """torch.compile the model: a minute at the start, then 1.3 to 1.5 times the speed."""
    threads: int | None = None
    """CPU threads; torch's choice if not given."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run, whole."""

    env: EnvConfig = field(default_factory=EnvConfig)
    model: Architecture = field(default_factory=Architecture)
    optim: OptimConfig = field(default_factory=OptimConfig)
    halting: HaltingConfig = field(default_factory=HaltingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        for name in ("updates", "batch_size", "log_every", "save_every", "eval_puzzles"):
            if getattr(self.run, name) < 1:
                raise UserError(f"run.{name} must be at least 1, got {getattr(self.run, name)}")
        if not 0.0 <= self.halting.exploration_prob <= 1.0:
            raise UserError(f"halting.exploration_prob must lie in [0, 1], got {self.halting.exploration_prob}")
        if not 0.0 < self.halting.gamma <= 1.0:
            raise UserError(f"halting.gamma must lie in (0, 1], got {self.halting.gamma}")
        if self.optim.lr <= 0.0:
            raise UserError(f"optim.lr must be positive, got {self.optim.lr}")

    def q_loss(self) -> Literal["bce", "mse"]:
        """The loss of the Q-values, with "auto" resolved.

        Binary cross-entropy needs targets in [0, 1], which holds for the named rewards without a price of
        thinking and without discount.

        Raises:
            UserError: bce was asked for and the returns can leave [0, 1].
        """
        fits = not self.env.kwargs.get("segment_cost") and self.halting.gamma == 1.0
        if self.halting.q_loss == "auto":
            return "bce" if fits else "mse"
        if self.halting.q_loss == "bce" and not fits:
            raise UserError("halting.q_loss='bce' needs returns in [0, 1]: drop segment_cost and gamma, or use 'mse'")
        return self.halting.q_loss


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain types, for JSON."""
    return dataclasses.asdict(config)


def from_dict(cls: type[Any], data: dict[str, Any], where: str = "config") -> Any:
    """A config from :func:`to_dict`, strictly.

    Raises:
        UserError: a field is unknown or of the wrong type; the text names it.
    """
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected an object, found {type(data).__name__}")
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise UserError(f"{where}: unknown field {unknown[0]!r}; this version knows {', '.join(sorted(hints))}")
    values: dict[str, Any] = {}
    for name, value in data.items():
        if dataclasses.is_dataclass(hints[name]):
            value = from_dict(typing.cast(type[Any], hints[name]), value, f"{where}.{name}")
        elif isinstance(value, list):
            value = tuple(value)
        values[name] = value
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error
