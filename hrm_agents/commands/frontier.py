"""``hrm-agents frontier``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Column, Table

from hrm_agents.commands.charts import write_charts
from hrm_agents.commands.common import EXPLAINED, parse, say
from hrm_agents.commands.train import Settings, preset_defaults
from hrm_agents.environments import user_id
from hrm_agents.records.files import check_writable, write_atomically
from hrm_agents.reports.figures import ChartFormat
from hrm_agents.reports.frontier import (
    Point,
    Result,
    Spread,
    chart,
    csv_text,
    findings,
    fixed_lengths,
    number_text,
    over_seeds,
)


@dataclass(frozen=True)
class Frontier(Settings):
    """Train a model for each segment cost, and draw success against mean segments.

    Every segment after the first costs --costs of the reward. The higher the cost, the earlier a model should halt, and
    the fewer puzzles it may solve: the frontier shows this trade-off. Models are evaluated on unseen puzzles by success
    rate and mean segments, without the cost. The chart also shows the rule with no cost and no discount, which is
    always trained (with --halting.rule q it is the paper's), and its answers after fixed numbers of segments: a halting
    rule is useful if it lies above these.

    Each model has a folder in --out and is trained once: after Ctrl-C the same command continues where it stopped, and
    a command with another cost, discount or seed trains only the new models. All other options are those of train. The
    results are frontier.csv, the chart frontier.png, and the printed table.
    """

    costs: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1)
    """Segment costs, in units of reward: solving a puzzle pays 1. 0 is always added."""
    seeds: Annotated[tuple[int, ...], EXPLAINED] = ()
    """Seeds; --run.seed if omitted. Every cost gets a model of each seed, and results are means over seeds."""
    gammas: Annotated[tuple[float, ...], EXPLAINED] = ()
    """Discounts per segment; --halting.gamma if omitted. Every cost and seed gets a model of each discount."""
    out: Annotated[Path | None, EXPLAINED] = None
    """Folder of the models and results; runs/frontier-<environment> if omitted."""
    format: ChartFormat = "png"
    """File format of the chart."""
    dark: bool = False
    """Draw the chart on a dark ground."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    defaults, _ = preset_defaults(Frontier, "frontier", arguments)
    options = parse(Frontier, "frontier", arguments, default=defaults)
    options = replace(options, env=user_id(options.env))
    from hrm_agents.commands.frontier_runs import plan, trace_frontier

    config = options.config()
    settings = plan(options.costs, options.gammas or (config.halting.gamma,), options.seeds or (config.run.seed,))
    out = options.out or options.folder().with_name(f"frontier-{options.folder().name}")
    check_writable(out / "frontier.csv")
    try:
        results = trace_frontier(config, settings, out, announce=say)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"trained models are kept in {out}; the same command continues from there") from None
    write_atomically(out / "frontier.csv", csv_text(results).encode())
    say(f"wrote {out / 'frontier.csv'}")
    points, fixed, num_seeds = over_seeds(results), fixed_lengths(results), len({each.seed for each in settings})
    charts = {"frontier": partial(chart, points, fixed, config.env.id, config.halting.rule, num_seeds)}
    for path in write_charts(out, charts, options.format, dark=options.dark):
        say(f"wrote {path}")
    _print(results, points, fixed, config.env.id)
    return 0


def _print(results: Sequence[Result], points: Sequence[Point], fixed: Sequence[Spread], env_id: str) -> None:
    seeds = len({result.setting.seed for result in results})
    console = Console()
    about = f"{env_id}, {results[0].num_puzzles} unseen puzzles, {seeds} seed(s)"
    console.print(f"{about}: mean (minimum to maximum)" if seeds > 1 else about, highlight=False, soft_wrap=True)
    right = [Column(name, justify="right") for name in ("solved", "segments", "forced halts", "AUC")]
    table = Table("cost", "discount", *right)
    for point in points:
        table.add_row(
            number_text(point.cost),
            number_text(point.gamma),
            _text(point.success_rate, 100.0, 1, "%"),
            _text(point.mean_segments, 1.0, 2),
            _text(point.forced_rate, 100.0, 1, "%"),
            "-" if point.auc is None else _text(point.auc, 1.0, 3),
        )
    table.add_section()
    for count, success in enumerate(fixed, 1):
        table.add_row("fixed", "", _text(success, 100.0, 1, "%"), str(count), "", "")
    console.print(table)
    for sentence in findings(points, fixed):
        console.print(f"- {sentence}", highlight=False, soft_wrap=True)


def _text(spread: Spread, scale: float, digits: int, unit: str = "") -> str:
    """``93.1% (92.0 to 94.5)``, or ``93.1%`` if minimum and maximum are equal."""
    mean, low, high = (f"{scale * value:.{digits}f}" for value in spread)
    return f"{mean}{unit}" + (f" ({low} to {high})" if spread.low < spread.high else "")
