"""From the keywords of an environment to its task, puzzles, spaces and dynamics.

Shared by the single and the vector environment, so that both take the same keywords and mean the same.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from hrm_envs.checks import whole_number
from hrm_envs.dynamics import SegmentDynamics
from hrm_envs.pool import SPLITS, Split, cached_pool, hold_pool
from hrm_envs.rewards import Reward, resolve_reward
from hrm_envs.sources import PuzzlesLike, read_puzzles
from hrm_envs.task import PuzzleBatch, Task, TaskSpec, Tokens

#: A task, its class, or ``"module:Class"``.
TaskLike = Task | type[Task] | Callable[..., Task] | str


@dataclass(frozen=True)
class Settings:
    """The keywords that every environment takes, whatever its task."""

    #: Which puzzles to play: "train", "test" (held out by symmetry class) or "all".
    split: Split = "train"
    #: How many distinct puzzles to hold; the task's own default if not given.
    num_puzzles: int | None = None
    #: Play these puzzles instead of generated ones: arrays, a PuzzleBatch, text, or a path to a file or a folder of
    #: an official data set; see :func:`hrm_envs.sources.read_puzzles`.
    puzzles: PuzzlesLike | None = None
    #: Seed of the generated puzzles; the seed of ``reset`` only chooses among them.
    pool_seed: int = 0
    #: Show random symmetric copies; by default only in the train split.
    augment: bool | None = None
    #: Segments until every answer is graded.
    max_segments: int = 16
    #: "exact", "partial", or a function from a Verdict to float32 [B].
    reward: str | Reward = "exact"
    #: Price of thinking on for one more segment.
    segment_cost: float = 0.0
    #: How many of the puzzles, the first ones, keep their solution; the others have none at all (learning from reward
    #: alone, or from few labels). All by default. Needs a task whose verifier does without.
    num_labelled: int | None = None
    #: Whether ``info`` carries a right answer (supervised training needs it; the observation never has it).
    expose_solution: bool = False

    def __post_init__(self) -> None:
        for name in ("max_segments", "num_puzzles", "pool_seed", "num_labelled"):
            value = getattr(self, name)
            if not (value is None and name in ("num_puzzles", "num_labelled")):
                object.__setattr__(self, name, whole_number(name, value))
        if isinstance(self.segment_cost, bool) or not isinstance(self.segment_cost, Real):
            raise ValueError(f"segment_cost={self.segment_cost!r} is not a number")
        for name in ("augment", "expose_solution"):
            value = getattr(self, name)
            if not isinstance(value, bool | np.bool_) and (value is not None or name != "augment"):
                raise ValueError(f"{name}={value!r} is not true or false")
        if self.split not in SPLITS:
            raise ValueError(f"split={self.split!r}: choose one of {', '.join(map(repr, SPLITS))}")
        if not 1 <= self.max_segments < 2**31:
            raise ValueError(f"max_segments={self.max_segments}: an episode has at least one segment, below 2**31")
        if self.pool_seed < 0:
            raise ValueError(f"pool_seed={self.pool_seed}: a seed must not be negative")
        if self.num_puzzles is not None and self.num_puzzles < 1:
            raise ValueError(f"num_puzzles={self.num_puzzles}: an environment needs at least one puzzle")
        if self.num_labelled is not None and self.num_labelled < 0:
            raise ValueError(f"num_labelled={self.num_labelled}: it counts puzzles, from 0")
        if self.num_labelled == 0 and self.expose_solution:
            raise ValueError("expose_solution: with num_labelled=0 there is no solution to expose")
        if not np.isfinite(self.segment_cost):
            raise ValueError(f"segment_cost={self.segment_cost} is not a finite number")


def resolve_task(task: TaskLike, kwargs: Mapping[str, Any]) -> Task:
    """Build the task from a class, a factory or ``"module:Class"``; an instance is taken as it is.

    Raises:
        TypeError: a keyword is neither the environment's nor the task's.
        ValueError: the task itself refuses its keywords.
    """
    factory = _factory(task)
    parameters = {} if isinstance(factory, Task) else inspect.signature(factory).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    known = [name for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    unknown = sorted(set(kwargs) - set(known))
    if unknown and not takes_any:
        ours = [*Settings.__dataclass_fields__, "render_mode"]
        raise TypeError(
            f"unknown keyword {unknown[0]!r}; the environment takes {', '.join(ours)}"
            + (f"; the task takes {', '.join(known)}" if known else "")
        )
    return factory if isinstance(factory, Task) else factory(**kwargs)


def _factory(task: TaskLike) -> Task | Callable[..., Task]:
    if not isinstance(task, str):
        return task
    module, _, name = task.partition(":")
    factory: Callable[..., Task] = getattr(importlib.import_module(module), name)
    return factory


def _reads_puzzles(task: TaskLike) -> bool:
    """Whether the task's constructor takes the keyword ``puzzles`` over from the environment."""
    factory = _factory(task)
    return not isinstance(factory, Task) and "puzzles" in inspect.signature(factory).parameters


def build_dynamics(
    task: TaskLike, num_rows: int, settings: Settings, task_kwargs: Mapping[str, Any]
) -> SegmentDynamics:
    """The dynamics of an environment with ``num_rows`` rows.

    Puzzles from outside are read and checked here; generated ones are made when they are first needed, so that
    an environment which only plays a given puzzle makes none.
    """
    source = settings.puzzles
    if source is not None and _reads_puzzles(task):
        source, task_kwargs = None, {**task_kwargs, "puzzles": source}
    made = resolve_task(task, task_kwargs)
    pool: PuzzleBatch | Callable[[], PuzzleBatch]
    if source is not None:
        pool = read_puzzles(source, made, settings.split, settings.num_puzzles)
    else:
        # Files may change between two environments: what was read from them is not remembered.
        if isinstance(task, Task) or "puzzles" in task_kwargs:
            pool = partial(hold_pool, made, settings.split, settings.num_puzzles, settings.pool_seed)
        else:
            identity = (task, sorted(task_kwargs.items()))
            pool = partial(cached_pool, made, identity, settings.split, settings.num_puzzles, settings.pool_seed)
    if settings.num_labelled is not None:
        if not made.grades_without_solution:
            raise ValueError(
                f"num_labelled: the verifier of {made.spec.name} needs the solutions; Sudoku does without them with "
                "score='rules'"
            )
        pool = partial(_withhold, pool, settings.num_labelled)
    return SegmentDynamics(
        made,
        pool,
        num_rows,
        max_segments=settings.max_segments,
        reward=resolve_reward(settings.reward),
        segment_cost=settings.segment_cost,
        augment=settings.split == "train" if settings.augment is None else settings.augment,
    )


def _withhold(pool: PuzzleBatch | Callable[[], PuzzleBatch], num_labelled: int) -> PuzzleBatch:
    """The puzzles of an environment of which only the first so many keep their solution.

    Raises:
        ValueError: there are not so many.
    """
    puzzles = pool if isinstance(pool, PuzzleBatch) else pool()
    if num_labelled > len(puzzles):
        raise ValueError(f"num_labelled={num_labelled}: the environment holds {len(puzzles)} puzzles")
    return puzzles.labelled(num_labelled)


def observation_space(task: Task, max_segments: int) -> spaces.Dict:
    """A flat ``Dict`` of 1-D boxes; ``S`` cells, ``V`` tokens. The task may add some of its own."""
    spec = task.spec
    return spaces.Dict(
        {
            "answer": spaces.Box(0, spec.vocab_size - 1, (spec.num_cells,), np.uint8),
            "puzzle": spaces.Box(0, spec.vocab_size - 1, (spec.num_cells,), np.uint8),
            "segment": spaces.Box(0, max_segments, (1,), np.int32),
            "task_id": spaces.Box(0, max(1, spec.num_task_ids - 1), (1,), np.int32),
            **task.context_spaces(),
        }
    )


def action_space(spec: TaskSpec) -> spaces.Dict:
    """``answer``: a token for every cell. ``halt``: 1 to be graded on it, 0 to think on."""
    return spaces.Dict(
        {
            "answer": spaces.MultiDiscrete(np.full(spec.num_cells, spec.vocab_size)),
            "halt": spaces.Discrete(2),
        }
    )


def as_action(action: Mapping[str, Any], spec: TaskSpec, num_rows: int) -> tuple[Tokens, NDArray[np.bool_]]:
    """An action of ``num_rows`` rows as uint8 ``[B, S]`` and bool ``[B]``.

    Raises:
        ValueError: a part is missing, of another shape, or out of range.
    """
    try:
        answer, halt = np.asarray(action["answer"]), np.asarray(action["halt"])
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError("an action is a dict with 'answer' and 'halt'") from error
    fits = answer.size == num_rows * spec.num_cells and (num_rows == 1 or len(answer) == num_rows)
    if not fits or halt.size != num_rows:
        raise ValueError(
            f"action: expected 'answer' of {num_rows} x {spec.num_cells} tokens and 'halt' of {num_rows}; "
            f"found shapes {answer.shape} and {halt.shape}"
        )
    answer = answer.reshape(num_rows, spec.num_cells)
    if answer.dtype != np.uint8:
        # Only after this check may the cast to uint8 wrap nothing around.
        if answer.dtype.kind not in "ui" or answer.min() < 0 or answer.max() > 255:
            raise ValueError(f"action: 'answer' must hold integers from 0 to {spec.vocab_size - 1}")
        answer = answer.astype(np.uint8)
    else:
        answer = answer.copy()
    if answer.max() >= spec.vocab_size:
        row, cell = np.argwhere(answer >= spec.vocab_size)[0]
        raise ValueError(
            f"action: answer {row} holds {answer[row, cell]} at cell {cell}; tokens are 0 to {spec.vocab_size - 1}"
        )
    halt = halt.reshape(num_rows)
    if halt.dtype != np.bool_ and not ((halt == 0) | (halt == 1)).all():
        raise ValueError(f"action: 'halt' must be 0 or 1, found {halt[(halt != 0) & (halt != 1)][0]}")
    return answer, halt.astype(np.bool_)


def split_settings(kwargs: Mapping[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """The keywords that every environment takes, and the rest, which is for the task."""
    ours = {name: value for name, value in kwargs.items() if name in Settings.__dataclass_fields__}
    return Settings(**ours), {name: value for name, value in kwargs.items() if name not in ours}


def reset_choice(options: Mapping[str, Any] | None, num_rows: int, dynamics: SegmentDynamics) -> dict[str, Any]:
    """What ``reset(options=...)`` asks to be played, as keywords of ``SegmentDynamics.reset``.

    Raises:
        ValueError: an unknown option, a bad puzzle, or an index out of range.
    """
    options = options or {}
    unknown = sorted(set(options) - {"puzzle", "solution", "index"})
    if unknown:
        raise ValueError(f"unknown reset option {unknown[0]!r}: use 'puzzle' (with or without 'solution') or 'index'")
    if "index" in options and "puzzle" in options:
        raise ValueError("reset options: give 'puzzle' or 'index', not both")
    if "solution" in options and "puzzle" not in options:
        raise ValueError("reset options: 'solution' needs the 'puzzle' that it solves")
    if "puzzle" in options:
        source = options["puzzle"]
        batch = read_puzzles((source, options["solution"]) if "solution" in options else source, dynamics.task)
        if len(batch) != num_rows:
            raise ValueError(f"reset options: {num_rows} puzzle(s) expected, {len(batch)} found")
        return {"puzzles": batch}
    num_puzzles = len(dynamics.pool)  # made here at the latest: if that fails, nothing has changed yet
    if "index" in options:
        index = np.atleast_1d(np.asarray(options["index"]))
        if index.shape != (num_rows,) or index.dtype.kind not in "ui":
            raise ValueError(f"reset options: 'index' must be {num_rows} integer(s), found {options['index']!r}")
        if index.min() < 0 or index.max() >= num_puzzles:
            raise ValueError(f"reset options: 'index' must be in [0, {num_puzzles}), found {options['index']!r}")
        return {"index": index}
    return {}
