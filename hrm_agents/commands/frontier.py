"""``hrm-agents frontier``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Column, Table

from hrm_agents.commands.charts import write_charts
from hrm_agents.commands.common import EXPLAINED, say
from hrm_agents.commands.train import ModelSettings, Settings, parse_settings
from hrm_agents.records.files import check_writable, write_atomically
from hrm_agents.reports.figures import ChartFormat
from hrm_agents.reports.frontier import Point, chart, csv_text, findings, number_text, over_seeds
from hrm_agents.reports.frontier_interval import Spread


@dataclass(frozen=True)
class Frontier(Settings[ModelSettings]):
    """Train a model for each segment cost, and draw success against mean segments.

    Every segment after the first costs --costs of the reward. The higher the cost, the earlier a model should halt, and
    the fewer puzzles it may solve: the frontier shows this trade-off. Models are evaluated on unseen puzzles by success
    rate and mean segments, without the cost. They differ in their cost, discount and seed alone: all learn plain
    Q-values (--halting.q-loss mse). A model with no cost and no discount is always trained.

    Two comparisons show what a halting rule is worth: each model beside itself, stopped after fixed numbers of
    segments; and models that were trained with a fixed number (--fixed-lengths). Intervals are 95% t intervals over
    seeds of training; the test puzzles are the same for all seeds.

    Each model has a folder in --out and is trained once: after Ctrl-C the same command continues where it stopped, and
    a command with another cost, discount, seed or fixed number trains only the new models. All other options are those
    of train. The results are frontier.csv, the chart frontier.png, and the printed tables.
    """

    costs: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1)
    """Segment costs, in units of reward: solving a puzzle pays 1. 0 is always added."""
    seeds: Annotated[tuple[int, ...], EXPLAINED] = ()
    """Seeds; --run.seed if omitted. Every cost gets a model of each seed, and results are means over seeds."""
    gammas: Annotated[tuple[float, ...], EXPLAINED] = ()
    """Discounts per segment; --halting.gamma if omitted. Every cost and seed gets a model of each discount."""
    fixed_lengths: Annotated[tuple[int, ...] | None, EXPLAINED] = None
    """Train models that halt after these numbers of segments; 1 2 4 8 if omitted, as far as the environment allows.
    Without a number, none are trained."""
    out: Annotated[Path | None, EXPLAINED] = None
    """Folder of the models and results; runs/frontier-<environment> if omitted."""
    format: ChartFormat = "png"
    """File format of the chart."""
    dark: bool = False
    """Draw the chart on a dark ground."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse_settings(Frontier, "frontier", arguments)
    from hrm_agents.commands.frontier_runs import default_lengths, plan, trace_frontier

    config = options.config()
    lengths = default_lengths(config) if options.fixed_lengths is None else options.fixed_lengths
    gammas, seeds = options.gammas or (config.halting.gamma,), options.seeds or (config.run.seed,)
    settings = plan(options.costs, gammas, seeds, lengths)
    out = options.out or options.folder().with_name(f"frontier-{options.folder().name}")
    check_writable(out / "frontier.csv")
    try:
        results = trace_frontier(config, settings, out, announce=say)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"trained models are kept in {out}; the same command continues from there") from None
    write_atomically(out / "frontier.csv", csv_text(results).encode())
    say(f"wrote {out / 'frontier.csv'}")
    points = over_seeds(results)
    charts = {"frontier": partial(chart, points, config.env.id, config.halting.rule, len(seeds))}
    for path in write_charts(out, charts, options.format, dark=options.dark):
        say(f"wrote {path}")
    puzzles = f"{results[0].num_puzzles} unseen puzzles, {results[0].num_classes} up to symmetry"
    _print(points, f"{config.env.id}, {puzzles}", len(seeds))
    return 0


def _print(points: Sequence[Point], about: str, num_seeds: int) -> None:
    console = Console()
    seeds = f"{num_seeds} seeds: mean (95% interval over seeds)" if num_seeds > 1 else "1 seed"
    console.print(f"{about}, {seeds}", highlight=False, soft_wrap=True)
    console.print(_halting_table(points))
    console.print(
        "solved by the same models, stopped after a fixed number of segments", highlight=False, soft_wrap=True
    )
    console.print(_curves_table(points))
    for sentence in findings(points):
        console.print(f"- {sentence}", highlight=False, soft_wrap=True)


def _halting_table(points: Sequence[Point]) -> Table:
    """Success and segments of each model, and the points by which it beats its own fixed-length curve."""
    names = ("solved", "segments", "forced halts", "AUC up to the halt", "over its own fixed lengths")
    table = Table("cost", "discount", *(Column(name, justify="right") for name in names))
    for learned in (True, False):
        table.add_section()
        for point in (point for point in points if (point.fixed_length is None) is learned):
            table.add_row(
                *_name(point),
                _text(point.success_rate, 100.0, ".1f", "%"),
                _text(point.mean_segments, 1.0, ".2f") if learned else str(point.fixed_length),
                _text(point.forced_rate, 100.0, ".1f", "%") if learned else "",
                "-" if point.auc is None else _text(point.auc, 1.0, ".3f"),
                _text(point.margin, 100.0, "+.1f", " points") if learned else "",
            )
    return table


def _curves_table(points: Sequence[Point]) -> Table:
    """Success of each model after 1, 2, 4, ... segments, and after the last."""
    longest = len(points[0].success_per_segment)
    counts = sorted({2**power for power in range(longest.bit_length())} | {longest})
    table = Table("cost", "discount", *(Column(f"after {count}", justify="right") for count in counts))
    for point in points:
        table.add_row(*_name(point), *(_text(point.success_per_segment[n - 1], 100.0, ".1f", "%") for n in counts))
    return table


def _name(point: Point) -> tuple[str, str]:
    """The first two cells of a row."""
    if point.fixed_length is not None:
        return f"trained with {point.fixed_length}", ""
    return number_text(point.cost), number_text(point.gamma)


def _text(spread: Spread, scale: float, digits: str, unit: str = "") -> str:
    """``93.1% (92.0 to 94.5)``, or ``93.1%`` without an interval."""
    mean = f"{scale * spread.mean:{digits}}{unit}"
    if spread.interval is None:
        return mean
    low, high = (f"{scale * value:{digits}}" for value in spread.interval)
    return f"{mean} ({low} to {high})"
