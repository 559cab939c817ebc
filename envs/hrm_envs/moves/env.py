"""The single environment of maze walks."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from hrm_envs.checks import shown
from hrm_envs.env import ReasoningEnv
from hrm_envs.maze import MazeTask
from hrm_envs.moves.drawing import Walk, render_walk_ansi, render_walk_rgb, walk_title
from hrm_envs.moves.dynamics import MoveDynamics
from hrm_envs.moves.mazes import WalkMazeTask, view_in_split
from hrm_envs.moves.settings import MOVES, as_moves, check_render_mode, observation_space, split_keywords
from hrm_envs.rendering.window import Window
from hrm_envs.streams import as_seed, stream_key

_FIRST = np.array([0])


class MazeMoves(gym.Env[NDArray[np.uint8], int]):
    """A maze to walk through move by move, rather than to answer as a whole.

    ## Description
    A walker starts on S and looks for G. The mazes are those of a maze environment, with its augmentation and seeds.
    Splits share no view: wherever walks start and whichever doors there are, walls, doors and G of a walk in one split
    are no rotation or reflection of those in another. (Up to symmetry and S, there are 420 mazes of 7x7, but only four
    of 5x5: two for training.)

    With doors, the maze changes during the walk, so that a plan made at the start may fail. Changing mazes are the
    setting of HRM-Agent (Dang and Rawlinson 2025, arXiv 2510.22832); these doors are our own.

    Half of the doors are in walls between two open cells, where an open one adds a way around; half are in
    corridors, where a shut one blocks the way. At the start each is open or shut with equal probability. After every
    move each flips with probability ``door_probability``, except the one under the walker. With all doors open G can
    be reached, so waiting long enough helps.

    ## Action space
    ``Discrete(4)``: up, down, left, right. A move into a wall, a shut door or the border changes nothing.

    ## Observation space
    ``observation="tokens"``: ``Box`` uint8 ``[S]``, 1 wall, 2 free, 3 S, 4 G, 6 the walker, 7 open door, 8 shut door;
    the walker hides the token of its cell. ``observation="planes"``: ``Box`` uint8 ``[5, rows, columns]`` of 0
    and 255: wall, goal, walker, open door, shut door.

    ## Rewards
    1 for reaching G; every other step costs ``step_cost``. ``shaping=True`` adds ``gamma * P(s') - P(s)``, where
    ``P`` is minus the distance to G through the currently open doors, divided by the number of open cells.

    ## Starting state
    As :class:`~hrm_envs.env.ReasoningEnv`, with the same options: ``{"puzzle": p}`` or ``{"index": i}``. With
    ``exploring_starts=True`` S moves to a random cell from which G can be reached before every walk, also in given
    puzzles.

    ## Episode end
    *Terminated* on G; *truncated* after ``max_steps``.

    ## Info
    ``steps``; ``optimum``, the length of the shortest path from S to G with all doors open; ``action_mask`` int8
    ``[4]``, the moves that change the walker's position (all four if none does, so that it can wait); after a step
    ``is_success``. With ``oracle=True`` also ``oracle`` int8 ``[4]``, the moves that begin a shortest path through the
    doors that are open now, none on G and where doors cut off G; and ``oracle_distance``, the steps to G on such a
    path, -1 where doors cut off G.

    ## Arguments
    ``env``: a single maze environment, of which only the puzzles are used. Its splits distinguish mazes that differ in
    S alone, so their walks may share walls and G. Without it, the keywords of one: those of
    :class:`~hrm_envs.maze.task.MazeTask`, such as ``size``, and ``split``, ``num_puzzles``, ``puzzles``, ``pool_seed``,
    ``augment``. In both cases, the fields of :class:`~hrm_envs.moves.settings.MoveSettings`. By default
    ``render_mode`` is that of ``env``. If ``gym.make`` made ``env``, ``gym.make(walk.spec)`` recreates the walk; an
    ``env`` constructed directly has no spec, and neither has its walk.

    ## Version history
    * v0: initial version.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 8}  # noqa: RUF012

    def __init__(self, env: gym.Env[Any, Any] | None = None, *, render_mode: str | None = None, **kwargs: Any) -> None:
        settings, maze_kwargs = split_keywords(kwargs, mazes_given=env is not None, constructor=type(self).__name__)
        mazes: Any = getattr(env, "unwrapped", env)
        if env is None:
            mazes = ReasoningEnv(WalkMazeTask, render_mode=render_mode, **maze_kwargs)
        if not isinstance(mazes, ReasoningEnv) or not isinstance(mazes.task, MazeTask):
            raise ValueError(f"MazeMoves needs a single maze environment, as gym.make makes, not {shown(env)}")
        if _has_time_limit(env):
            raise ValueError("MazeMoves ignores a TimeLimit around the mazes: use max_steps, or wrap MazeMoves instead")
        mode = mazes.render_mode if render_mode is None else render_mode
        self.render_mode = check_render_mode(mode, self.metadata["render_modes"])
        #: The source of the mazes. It is only reset, and opens no window.
        self.mazes = mazes
        self.mazes.render_mode = None
        allowed = partial(view_in_split, mazes.task, split=mazes.split)
        self._dynamics = MoveDynamics(1, mazes.task_spec.grid_shape, settings, allowed)
        self._trail: list[int] = []
        self._success, self._over = False, True
        self._window = Window(self.title)
        if env is not None and mazes.spec is not None:
            given = kwargs if render_mode is None else {**kwargs, "render_mode": render_mode}
            self.spec = _wrapper_spec(mazes.spec, type(self), given)
        self.observation_space = observation_space(mazes.task, settings)  # type: ignore[assignment]
        self.action_space = spaces.Discrete(len(MOVES))  # type: ignore[assignment]

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Start a new walk.

        Args:
            seed: restarts the random streams of mazes, starts and doors; without it they continue.
            options: ``{"puzzle": ...}`` or ``{"index": i}``, see the class.

        Raises:
            ValueError: the given puzzle is malformed or has no path, or the index is out of range.
        """
        found, _ = self.mazes.reset(seed=seed, options=options)  # first, so that a bad argument changes nothing
        seed = as_seed("seed", seed)
        unseeded = self._np_random is None
        super().reset(seed=seed)
        if seed is not None or unseeded:
            self._dynamics.seed(np.array([stream_key(self.np_random)]), _FIRST)
        self._dynamics.reset(_FIRST, found["puzzle"][None])
        self._trail = [int(self._dynamics.cell[0])]
        self._success = self._over = False
        self._show()
        return self._dynamics.observe()[0], self._info()

    def step(self, action: int | np.integer[Any]) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Move up (0), down (1), left (2) or right (3).

        Raises:
            ValueError: the action is out of range.
            gymnasium.error.ResetNeeded: the walk has ended, or none has started.
        """
        if self._over:
            raise ResetNeeded("the walk has ended or has not started: call reset() first")
        outcome = self._dynamics.step(as_moves(action, 1))
        self._success, truncated = bool(outcome.success[0]), bool(outcome.truncated[0])
        self._over = self._success or truncated
        self._trail.append(int(self._dynamics.cell[0]))
        self._show()
        info = {"is_success": self._success, **self._info()}
        return self._dynamics.observe()[0], float(outcome.reward[0]), self._success, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """The current ``info["action_mask"]`` as bool ``[4]``, as MaskablePPO expects it."""
        return self._dynamics.mask()[0]

    def sample_mask(self) -> NDArray[np.int8]:
        """The current mask as int8 ``[4]``, for ``action_space.sample(mask=...)``."""
        return self.action_masks().astype(np.int8)

    def render(self) -> Any:
        """Render the walk: uint8 ``[H, W, 3]`` for ``"rgb_array"``, a string for ``"ansi"``."""
        if self.render_mode is None:
            gym.logger.warn('render() needs a mode: make the environment with render_mode="rgb_array"')
        if self.render_mode in (None, "human"):
            return None
        if not self._trail:
            raise ResetNeeded("nothing to render: call reset() first")
        if self.render_mode == "ansi":
            return render_walk_ansi(self.mazes.task_spec, self._walk())
        return self.image(self.mazes.look.size)

    def image(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The current walk as an image of any size (width, height), in the theme of the environment."""
        return render_walk_rgb(self.mazes.task_spec, self._walk(), size, self.mazes.look.theme)

    @property
    def title(self) -> str:
        """What the walks are called."""
        return walk_title(self.mazes.task_spec, self._dynamics.num_doors > 0)

    @property
    def window_closed(self) -> bool:
        """Whether the user closed the window of render mode ``"human"``."""
        return self._window.dismissed

    def close(self) -> None:
        """Close the window if it is open."""
        self.mazes.close()
        self._window.close()

    def _show(self) -> None:
        if self.render_mode == "human":
            size = self._window.size_for(self.mazes.look.size)
            self._window.show(self.image(size), self.metadata["render_fps"])

    def _walk(self) -> Walk:
        return Walk.of(self._dynamics, 0, self._trail, self._success, self._over)

    def _info(self) -> dict[str, Any]:
        dynamics = self._dynamics
        return {
            "steps": int(dynamics.steps[0]),
            "optimum": int(dynamics.optimum[0]),
            "action_mask": dynamics.mask()[0].astype(np.int8),
            **self._oracle(),
        }

    def _oracle(self) -> dict[str, Any]:
        if not self._dynamics.settings.oracle:
            return {}
        best, distance = self._dynamics.oracle()
        return {"oracle": best[0].astype(np.int8), "oracle_distance": int(distance[0])}


def _has_time_limit(env: Any) -> bool:
    """Whether one of the wrappers of an environment is a time limit."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, gym.wrappers.TimeLimit):
            return True
        env = env.env
    return False


def _wrapper_spec(spec: EnvSpec, cls: type[gym.Env[Any, Any]], kwargs: Mapping[str, Any]) -> EnvSpec:
    """The spec of an environment around another one, like those of Gymnasium's wrappers."""
    outer = copy(spec)
    entry_point = f"{cls.__module__}:{cls.__qualname__}"
    outer.additional_wrappers = (*spec.additional_wrappers, WrapperSpec(cls.__name__, entry_point, dict(kwargs)))
    return outer
