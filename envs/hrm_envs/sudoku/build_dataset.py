"""Build the data set of ``HRM/Sudoku-Extreme-v0``: ``python -m hrm_envs.sudoku.build_dataset --help``.

Half of the pools are for the train split and half for the test split, so that no random puzzle has descendants in both.
A pool first climbs, then continues with the harder half of its lines and also collects neighbours that are nearly as
hard. The data set takes the hardest few puzzles of each line that lasted to the end, and the hardest puzzle of some
random dropped lines, so that it includes easy puzzles.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrm_envs.sudoku.extreme import DATA_FILE
from hrm_envs.sudoku.hill_climbing import Found, Pool
from hrm_envs.sudoku.layout import Layout, layout_for
from hrm_envs.sudoku.symmetry import class_key

#: Neighbours to collect per hard puzzle and step, in addition to harder ones.
_RUNNERS_UP = 2


@dataclass(frozen=True)
class Recipe:
    """The settings that determine the data set. The defaults made the file in the package."""

    #: Pool ``i`` draws from ``SeedSequence(seed, spawn_key=(i,))``, and after the climb from ``(i, 1)`` and ``(i, 2)``.
    seed: int = field(default=0, metadata={"help": "random seed"})
    pools: int = field(default=2, metadata={"help": "pools per split"})
    lines: int = field(default=640, metadata={"help": "random puzzles that a pool starts from"})
    steps: int = field(default=31, metadata={"help": "climbing steps"})
    collect: int = field(default=11, metadata={"help": "steps that also collect neighbours"})
    per_line: int = field(default=8, metadata={"help": "maximum puzzles taken from one line"})
    per_pool: int = field(default=510, metadata={"help": "maximum puzzles taken from one pool"})

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name in ("seed", "collect") else 1
            if value < least:
                raise ValueError(f"{name}={value}: expected {least} or more")


def make(
    layout: Layout, recipe: Recipe, report: Callable[[str], None] = lambda line: None
) -> dict[str, NDArray[np.generic]]:
    """Search and choose the puzzles of both splits.

    Args:
        layout: rows, columns and boxes.
        recipe: the settings.
        report: called with a line of text after each step.

    Returns:
        The arrays of the data file. For each split: ``{split}_puzzle`` and ``{split}_solution`` uint8 ``[B, S]``
        (tokens), ``{split}_guesses`` int32 ``[B]`` and ``{split}_line`` int32 ``[B]``, equal for puzzles that descend
        from the same random puzzle; and ``recipe``, the settings as JSON.
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
            pool = Pool(layout, climbing, recipe.lines)
            for step in range(recipe.steps + recipe.collect):
                if step == recipe.steps:
                    pool.rng = collecting
                    pool.halve()
                pool.step(_RUNNERS_UP if step >= recipe.steps else 0)
                report(
                    f"pool {i + 1} of {2 * recipe.pools}, step {step + 1} of {recipe.steps + recipe.collect}: "
                    f"{len(pool.best)} lines, mean guess count {pool.best.guesses.mean():.1f}"
                )
            chosen = choose(layout, choosing, pool.found, pool.best.line, recipe, seen)
            parts.append(Found(chosen.puzzle, chosen.solution, chosen.guesses, chosen.line + i * recipe.lines))
        taken = Found.concatenate(parts)
        arrays[f"{split}_puzzle"] = taken.puzzle
        arrays[f"{split}_solution"] = taken.solution
        arrays[f"{split}_guesses"] = taken.guesses
        arrays[f"{split}_line"] = taken.line.astype(np.int32)
    arrays["recipe"] = np.array(json.dumps(asdict(recipe)))
    return arrays


def choose(
    layout: Layout,
    rng: np.random.Generator,
    found: Found,
    lasting_lines: NDArray[np.int64],
    recipe: Recipe,
    seen: set[int],
) -> Found:
    """Choose puzzles of a pool, in the order of discovery and of distinct symmetry classes.

    Args:
        layout: rows, columns and boxes.
        rng: random generator, which chooses among the dropped lines.
        found: all puzzles of the pool.
        lasting_lines: the lines that were not dropped; their hardest ``recipe.per_line`` puzzles come first.
        recipe: the settings.
        seen: keys of classes already chosen; the keys of the chosen puzzles are added.
    """
    lasting = np.isin(found.line, lasting_lines)
    by_hardness = (-found.guesses).argsort(kind="stable")
    order = [*by_hardness[lasting[by_hardness]].tolist(), *rng.permutation(np.flatnonzero(~lasting)).tolist()]
    # Only the hardest puzzle of a dropped line may be taken, which is its last one.
    last = dict(zip(found.line.tolist(), range(len(found)), strict=True))
    keys = class_key(layout, found.puzzle)
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
    """Parse the command line and write the data set."""
    parser = argparse.ArgumentParser(
        prog="python -m hrm_envs.sudoku.build_dataset",
        description="Search for hard 9x9 Sudoku puzzles and write the data file of HRM/Sudoku-Extreme-v0.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for option in fields(Recipe):
        name = f"--{option.name.replace('_', '-')}"
        parser.add_argument(name, type=int, default=option.default, metavar="N", help=option.metadata["help"])
    parser.add_argument("--out", type=Path, default=DATA_FILE, metavar="FILE", help="file to write")
    options = vars(parser.parse_args(arguments))
    out: Path = options.pop("out")
    try:
        recipe = Recipe(**options)
    except ValueError as error:
        parser.error(str(error))
    # Checked before the search, which takes ten minutes.
    if not out.parent.is_dir():
        parser.error(f"--out {out}: there is no folder {out.parent}")
    arrays = make(layout_for(9), recipe, lambda line: print(line, file=sys.stderr, flush=True))
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
