"""Construction of an environment's task, puzzles, spaces and dynamics from its keywords.

The single and the vector environment share this module, so both accept the same keywords with the same meaning.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from hrm_envs import entry_points
from hrm_envs.checks import as_array, choice, flag, real_number, shown, unexpected_keyword, whole_number
from hrm_envs.dynamics import SegmentDynamics
from hrm_envs.limits import MAX_BATCH_CELLS, MAX_COST, MAX_ROWS, MAX_SEED, MAX_SEGMENTS, most_puzzles
from hrm_envs.puzzles.pool import cached_pool, hold_pool
from hrm_envs.puzzles.sources import PuzzlesLike, read_puzzles, whole_split
from hrm_envs.puzzles.splits import SPLITS, Split
from hrm_envs.rendering.look import DEFAULT_SIZE, Look, as_look
from hrm_envs.rewards import Reward, resolve_reward
from hrm_envs.spec import TaskSpec, Tokens
from hrm_envs.task import PuzzleBatch, Task

#: A task, its class, a function that returns one, or a registered name ``"module:Class"``.
TaskLike = Task | type[Task] | Callable[..., Task] | str


@dataclass(frozen=True)
class Settings:
    """The keywords of every environment, independent of its task."""

    #: Which puzzles to play: ``"train"``; ``"validation"``, to choose settings; ``"test"``, only for final results;
    #: ``"train+validation"``, to train once all settings are chosen; or ``"all"``. The first three share no symmetry
    #: class.
    split: Split = "train"
    #: Number of distinct puzzles; None uses the default of the task.
    num_puzzles: int | None = None
    #: Puzzles to play instead of generated ones: arrays, a PuzzleBatch, text, or the path of a file or of a folder of
    #: an official data set; see :func:`hrm_envs.puzzles.sources.read_puzzles`.
    puzzles: PuzzlesLike | None = None
    #: Seed of the generated puzzles, or of the random subset of stored ones; the seed of ``reset`` only chooses among
    #: them. Pools of different seeds, neighbouring or not, are drawn independently, so they share puzzles by chance:
    #: few of the 9x9 mazes, most of the 7x7 ones, because a pool holds half of those that exist.
    pool_seed: int = 0
    #: Whether to show random symmetric copies; None does so in the splits to train on.
    augment: bool | None = None
    #: The segment at which every answer is graded.
    max_segments: int = 16
    #: ``"exact"``, ``"partial"``, or a function from a Verdict to float32 ``[B]``.
    reward: str | Reward = "exact"
    #: Cost of each segment after which the agent continues.
    segment_cost: float = 0.0
    #: Number of puzzles that keep their solution, for learning from reward with few or no labels; None keeps all.
    #: Needs a task that grades without solutions.
    num_labelled: int | None = None
    #: Whether ``info`` includes a right answer, as supervised training needs. The observation never does.
    expose_solution: bool = False
    #: Size of images: pixels of the longer side, or (width, height).
    render_size: int | tuple[int, int] = DEFAULT_SIZE[0]
    #: Colours of images: ``"dark"`` or ``"light"``.
    theme: str = "dark"

    def __post_init__(self) -> None:
        choice("split", self.split, SPLITS)
        most = most_puzzles(1)
        bounds = {"max_segments": (1, MAX_SEGMENTS), "pool_seed": (0, MAX_SEED), "num_puzzles": (1, most),
                  "num_labelled": (0, most)}  # fmt: skip
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not (value is None and name in ("num_puzzles", "num_labelled")):
                object.__setattr__(self, name, whole_number(name, value, low, high))
        object.__setattr__(self, "segment_cost", real_number("segment_cost", self.segment_cost, -MAX_COST, MAX_COST))
        object.__setattr__(self, "expose_solution", flag("expose_solution", self.expose_solution))
        if self.augment is not None:
            object.__setattr__(self, "augment", flag("augment", self.augment))
        resolve_reward(self.reward)
        _ = self.look
        if self.num_labelled == 0 and self.expose_solution:
            raise ValueError("expose_solution: with num_labelled=0 there is no solution to expose")

    @property
    def look(self) -> Look:
        """Size and colours of images."""
        return as_look(self.render_size, self.theme)


#: Keywords that users try, and what to use instead.
_ADVICE = {"max_episode_steps": "an episode ends at segment max_segments: set that"}


def resolve_task(task: TaskLike, kwargs: Mapping[str, Any], constructor: str = "ReasoningEnv") -> Task:
    """Build the task from a class, a factory or a registered name. A Task instance is returned unchanged.

    Args:
        task: what to build it from.
        kwargs: keywords of the task.
        constructor: class name of the environment, for error messages.

    Raises:
        TypeError: a keyword is unknown to environment and task, or ``task`` does not make a task.
        ValueError: the task rejects its keywords, or the name is not registered.
    """
    factory = _factory(task)
    parameters = {} if isinstance(factory, Task) else _parameters(factory)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    known = [name for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    unknown = sorted(set(kwargs) - set(known))
    if unknown and not takes_any:
        ours = [name for name in (*Settings.__dataclass_fields__, "render_mode") if name not in known]
        raise unexpected_keyword(constructor, unknown[0], [*known, *ours], _ADVICE.get(unknown[0], ""))
    made = factory if isinstance(factory, Task) else factory(**kwargs)
    if not isinstance(made, Task):
        raise TypeError(f"task={shown(task)} returns a {type(made).__name__}, not a Task")
    return made


def _factory(task: TaskLike) -> Task | Callable[..., Task]:
    factory: Task | Callable[..., Task] = entry_points.load(task) if isinstance(task, str) else task
    if not isinstance(factory, Task) and not callable(factory):
        raise TypeError(f"task={shown(task)}: pass a Task, its class, or a function that returns one")
    return factory


def _parameters(factory: Callable[..., Task]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except ValueError as error:  # some built-in functions have no signature
        raise TypeError(f"task={shown(factory)} is not a Task and does not return one") from error


def _reads_puzzles(task: TaskLike) -> bool:
    """Whether the constructor of the task handles the keyword ``puzzles`` itself."""
    factory = _factory(task)
    return not isinstance(factory, Task) and "puzzles" in _parameters(factory)


def default_split(task: TaskLike, puzzles: PuzzlesLike | None) -> Split:
    """The split to evaluate unless one is asked for: all of a user's puzzles, or the test split.

    Puzzles are already split if a task reads them itself, such as those of ARC, or if a folder has ``train`` and
    ``test``.
    """
    return "test" if puzzles is None or _reads_puzzles(task) else whole_split(puzzles)


def build_dynamics(
    task: TaskLike,
    num_rows: int,
    settings: Settings,
    task_kwargs: Mapping[str, Any],
    constructor: str = "ReasoningEnv",
) -> SegmentDynamics:
    """Build the dynamics of an environment with ``num_rows`` rows.

    A user's puzzles are read and checked here. Generated puzzles are made on first use, so an environment that only
    plays given puzzles generates none.

    Raises:
        TypeError: unknown keyword, see :func:`resolve_task`.
        ValueError: a keyword is out of range, or the puzzles cannot be read.
    """
    source = settings.puzzles
    if source is not None and _reads_puzzles(task):
        source, task_kwargs = None, {**task_kwargs, "puzzles": source}
    made = resolve_task(task, task_kwargs, constructor)
    row_cells = made.spec.num_cells + sum(prod(space.shape) for space in made.context_spaces().values())
    whole_number("num_envs", num_rows, 1, min(MAX_ROWS, MAX_BATCH_CELLS // row_cells))
    if settings.num_puzzles is not None:
        whole_number("num_puzzles", settings.num_puzzles, 1, most_puzzles(made.spec.num_cells))
    pool: PuzzleBatch | Callable[[], PuzzleBatch]
    if source is not None:
        pool = read_puzzles(source, made, settings.split, settings.num_puzzles, choose=True)
    else:
        # Files may change between two environments, so puzzles read from them are not cached.
        if isinstance(task, Task) or "puzzles" in task_kwargs:
            pool = partial(hold_pool, made, settings.split, settings.num_puzzles, settings.pool_seed)
        else:
            identity = (task, sorted(task_kwargs.items()))
            pool = partial(cached_pool, made, identity, settings.split, settings.num_puzzles, settings.pool_seed)
    if settings.num_labelled is not None:
        if not made.grades_without_solution:
            raise ValueError(
                f"num_labelled: the verifier of {made.spec.name} needs the solutions; for Sudoku, set score='rules'"
            )
        pool = partial(_withhold, pool, settings.num_labelled)
    return SegmentDynamics(
        made,
        pool,
        num_rows,
        max_segments=settings.max_segments,
        reward=resolve_reward(settings.reward),
        segment_cost=settings.segment_cost,
        augment=settings.split in ("train", "train+validation") if settings.augment is None else settings.augment,
    )


def _withhold(pool: PuzzleBatch | Callable[[], PuzzleBatch], num_labelled: int) -> PuzzleBatch:
    """The pool with the solutions of all but its first ``num_labelled`` puzzles removed."""
    puzzles = pool if isinstance(pool, PuzzleBatch) else pool()
    if num_labelled > len(puzzles):
        raise ValueError(f"num_labelled={num_labelled}: the environment holds {len(puzzles)} puzzles")
    return puzzles.labelled(num_labelled)


def observation_space(task: Task, max_segments: int) -> spaces.Dict:
    """A flat ``Dict`` of 1-D boxes for ``S`` cells and ``V`` tokens. The task may add entries."""
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
    """``answer``: a token for every cell. ``halt``: 1 to halt, 0 to continue."""
    return spaces.Dict(
        {
            "answer": spaces.MultiDiscrete(np.full(spec.num_cells, spec.vocab_size)),
            "halt": spaces.Discrete(2),
        }
    )


def as_action(action: Mapping[str, Any], spec: TaskSpec, num_rows: int) -> tuple[Tokens, NDArray[np.bool_]]:
    """An action of ``num_rows`` rows as uint8 ``[B, S]`` and bool ``[B]``.

    Raises:
        ValueError: an entry is missing, has another shape, or is out of range.
    """
    try:
        parts = action["answer"], action["halt"]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"an action is a dict with 'answer' and 'halt', not {shown(action)}") from error
    answer, halt = as_array("action: 'answer'", parts[0]), as_array("action: 'halt'", parts[1])
    fits = answer.size == num_rows * spec.num_cells and (num_rows == 1 or len(answer) == num_rows)
    if not fits or halt.size != num_rows:
        raise ValueError(
            f"action: expected 'answer' of {num_rows} x {spec.num_cells} tokens and 'halt' of {num_rows}; "
            f"found shapes {shown(answer.shape)} and {shown(halt.shape)}"
        )
    answer = answer.reshape(num_rows, spec.num_cells)
    if answer.dtype != np.uint8:
        # Checked before the cast, which would wrap around.
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
    if halt.dtype.kind not in "buif":
        raise ValueError(f"action: 'halt' must be 0 or 1, found {shown(parts[1])}")
    if halt.dtype != np.bool_ and not ((halt == 0) | (halt == 1)).all():
        raise ValueError(f"action: 'halt' must be 0 or 1, found {halt[(halt != 0) & (halt != 1)][0]}")
    return answer, halt.astype(np.bool_)


def split_settings(kwargs: Mapping[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """Split keywords into the environment's settings and the keywords of the task."""
    ours = {name: value for name, value in kwargs.items() if name in Settings.__dataclass_fields__}
    return Settings(**ours), {name: value for name, value in kwargs.items() if name not in ours}


def as_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of ``reset`` as a new dict.

    Raises:
        ValueError: not a mapping.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ValueError(f"reset options are a dict such as {{'index': 0}}, not {shown(options)}")
    return dict(options)


def reset_choice(options: Mapping[str, Any] | None, num_rows: int, dynamics: SegmentDynamics) -> dict[str, Any]:
    """The puzzles requested by ``reset(options=...)``, as keywords of ``SegmentDynamics.reset``.

    Raises:
        ValueError: unknown option, invalid puzzle, or index out of range.
    """
    options = as_options(options)
    unknown = sorted(set(options) - {"puzzle", "solution", "index"}, key=str)
    if unknown:
        raise ValueError(
            f"unknown reset option {shown(unknown[0])}: use 'puzzle' (with or without 'solution') or 'index'"
        )
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
    num_puzzles = len(dynamics.pool)  # generates the pool now: if that fails, nothing has changed yet
    if "index" in options:
        found = shown(options["index"])
        index = np.atleast_1d(as_array("reset options: 'index'", options["index"]))
        if index.shape != (num_rows,) or index.dtype.kind not in "ui":
            raise ValueError(f"reset options: 'index' must be {num_rows} integer(s), found {found}")
        if index.min() < 0 or index.max() >= num_puzzles:
            raise ValueError(f"reset options: 'index' must be in [0, {num_puzzles}), found {found}")
        return {"index": index}
    return {}
