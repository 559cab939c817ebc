"""Settings of a training run, by group: frozen dataclasses that check their own fields."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from hrm_agents.environments import check_keywords
from hrm_agents.errors import UserError
from hrm_agents.limits import Limits

#: Largest count. More is a typing error that would exhaust memory.
_MANY = 1_000_000_000


def limited(default: Any, limits: Limits) -> Any:
    """A field with a default and with limits; None means "not given" and is always allowed."""
    return field(default=default, metadata={"limits": limits})


_SHARE = Limits(0.0, 1.0)
_DECAY = Limits(0.0, 1.0, open_high=True)
#: Largest rate, weight or norm: a million times the usual, and far below the float32 maximum.
_LARGEST = 1e6
_NOT_NEGATIVE = Limits(0.0, _LARGEST)
_POSITIVE = Limits(0.0, _LARGEST, open_low=True)


class _Checked:
    """Settings that check the :class:`Limits` of their fields."""

    group: ClassVar[str]

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if "limits" in each.metadata and value is not None:
                each.metadata["limits"].check(f"{self.group}.{each.name}", value)


@dataclass(frozen=True)
class EnvConfig:
    """The training environment."""

    id: str = "HRM/Sudoku-4x4-v0"
    """Gymnasium id; `hrm-agents envs` lists the built-in ones."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keywords of the environment, such as num_puzzles or segment_cost; plain values, since they are saved as JSON."""

    def __post_init__(self) -> None:
        check_keywords(self.kwargs, "env.kwargs")
        try:
            json.dumps(self.kwargs, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"env.kwargs cannot be saved: {error}; register an id with these keywords, with "
                "hrm_envs.register_task(..., kwargs=...)"
            ) from error
        split = self.kwargs.get("split", "train")
        if split not in ("train", "train+validation"):
            raise UserError(
                f"env.kwargs: split={split!r} would train on the puzzles of the evaluation; omit it, or choose "
                "'train+validation' once all settings are chosen"
            )
        # Lists become tuples, as in defaults, so that saved and new settings compare as equal.
        object.__setattr__(self, "kwargs", {name: _as_tuples(value) for name, value in self.kwargs.items()})


@dataclass(frozen=True)
class OptimConfig(_Checked):
    """Optimisers of the network (AdamATan2) and the task embedding (SignSGD)."""

    group: ClassVar[str] = "optim"

    lr: float = limited(7e-4, _POSITIVE)
    """Peak learning rate."""
    weight_decay: float = limited(0.1, _NOT_NEGATIVE)
    """Decoupled weight decay."""
    beta1: float = limited(0.9, _DECAY)
    """Decay rate of the running mean of gradients."""
    beta2: float = limited(0.95, _DECAY)
    """Decay rate of the running mean of squared gradients."""
    warmup: int = limited(200, Limits(0, _MANY))
    """Number of updates of linear warm-up."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Learning rate after the warm-up."""
    min_lr_ratio: float = limited(0.02, _NOT_NEGATIVE)
    """Final learning rate of the cosine schedule, as a share of the peak."""
    max_grad_norm: float | None = limited(None, _POSITIVE)
    """Clip the gradient to this norm; the norm is logged either way."""
    ema_decay: float = limited(0.999, _DECAY)
    """Decay rate of the weight average that is evaluated and saved."""
    embedding_lr: float = limited(1e-2, _NOT_NEGATIVE)
    """Learning rate of the task embedding, if the task has identities."""
    embedding_weight_decay: float = limited(0.1, _NOT_NEGATIVE)
    """Weight decay of the visited rows of the task embedding."""


@dataclass(frozen=True)
class AnswerConfig(_Checked):
    """What the answer head learns from: solutions, rewards, or both."""

    group: ClassVar[str] = "answer"

    supervised_weight: float = limited(1.0, _NOT_NEGATIVE)
    """Weight of the cross-entropy with the solution; if 0, the environment is not asked for solutions."""
    target: Literal["auto", "label", "nearest"] = "auto"
    """The right answer that the cross-entropy teaches. label: the stored one. nearest: of all right answers the one
    that the model favours most, at every segment. auto: nearest where the task knows several right answers."""
    reward_weight: float = limited(0.0, _NOT_NEGATIVE)
    """Weight of the policy gradient on sampled answers; if 0, none are sampled."""
    samples: int = limited(16, Limits(1, 4096))
    """Policy gradient: answers sampled per segment and row."""
    earns: Literal["score", "reward"] = "score"
    """Policy gradient: return of a sampled answer, either the verifier's partial credit or the reward of halting."""
    baseline: Literal["group", "value"] = "group"
    """Policy gradient: baseline, either the other answers to the same puzzle or Q(halt), which needs earns=reward."""
    credit: Literal["segments", "halt"] = "segments"
    """Policy gradient: train the answers of every segment, as if it halted there, or only those at the halt."""
    entropy_weight: float = limited(0.01, _NOT_NEGATIVE)
    """Policy gradient: weight of the entropy bonus (nats per cell), which keeps answers from settling too early."""

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
    """When to halt, and how the Q-head learns it."""

    group: ClassVar[str] = "halting"

    rule: str = "q"
    """When to halt. q: where Q(halt) > Q(continue) (the paper). gain: where the expected gain of thinking on is at most
    least_gain. probability: where Q(halt) exceeds the threshold. fixed: after fixed_segments. convergence: where an
    answer equals the one before. policy: with a probability that policy gradient learns from rewards and segment costs;
    in evaluation where it is above 1/2. With fixed and convergence Q(halt) learns, but decides nothing and leaves the
    network alone."""
    threshold: float = limited(0.5, Limits(-math.inf, open_low=True))
    """Rule probability: halt above this probability of a right answer, or above this plain value."""
    least_gain: float = limited(0.05, Limits(-math.inf, open_low=True))
    """Rule gain: think on only for a larger expected gain than this, in units of reward."""
    sure_gain: float | None = limited(None, Limits(-math.inf, open_low=True))
    """Rule gain: training thinks on for a larger gain than this, and for a smaller one with a chance that falls to 0 at
    least_gain; least_gain if omitted."""
    gain_loss: Literal["mse", "bce"] = "mse"
    """Rule gain: loss of the gain, either of a plain value or of a logit, a gain between 0 and 1. bce needs rewards in
    [0, 1]."""
    fixed_segments: int | None = limited(None, Limits(1, 4_096))
    """Rule fixed: number of segments; the environment's maximum if omitted."""
    entropy_weight: float = limited(0.1, _NOT_NEGATIVE)
    """Rule policy: weight of the entropy bonus, in units of reward. Decisions whose returns differ by less stay random
    in training; with a small weight, the policy soon makes the same decision for all puzzles."""
    exploration: Literal["episode", "segment"] = "episode"
    """Draw the minimum number of segments once per episode (the paper) or at every segment (the authors' code). Rule
    fixed has no exploration."""
    exploration_prob: float = limited(0.1, _SHARE)
    """Probability of a minimum drawn from 2..M; otherwise it is 1."""
    gamma: float = limited(1.0, Limits(0.0, 1.0, open_low=True))
    """Discount per segment."""
    q_loss: Literal["auto", "bce", "mse"] = "auto"
    """Q-values as logits of a probability (bce) or as plain values (mse); auto chooses bce if the rewards allow it.
    Rule policy always has plain values."""
    q_weight: float = limited(0.5, _NOT_NEGATIVE)
    """Weight of the halting losses relative to the answer loss."""
    target: Literal["second-forward", "one-pass", "returns"] = "second-forward"
    """Rule q: source of the targets of Q(continue): a second forward (the paper), the forward of the next segment, or
    the returns of ended episodes."""
    trace_decay: float = limited(1.0, _SHARE)
    """Rule q, target returns: lambda of TD(lambda). 1 uses the return of the episode, 0 the next segment's value."""
    target_decay: float | None = limited(None, _DECAY)
    """Rule q: decay rate of an averaged Q-head for the targets; no average if omitted."""


@dataclass(frozen=True)
class RunConfig(_Checked):
    """Length, records and hardware of a run."""

    group: ClassVar[str] = "run"

    updates: int = limited(6000, Limits(1, _MANY))
    """Number of optimiser steps, one per segment."""
    batch_size: int = limited(32, Limits(1, 65_536))
    """Rows of the vector environment."""
    seed: int = limited(0, Limits(0, 2**63 - 1))
    """Seed of weights, environment and exploration."""
    init_from: str | None = None
    """Start from the weights of this checkpoint; with rope or rope2d positions its grid size may differ."""
    answer_loss: Literal["stablemax", "softmax"] = "stablemax"
    """Cross-entropy of the answers: with stablemax (the paper) or softmax."""
    log: tuple[Literal["tensorboard", "jsonl", "csv", "wandb"], ...] = ("tensorboard",)
    """Where the course of training is recorded: one or several of these. jsonl: progress.jsonl. csv: progress.csv and
    evaluations.csv. wandb: Weights & Biases (needs the extra `wandb`)."""
    log_every: int = limited(50, Limits(1, _MANY))
    """Updates between records of training."""
    eval_every: int = limited(1000, Limits(0, _MANY))
    """Updates between evaluations; 0 evaluates at the end only."""
    eval_puzzles: int = limited(500, Limits(1, _MANY))
    """Number of unseen puzzles per evaluation; the final one takes the whole test split."""
    save_every: int = limited(1000, Limits(1, _MANY))
    """Updates between checkpoints."""
    keep: int = limited(0, Limits(0, 100_000))
    """Number of last checkpoints to keep in folder `checkpoints` of the run, each of which can be resumed."""
    patience: int | None = limited(None, Limits(1, _MANY))
    """Stop early, after this many evaluations in a row without a higher success rate than all before; best/ keeps the
    best. Never if omitted."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""
    micro_batch: int | None = limited(None, Limits(1, 65_536))
    """Rows per forward and backward pass of each process, to save memory; the result is that of the whole batch, which
    is the default."""
    recompute: bool = False
    """Keep only the input of each block for the backward pass, which computes the rest again: less memory, more
    time."""
    compile: bool = False
    """Use torch.compile: a minute at the start, then 1.3 to 1.5 times the speed."""
    threads: int | None = limited(None, Limits(1, 1024))
    """Number of CPU threads; torch's default if omitted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.log)) < len(self.log):
            raise UserError(f"run.log names a record twice: {' '.join(self.log)}")


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list | tuple) else value
