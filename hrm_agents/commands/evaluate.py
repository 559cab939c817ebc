"""``hrm-agents evaluate``."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from hrm_agents.commands.charts import write_charts
from hrm_agents.commands.common import EXPLAINED, Device, Keywords, Modules, keywords, parse, progress, say
from hrm_agents.commands.evaluation_table import Reports
from hrm_agents.environments import evaluation_split
from hrm_agents.errors import UserError, user_errors
from hrm_agents.evaluation.evaluate import Evaluation
from hrm_agents.evaluation.search import Choose, SearchSettings
from hrm_agents.limits import Limits
from hrm_agents.records.files import check_writable, write_atomically
from hrm_agents.reports.figures import ChartFormat
from hrm_agents.reports.frontier_chart import FrontierPoint, draw_frontier
from hrm_agents.reports.plots import draw_halting, draw_reliability
from hrm_agents.zoo import DEFAULT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hrm_agents.solving.solver import Solver

#: Name of the series of one try that stops after 1, 2, ... segments.
_FIXED = "one try, fixed segments"


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a checkpoint on unseen puzzles, by default at every segment.

    The success rate is that at the model's own halt. A table shows the success of stopping at each segment instead; it
    takes every puzzle to the last segment, so --until halt is faster. If the environment shows test puzzles in several
    views, the answers to all views are also combined.

    Brackets show 95% intervals over the choice of puzzles, and with several --seeds over sets of puzzles. Neither says
    anything about other seeds of training: for that, train several models. AUC and calibration of Q(halt) are given up
    to each puzzle's halt, and over all segments, which include those after it.

    --tries solves each puzzle several times, from noisy initial states, and chooses an answer; a second table shows
    what the first 1, 2, ... tries solve, and in how many segments. All other figures are of the first try.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional, EXPLAINED] = Path(DEFAULT)
    """Checkpoint folder, or the name of a model of `hrm-agents models`; maze-9x9 if omitted."""
    split: Annotated[Literal["train", "validation", "test", "train+validation", "all"] | None, EXPLAINED] = None
    """Which puzzles: test if omitted, or all puzzles of your own file (--kwargs puzzles=FILE). train, validation and
    test share none, nor symmetric copies of any. Choose settings by validation, and report test."""
    num_puzzles: Annotated[int | None, EXPLAINED] = None
    """Number of puzzles; the whole split if omitted."""
    seeds: Annotated[tuple[int, ...], EXPLAINED] = ()
    """Seeds of the generated puzzles (pool_seed), one set for each; the seed of training if omitted. Several show the
    spread over sets of puzzles, not over seeds of training."""
    views: Annotated[int | None, EXPLAINED] = None
    """Number of augmented views of each test puzzle that vote; all that the task has if omitted. The 1,000 views of ARC
    at 30x30 take about 5 GB of memory."""
    until: Annotated[Literal["halt", "end"] | None, EXPLAINED] = None
    """Think until the model halts, or to the last segment for the table of success at each; if omitted, until the halt
    if several views vote, else to the end."""
    tries: int = 1
    """Number of tries per puzzle, each until the halt; the first has no noise."""
    noise: Annotated[float | None, EXPLAINED] = None
    """Standard deviation of the noise on the initial states of further tries, 0.3 if omitted; the states have about
    1."""
    choose: Annotated[Choose | None, EXPLAINED] = None
    """Which try's answer counts. q (the default): the one with the highest Q(halt). verifier: a right one if there is
    any. Such an agent may hand in one answer for each try: it is an upper bound for choosing, and must not be compared
    with agents that answer once."""
    kwargs: Keywords = ()
    module: Modules = ()
    batch_size: int = 250
    """Puzzles at a time."""
    device: Device = "cpu"
    json: Annotated[Path | None, EXPLAINED] = None
    """Also write the report to this file; - for standard output."""
    out: Annotated[Path | None, EXPLAINED] = None
    """Also write files to this folder: a report and charts on halting; the votes of several views; a table and a chart
    of several tries."""
    format: ChartFormat = "png"
    """File format of the charts."""
    dark: bool = False
    """Draw the charts on a dark background."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Evaluate, "evaluate", arguments)
    if any(seed < 0 for seed in options.seeds):
        raise UserError(f"--seeds must not be negative, got {min(options.seeds)}")
    if len(set(options.seeds)) < len(options.seeds):
        raise UserError(f"--seeds must differ, got {' '.join(map(str, options.seeds))}")
    if options.out is None and (options.dark or options.format != "png"):
        raise UserError("--format and --dark need charts: give a folder as --out")
    Limits(1, 65_536).check("--batch-size", options.batch_size)
    search = _search(options)
    from hrm_agents.solving.solver import load
    from hrm_agents.user_modules import import_modules

    import_modules(options.module)

    solver = load(options.checkpoint, options.device)
    reports: list[Evaluation] = []
    chosen = {} if options.num_puzzles is None else {"num_puzzles": options.num_puzzles}
    kwargs = {**({} if options.split is None else {"split": options.split}), **chosen, **keywords(options.kwargs)}
    kwargs = {"split": evaluation_split(solver.env_id, kwargs), **kwargs}
    kwargs |= _views(solver, options, kwargs)
    seeds = options.seeds or (kwargs.get("pool_seed", solver.env_kwargs.get("pool_seed", 0)),)
    if options.json is not None and options.json != Path("-"):
        # Fail before the evaluation if the report cannot be written.
        check_writable(options.json)
    if options.out is not None:
        check_writable(options.out / "halting.json")
    overlap = _overlap(solver, kwargs, options.seeds)
    _warn_of_seen(solver, kwargs)
    for seed in seeds:
        with progress(f"evaluating (seed {seed})") as share:
            reports.append(
                solver.evaluate(
                    {**kwargs, "pool_seed": seed},
                    batch_size=options.batch_size,
                    until=options.until,
                    search=replace(search, seed=seed),
                    progress=share,
                )
            )
    table = Reports(reports, seeds, overlap)
    views = {"views": kwargs["views"]} if "views" in kwargs else {}
    document = {"checkpoint": str(options.checkpoint), **views, **table.document()}
    if options.json == Path("-"):
        json.dump(document, sys.stdout, indent=2)
        print()
    else:
        table.print(kwargs.get("views", 1))
        if options.json is not None:
            write_atomically(options.json, (json.dumps(document, indent=2) + "\n").encode())
    if options.out is not None:
        _write(reports[0], options.out, partial(write_charts, options.out, kind=options.format, dark=options.dark))
    return 0


def _search(options: Evaluate) -> SearchSettings:
    """The settings of several tries, without the seed.

    Raises:
        UserError: a setting is out of range or needs --tries.
    """
    Limits(1, 10_000).check("--tries", options.tries)
    if options.tries == 1 and (options.noise is not None or options.choose is not None):
        raise UserError("--noise and --choose need several tries: give --tries 2 or more")
    noise = SearchSettings.noise if options.noise is None else options.noise
    if not 0.0 < noise < float("inf"):
        raise UserError(f"--noise must be above 0, or all tries would be the same; got {noise}")
    return SearchSettings(options.tries, noise, options.choose or "q")


def _views(solver: Solver, options: Evaluate, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keyword ``views``, if the task has views and the split shows them.

    Raises:
        UserError: --views does not suit the task or the split, or --out does not suit --seeds.
    """
    most = solver.max_views(kwargs)
    if options.views is not None and most == 1:
        raise UserError(f"--views needs a task that shows puzzles in several views; {solver.env_id} does not")
    if options.views is not None and kwargs["split"] != "test":
        raise UserError(f"--views needs the test split, whose puzzles have views; --split is {kwargs['split']}")
    if options.views is not None and not 1 <= options.views <= most:
        raise UserError(
            f"--views must lie between 1 and {most}, the number of views in {solver.env_id}; got {options.views}"
        )
    if options.out is not None and len(options.seeds) > 1:
        raise UserError(f"--out takes the files of one evaluation: give one of the {len(options.seeds)} --seeds")
    if most == 1 or kwargs["split"] != "test" or "views" in kwargs:
        return {}
    return {"views": options.views or most}


def _warn_of_seen(solver: Solver, kwargs: Mapping[str, Any]) -> None:
    """Say how many of the user's own puzzles are symmetric copies of training puzzles.

    ARC tasks are left out: their identities tell them apart, and a model trains on the demonstrations of those tested.
    """
    if kwargs.get("puzzles") is None or solver.has_identities:
        return
    mine = _classes(solver, kwargs)
    try:
        known = set(_classes(solver, {"split": "train", **solver.env_kwargs}))
    except UserError as error:
        say(f"these puzzles were not compared with those of training: {error}")
        return
    if seen := sum(one in known for one in mine):
        say(f"warning: {seen} of {len(mine)} puzzles are symmetric copies of training puzzles")


def _classes(solver: Solver, kwargs: Mapping[str, Any]) -> list[bytes]:
    """The symmetry class of each puzzle of an environment."""
    env: Any = solver.make_env(**kwargs).unwrapped
    keys: NDArray[np.uint64] = env.puzzle_classes
    env.close()
    return [row.tobytes() for row in keys]


def _overlap(solver: Solver, kwargs: Mapping[str, Any], seeds: Sequence[int]) -> float:
    """Mean share of the symmetry classes of a set of puzzles that another set has too.

    Args:
        solver: makes the environments.
        kwargs: their keywords, without ``pool_seed``.
        seeds: ``pool_seed`` of each set; there is nothing to compare with fewer than two.

    Raises:
        UserError: two sets are the same up to symmetry, so the spread over sets would say nothing.
    """
    sets: dict[int, set[bytes]] = {}
    for seed in seeds if len(seeds) > 1 else ():
        sets[seed] = set(_classes(solver, {**kwargs, "pool_seed": seed}))
    for one, other in combinations(sets, 2):
        if sets[one] == sets[other]:
            raise UserError(
                f"--seeds: {solver.env_id} has the same puzzles, up to symmetry, for pool_seed {one} and {other}, so "
                "the spread over them says nothing: omit --seeds, or choose fewer puzzles with --num-puzzles"
            )
    shares = []
    for seed, mine in sets.items():
        others = set().union(*(theirs for other, theirs in sets.items() if other != seed))
        shares.append(len(mine & others) / len(mine))
    return float(np.mean(shares)) if shares else 0.0


def _write(report: Evaluation, folder: Path, draw: Callable[[Mapping[str, Callable[..., Figure]]], list[Path]]) -> None:
    """Write the files of an evaluation, charts by ``draw``, and name them on standard error."""
    paths: list[Path] = []
    if report.halting is not None:
        text = json.dumps(report.halting.to_dict(), indent=2) + "\n"
        write_atomically(folder / "halting.json", text.encode())
        charts = {"halting": draw_halting, "reliability": draw_reliability}
        paths += [folder / "halting.json"]
        paths += draw({name: partial(function, report.halting) for name, function in charts.items()})
    if report.search is not None:
        series = _tries(report)
        write_atomically(folder / "tries.csv", _csv(series).encode())
        paths += [folder / "tries.csv", *draw({"tries": partial(_draw_tries, series)})]
    if report.ensemble is not None:
        try:
            with user_errors("--out"):
                paths += report.ensemble.write(folder)
        except OSError as error:
            raise UserError(f"cannot write into {folder}: {error.strerror or error}; choose another --out") from error
    if not paths:
        say("nothing to write: the halting report needs --until end")
    for path in paths:
        say(f"wrote {path}")


def _tries(report: Evaluation) -> dict[str, list[FrontierPoint]]:
    """Success against segments, of several tries and, if every segment was judged, of one longer try."""
    assert report.search is not None
    points = report.search.points()
    fixed = [FrontierPoint(segment, share) for segment, share in enumerate(report.success_per_segment, 1)]
    return {
        **({_FIXED: fixed} if fixed else {}),
        "best Q(halt) of k tries": [FrontierPoint(p.mean_segments, p.q) for p in points],
        "any of k tries right": [FrontierPoint(p.mean_segments, p.verifier, str(p.tries)) for p in points],
    }


def _csv(series: Mapping[str, Sequence[FrontierPoint]]) -> str:
    """A CSV row for each point."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("series", "tries", "mean_segments", "success_rate"))
    for name, points in series.items():
        for number, point in enumerate(points, 1):
            writer.writerow((name, 1 if name == _FIXED else number, point.mean_segments, point.success_rate))
    return table.getvalue()


def _draw_tries(series: Mapping[str, Sequence[FrontierPoint]], *, dark: bool) -> Figure:
    # Fixed numbers of segments that solve far less than one try would flatten all other lines.
    floor = 0.9 * min(point.success_rate for name, points in series.items() if name != _FIXED for point in points)
    near = {name: [point for point in points if point.success_rate >= floor] for name, points in series.items()}
    return draw_frontier(
        {name: points for name, points in near.items() if points},
        "Several tries, or more segments?",
        "each try starts from other states; the labels are k, the number of tries",
        "mean segments per puzzle, over all tries",
        dark=dark,
    )
