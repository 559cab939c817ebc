"""Makes the puzzles of ``HRM/Sudoku-Extreme-v0``: ``python -m hrm_envs.sudoku.make_extreme --help``.

Half of the pools are for the train split and half for the test split, so no puzzle of one descends from the same
random puzzle as one of the other. A pool first climbs, then goes on with its harder half of lines and collects, of
their neighbours, those that are nearly as hard. Of each line that lasted to the end the hardest few are taken, and of
lines that were given up the hardest one, some of those at random, so that there are easy puzzles too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrm_envs.sudoku.extreme import DATA_FILE
from hrm_envs.sudoku.geometry import SudokuGeometry, geometry
from hrm_envs.sudoku.hard_search import Found, Pool
from hrm_envs.sudoku.symmetry import class_key

#: Neighbours of each hard puzzle to collect at a step, besides those that are harder.
_RUNNERS_UP = 2


@dataclass(frozen=True)
class Recipe:
    """Everything that decides which puzzles come out. The defaults are those of the file in the package."""

    #: Pool ``i`` draws from ``SeedSequence(seed, spawn_key=(i,))``, and after the climb from ``(i, 1)`` and ``(i, 2)``.
    seed: int = 0
    #: Pools of each split.
    pools: int = 2
    #: Random puzzles that a pool starts from.
    lines: int = 640
    #: Steps of the climb.
    steps: int = 31
    #: Steps that also collect neighbours.
    collect: int = 11
    #: Puzzles taken of one line, at most.
    per_line: int = 8
    #: Puzzles taken of one pool, at most.
    per_pool: int = 510

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name in ("seed", "collect") else 1
            if value < least:
                raise ValueError(f"{name}={value}: expected {least} or more")


def make(
    board: SudokuGeometry, recipe: Recipe, report: Callable[[str], None] = lambda line: None
) -> dict[str, NDArray[np.generic]]:
    """Search, choose, and lay out what the data file holds.

    Args:
        board: the geometry.
        recipe: the settings.
        report: is told about each step.

    Returns:
        For each split: ``{split}_puzzle`` and ``{split}_solution`` uint8 ``[B, S]`` (tokens), ``{split}_guesses``
        int32 ``[B]`` and ``{split}_line`` int32 ``[B]``, a number that puzzles share if they descend from the same
        random puzzle; and ``recipe``, the settings as JSON.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    seen: set[int] = set()
    for s, split in enumerate(("train", "test")):
        parts = []
        for i in range(s * recipe.pools, (s + 1) * recipe.pools):
            climbing, collecting, choosing = (
                np.random.default_rng(np.random.SeedSequence(recipe.seed, spawn_key=key))
                for key in ((i,), (i, 1), (i, 2))
            )
            pool = Pool(board, climbing, recipe.lines)
            for step in range(recipe.steps + recipe.collect):
                if step == recipe.steps:
                    pool.rng = collecting
                    pool.halve()
                pool.step(_RUNNERS_UP if step >= recipe.steps else 0)
                report(
                    f"pool {i + 1} of {2 * recipe.pools}, step {step + 1} of {recipe.steps + recipe.collect}: "
                    f"{len(pool.best)} lines, mean guess count {pool.best.guesses.mean():.1f}"
                )
            chosen = choose(board, choosing, pool.found, pool.best.line, recipe, seen)
            parts.append(Found(chosen.puzzle, chosen.solution, chosen.guesses, chosen.line + i * recipe.lines))
        taken = Found.concatenate(parts)
        arrays[f"{split}_puzzle"] = taken.puzzle
        arrays[f"{split}_solution"] = taken.solution
        arrays[f"{split}_guesses"] = taken.guesses
        arrays[f"{split}_line"] = taken.line.astype(np.int32)
    arrays["recipe"] = np.array(json.dumps(asdict(recipe)))
    return arrays


def choose(
    board: SudokuGeometry,
    rng: np.random.Generator,
    found: Found,
    lasting_lines: NDArray[np.int64],
    recipe: Recipe,
    seen: set[int],
) -> Found:
    """The puzzles to take of a pool, in the order they were found, all of distinct classes.

    Args:
        board: the geometry.
        rng: draws which of the lines given up are taken.
        found: all that the pool found.
        lasting_lines: the lines that were not given up: their hardest ``recipe.per_line`` puzzles come first.
        recipe: says how many to take.
        seen: classes that are taken already; those of the chosen puzzles are added.
    """
    lasting = np.isin(found.line, lasting_lines)
    by_hardness = (-found.guesses).argsort(kind="stable")
    order = [*by_hardness[lasting[by_hardness]].tolist(), *rng.permutation(np.flatnonzero(~lasting)).tolist()]
    # Of a line that was given up only its hardest puzzle may be taken: the later, the harder.
    last = dict(zip(found.line.tolist(), range(len(found)), strict=True))
    keys = class_key(board, found.puzzle)
    taken: list[int] = []
    of_line: Counter[int] = Counter()
    for i in order:
        line, key = int(found.line[i]), int(keys[i])
        allowed = of_line[line] < recipe.per_line if lasting[i] else last[line] == i
        if allowed and key not in seen and len(taken) < recipe.per_pool:
            seen.add(key)
            of_line[line] += 1
            taken.append(i)
    return found.take(np.sort(np.array(taken, np.int64)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m hrm_envs.sudoku.make_extreme",
        description="Search for hard 9x9 Sudoku puzzles and write the data file of HRM/Sudoku-Extreme-v0.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    recipe = Recipe()
    helps = {
        "seed": "seed of all randomness",
        "pools": "pools of each split",
        "lines": "random puzzles that a pool starts from",
        "steps": "steps of the climb",
        "collect": "steps that also collect neighbours",
        "per-line": "most puzzles taken of one line",
        "per-pool": "most puzzles taken of one pool",
    }
    for name, text in helps.items():
        default = getattr(recipe, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=text)
    parser.add_argument("--out", type=Path, default=DATA_FILE, metavar="FILE", help="file to write")
    options = vars(parser.parse_args(arguments))
    out: Path = options.pop("out")
    try:
        recipe = Recipe(**options)
    except ValueError as error:
        parser.error(str(error))
    # Said before the search, which takes ten minutes of a core.
    if not out.parent.is_dir():
        parser.error(f"--out {out}: there is no folder {out.parent}")
    arrays = make(geometry(9), recipe, lambda line: print(line, file=sys.stderr, flush=True))
    with out.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    for split in ("train", "test"):
        guesses = arrays[f"{split}_guesses"].astype(np.float64)
        spread = ", ".join(f"{value:.0f}" for value in np.percentile(guesses, (10, 50, 90)))
        print(f"{split}: {len(guesses)} puzzles, mean guess count {guesses.mean():.1f}; 10, 50, 90%: {spread}")
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
