"""The settings of a training run, group by group: frozen dataclasses that check their own fields."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from hrm_agents.environments import check_keywords
from hrm_agents.errors import UserError
from hrm_agents.limits import Limits

#: More of anything that is counted would be a slip of the finger, and would exhaust memory before anybody noticed.
_MANY = 1_000_000_000


def limited(default: Any, limits: Limits) -> Any:
    """A field with a default and with limits that its settings check; None stands for "not given" and passes."""
    return field(default=default, metadata={"limits": limits})


_SHARE = Limits(0.0, 1.0)
_DECAY = Limits(0.0, 1.0, open_high=True)
#: Rates, weights and norms: a million times what is usual, and far from where float32 ends.
_LARGEST = 1e6
_NOT_NEGATIVE = Limits(0.0, _LARGEST)
_POSITIVE = Limits(0.0, _LARGEST, open_low=True)


class _Checked:
    """Settings whose fields have :class:`Limits`."""

    group: ClassVar[str]

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if "limits" in each.metadata and value is not None:
                each.metadata["limits"].check(f"{self.group}.{each.name}", value)


@dataclass(frozen=True)
class EnvConfig:
    """The environment to learn in."""

    id: str = "HRM/Sudoku-4x4-v0"
    """Gymnasium id; `hrm-agents envs` lists the built-in ones."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keywords of the environment, such as num_puzzles or segment_cost; plain values, for they are saved as JSON."""

    def __post_init__(self) -> None:
        check_keywords(self.kwargs, "env.kwargs")
        try:
            json.dumps(self.kwargs, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"env.kwargs cannot be saved: {error}; register an id that has it built in, with "
                "hrm_envs.register_task(..., kwargs=...)"
            ) from error
        split = self.kwargs.get("split", "train")
        if split != "train":
            raise UserError(f"env.kwargs: split={split!r} would train on puzzles that the evaluation calls unseen")
        # Lists become tuples, the form that defaults have, so that saved and new settings compare as equal.
        object.__setattr__(self, "kwargs", {name: _as_tuples(value) for name, value in self.kwargs.items()})


@dataclass(frozen=True)
class OptimConfig(_Checked):
    """Optimiser of the network (AdamATan2) and of the task embedding (SignSGD)."""

    group: ClassVar[str] = "optim"

    lr: float = limited(7e-4, _POSITIVE)
    """Peak learning rate."""
    weight_decay: float = limited(0.1, _NOT_NEGATIVE)
    """Decoupled weight decay."""
    beta1: float = limited(0.9, _DECAY)
    """Decay of the gradient's running mean."""
    beta2: float = limited(0.95, _DECAY)
    """Decay of the squared gradient's running mean."""
    warmup: int = limited(200, Limits(0, _MANY))
    """Updates of linear warm-up."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """What the learning rate does after the warm-up."""
    min_lr_ratio: float = limited(0.02, _NOT_NEGATIVE)
    """Where the cosine ends, as a share of the peak."""
    max_grad_norm: float | None = limited(None, _POSITIVE)
    """Scale gradients of a larger norm down to this; the norm is logged either way."""
    ema_decay: float = limited(0.999, _DECAY)
    """Decay of the weight average that is evaluated and saved."""
    embedding_lr: float = limited(1e-2, _NOT_NEGATIVE)
    """Learning rate of the task embedding, where the task has identities."""
    embedding_weight_decay: float = limited(0.1, _NOT_NEGATIVE)
    """Decay of the visited rows of the task embedding."""


@dataclass(frozen=True)
class AnswerConfig(_Checked):
    """What the answer head learns from: solutions, rewards, or both."""

    group: ClassVar[str] = "answer"

    supervised_weight: float = limited(1.0, _NOT_NEGATIVE)
    """Weight of the cross-entropy with the solution; with 0 the environment is not even asked for solutions."""
    reward_weight: float = limited(0.0, _NOT_NEGATIVE)
    """Weight of the policy gradient on what sampled answers earn; with 0 none are sampled."""
    samples: int = limited(16, Limits(1, 4096))
    """Answers sampled in every segment of every row for the policy gradient."""
    earns: Literal["score", "reward"] = "score"
    """What they earn: the verifier's partial credit, or what halting on them pays."""
    baseline: Literal["group", "value"] = "group"
    """What they are compared with: the other answers to the same puzzle, or Q(halt), which needs earns=reward."""
    credit: Literal["segments", "halt"] = "segments"
    """Which answers learn: those of every segment, each from what halting on it would pay, or those at the halt."""
    entropy_weight: float = limited(0.01, _NOT_NEGATIVE)
    """Weight of the entropy bonus (nats per cell) beside the policy gradient; without it answers settle too early."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.supervised_weight == self.reward_weight == 0.0:
            raise UserError("answer.supervised_weight and answer.reward_weight are both 0: nothing teaches the answers")
        least = 2 if self.baseline == "group" else 1
        if self.samples < least:
            raise UserError(f"answer.samples must be at least {least} with baseline {self.baseline!r}")
        if self.baseline == "value" and self.earns != "reward":
            raise UserError("answer.baseline='value' is Q(halt), which estimates rewards: set answer.earns='reward'")


@dataclass(frozen=True)
class HaltingConfig(_Checked):
    """When to stop thinking, and how the Q-head learns it."""

    group: ClassVar[str] = "halting"

    rule: str = "q"
    """When to halt. q: where Q(halt) > Q(continue) (the paper). gain: where the expected gain of thinking on is at most
    least_gain. probability: where Q(halt) exceeds the threshold. fixed: after fixed_segments. convergence: where an
    answer equals the one before. policy: with a probability that policy gradient learns from rewards and segment costs;
    in evaluation where it is above 1/2. With fixed and convergence Q(halt) learns, but decides nothing and leaves the
    network alone."""
    threshold: float = limited(0.5, Limits(-math.inf, open_low=True))
    """Rule probability: halt above this probability of a right answer, or above this plain value."""
    least_gain: float = limited(0.01, Limits(-math.inf, open_low=True))
    """Rule gain: think on only for a larger expected gain than this, in units of reward."""
    fixed_segments: int | None = limited(None, Limits(1, 4_096))
    """Rule fixed: how many segments; all that the environment allows if not given."""
    entropy_weight: float = limited(0.1, _NOT_NEGATIVE)
    """Rule policy: weight of the entropy bonus, in units of reward. Choices that differ by less stay open in training;
    a small weight soon settles on one choice for all puzzles."""
    exploration: Literal["episode", "segment"] = "episode"
    """Draw the minimum number of segments once an episode (the paper's text) or at every segment (its code); rule
    fixed has none."""
    exploration_prob: float = limited(0.1, _SHARE)
    """Probability of a minimum drawn from 2..M; otherwise 1."""
    gamma: float = limited(1.0, Limits(0.0, 1.0, open_low=True))
    """Discount from segment to segment."""
    q_loss: Literal["auto", "bce", "mse"] = "auto"
    """Q as logits of a probability (bce) or as plain values (mse); auto takes bce where rewards allow it. Rule policy
    has plain values alone."""
    q_weight: float = limited(0.5, _NOT_NEGATIVE)
    """Weight of the losses of halting beside the answer loss."""
    target: Literal["second-forward", "one-pass", "returns"] = "second-forward"
    """Rule q: source of the targets of Q(continue): a second forward (the paper), the forward of the next segment, or
    the returns of ended episodes."""
    trace_decay: float = limited(1.0, _SHARE)
    """Rule q: lambda of the returns: 1 takes what became of the episode alone, 0 the next segment's value alone."""
    target_decay: float | None = limited(None, _DECAY)
    """Rule q: decay of a slow copy of the Q-head that gives the target values; none if not given."""


@dataclass(frozen=True)
class RunConfig(_Checked):
    """Length, records and hardware of a run."""

    group: ClassVar[str] = "run"

    updates: int = limited(6000, Limits(1, _MANY))
    """Optimiser steps, one a segment."""
    batch_size: int = limited(32, Limits(1, 65_536))
    """Rows of the vector environment."""
    seed: int = limited(0, Limits(0, 2**63 - 1))
    """Of weights, environment and exploration."""
    init_from: str | None = None
    """Start from the weights of this checkpoint; with rope or rope2d positions it may be of another grid size."""
    answer_loss: Literal["stablemax", "softmax"] = "stablemax"
    """Cross-entropy of the answer head."""
    log_every: int = limited(50, Limits(1, _MANY))
    """Updates between two rows in TensorBoard."""
    eval_every: int = limited(1000, Limits(0, _MANY))
    """Updates between two evaluations; 0 evaluates at the end only."""
    eval_puzzles: int = limited(500, Limits(1, _MANY))
    """Unseen puzzles in each of those; the final one takes all of the test split."""
    save_every: int = limited(1000, Limits(1, _MANY))
    """Updates between two checkpoints."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""
    compile: bool = False
    """torch.compile the model: a minute at the start, then 1.3 to 1.5 times the speed."""
    threads: int | None = limited(None, Limits(1, 1024))
    """CPU threads; torch's choice if not given."""


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list | tuple) else value
