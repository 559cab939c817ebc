"""``hrm-agents bench solve``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hrm_agents.commands.benches.base import MeasuredBench, Result
from hrm_agents.commands.common import EXPLAINED, Device, Keywords, Modules, keywords, progress
from hrm_agents.limits import Limits
from hrm_agents.user_modules import import_modules
from hrm_agents.zoo import DEFAULT


@dataclass(frozen=True)
class SolveBench(MeasuredBench):
    """Puzzles per second of a trained model: halting, or with all segments for every puzzle.

    A row that halts takes the next puzzle, so that the batch stays full.
    """

    run: Annotated[Path, tyro.conf.Positional, EXPLAINED] = Path(DEFAULT)
    """Checkpoint folder, or the name of a model of `hrm-agents models`; maze-9x9 if omitted."""
    num_puzzles: int = 500
    """Test puzzles to solve in each round, or as many as there are."""
    batch_size: int = 100
    """Puzzles at a time."""
    kwargs: Keywords = ()
    module: Modules = ()
    device: Device = "cpu"

    def measure(self) -> Result:
        """See :class:`Bench`."""
        from hrm_agents.solving.solver import load
        from hrm_agents.speed.rounds import in_turn, machine, ratio
        from hrm_agents.speed.solving import FIXED, REFILLED, SolvingSpeed

        self.check_rounds()
        Limits(1).check("--num-puzzles", self.num_puzzles)
        Limits(1).check("--batch-size", self.batch_size)
        import_modules(self.module)
        solver = load(self.run, self.device)
        speed = SolvingSpeed(solver, self.num_puzzles, self.batch_size, keywords(self.kwargs))
        with progress("solving") as share:
            ways = {way: (lambda way=way: speed.puzzles_per_second(way)) for way in speed.policies}
            found = in_turn(ways, self.rounds, share)
        speed.env.close()
        gain = ratio(found[REFILLED], found[FIXED])
        figures = {
            way: {"puzzles_per_second": found[way].to_dict(), "mean_segments": speed.segments[way]} for way in ways
        }
        lines = [[way, f"{speed.segments[way]:.2f}", found[way].text(",.1f")] for way in ways]
        document = {"machine": machine(solver.policy.device), "figures": figures, "ratio": gain.to_dict()}
        note = f"{REFILLED}: {gain.text('.2f')} times as many puzzles per second as with {FIXED} (M = "
        return Result(
            ("thinking", "mean segments", "puzzles/s"), lines, document, [f"{note}{speed.segments[FIXED]:.0f})"]
        )
