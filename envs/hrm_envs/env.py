"""The single reasoning environment: the segment dynamics with a batch of one."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from hrm_envs.checks import as_array, form, shown
from hrm_envs.construction import TaskLike, action_space, as_action, observation_space, reset_choice
from hrm_envs.env_base import ReasoningBase
from hrm_envs.frame_builder import FrameBuilder
from hrm_envs.rendering.frame_data import Draft, Thoughts
from hrm_envs.rendering.render import render_ansi, render_rgb
from hrm_envs.rendering.window import Window
from hrm_envs.spec import Tokens
from hrm_envs.streams import as_seed, stream_key
from hrm_envs.task import Verdict

RENDER_MODES = ("human", "rgb_array", "ansi")

_FIRST = np.array([0])


class ReasoningEnv(ReasoningBase, gym.Env[dict[str, NDArray[Any]], dict[str, Any]]):
    """A puzzle that an agent solves in segments of computation.

    ## Description
    Each step is one segment: the agent proposes a whole answer and decides whether to halt or to continue. The
    environment holds the puzzle, the last answer and the segment number. A recurrent agent keeps its own state (the
    *carry*) between segments.

    ## Action space
    ``Dict(answer=MultiDiscrete([V] * S), halt=Discrete(2))`` for a grid of ``S`` cells and ``V`` tokens:

    | Key      | Meaning                                               |
    |----------|-------------------------------------------------------|
    | `answer` | a token for every cell, in row-major order            |
    | `halt`   | 1 to halt and be graded on this answer, 0 to continue |

    ## Observation space
    ``Dict`` of 1-D boxes; a task may add entries:

    | Key       | Shape, dtype | Meaning                                       |
    |-----------|--------------|-----------------------------------------------|
    | `puzzle`  | `[S]`, uint8 | the tokens of the puzzle                      |
    | `answer`  | `[S]`, uint8 | the last answer, zeros before the first       |
    | `segment` | `[1]`, int32 | number of segments taken                      |
    | `task_id` | `[1]`, int32 | identity of the task (ARC), 0 for other tasks |

    ## Rewards
    Halting is rewarded with ``reward(verdict)``: 1 for a right answer and 0 otherwise (``"exact"``), the verifier's
    partial credit (``"partial"``), or a function of your own. Continuing is rewarded with ``-segment_cost``.

    After each step, ``info`` has ``is_success``, ``score``, ``halt_reward`` (the reward for halting on this answer,
    halted or not) and ``forced_halt``. With ``expose_solution=True`` it also has ``solution`` uint8 ``[S]``, after a
    reset too.

    ## Starting state
    A random puzzle of the split; in training, a random symmetric copy of it. ``reset(options={"puzzle": p})``
    plays a given puzzle, as an array or as text in the notation of the task; ``{"index": i}`` plays puzzle ``i`` of
    the environment.

    ## Splits
    The splits `train`, `validation` and `test` share no puzzle, not even up to symmetry:

    | Split              | Purpose                                                                                 |
    |--------------------|-----------------------------------------------------------------------------------------|
    | `train`            | to train                                                                                |
    | `validation`       | to evaluate during training, and to choose settings and checkpoints                     |
    | `test`             | to report results, once all settings are chosen                                         |
    | `train+validation` | to train with settings that are fixed, as published recipes do                          |
    | `all`              | all three, for puzzles of your own that are only to be played or evaluated              |

    An eighth of the symmetry classes is in `validation` and another eighth in `test`. A pool has one puzzle of each
    class before it has two of any; `num_classes` counts them. A published collection keeps its own test puzzles.

    ## Episode end
    1. Termination: the agent halts.
    2. Termination: segment ``max_segments`` is reached. The answer is graded regardless of ``halt``.

    Episodes are never truncated.

    ## Arguments
    | Parameter         | Default   | Description                                                                   |
    |-------------------|-----------|-------------------------------------------------------------------------------|
    | `task`            |           | a Task, its class, a function that returns one, or a registered name          |
    | `render_mode`     | `None`    | `"human"`, `"rgb_array"` or `"ansi"`                                          |
    | `split`           | `"train"` | `"train"`, `"validation"`, `"test"` (all three disjoint by symmetry class),   |
    |                   |           | `"train+validation"` or `"all"`                                               |
    | `num_puzzles`     | `None`    | number of distinct puzzles; None uses the default of the task                 |
    | `puzzles`         | `None`    | puzzles to play instead of generated ones: arrays, text, or a path            |
    | `pool_seed`       | `0`       | seed of the generated puzzles, independent of other seeds; the seed of        |
    |                   |           | `reset` only chooses among them                                               |
    | `augment`         | `None`    | whether to show random symmetric copies; None does so in the splits to train  |
    | `max_segments`    | `16`      | the segment at which every answer is graded                                   |
    | `reward`          | `"exact"` | `"exact"`, `"partial"`, or a function from a Verdict to float32 `[B]`         |
    | `segment_cost`    | `0.0`     | cost of each segment after which the agent continues                          |
    | `num_labelled`    | `None`    | number of puzzles that keep their solution; None keeps all                    |
    | `expose_solution` | `False`   | whether `info` includes a right answer                                        |
    | `render_size`     | `960`     | size of images: pixels of the longer side, or (width, height)                 |
    | `theme`           | `"dark"`  | colours of images: `"dark"` or `"light"`                                      |

    Registered ids set ``task``. All other keywords go to the task, such as ``size`` of
    :class:`~hrm_envs.sudoku.task.SudokuTask`.

    ## Example
    ```python
    >>> import gymnasium as gym
    >>> import hrm_envs
    >>> env = gym.make("HRM/Sudoku-4x4-v0", num_puzzles=100, expose_solution=True)
    >>> obs, info = env.reset(seed=0)
    >>> obs["puzzle"].reshape(4, 4)  # 1 is a blank, digit + 1 a digit
    array([[1, 2, 1, 3],
           [5, 1, 1, 1],
           [1, 1, 3, 4],
           [3, 4, 2, 1]], dtype=uint8)
    >>> obs, reward, terminated, truncated, info = env.step({"answer": info["solution"], "halt": 1})
    >>> reward, terminated, truncated, info["is_success"]
    (1.0, True, False, True)

    ```

    ## Version history
    * v0: initial version
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 4}  # noqa: RUF012

    def __init__(self, task: TaskLike, *, render_mode: str | None = None, **kwargs: Any) -> None:
        self._build(task, 1, kwargs, render_mode, RENDER_MODES)
        self._frame_builder = FrameBuilder(self.task, self.max_segments)
        self._window = Window(self.task_spec.name)
        self._over = True
        self.observation_space = observation_space(self.task, self.max_segments)  # type: ignore[assignment]
        self.action_space = action_space(self.task_spec)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin a new episode.

        Args:
            seed: restarts the random stream; None continues it.
            options: ``{"puzzle": ...}`` or ``{"index": i}``, see the class.

        Raises:
            ValueError: the seed is invalid, the puzzle is malformed or has no (unique) solution, or the index is out
                of range.
        """
        # Checked first: an invalid seed or option must change nothing.
        seed = as_seed("seed", seed)
        chosen = reset_choice(options, 1, self._dynamics)
        unseeded = self._np_random is None
        super().reset(seed=seed)
        if seed is not None or unseeded:
            self._dynamics.seed(np.array([stream_key(self.np_random)]), _FIRST)
        self._dynamics.reset(_FIRST, **chosen)
        self._over = False
        self._frame_builder.begin(self._dynamics.batch, 0)
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
        self._frame_builder.advance(answer[0], outcome, 0)
        self._show()
        info = {name: values[0].item() for name, values in outcome.info().items()}
        return self._observe(), float(outcome.reward[0]), terminated, False, self._info(info)

    def judge(self, answer: Tokens) -> Verdict:
        """Grade an answer (integers ``[S]``) to the current puzzle without stepping; the verdict has shape ``[1]``.

        Raises:
            ValueError: the answer has another shape or dtype, or a token is out of range.
        """
        answer = as_array("answer", answer)
        if answer.ndim != 1:
            raise ValueError(f"answer: expected shape ({self.task_spec.num_cells},), found {shown(answer.shape)}")
        return self._dynamics.judge(answer[None])[0]

    def obs_to_text(self, obs: Mapping[str, NDArray[Any]]) -> str:
        """An observation as text: the rules, the puzzle, and the last answer; see :class:`~.text_form.TextForm`."""
        return self.task.obs_to_text(obs)

    def action_from_text(self, text: str) -> dict[str, Any]:
        """The action that a player writes for the current puzzle: a grid, and ``halt`` or ``think on`` below it.

        Raises:
            ValueError: the text is malformed; the message names line and cell.
        """
        return self.task.action_from_text(text, self._dynamics.batch.puzzle[0])

    def preview(self, draft: Draft) -> None:
        """Render an unfinished answer until the next step or reset."""
        self._frame_builder.preview(draft)
        self._show()

    def post_thoughts(
        self,
        *,
        q_halt: float | None = None,
        q_continue: float | None = None,
        confidence: NDArray[np.float32] | None = None,
        decision: str | None = None,
        gain: float | None = None,
    ) -> None:
        """Pass the agent's estimates for its next step, which the frame after that step shows.

        Args:
            q_halt: value of halting.
            q_continue: value of continuing.
            confidence: float32 ``[S]`` in [0, 1], the confidence in each cell.
            decision: one or two words, such as ``"halt"``.
            gain: expected gain of continuing, of agents that estimate it in place of ``q_continue``.

        Raises:
            ValueError: an argument has another type or shape.
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
            raise ValueError(f"decision={shown(decision)} must be a string")
        q_halt, q_continue = _as_value("q_halt", q_halt), _as_value("q_continue", q_continue)
        self._frame_builder.posted = Thoughts(q_halt, q_continue, confidence, decision, _as_value("gain", gain))

    def render(self) -> Any:
        """The current frame: uint8 ``[H, W, 3]`` for ``"rgb_array"``, a string for ``"ansi"``."""
        if self.render_mode == "rgb_array":
            return self._image(self.look.size)
        if self.render_mode == "ansi":
            return render_ansi(self.task, self._frame_builder.frame())
        if self.render_mode is None:
            gym.logger.warn('render() needs a mode: make the environment with render_mode="rgb_array"')
        return None

    @property
    def window_closed(self) -> bool:
        """Whether the user closed the window of render mode ``"human"``."""
        return self._window.dismissed

    def close(self) -> None:
        """Close the window, if any."""
        self._window.close()

    def _show(self) -> None:
        if self.render_mode == "human":
            self._window.show(self._image(self._window.size_for(self.look.size)), self.metadata["render_fps"])

    def _image(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        return render_rgb(self.task, self._frame_builder.frame(), size, self.look.theme)

    def _observe(self) -> dict[str, NDArray[Any]]:
        return {name: array[0] for name, array in self._dynamics.observe().items()}

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        if self._expose_solution:
            info["solution"] = self._dynamics.batch.solution[0].copy()
        return info


def _as_value(name: str, value: float | None) -> float | None:
    """A Q-value as a float. NaN and infinity are allowed, to show that training diverged."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name}={shown(value)} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}={shown(value)} is too large for a float") from None
