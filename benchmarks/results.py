"""Rerun any result of the documentation by name.

    python -m benchmarks.results                        # what there is
    python -m benchmarks.results NAME [--quick] [...]   # the whole of it; --quick: minutes, to see that it works

Further options go to the command behind the name, which ``python -m benchmarks.results`` shows. Rows go to the file in
``results/`` that the documentation quotes; with --quick nothing is recorded there.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A command and its options."""

    text: str
    """What it says."""
    module: str
    """In this folder."""
    options: str = ""
    quick: str = "--quick"
    """Options that make it short; empty where it is short as it is."""

    @property
    def command(self) -> str:
        """What to type for the whole of it."""
        return f"python -m benchmarks.{self.module} {self.options}".rstrip()


_FAST = "--quick --seeds 0"
#: By name.
RESULTS = {
    "halting-4x4": Result("ways of halting, 4x4 Sudoku", "halting", "--tasks sudoku-4x4", f"{_FAST} --methods gain"),
    "halting-6x6": Result(
        "halting by gain, 6x6 Sudoku", "halting", "--tasks sudoku-6x6 --methods gain --compile", _FAST
    ),
    "halting-7x7": Result("halting by gain, 7x7 mazes", "halting", "--tasks maze-7x7 --methods gain --compile", _FAST),
    "halting-9x9": Result("halting by gain, 9x9 mazes", "halting", "--tasks maze-9x9 --methods gain --compile", _FAST),
    "halting-longer": Result(
        "four times the updates, 4x4 Sudoku", "halting", "--tasks sudoku-4x4-long --methods gain", _FAST
    ),
    "reward-alone": Result(
        "learned without labels, 4x4 Sudoku", "halting", "--tasks sudoku-4x4-reward-alone --methods gain", _FAST
    ),
    "nearest": Result("the right answer nearest to the model's own, open mazes", "nearest", quick=_FAST),
    "models": Result("networks at equal numbers of parameters", "models", quick=f"{_FAST} --tasks sudoku-4x4"),
    "t-maze": Result("HRM and LSTM as memories of PPO", "memory", quick=f"{_FAST} --learners ppo"),
    "changing-maze": Result("a carry that is kept, in changing mazes", "changing_maze", quick=f"{_FAST} --arms kept"),
    "dimension": Result("participation ratios along training", "dimension", quick=_FAST),
    "depth": Result("success against depth and width", "sweep"),
    "gradients": Result("memory of the gradient options", "gradients", quick=""),
    "scale": Result("training on many GPUs, on paper", "scale", quick=""),
}


def main(arguments: list[str] | None = None) -> None:
    """Run a result, or list all of them."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help"):
        print(f"{__doc__}\n{listing()}")
        return
    name, *rest = words
    if name not in RESULTS:
        raise SystemExit(f"unknown result {name!r}; there are {', '.join(RESULTS)}")
    result = RESULTS[name]
    options = result.options.split()
    if "--quick" in rest:
        rest.remove("--quick")
        options += result.quick.split()
    importlib.import_module(f"benchmarks.{result.module}").main([*options, *rest])


def listing() -> str:
    """All results with what they say and the command behind them."""
    width = max(map(len, RESULTS))
    return "\n".join(f"{name:<{width}}  {each.text}\n{'':<{width}}    {each.command}" for name, each in RESULTS.items())


if __name__ == "__main__":
    main()
