"""``hrm-agents play``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import gymnasium as gym
import tyro

from hrm_agents.bundled import MAZE
from hrm_agents.commands.common import EXPLAINED, KEYWORDS, MODULES, keywords, parse
from hrm_agents.commands.display import needs_display
from hrm_agents.commands.walking import is_walked, plain_id
from hrm_agents.environments import make_single, user_id
from hrm_agents.errors import UserError, user_errors
from hrm_agents.user_modules import import_modules

if TYPE_CHECKING:
    from hrm_agents.solving.solver import Solver
    from hrm_envs.play import Adviser, Game, WalkGame


#: Where there is no display.
_ADVICE = "playing needs one; `hrm-agents watch --record FILE.gif` does without"


@dataclass(frozen=True)
class Play:
    """Solve the puzzles of an environment yourself, in a window, and ask a model what it thinks of them.

    The window explains its keys. Each time you ask, the model thinks for one more segment. Mazes that are walked move
    by move (HRM/MazeMoves-9x9-v0) are walked with the arrow keys, without a model.
    """

    env: Annotated[str | None, tyro.conf.Positional, EXPLAINED] = None
    """Id of an environment, such as HRM/Sudoku-4x4-v0; that of the checkpoint if not given. module:id and FILE.py:id
    import your module first."""
    checkpoint: Annotated[Path | None, EXPLAINED] = None
    """Folder of the model to ask; the bundled one in its own environment (HRM/Maze-9x9-v0) if not given."""
    seed: int = 0
    """Order of the puzzles."""
    kwargs: Annotated[tuple[str, ...], KEYWORDS] = ()
    """Keywords of the environment as name=value."""
    module: Annotated[tuple[str, ...], MODULES] = ()
    """Modules of yours to import first, by name or by file: they register environments."""
    device: str = "cpu"
    """Where the model thinks: cpu, cuda, mps, or auto."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Play, "play", arguments)
    if options.seed < 0:
        raise UserError(f"--seed must not be negative, got {options.seed}")
    import_modules(options.module)
    if options.env is not None:
        options = replace(options, env=user_id(options.env))
    score = _walk(options) if options.env is not None and is_walked(options.env) else _play(options)
    print(score, file=sys.stderr)
    return 0


def _play(options: Play) -> str:
    game = new_game(options)
    from hrm_envs.play import play

    with user_errors(game.task.spec.name), needs_display(_ADVICE):
        play(game)
    return f"solved {game.num_solved} of {game.num_played}"


def _walk(options: Play) -> str:
    walk = new_walk(options)
    from hrm_envs.play import play_walk

    with user_errors(walk.name), needs_display(_ADVICE):
        play_walk(walk)
    return f"solved {walk.num_solved} of {walk.num_played}"


def new_walk(options: Play) -> WalkGame:
    """The walk that the options ask for, in an environment that is walked move by move.

    Raises:
        UserError: a keyword is wrong, or there is a checkpoint, whose model cannot walk.
    """
    from hrm_envs.play import WalkGame

    assert options.env is not None, "only an id says that there is something to walk"
    if options.checkpoint is not None:
        raise UserError(f"{options.env} is walked move by move, and no checkpoint holds a walker: omit --checkpoint")
    kwargs = {"split": "test", **keywords(options.kwargs), "render_mode": "rgb_array"}
    with user_errors(options.env):
        return WalkGame(gym.make(plain_id(options.env), **kwargs), seed=options.seed)


def new_game(options: Play) -> Game:
    """The game that the options ask for.

    Raises:
        UserError: the id, a keyword or the checkpoint is wrong, or they do not fit each other.
    """
    from hrm_envs.play import Game

    extra = keywords(options.kwargs)
    if options.checkpoint is None:
        env_id = options.env or _bundled_id()
        env = make_single(env_id, {"split": "test", **extra})
        solver = _bundled(env_id, env.unwrapped.task_spec, options.device)  # type: ignore[attr-defined]
    else:
        from hrm_agents.solving.solver import check_task, load

        solver = load(options.checkpoint, options.device)
        env_id = options.env or solver.env_id
        if env_id == solver.env_id:
            env = solver.make_env(**extra)
        else:
            env = make_single(env_id, {"split": "test", **extra})
            spec = env.unwrapped.task_spec  # type: ignore[attr-defined]
            check_task(solver.model, solver.config, spec, options.checkpoint)
    with user_errors(env_id):
        return Game(
            env.unwrapped,  # type: ignore[arg-type]
            None if solver is None else adviser(solver, env),
            seed=options.seed,
            no_adviser=f"No model is loaded. Train one:\nhrm-agents train {env_id} --out runs/mine\n"
            f"Then play with it:\nhrm-agents play {env_id} --checkpoint runs/mine",
        )


def adviser(solver: Solver, env: Any) -> Adviser:
    """Thinks with a model about the puzzles of an environment, one segment whenever the next advice is asked for.

    Args:
        solver: the model.
        env: of the game; its episodes are played.
    """
    from hrm_envs.play import Advice
    from hrm_envs.rendering.frame import Thoughts

    def think(index: int) -> Iterator[Advice]:
        for segment in solver.think(env, options={"index": index}):
            decision = "halt" if segment.halt else "think on"
            thoughts = Thoughts(segment.q_halt, segment.q_continue, segment.confidence, decision)
            yield Advice(segment.answer, thoughts, segment.halt)

    return think


def _bundled_id() -> str:
    config: Mapping[str, Any] = json.loads((MAZE / "config.json").read_text(encoding="utf-8"))
    return str(config["env"]["id"])


def _bundled(env_id: str, spec: Any, device: str) -> Solver | None:
    """The bundled model if it is one of that environment, else None."""
    if env_id.rpartition(":")[2] != _bundled_id():
        return None
    from hrm_agents.solving.solver import check_task, load

    solver = load(MAZE, device)
    try:
        check_task(solver.model, solver.config, spec, MAZE)
    except UserError:  # a keyword has changed the size
        return None
    return solver
