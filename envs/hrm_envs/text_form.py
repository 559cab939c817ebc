"""Puzzles and answers as text, for language models and people who play without arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown
from hrm_envs.spec import PAD, TaskSpec, Tokens

#: Stand for symbols that cannot be seen, such as a space.
_VISIBLE = "._-~:"
#: Characters that may separate cells, and of which rules between rows consist, unless they are symbols.
_BETWEEN, _RULE = frozenset("|,;"), frozenset("-+=|_ ")
_FENCE = "```"
#: The last line of an answer, and whether it halts.
_DECISIONS = {"halt": 1, "think on": 0}


class TextForm:
    """How a task writes its grids as text, and reads answers. A task may override each method.

    By default each cell is one character, that of :attr:`TaskSpec.symbols <hrm_envs.TaskSpec.symbols>`, except that a
    visible character replaces a space. Tokens without a character of their own are written as numbers.
    """

    spec: TaskSpec

    @property
    def rules(self) -> str:
        """What a player has to do, in a sentence or two; by default the first paragraph of the docstring."""
        return " ".join((type(self).__doc__ or "").strip().partition("\n\n")[0].split())

    @property
    def letters(self) -> tuple[str, ...]:
        """The text of each token: characters, all different; numbers where the symbols of the task do not allow it."""
        symbols = self.spec.symbols
        spare = (character for character in _VISIBLE if character not in symbols)
        found = [
            symbol if len(symbol) == 1 and symbol.isprintable() and symbol != " " else next(spare, "")
            for symbol in symbols
        ]
        return tuple(found if len({*found, ""}) == len(found) + 1 else map(str, range(len(found))))

    def grid_to_text(self, tokens: Tokens, puzzle: Tokens) -> str:
        """A grid (uint8 ``[S]``) as lines, one per row.

        Args:
            tokens: a puzzle or an answer.
            puzzle: the puzzle that it belongs to.
        """
        letters = self.letters
        between = "" if max(map(len, letters)) == 1 else " "
        rows = tokens.reshape(self.spec.grid_shape)
        return "\n".join(between.join(letters[token] for token in row) for row in rows)

    def answer_from_text(self, text: str, puzzle: Tokens) -> Tokens:
        """Read an answer, uint8 ``[S]``, in the form of :meth:`grid_to_text`.

        Spaces, commas and bars between cells do not matter, nor do empty lines, rules between rows, and the fence of a
        code block.

        Args:
            text: the answer.
            puzzle: uint8 ``[S]``, the puzzle that it answers.

        Raises:
            ValueError: a cell is no symbol, or the number of cells or rows is wrong; the message names line and cell,
                both counted from 1.
        """
        rows, columns = self.spec.grid_shape
        found = []
        for number, cells in read_rows(text, self.letters):
            if len(cells) != columns:
                raise ValueError(f"line {number}: {len(cells)} cells, expected {columns}")
            found.append(cells)
        if len(found) != rows:
            raise ValueError(f"the answer has {len(found)} rows, expected {rows}")
        return np.array(found, np.uint8).reshape(-1)

    def context_to_text(self, obs: Mapping[str, NDArray[Any]]) -> str:
        """What the observation has beside puzzle and answer, as text; by default nothing."""
        return ""

    def obs_to_text(self, obs: Mapping[str, NDArray[Any]]) -> str:
        """An observation of one environment as text: the rules, the puzzle, and the last answer if there is one."""
        puzzle, answer = obs["puzzle"], obs["answer"]
        parts = [f"{self.spec.name}, after {int(obs['segment'][0])} segments", self.rules, self.context_to_text(obs)]
        parts.append(f"Puzzle:\n{self.grid_to_text(puzzle, puzzle)}")
        if (answer != PAD).any():
            parts.append(f"Your last answer:\n{self.grid_to_text(answer, puzzle)}")
        parts.append(
            'Answer with the whole grid in the same form. A last line "think on" asks for another turn; without it, '
            'or with "halt", the answer is final.'
        )
        return "\n\n".join(part for part in parts if part) + "\n"

    def action_from_text(self, text: str, puzzle: Tokens) -> dict[str, Any]:
        """Read an action, ``{"answer": uint8 [S], "halt": 0 or 1}``: a grid, and ``halt`` or ``think on`` below it.

        Args:
            text: what a player wrote; without a last line on halting, it halts.
            puzzle: uint8 ``[S]``, the puzzle that it answers.

        Raises:
            ValueError: as for :meth:`answer_from_text`.
        """
        if not isinstance(text, str):
            raise ValueError(f"the answer is a string, not {shown(text)}")
        lines = text.splitlines()
        while lines and lines[-1].strip() in ("", _FENCE):
            lines.pop()
        last = lines[-1].strip().strip(".").lower() if lines else ""
        grid = lines[:-1] if last in _DECISIONS else lines
        return {"answer": self.answer_from_text("\n".join(grid), puzzle), "halt": _DECISIONS.get(last, 1)}


def read_rows(text: str, letters: tuple[str, ...]) -> Iterator[tuple[int, list[int]]]:
    """The rows of a grid: the number of each line, from 1, and its tokens.

    Args:
        text: lines of cells; see :meth:`TextForm.answer_from_text` for what may be between them.
        letters: the text of each token; empty for tokens that cannot be written.

    Raises:
        ValueError: a cell is none of the letters; the message names line and cell.
    """
    tokens = {letter: token for token, letter in enumerate(letters) if letter}
    words = max(map(len, tokens)) > 1
    rule, between = _RULE - tokens.keys(), _BETWEEN - tokens.keys()
    for number, line in enumerate(text.splitlines(), 1):
        if set(line.strip()) <= rule or line.strip().startswith(_FENCE):
            continue
        spaced = "".join(" " if character in between else character for character in line)
        cells = spaced.split() if words else [character for character in spaced if not character.isspace()]
        for place, cell in enumerate(cells, 1):
            if cell not in tokens:
                raise ValueError(f"line {number}, cell {place}: {shown(cell)} is not one of {shown(' '.join(tokens))}")
        yield number, [tokens[cell] for cell in cells]
