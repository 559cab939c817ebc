"""Random valid and invalid calls of the environments, and the properties that must hold for all of them.

Each call is accepted, or rejected with a one-line ``ValueError``, ``TypeError`` or error of Gymnasium. A rejected call
changes nothing: each environment has a twin that gets only the accepted calls, and both must behave identically.
"""

from __future__ import annotations

import copy
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode

import hrm_envs  # noqa: F401  (registers the ids)
from hrm_envs.env import ReasoningEnv
from hrm_envs.spec import TaskSpec
from hrm_envs.vector_env import ReasoningVectorEnv
from hrm_envs.wrappers import (
    ArcEditor,
    ArcEditorVector,
    CellEdit,
    CellEditVector,
    FlattenAnswer,
    FlattenAnswerVector,
    HaltOnly,
    HaltOnlyVector,
    MaskInObs,
    MaskInObsVector,
    MazeMoves,
    MazeMovesVector,
    SolutionInObs,
    SolutionInObsVector,
)

#: Allowed exceptions for invalid calls, and the maximum length of their messages.
REFUSALS = (ValueError, TypeError, gym.error.Error)
LONGEST = 300
#: CPU seconds after which a call counts as slow, and wall-clock seconds after which it counts as hung.
SLOW, HUNG = 1.0, 20.0


class Hung(BaseException):
    """A call was interrupted. Not an ``Exception``, so that no handler catches it."""


@dataclass
class Findings:
    """Counts of calls by outcome, and the faults found."""

    tried: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str, str]] = field(default_factory=list)

    def call(
        self, group: str, what: str, function: Callable[[], Any], slow: float = SLOW, limit: float = HUNG
    ) -> tuple[bool, Any]:
        """Make a call; returns whether it was accepted, and its result."""
        self.tried[group] += 1
        began = time.process_time()
        try:
            with time_limit(limit):
                result = function()
        except Hung:
            self.fault("never ends", group, what)
            return False, None
        except REFUSALS as error:
            # Gymnasium appends all keywords to a TypeError.
            text = str(error).split(" was raised from the environment creator")[0]
            if "\n" in text or len(text) >= LONGEST or not text:
                self.fault("not one short line", group, f"{what}: {text[:400]!r}")
            accepted, result = False, None
        except Exception as error:  # any other exception is a fault
            self.fault(type(error).__name__, group, f"{what}: {str(error)[:200]!r}")
            accepted, result = False, None
        else:
            accepted = True
        if time.process_time() - began > slow:
            self.fault("slow", group, f"{what}: {time.process_time() - began:.1f} s")
        return accepted, result

    def fault(self, kind: str, group: str, what: str) -> None:
        """Record a fault."""
        self.faults.append((kind, group, what))

    def __str__(self) -> str:
        return "\n".join(f"{kind} | {group} | {what}" for kind, group, what in self.faults)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`Hung` after a timeout, on systems with alarms."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- values ------------------------------------------------------------------------------------------------------


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


class Unshowable:
    """Its repr has many lines, or fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no\ntext")


def junk() -> list[Any]:
    """Invalid values of every kind."""
    return [
        None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 2**63, 2**64, 10**20, -(10**20), 10**5000, 0.5, 1.0, 2.5, -1.5,
        float("nan"), float("inf"), float("-inf"), 1e308, 1e-320, 1j,
        "", "x", "7", "exact", "train", "time:sleep", "os:system", "hrm_envs.maze:nothing", "../x", "a\0b", "x\ny",
        "x" * 5000, "/dev/zero", "/dev", "nowhere.npz", "\ud800", "/" * 300, "é/" * 3000,
        b"x", [], [1], [1, 2], (1, 2), (2, 1), [0.1, 0.2], [[1], [2, 3]], _nested(30), _nested(2000), ["x"], [None],
        {}, {"a": 1}, {1: 2}, {"puzzle": 1}, {3}, frozenset(), object(), Unshowable(), int, len, Path("nowhere"),
        Path("/dev/zero"), range(3), np.float32(0.5), np.int64(2), np.uint8(1), np.bool_(True), np.array(2),
        np.array([2]), np.array([1.5]), np.array(["a"]), np.array([None]), np.array([{}]), np.zeros((2, 2)),
        np.zeros(0), np.zeros((0, 16), np.uint8), np.full(16, 255, np.uint8), np.ones(16, np.uint8),
        np.ones((4, 4), np.int64), np.full(16, 10**9), np.datetime64("2020-01-01"), np.ma.masked,
        np.broadcast_to(np.uint8(1), (10**9, 16)), np.zeros((1,) * 60),
        np.zeros(3, [(f"field_{i}", "u1") for i in range(40)]),
    ]  # fmt: skip


def some(rng: np.random.Generator, values: list[Any]) -> Any:
    """A random one of them."""
    return values[int(rng.integers(len(values)))]


def brief(value: Any) -> str:
    """The argument of a call, for the list of faults."""
    try:
        return repr(value)[:80]
    except (RuntimeError, ValueError, RecursionError):
        return f"<{type(value).__name__}>"


# -- constructors ------------------------------------------------------------------------------------------------

SMALL = {"num_puzzles": 6, "max_segments": 3, "expose_solution": True}
SMALL_ARC = {"canvas": 5, "augmentations": 3, "sets": ("training",), "num_puzzles": None}
SETTINGS = ["split", "num_puzzles", "puzzles", "pool_seed", "augment", "max_segments", "reward", "segment_cost",
            "num_labelled", "expose_solution", "render_mode"]  # fmt: skip
MAZE = ["size", "kind", "min_path", "wall_share"]
WALK = ["max_steps", "step_cost", "shaping", "gamma", "door_probability", "num_doors", "exploring_starts",
        "observation", "split", "num_puzzles", "puzzles", "pool_seed", "augment", "render_mode", *MAZE]  # fmt: skip
ARC = ["version", "canvas", "sets", "augmentations", "id_seed", "views", "demonstrations", "train_tests",
       "exclude_arc1_evaluation", "puzzles"]  # fmt: skip
TASKS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "hrm_envs.sudoku:SudokuTask": (
        {"size": 4, "num_puzzles": 3},
        ["size", "level", "empty_cells", "difficulty", "score"],
    ),
    "hrm_envs.sudoku:SudokuExtremeTask": ({"num_puzzles": 3}, ["difficulty"]),
    "hrm_envs.maze:MazeTask": ({"size": 5, "num_puzzles": 3}, MAZE),
    "hrm_envs.maze.hard:HardMazeTask": ({"num_puzzles": 3}, []),
    "hrm_envs.arc:ARCTask": ({"canvas": 5, "augmentations": 3, "sets": ("training",)}, ARC),
}
#: Constructors with their base keywords, and all keywords that they accept.
Constructor = tuple[str, Callable[..., Any], dict[str, Any], list[str]]


def constructors(arc: bool) -> list[Constructor]:
    """Every constructor of the package; those of ARC if its tasks are installed."""
    found: list[Constructor] = []
    for task, (base, keywords) in TASKS.items():
        if "arc" in task and not arc:
            continue
        found += [
            (f"single {task}", ReasoningEnv, {"task": task, **base}, ["task", *SETTINGS, *keywords]),
            (f"vector {task}", ReasoningVectorEnv, {"task": task, "num_envs": 2, **base},
             ["task", "num_envs", "autoreset_mode", *SETTINGS, *keywords]),
        ]  # fmt: skip
    walk = {"size": 5, "num_puzzles": 3}
    found += [
        ("single walk", MazeMoves, walk, ["env", *WALK]),
        ("vector walk", MazeMovesVector, {**walk, "num_envs": 2}, ["venv", "num_envs", "autoreset_mode", *WALK]),
    ]
    edits = ["max_edits", "edit_cost", "shaping", "gamma"]
    views: list[tuple[Any, Any, list[str]]] = [
        (CellEdit, CellEditVector, edits),
        (FlattenAnswer, FlattenAnswerVector, []),
        (SolutionInObs, SolutionInObsVector, []),
        (HaltOnly, HaltOnlyVector, ["thinker"]),
        *([(ArcEditor, ArcEditorVector, [*edits, "start"])] if arc else []),
    ]
    for cls, vector, keywords in views:
        rest = {"thinker": Copycat()} if cls is HaltOnly else {}
        kind = {"id": "HRM/ARC-AGI-1-v0", **SMALL_ARC} if cls is ArcEditor else {}
        found += [
            (cls.__name__, cls, {"env": single(**kind), **rest}, ["env", *keywords]),
            (vector.__name__, vector, {"env": many(**kind), **rest}, ["env", *keywords]),
        ]
    found += [
        ("MaskInObs", MaskInObs, {"env": CellEdit(single())}, ["env"]),
        ("MaskInObsVector", MaskInObsVector, {"env": CellEditVector(many())}, ["env"]),
    ]
    return found


def junk_constructors(findings: Findings, rng: np.random.Generator, calls: int, arc: bool) -> None:
    """Constructors with one random keyword; environments that they accept must play."""
    every, values = constructors(arc), junk()
    for _ in range(calls):
        name, cls, base, keywords = some(rng, every)
        keyword = some(rng, [*keywords, "frameskip", "max_episode_steps"])
        value = some(rng, values)
        what = f"{name}({keyword}={brief(value)})"
        accepted, env = findings.call("constructor", what, lambda: cls(**{**base, keyword: value}))  # noqa: B023
        if accepted and keyword != "difficulty":  # searching for rare difficulties takes minutes
            findings.call("first reset", what, lambda: env.reset(seed=0), slow=HUNG)  # noqa: B023
            env.close()


# -- episodes ----------------------------------------------------------------------------------------------------


class Copycat:
    """A thinker that answers with the puzzle, and counts its segments."""

    num_features = 1

    def start(self, obs: Any) -> Any:
        return (np.zeros(len(obs["puzzle"]), np.float32),)

    def think(self, obs: Any, memory: Any) -> Any:
        return obs["puzzle"].copy(), memory[0][:, None].copy(), (memory[0] + 1,)


def single(id: str = "HRM/Sudoku-4x4-v0", **kwargs: Any) -> gym.Env[Any, Any]:
    """A small environment."""
    return gym.make(id, disable_env_checker=True, **{**SMALL, **kwargs})


def many(id: str = "HRM/Sudoku-4x4-v0", **kwargs: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
    """A small vector environment."""
    return gym.make_vec(id, num_envs=3, **{**SMALL, **kwargs})


def players(arc: bool) -> dict[str, Callable[[], Any]]:
    """Environments and wrappers of every kind, in all autoreset modes."""
    walk = {"num_puzzles": 6, "max_steps": 4}
    doors = "HRM/MazeMoves-9x9-Doors-v0"
    found: dict[str, Callable[[], Any]] = {
        "Sudoku": lambda: single(render_mode="ansi"),
        "Sudoku rules": lambda: single(score="rules", num_labelled=2, expose_solution=False),
        "maze": lambda: single("HRM/Maze-5x5-v0", render_mode="ansi"),
        "FlattenAnswer": lambda: FlattenAnswer(single()),
        "CellEdit": lambda: CellEdit(single(render_mode="ansi"), shaping=True, max_edits=4),
        "MaskInObs": lambda: MaskInObs(CellEdit(single())),
        "SolutionInObs": lambda: SolutionInObs(single()),
        "HaltOnly": lambda: HaltOnly(single(), Copycat()),
        "walk": lambda: gym.make(doors, disable_env_checker=True, render_mode="ansi", **walk),
        "walk around": lambda: MazeMoves(single("HRM/Maze-5x5-v0"), shaping=True, max_steps=4),
    }
    if arc:
        found["ARC"] = lambda: single("HRM/ARC-AGI-1-v0", demonstrations=2, **SMALL_ARC)
        found["ArcEditor"] = lambda: ArcEditor(single("HRM/ARC-AGI-1-v0", **SMALL_ARC), max_edits=4)
    for mode in AutoresetMode:
        rows = {"autoreset_mode": mode}

        def add(name: str, make: Callable[..., Any], rows: dict[str, Any] = rows) -> None:
            found[f"{name} {rows['autoreset_mode'].value}"] = lambda: make(**rows)

        add("Sudoku rows", lambda **rows: many(render_mode="ansi", **rows))
        add("maze rows", lambda **rows: many("HRM/Maze-5x5-v0", **rows))
        add("FlattenAnswer rows", lambda **rows: FlattenAnswerVector(many(**rows)))
        add("CellEdit rows", lambda **rows: CellEditVector(many(**rows), shaping=True, max_edits=4))
        add("MaskInObs rows", lambda **rows: MaskInObsVector(CellEditVector(many(**rows))))
        add("SolutionInObs rows", lambda **rows: SolutionInObsVector(many(**rows)))
        add("HaltOnly rows", lambda **rows: HaltOnlyVector(many(**rows), Copycat()))
        add("walk rows", lambda **rows: gym.make_vec(doors, num_envs=3, render_mode="ansi", **walk, **rows))
        if arc:
            add(
                "ArcEditor rows",
                lambda **rows: ArcEditorVector(many("HRM/ARC-AGI-1-v0", **SMALL_ARC, **rows), max_edits=4),
            )
    return found


def random_episodes(
    findings: Findings, rng: np.random.Generator, name: str, make: Callable[[], Any], calls: int
) -> None:
    """Valid and invalid calls in random order, on an environment and on a twin that gets only the accepted ones."""
    env = make()
    twin = copy.deepcopy(env)
    space = env.action_space
    space.seed(int(rng.integers(2**31)))
    values = junk()
    for number in range(calls):
        what, call = _some_call(rng, space, values)
        if number < 5:  # before the first seeded reset, which discards the effect of accepted calls
            findings.call("before the first reset", f"{name}: {what}", lambda: call(env))  # noqa: B023
            continue
        if number == 5:
            what, call = "reset(seed=1)", lambda env: env.reset(seed=1)
        accepted, result = findings.call("episode", f"{name}: {what}", lambda: call(env))  # noqa: B023
        if accepted:
            again, expected = findings.call("twin", f"{name}: {what}", lambda: call(twin))  # noqa: B023
            if not again or not data_equivalence(plain(result), plain(expected), exact=True):
                findings.fault("a refused call changed something", "episode", f"{name}: seen at {what}")
                env, twin = twin, copy.deepcopy(twin)
    env.close()
    twin.close()


def _some_call(rng: np.random.Generator, space: Any, values: list[Any]) -> tuple[str, Callable[[Any], Any]]:
    """A call as text and as a function of the environment."""
    chance = rng.random()
    if chance < 0.35:
        action = copy.deepcopy(space.sample())
        return "step", lambda env: env.step(copy.deepcopy(action))
    if chance < 0.5:
        seed = None if rng.random() < 0.6 else int(rng.integers(100))
        return f"reset(seed={seed})", lambda env: env.reset(seed=seed)
    if chance < 0.55:
        return "render()", lambda env: env.render() if env.render_mode else None
    if chance < 0.65:
        index = rng.integers(0, 6, 3) if rng.random() < 0.5 else int(rng.integers(6))
        mask = rng.random(3) < 0.5
        options = {"index": index} if rng.random() < 0.5 else {"reset_mask": mask}
        return f"reset(options={options})", lambda env: env.reset(options=options)
    value = some(rng, values)
    if chance < 0.75:
        seed_ = value if rng.random() < 0.5 else [value] * 3
        return f"reset(seed={brief(seed_)})", lambda env: env.reset(seed=seed_)
    if chance < 0.87:
        name = some(rng, ["puzzle", "solution", "index", "reset_mask", "other"])
        options_ = value if rng.random() < 0.2 else {name: value}
        if rng.random() < 0.2:
            options_ = {"puzzle": value, "solution": some(rng, values)}
        return f"reset(options={brief(options_)})", lambda env: env.reset(options=options_)
    action = value
    if rng.random() < 0.5:
        action = {"answer": value, "halt": some(rng, values)} if rng.random() < 0.5 else {"answer": value}
    return f"step({brief(action)})", lambda env: env.step(action)


def plain(result: Any) -> Any:
    """A result without object arrays, whose contents are compared one by one."""
    if isinstance(result, dict):
        return {name: plain(value) for name, value in result.items()}
    if isinstance(result, tuple | list):
        return tuple(plain(value) for value in result)
    if isinstance(result, np.ndarray) and result.dtype == object:
        return tuple(plain(value) for value in result.tolist())
    return "nothing" if result is None else result


# -- other methods -----------------------------------------------------------------------------------------------


def junk_methods(findings: Findings, rng: np.random.Generator, calls: int) -> None:
    """Other methods that agents and wrappers call, on environments rendered as text."""
    one, rows = single(render_mode="ansi").unwrapped, many(render_mode="ansi")
    values = junk()
    for _ in range(calls):
        one.reset(seed=0)
        rows.reset(seed=0)
        before = rows.get_state()
        what, call = _some_method(rng, one, rows, some(rng, values))
        accepted, _ = findings.call("method", what, call)
        if not accepted and not data_equivalence(before, rows.get_state(), exact=True):
            findings.fault("a refused call changed something", "method", what)
        # Afterwards, steps and rendering work as usual.
        findings.call("after", what, lambda: one.step({"answer": np.full(16, 2), "halt": 0}))
        findings.call("after", what, one.render)
        findings.call("after", what, lambda: rows.step({"answer": np.full((3, 16), 2), "halt": np.zeros(3, int)}))


def _some_method(rng: np.random.Generator, one: Any, rows: Any, value: Any) -> tuple[str, Callable[[], Any]]:
    """A call with that value, as text and as a function."""
    action = {"answer": np.full((3, 16), 2), "halt": np.zeros(3, int)}
    state = rows.get_state()
    name, thought = some(rng, list(state)), some(rng, ["q_halt", "q_continue", "confidence", "decision"])
    return some(rng, [
        (f"judge({brief(value)})", lambda: one.judge(value)),
        (f"rows.judge({brief(value)})", lambda: rows.judge(value)),
        (f"halt_rewards({brief(value)})", lambda: rows.halt_rewards(value)),
        (f"step_rows({brief(value)})", lambda: rows.step_rows(action, value)),
        (f"set_state({brief(value)})", lambda: rows.set_state(value)),
        (f"set_state({name}={brief(value)})", lambda: rows.set_state({**state, name: value})),
        (f"post_thoughts({thought}={brief(value)})", lambda: one.post_thoughts(**{thought: value})),
        (f"TaskSpec(grid_shape={brief(value)})", lambda: TaskSpec("x", value, ("?", "a"))),
        (f"TaskSpec(grid_shape=(2, {brief(value)}))", lambda: TaskSpec("x", (2, value), ("?", "a"))),
    ])  # fmt: skip
