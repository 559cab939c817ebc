"""The single reasoning environment: the segment dynamics with a batch of one."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from hrm_envs.checks import as_array, choice, form, shown
from hrm_envs.construction import (
    TaskLike,
    action_space,
    as_action,
    build_dynamics,
    observation_space,
    reset_choice,
    split_settings,
)
from hrm_envs.episode_view import EpisodeView
from hrm_envs.rendering.frame import Draft, Thoughts
from hrm_envs.rendering.paint import ansi, paint
from hrm_envs.rendering.window import Window
from hrm_envs.spec import TaskSpec, Tokens
from hrm_envs.streams import as_seed, stream_key
from hrm_envs.task import PuzzleBatch, Verdict

RENDER_MODES = ("human", "rgb_array", "ansi")

_FIRST = np.array([0])


class ReasoningEnv(gym.Env[dict[str, NDArray[Any]], dict[str, Any]]):
    """A puzzle that an agent solves by thinking in segments.

    ## Description
    Each step is one segment of thought: the agent proposes a whole answer and decides to halt or to think on.
    The environment keeps the puzzle, the last answer and the segment number; what the agent carries in mind
    from segment to segment is the agent's own business.

    ## Action space
    ``Dict(answer=MultiDiscrete([V] * S), halt=Discrete(2))`` for a grid of ``S`` cells and ``V`` tokens.

    ## Observation space
    ``Dict`` of 1-D boxes: ``puzzle`` uint8 ``[S]``; ``answer`` uint8 ``[S]``, the last proposal, zeros before
    the first; ``segment`` int32 ``[1]``, segments taken; ``task_id`` int32 ``[1]``, 0 where tasks have none.

    ## Rewards
    Halting pays ``reward(verdict)``: 1 for a right answer and else 0 (``"exact"``), the verifier's partial
    credit (``"partial"``), or a function of yours. Thinking on costs ``segment_cost``.

    ## Starting state
    A random puzzle of the split, in the train split as a random symmetric copy. ``reset(options=...)`` takes
    ``{"puzzle": p}`` (an array or text in the task's notation) to play a given one, or ``{"index": i}`` for
    puzzle ``i`` of the environment's own.

    ## Episode end
    The episode terminates when the agent halts, or at segment ``max_segments``, where the answer is graded
    whatever the agent decides. It is never truncated.

    ## Info
    After a step: ``is_success``, ``score``, ``halt_reward`` (what halting on this answer pays, halted or not)
    and ``forced_halt``. With ``expose_solution=True`` also ``solution`` uint8 ``[S]``, after a reset too.

    ## Arguments
    ``task``: a Task, its class, or a name that was registered; ids have it built in. Then the fields of
    :class:`~hrm_envs.construction.Settings`, and the keywords of the task itself.

    ## Version history
    * v0: initial version.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 4}  # noqa: RUF012

    def __init__(self, task: TaskLike, *, render_mode: str | None = None, **kwargs: Any) -> None:
        if render_mode is not None:
            choice("render_mode", render_mode, RENDER_MODES)
        settings, task_kwargs = split_settings(kwargs)
        self.render_mode = render_mode
        self._dynamics = build_dynamics(task, 1, settings, task_kwargs, type(self).__name__)
        self.task = self._dynamics.task
        self._expose_solution = settings.expose_solution
        self._view = EpisodeView(self.task, settings.max_segments)
        self._window = Window(self.task_spec.name)
        self._over = True
        self.observation_space = observation_space(self.task, settings.max_segments)  # type: ignore[assignment]
        self.action_space = action_space(self.task_spec)

    @property
    def task_spec(self) -> TaskSpec:
        """Grid, alphabet and name of the task."""
        return self.task.spec

    @property
    def num_puzzles(self) -> int:
        """How many puzzles the environment holds; ``reset(options={"index": i})`` plays the i-th."""
        return len(self._dynamics.pool)

    @property
    def puzzles(self) -> PuzzleBatch:
        """The puzzles that the environment holds, in the order of their index; shared, so copy them to change them."""
        return self._dynamics.pool

    @property
    def data_hash(self) -> str:
        """SHA-256 of the puzzles that the environment holds."""
        return self._dynamics.pool.digest()

    @property
    def max_segments(self) -> int:
        """``M``, the segment at which every answer is graded."""
        return self._dynamics.max_segments

    @property
    def expose_solution(self) -> bool:
        """Whether ``info`` carries a right answer."""
        return self._expose_solution

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin a new episode.

        Args:
            seed: start the random stream anew; without it the stream goes on.
            options: ``{"puzzle": ...}`` or ``{"index": i}``, see the class.

        Raises:
            ValueError: the given puzzle is malformed, has no (unique) solution, the index is out of range, or the
                seed is none.
        """
        # A bad seed or option must change nothing.
        seed = as_seed("seed", seed)
        chosen = reset_choice(options, 1, self._dynamics)
        unseeded = self._np_random is None
        super().reset(seed=seed)
        if seed is not None or unseeded:
            self._dynamics.seed(np.array([stream_key(self.np_random)]), _FIRST)
        self._dynamics.reset(_FIRST, **chosen)
        self._over = False
        self._view.begin(self._dynamics.batch, 0)
        self._show()
        return self._observe(), self._info({})

    def step(self, action: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Take one segment with the action ``{"answer": [S], "halt": 0 or 1}``.

        Raises:
            ValueError: the action does not fit the action space.
            gymnasium.error.ResetNeeded: the episode is over, or none has begun.
        """
        if self._over:
            raise ResetNeeded("no episode to step: call reset() first")
        answer, halt = as_action(action, self.task_spec, 1)
        outcome = self._dynamics.step(answer, halt)
        terminated = self._over = bool(outcome.terminated[0])
        self._view.advance(answer[0], outcome, 0)
        self._show()
        info = {name: values[0].item() for name, values in outcome.info().items()}
        return self._observe(), float(outcome.reward[0]), terminated, False, self._info(info)

    def judge(self, answer: Tokens) -> Verdict:
        """What the verifier says of an answer (uint8 ``[S]``) that is not handed in, in shapes ``[1]``.

        Raises:
            ValueError: it is no such array.
        """
        answer = as_array("answer", answer)
        if answer.ndim != 1:
            raise ValueError(f"answer: expected shape ({self.task_spec.num_cells},), found {shown(answer.shape)}")
        return self._dynamics.judge(answer[None])[0]

    def preview(self, draft: Draft) -> None:
        """Show an unfinished answer in the pictures until the next step or reset."""
        self._view.preview(draft)
        self._show()

    def post_thoughts(
        self,
        *,
        q_halt: float | None = None,
        q_continue: float | None = None,
        confidence: NDArray[np.float32] | None = None,
        decision: str | None = None,
    ) -> None:
        """Say what the agent thinks of the step it is about to take; the frame after that step, and no other, shows it.

        Args:
            q_halt: value of halting now.
            q_continue: value of thinking on.
            confidence: float32 ``[S]`` in [0, 1], how sure it is of each cell.
            decision: a word or two, such as ``"halt"``.

        Raises:
            ValueError: one of them is of another kind.
        """
        if confidence is not None:
            confidence = as_array("confidence", confidence)
            cells = (self.task_spec.num_cells,)
            if confidence.shape != cells or confidence.dtype.kind not in "buif":
                raise ValueError(
                    f"confidence: expected a number for each of {cells[0]} cells, found {form(confidence)}"
                )
            confidence = confidence.astype(np.float32)
        if decision is not None and not isinstance(decision, str):
            raise ValueError(f"decision={shown(decision)} must be a word or two")
        q_halt, q_continue = _as_value("q_halt", q_halt), _as_value("q_continue", q_continue)
        self._view.posted = Thoughts(q_halt, q_continue, confidence, decision)

    def render(self) -> Any:
        """The current frame: uint8 ``[H, W, 3]`` for ``"rgb_array"``, a string for ``"ansi"``."""
        if self.render_mode == "rgb_array":
            return paint(self.task, self._view.frame())
        if self.render_mode == "ansi":
            return ansi(self.task, self._view.frame())
        if self.render_mode is None:
            gym.logger.warn('render() needs a mode: make the environment with render_mode="rgb_array"')
        return None

    @property
    def window_closed(self) -> bool:
        """Whether somebody closed the window of render mode ``"human"``."""
        return self._window.dismissed

    def close(self) -> None:
        """Close the window, if there is one."""
        self._window.close()

    def _show(self) -> None:
        if self.render_mode == "human":
            self._window.show(paint(self.task, self._view.frame()), self.metadata["render_fps"])

    def _observe(self) -> dict[str, NDArray[Any]]:
        return {name: array[0] for name, array in self._dynamics.observe().items()}

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        if self._expose_solution:
            info["solution"] = self._dynamics.batch.solution[0].copy()
        return info


def _as_value(name: str, value: float | None) -> float | None:
    """A Q-value as a plain float; one that has diverged (NaN or infinite) is shown as such."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name}={shown(value)} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}={shown(value)} is too large for a float") from None
