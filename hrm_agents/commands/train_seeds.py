"""``hrm-agents train --seeds``: one run for each seed, and the aggregate of their results."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from hrm_agents.assembly import with_segment_cost
from hrm_agents.commands.common import say
from hrm_agents.commands.frontier_runs import stage_of
from hrm_agents.commands.processes import run_processes
from hrm_agents.config import TrainConfig
from hrm_agents.errors import UserError
from hrm_agents.interrupts import Stopped
from hrm_agents.limits import Limits
from hrm_agents.records.checkpoint import read_config
from hrm_agents.records.files import write_atomically
from hrm_agents.records.run_file import RUN_FILE, write_run_file
from hrm_agents.records.run_lock import hold_folder
from hrm_agents.reports.over_seeds import INTERVALS, Aggregate, aggregates, csv_text, document


@dataclass(frozen=True)
class Plan:
    """Runs that differ in the seed alone."""

    config: TrainConfig
    """Their settings; the seed does not count."""
    out: Path
    """Folder of their folders."""
    seeds: tuple[int, ...]
    jobs: int = 1
    """How many run at a time."""
    modules: tuple[str, ...] = ()
    """To import first."""
    gif: bool = True
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        for seed in self.seeds:
            Limits(0, 2**63 - 1).check("--seeds", seed)
        if len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"--seeds must differ, got {' '.join(map(str, self.seeds))}")
        Limits(1, 1024).check("--jobs", self.jobs)

    def folder(self, seed: int) -> Path:
        """The folder of a run."""
        return self.out / f"seed-{seed}"

    def arguments(self, seed: int) -> list[str] | None:
        """The command line of a run, new or continued; None if it is finished.

        Raises:
            UserError: its folder holds a run with other settings, or one that cannot continue.
        """
        config = with_segment_cost(replace(self.config, run=replace(self.config.run, seed=seed)))
        stage, folder = stage_of(self.folder(seed), config), str(self.folder(seed))
        if stage == "finished":
            return None
        given = ["--config", str(self.out / RUN_FILE), "--run.seed", str(seed), "--out", folder]
        if stage == "stopped":
            given = ["--resume", folder, *(word for module in self.modules for word in ("--module", module))]
        return ["train", *given, "--gif" if self.gif else "--no-gif"]


def train_seeds(plan: Plan) -> int:
    """Train what is not finished, and aggregate the results of all.

    Raises:
        UserError: a run has other settings or fails; the others are finished first.
        Stopped: after Ctrl-C, SIGTERM or the time, once all runs have saved.
    """
    with hold_folder(plan.out):
        commands = {seed: plan.arguments(seed) for seed in plan.seeds}
        write_run_file(plan.out, plan.config, plan.modules)
        for seed, command in commands.items():
            if command is None:
                say(f"seed {seed} is finished: {plan.folder(seed)}")
        _run({f"seed {seed}": command for seed, command in commands.items() if command is not None}, plan)
        _aggregate(plan)
    return 0


def _run(commands: dict[str, list[str]], plan: Plan) -> None:
    limit = None if plan.max_minutes is None else 60.0 * plan.max_minutes
    codes, reason = run_processes(commands, plan.jobs, limit, _threads(plan))
    again = f"finished runs are kept in {plan.out}; the same command continues"
    if reason is not None and (len(codes) < len(commands) or any(codes.values())):
        raise Stopped(reason, again)
    failed = [name for name, code in codes.items() if code]
    if failed:
        raise UserError(f"{len(failed)} of {len(plan.seeds)} runs failed ({', '.join(failed)}), see above; {again}")


def _threads(plan: Plan) -> int | None:
    """CPU threads of each of several runs that share the cores, unless the user has chosen."""
    if plan.jobs == 1 or plan.config.run.threads is not None or "OMP_NUM_THREADS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // plan.jobs)


def _aggregate(plan: Plan) -> None:
    """Print the aggregate of finished runs, and write it as seeds.csv and seeds.json."""
    evaluations = {seed: read_config(plan.folder(seed))["evaluation"] for seed in plan.seeds}
    found = aggregates(list(evaluations.values()))
    folders = {seed: plan.folder(seed).name for seed in plan.seeds}
    text = json.dumps(document(plan.config.env.id, evaluations, folders, found), indent=2) + "\n"
    write_atomically(plan.out / "seeds.csv", csv_text(found).encode())
    write_atomically(plan.out / "seeds.json", text.encode())
    _print(plan, found)
    say(f"wrote {plan.out / 'seeds.csv'} and {plan.out / 'seeds.json'}")


def _print(plan: Plan, found: Sequence[Aggregate]) -> None:
    console = Console()
    seeds = " ".join(map(str, plan.seeds))
    table = Table("", *(Column(name, justify="right") for name in ("interquartile mean", "mean", "lowest to highest")))
    for aggregate in found:
        table.add_row(*aggregate.cells())
    console.print(f"{plan.config.env.id}, unseen puzzles, seeds {seeds}", highlight=False, soft_wrap=True)
    console.print(table)
    console.print(INTERVALS, highlight=False, soft_wrap=True)
