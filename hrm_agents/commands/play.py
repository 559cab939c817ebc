"""``hrm-agents play``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import gymnasium as gym
import tyro

from hrm_agents.commands.common import EXPLAINED, Device, Keywords, Modules, keywords, needs_display, parse, say
from hrm_agents.commands.walking import is_walked
from hrm_agents.environments import evaluation_split, make_single, plain_id, user_id
from hrm_agents.errors import UserError, user_errors
from hrm_agents.user_modules import import_modules
from hrm_agents.zoo import DEFAULT, card, names

if TYPE_CHECKING:
    from hrm_agents.solving.solver import Solver
    from hrm_envs.play import Adviser, Game, WalkGame

#: What to do without a display.
_ADVICE = "playing needs one; `hrm-agents watch --record FILE.gif` does not"


@dataclass(frozen=True)
class Play:
    """Solve puzzles yourself in a window, and ask a model for advice.

    The window explains its keys. Each time you ask, the model thinks for one more segment. In mazes that are walked
    move by move (HRM/MazeMoves-9x9-v0), use the arrow keys; there is no model to ask.
    """

    env: Annotated[str | None, tyro.conf.Positional, EXPLAINED] = None
    """Gymnasium id, such as HRM/Sudoku-4x4-v0; that of the checkpoint if omitted. module:id and FILE.py:id import your
    module first."""
    checkpoint: Annotated[Path | None, EXPLAINED] = None
    """The model to ask, a checkpoint folder or a name of `hrm-agents models`; if omitted, the one of that list that was
    trained in the environment, if any."""
    seed: int = 0
    """Seed of the order of puzzles."""
    kwargs: Keywords = ()
    module: Modules = ()
    device: Device = "cpu"


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Play, "play", arguments)
    if options.seed < 0:
        raise UserError(f"--seed must not be negative, got {options.seed}")
    import_modules(options.module)
    if options.env is not None:
        options = replace(options, env=user_id(options.env))
    score = _walk(options) if options.env is not None and is_walked(options.env) else _play(options)
    say(score)
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
    """Start the walk that the options ask for, in an environment that is walked move by move.

    Raises:
        UserError: a keyword is wrong, or a checkpoint is given.
    """
    from hrm_envs.play import WalkGame

    assert options.env is not None, "without an id, the environment is that of a checkpoint, which is not walked"
    if options.checkpoint is not None:
        raise UserError(f"{options.env} is walked move by move, which no checkpoint can do: omit --checkpoint")
    kwargs = {"split": "test", **keywords(options.kwargs), "render_mode": "rgb_array"}
    with user_errors(options.env):
        return WalkGame(gym.make(plain_id(options.env), **kwargs), seed=options.seed)


def new_game(options: Play) -> Game:
    """Start the game that the options ask for.

    Raises:
        UserError: the id, a keyword or the checkpoint is wrong, or they do not fit together.
    """
    from hrm_envs.play import Game

    extra = keywords(options.kwargs)
    if options.checkpoint is None:
        env_id = options.env or card(DEFAULT).env
        env = make_single(env_id, {"split": evaluation_split(env_id, extra), **extra})
        solver = _shipped(env_id, env.unwrapped.task_spec, options.device)  # type: ignore[attr-defined]
    else:
        from hrm_agents.solving.solver import load
        from hrm_agents.solving.task_check import check_task

        solver = load(options.checkpoint, options.device)
        env_id = options.env or solver.env_id
        if env_id == solver.env_id:
            env = solver.make_env(**extra)
        else:
            env = make_single(env_id, {"split": evaluation_split(env_id, extra), **extra})
            spec = env.unwrapped.task_spec  # type: ignore[attr-defined]
            check_task(solver.model, solver.config, spec, options.checkpoint)
    with user_errors(env_id):
        return Game(
            env.unwrapped,  # type: ignore[arg-type]
            None if solver is None else adviser(solver, env),
            seed=options.seed,
            no_adviser=f"No model is loaded. Train one:\nhrm-agents train {env_id} --out runs/mine\n"
            f"Then play with it:\nhrm-agents play {env_id} --checkpoint runs/mine",
            theme=env.unwrapped.look.theme,  # type: ignore[attr-defined]
        )


def adviser(solver: Solver, env: Any) -> Adviser:
    """Make a function that gives a model's advice on a puzzle, one segment at a time.

    Args:
        solver: the model.
        env: of the game; the advice plays its episodes.
    """
    from hrm_envs.play import Advice
    from hrm_envs.rendering.frame_data import Thoughts

    def think(index: int) -> Iterator[Advice]:
        for segment in solver.think(env, options={"index": index}):
            decision = "halt" if segment.halt else "think on"
            thoughts = Thoughts(segment.q_halt, segment.q_continue, segment.confidence, decision, segment.gain)
            yield Advice(segment.answer, thoughts, segment.halt)

    return think


def _shipped(env_id: str, spec: Any, device: str) -> Solver | None:
    """The model that ships with the package for an environment; None if there is none, or it does not fit."""
    name = next((each for each in names() if card(each).env == plain_id(env_id)), None)
    if name is None:
        return None
    from hrm_agents.solving.solver import load
    from hrm_agents.solving.task_check import check_task

    solver = load(name, device)
    try:
        check_task(solver.model, solver.config, spec, solver.folder)
    except UserError:  # a keyword changes the size
        return None
    return solver
