"""A player solves the puzzles of an environment, with advice from a model on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hrm_envs.env import ReasoningEnv
from hrm_envs.rendering.frame_data import Frame, Thoughts
from hrm_envs.rendering.theme import DARK, Theme
from hrm_envs.spec import MARK_NONE, PAD, Tokens

Tone = Literal["plain", "good", "bad"]


@dataclass(frozen=True)
class Advice:
    """What a model says after one segment."""

    #: uint8 ``[S]``, its answer.
    answer: Tokens
    #: Its Q-values, confidence and decision.
    thoughts: Thoughts
    #: Whether it has halted on this puzzle.
    halted: bool


#: Takes the index of a puzzle of the environment and yields the advice of one segment after another.
Adviser = Callable[[int], Iterator[Advice]]


class Game:
    """One puzzle after another, in random order, independent of images, windows and keys.

    The player's answer starts as the puzzle. The task decides which cells can be written, and with which tokens
    (:meth:`~hrm_envs.task.Task.editable`, :attr:`~hrm_envs.task.Task.answer_tokens`). The game uses the puzzles and the
    verifier of the environment and leaves its episode alone.

    Args:
        env: source of the puzzles.
        adviser: the model to ask, if any.
        seed: of the order of the puzzles.
        no_adviser: text in place of the model's answer if there is no adviser; may have several lines.
        theme: colours of the images.

    Raises:
        ValueError: the seed is negative.
    """

    #: Index of the puzzle in the environment.
    index: int
    #: uint8 ``[S]``, the puzzle, and the player's answer so far.
    puzzle: Tokens
    answer: Tokens
    #: The cell to write next.
    cursor: int
    #: Text to show to the player, and its tone.
    message: tuple[str, Tone]
    #: The model's advice on this puzzle, oldest first.
    advice: list[Advice]
    #: Whether the verifier accepted the answer, which is then final.
    solved: bool
    #: How often the answer was submitted.
    attempts: int
    #: Puzzles started and solved, including this one.
    num_played: int
    num_solved: int

    _editable: NDArray[np.bool_]
    _advice_stream: Iterator[Advice] | None
    #: Changed cells and their previous tokens, oldest first.
    _undo_stack: list[tuple[int, int]]
    #: The token written last, and the one that dragging writes.
    _last_token: int | None
    _drag_token: int | None

    def __init__(
        self,
        env: ReasoningEnv,
        adviser: Adviser | None = None,
        *,
        seed: int = 0,
        no_adviser: str = "There is no model to ask.\nStart the game with one.",
        theme: Theme = DARK,
    ) -> None:
        self.task, self.max_segments, self.theme = env.task, env.max_segments, theme
        self._puzzles, self._adviser, self.no_adviser = env.puzzles, adviser, no_adviser
        self._order = np.random.default_rng(seed).permutation(len(self._puzzles))
        self._answer_tokens: list[int] = self.task.answer_tokens.tolist()
        self.num_played = self.num_solved = 0
        self.next_puzzle()

    @property
    def answer_tokens(self) -> tuple[int, ...]:
        """The tokens that can be written."""
        return tuple(self._answer_tokens)

    @property
    def toggles(self) -> bool:
        """Whether there are only two tokens to write, so that a click switches between them."""
        return len(self._answer_tokens) == 2

    @property
    def has_adviser(self) -> bool:
        """Whether there is a model to ask."""
        return self._adviser is not None

    def frame(self) -> Frame:
        """The player's answer; its cells are marked once it is solved."""
        return replace(self._frame(self.answer, self.answer, ()), cursor=self.cursor)

    def advice_frame(self) -> Frame | None:
        """The model's latest answer, marked likewise; None before the first."""
        if not self.advice:
            return None
        previous = self.advice[-2].answer if len(self.advice) > 1 else np.zeros_like(self.answer)
        return self._frame(self.advice[-1].answer, previous, tuple(self.advice))

    def _frame(self, answer: Tokens, previous: Tokens, advice: tuple[Advice, ...]) -> Frame:
        verdict = self.task.verify(self._batch, answer[None])
        # Earlier marks would give away the solution.
        marks = self.task.mark(self._batch, answer[None])[0] if self.solved else np.full_like(answer, MARK_NONE)
        return Frame(
            puzzle=self.puzzle,
            answer=answer,
            previous_answer=previous,
            marks=marks,
            segment=len(advice),
            max_segments=self.max_segments,
            success=bool(verdict.success[0]),
            score=float(verdict.score[0]),
            halted=bool(advice) and advice[-1].halted,
            forced=False,
            history=tuple(said.thoughts.values for said in advice),
            thoughts=advice[-1].thoughts if advice else None,
            task_id=int(self._batch.task_id[0]),
            example=int(self._batch.example[0]),
        )

    # -- cursor and mouse ------------------------------------------------------------------------------------

    def move(self, rows: int, columns: int) -> None:
        """Move the cursor down and to the right, up to the edge."""
        height, width = self.task.spec.grid_shape
        row, column = divmod(self.cursor, width)
        row, column = min(max(row + rows, 0), height - 1), min(max(column + columns, 0), width - 1)
        self.cursor = row * width + column

    def click(self, cell: int, write: bool = False) -> None:
        """Move the cursor to a cell; also toggle the cell with ``write`` or if :attr:`toggles`."""
        self.cursor, self._drag_token = cell, None
        if write or self.toggles:
            self.toggle()
            if self.message[0] == "":  # the cell was written
                self._drag_token = int(self.answer[cell])

    def drag(self, cell: int) -> None:
        """Write the token of the last click to a cell that the pressed mouse reaches."""
        if self._drag_token is None or cell == self.cursor:
            return
        self.cursor = cell
        if self._editable[cell]:
            self._write(self._drag_token)

    def release(self) -> None:
        """End dragging: the mouse button was released."""
        self._drag_token = None

    # -- writing ---------------------------------------------------------------------------------------------

    def fill(self, token: int) -> None:
        """Write a token to the cell under the cursor.

        Raises:
            ValueError: answers of the task cannot contain the token.
        """
        if token not in self._answer_tokens:
            raise ValueError(f"token {token}: answers of {self.task.spec.name} consist of {self._answer_tokens}")
        self._write(token)

    def toggle(self) -> None:
        """Write the next of two tokens, or clear the second; with more tokens, repeat the last one."""
        if self.toggles:
            cycle = list(dict.fromkeys((self._cleared, *self._answer_tokens)))
            token = int(self.answer[self.cursor])
            position = cycle.index(token) if token in cycle else 0
            self._write(cycle[(position + 1) % len(cycle)])
        elif self._last_token is not None:
            self._write(self._last_token)
        else:
            self._say("Write something first, then repeat it.")

    def clear(self) -> None:
        """Reset the cell: to padding if answers may contain it, else to the token of the puzzle."""
        self._write(self._cleared, repeat=False)

    @property
    def _cleared(self) -> int:
        """What :meth:`clear` leaves in the cell under the cursor."""
        return PAD if PAD in self._answer_tokens else int(self.puzzle[self.cursor])

    def undo(self) -> None:
        """Undo the last change."""
        if self.solved:
            self._say_solved()
        elif not self._undo_stack:
            self._say("There is nothing to undo.")
        else:
            self.cursor, token = self._undo_stack.pop()
            self.answer[self.cursor] = token
            self._say("")

    def _write(self, token: int, repeat: bool = True) -> None:
        cell = self.cursor
        if self.solved:
            self._say_solved()
        elif not self._editable[cell]:
            row, column = divmod(cell, self.task.spec.grid_shape[1])
            self._say(f"Row {row + 1}, column {column + 1} is given and cannot be changed.", "bad")
        else:
            if repeat:
                self._last_token = token
            if self.answer[cell] != token:
                self._undo_stack.append((cell, int(self.answer[cell])))
                self.answer[cell] = token
            self._say("")

    # -- verifier, model, next puzzle ------------------------------------------------------------------------

    def submit(self) -> None:
        """Submit the answer to the verifier; a wrong one can be changed further."""
        if self.solved:
            self._say_solved()
            return
        self.attempts += 1
        frame = self.frame()
        if frame.success:
            self.solved = True
            self.num_solved += 1
            tries = "at the first try" if self.attempts == 1 else f"after {self.attempts} tries"
            self._say(f"Right! Solved {tries}.", "good")
        else:
            self._say(f"Not right yet: the score is {frame.percent}%.", "bad")

    def ask(self) -> None:
        """Let the model think about the puzzle for one more segment, with its carry kept."""
        if self._adviser is None:
            self._say("There is no model to ask; the right side says how to load one.")
            return
        if self._advice_stream is None:
            self._advice_stream = self._adviser(self.index)
        said = None if self.advice and self.advice[-1].halted else next(self._advice_stream, None)
        if said is not None:
            self.advice.append(said)
        if said is None or said.halted:
            self._say(f"The model stops after {self._segments()}: this is its answer.")
        else:
            self._say(f"The model has thought for {self._segments()}; ask again to continue.")

    def next_puzzle(self) -> None:
        """Start the next puzzle; they repeat once all have been played."""
        self.index = int(self._order[self.num_played % len(self._order)])
        self.num_played += 1
        self._batch = self._puzzles.take(np.array([self.index]))
        self.puzzle = self._batch.puzzle[0]
        self.answer = self.puzzle.copy()
        self._editable = self.task.editable(self._batch.puzzle)[0]
        self.cursor = int(self._editable.argmax())
        self.solved, self.attempts = False, 0
        self.advice, self._advice_stream = [], None
        self._undo_stack, self._last_token, self._drag_token = [], None, None
        self._say("")

    def _say(self, text: str, tone: Tone = "plain") -> None:
        self.message = (text, tone)

    def _say_solved(self) -> None:
        self._say("This puzzle is solved; go to the next one.", "good")

    def _segments(self) -> str:
        number = len(self.advice)
        return "1 segment" if number == 1 else f"{number} segments"
