"""The answers to many puzzles as text, CSV or JSON, in the order of the puzzles."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hrm_agents.evaluation.outcomes import Solutions
from hrm_envs import PuzzleBatch, Task

AnswerFormat = Literal["text", "csv", "json", "jsonl"]
_SUFFIXES: dict[str, AnswerFormat] = {".csv": "csv", ".json": "json", ".jsonl": "jsonl"}


def format_of(path: Path | None) -> AnswerFormat:
    """The format that the suffix of a file asks for: text for others, and without a file."""
    return "text" if path is None else _SUFFIXES.get(path.suffix.lower(), "text")


def write_answers(task: Task, puzzles: PuzzleBatch, solutions: Solutions, form: AnswerFormat) -> str:
    """The answers to puzzles, one after the other.

    Text has an answer per line, or in blocks of lines if the notation of the task needs them. CSV and JSON have the
    columns ``puzzle``, ``answer``, ``correct`` and ``segments``, with one character per cell, so that they can be read
    as puzzles again.

    Args:
        task: of the puzzles.
        puzzles: ``N`` puzzles.
        solutions: ``N`` answers.
        form: the format.
    """
    if form == "text":
        return _text(task, puzzles, solutions.answer)
    records = list(_records(task, puzzles, solutions))
    if form == "csv":
        table = io.StringIO()
        writer = csv.DictWriter(table, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return table.getvalue()
    return json.dumps(records, indent=1) + "\n" if form == "json" else "".join(json.dumps(r) + "\n" for r in records)


def _records(task: Task, puzzles: PuzzleBatch, solutions: Solutions) -> Iterator[dict[str, Any]]:
    rows = zip(puzzles.puzzle, solutions.answer, solutions.success.tolist(), solutions.segments.tolist(), strict=True)
    for puzzle, answer, correct, segments in rows:
        yield {
            "puzzle": _cells(task, puzzle),
            "answer": _cells(task, answer),
            "correct": correct,
            "segments": segments,
        }


def _text(task: Task, puzzles: PuzzleBatch, answers: NDArray[np.uint8]) -> str:
    if _reads_lines(task, puzzles.puzzle[0]):
        return "".join(f"{_cells(task, answer)}\n" for answer in answers)
    columns = task.spec.grid_shape[1]
    blocks = (_cells(task, answer) for answer in answers)
    return "\n".join("".join(f"{line}\n" for line in _cut(block, columns)) for block in blocks)


def _reads_lines(task: Task, puzzle: NDArray[np.uint8]) -> bool:
    """Whether the task reads a puzzle from one line with a character per cell."""
    try:
        return np.array_equal(task.parse(_cells(task, puzzle)), puzzle[None])
    except ValueError:
        return False


def _cells(task: Task, tokens: NDArray[np.uint8]) -> str:
    return "".join(task.spec.symbols[token] for token in tokens)


def _cut(text: str, length: int) -> Iterable[str]:
    return (text[start : start + length] for start in range(0, len(text), length))
