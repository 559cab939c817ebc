"""A person at the puzzles of an environment: the board, the cursor, what was done, and what a model said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hrm_envs.env import ReasoningEnv
from hrm_envs.rendering.frame import Frame, Thoughts
from hrm_envs.spec import MARK_NONE, PAD, Tokens

Tone = Literal["plain", "good", "bad"]


@dataclass(frozen=True)
class Advice:
    """What a model says after one segment of thought."""

    #: uint8 ``[S]``, its answer.
    answer: Tokens
    #: Its Q-values, confidence and decision.
    thoughts: Thoughts
    #: It thinks no further about this puzzle.
    halted: bool


#: Thinks about the puzzle of that index of the environment, one segment whenever the next advice is asked for.
Adviser = Callable[[int], Iterator[Advice]]


class Game:
    """One puzzle after another, in a random order. Nothing here knows of pictures, windows or keys.

    The board begins as the puzzle. Which cells may be written, and with which tokens, is the task's word
    (:meth:`~hrm_envs.task.Task.editable`, :attr:`~hrm_envs.task.Task.answer_tokens`). Only the puzzles and the verifier
    of the environment are used; its episode stays as it is.

    Args:
        env: whose puzzles to play.
        adviser: the model to ask; None if there is none.
        seed: of the order of the puzzles.
        no_adviser: what the picture says where a model would answer, if there is none; may have several lines.

    Raises:
        ValueError: the seed is negative.
    """

    #: Which of the environment's puzzles this is.
    index: int
    #: uint8 ``[S]``, the puzzle, and the person's answer so far.
    puzzle: Tokens
    board: Tokens
    #: The cell that is written next.
    cursor: int
    #: What to tell the person, and in which tone.
    message: tuple[str, Tone]
    #: All that the model said of this puzzle, oldest first.
    advice: list[Advice]
    #: The verifier accepted the board; it can no longer be changed.
    solved: bool
    #: How often the board was submitted.
    attempts: int
    #: Puzzles begun and solved, this one included.
    num_played: int
    num_solved: int

    _editable: NDArray[np.bool_]
    _thinking: Iterator[Advice] | None
    #: Cells and what they held before, oldest first.
    _done: list[tuple[int, int]]
    #: The token that was written last, and the one that a pressed pointer writes.
    _last: int | None
    _stroke: int | None

    def __init__(
        self,
        env: ReasoningEnv,
        adviser: Adviser | None = None,
        *,
        seed: int = 0,
        no_adviser: str = "There is no model to ask.\nStart the game with one.",
    ) -> None:
        self.task, self.max_segments = env.task, env.max_segments
        self._puzzles, self._adviser, self.no_adviser = env.puzzles, adviser, no_adviser
        self._order = np.random.default_rng(seed).permutation(len(self._puzzles))
        self._answer_tokens: list[int] = self.task.answer_tokens.tolist()
        self.num_played = self.num_solved = 0
        self.next_puzzle()

    # -- what there is ---------------------------------------------------------------------------------------

    @property
    def answer_tokens(self) -> tuple[int, ...]:
        """The tokens that may be written."""
        return tuple(self._answer_tokens)

    @property
    def toggles(self) -> bool:
        """There are only two tokens to write, so that a click is enough to choose one."""
        return len(self._answer_tokens) == 2

    @property
    def has_adviser(self) -> bool:
        """There is a model to ask."""
        return self._adviser is not None

    def frame(self) -> Frame:
        """The board of the person as a picture shows it; its cells are judged once it is solved."""
        return replace(self._frame(self.board, self.board, ()), cursor=self.cursor)

    def advice_frame(self) -> Frame | None:
        """The latest answer of the model, likewise; None before the first."""
        if not self.advice:
            return None
        previous = self.advice[-2].answer if len(self.advice) > 1 else np.zeros_like(self.board)
        return self._frame(self.advice[-1].answer, previous, tuple(self.advice))

    def _frame(self, answer: Tokens, previous: Tokens, advice: tuple[Advice, ...]) -> Frame:
        verdict = self.task.verify(self._batch, answer[None])
        # Marks would give the solution away.
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
            history=tuple((said.thoughts.q_halt, said.thoughts.q_continue) for said in advice),
            thoughts=advice[-1].thoughts if advice else None,
            task_id=int(self._batch.task_id[0]),
            example=int(self._batch.example[0]),
        )

    # -- moving ----------------------------------------------------------------------------------------------

    def move(self, rows: int, columns: int) -> None:
        """Move the cursor so many cells down and to the right; it stops at the edge."""
        height, width = self.task.spec.grid_shape
        row, column = divmod(self.cursor, width)
        row, column = min(max(row + rows, 0), height - 1), min(max(column + columns, 0), width - 1)
        self.cursor = row * width + column

    def click(self, cell: int, write: bool = False) -> None:
        """Put the cursor on a cell, and change it with ``write`` or where a click is enough."""
        self.cursor, self._stroke = cell, None
        if write or self.toggles:
            self.toggle()
            if self.message[0] == "":  # it was written, which goes without saying
                self._stroke = int(self.board[cell])

    def drag(self, cell: int) -> None:
        """The pointer is now on that cell, pressed since the last click: what the click wrote, it writes here too."""
        if self._stroke is None or cell == self.cursor:
            return
        self.cursor = cell
        if self._editable[cell]:
            self._write(self._stroke)

    def release(self) -> None:
        """The pointer is no longer pressed."""
        self._stroke = None

    # -- writing ---------------------------------------------------------------------------------------------

    def fill(self, token: int) -> None:
        """Write a token into the cell under the cursor.

        Raises:
            ValueError: no answer of the task holds that token.
        """
        if token not in self._answer_tokens:
            raise ValueError(f"token {token}: {self.task.spec.name} is answered with {self._answer_tokens}")
        self._write(token)

    def toggle(self) -> None:
        """Write the next of two tokens, or take the second back; where there are more, repeat what was written last."""
        if self.toggles:
            round_trip = list(dict.fromkeys((self._cleared, *self._answer_tokens)))
            now = int(self.board[self.cursor])
            place = round_trip.index(now) if now in round_trip else 0
            self._write(round_trip[(place + 1) % len(round_trip)])
        elif self._last is not None:
            self._write(self._last)
        else:
            self._say("Write something first; then it can be repeated.")

    def clear(self) -> None:
        """Take back what is in the cell: nothing is left where answers may hold nothing, else what the puzzle has."""
        self._write(self._cleared, repeat=False)

    @property
    def _cleared(self) -> int:
        """What :meth:`clear` leaves in the cell under the cursor."""
        return PAD if PAD in self._answer_tokens else int(self.puzzle[self.cursor])

    def undo(self) -> None:
        """Take the last change back."""
        if self.solved:
            self._say_solved()
        elif not self._done:
            self._say("There is nothing to undo.")
        else:
            self.cursor, token = self._done.pop()
            self.board[self.cursor] = token
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
                self._last = token
            if self.board[cell] != token:
                self._done.append((cell, int(self.board[cell])))
                self.board[cell] = token
            self._say("")

    # -- judging, asking, going on ---------------------------------------------------------------------------

    def submit(self) -> None:
        """Have the verifier judge the board. A wrong one may be changed further."""
        if self.solved:
            self._say_solved()
            return
        self.attempts += 1
        verdict = self.task.verify(self._batch, self.board[None])
        if verdict.success[0]:
            self.solved = True
            self.num_solved += 1
            tries = "at the first try" if self.attempts == 1 else f"after {self.attempts} tries"
            self._say(f"Right! Solved {tries}.", "good")
        else:
            percent = int(float(verdict.score[0]) * 100 + 1e-6)  # 99.6% must not read as 100%
            self._say(f"Not right yet: the score is {percent}%.", "bad")

    def ask(self) -> None:
        """Have the model think for one more segment about the puzzle; what it has in mind stays from ask to ask."""
        if self._adviser is None:
            self._say("There is no model to ask; the right side says how to have one.")
            return
        if self._thinking is None:
            self._thinking = self._adviser(self.index)
        said = None if self.advice and self.advice[-1].halted else next(self._thinking, None)
        if said is not None:
            self.advice.append(said)
        if said is None or said.halted:
            self._say(f"The model stops after {_segments(len(self.advice))}: this is its answer.")
        else:
            self._say(f"The model has thought for {_segments(len(self.advice))}; ask again, and it thinks on.")

    def next_puzzle(self) -> None:
        """Begin another puzzle; they repeat once all were played."""
        self.index = int(self._order[self.num_played % len(self._order)])
        self.num_played += 1
        self._batch = self._puzzles.take(np.array([self.index]))
        self.puzzle = self._batch.puzzle[0]
        self.board = self.puzzle.copy()
        self._editable = self.task.editable(self._batch.puzzle)[0]
        self.cursor = int(self._editable.argmax())
        self.solved, self.attempts = False, 0
        self.advice, self._thinking = [], None
        self._done, self._last, self._stroke = [], None, None
        self._say("")

    def _say(self, text: str, tone: Tone = "plain") -> None:
        self.message = (text, tone)

    def _say_solved(self) -> None:
        self._say("This one is solved: go on to the next.", "good")


def _segments(number: int) -> str:
    return "1 segment" if number == 1 else f"{number} segments"
