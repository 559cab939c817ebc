"""``hrm-agents frontier``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Column, Table

from hrm_agents.commands.common import EXPLAINED, parse
from hrm_agents.commands.train import Settings, preset_defaults, say
from hrm_agents.environments import user_id
from hrm_agents.errors import UserError, user_errors
from hrm_agents.records.files import check_writable, write_atomically
from hrm_agents.reports.frontier import (
    Point,
    Result,
    Spread,
    csv_text,
    findings,
    fixed_lengths,
    number_text,
    over_seeds,
    picture,
)


@dataclass(frozen=True)
class Frontier(Settings):
    """Train a model for each price of a segment, and draw what success a number of segments buys.

    A price (--costs) is taken from the reward for every segment of thought after the first. The more thought costs, the
    earlier a model should halt, and the fewer puzzles it may solve: the frontier shows what one is worth in terms of
    the other. Models are judged on unseen puzzles by success and mean segments, without the price. The same axes show
    the rule with no price and no discount, which is always trained (with --halting.rule q the paper's), and its
    answers after fixed numbers of segments: a rule for halting is worth something if it lies above these.

    Each model has a folder in --out, and is trained but once: after Ctrl-C the same command goes on where it stopped,
    and one with another price, discount or seed trains only what is new. All other options are those of train. The
    results are frontier.csv, frontier.png and the printed table.
    """

    costs: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1)
    """Prices of a segment, in units of reward: solving a puzzle pays 1. 0 is always among them."""
    seeds: Annotated[tuple[int, ...], EXPLAINED] = ()
    """Seeds, each for a model of every price; that of --run.seed if not given. Results are means over them."""
    gammas: Annotated[tuple[float, ...], EXPLAINED] = ()
    """Discounts from segment to segment, each for a model of every price and seed; that of --halting.gamma if not
    given."""
    out: Annotated[Path | None, EXPLAINED] = None
    """Folder of the models and the results; runs/frontier-<environment> if not given."""


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
        raise KeyboardInterrupt(f"what was trained is kept in {out}; the same command goes on from there") from None
    write_atomically(out / "frontier.csv", csv_text(results).encode())
    say(f"wrote {out / 'frontier.csv'}")
    points, fixed = over_seeds(results), fixed_lengths(results)
    _draw(out / "frontier.png", points, fixed, config.env.id, config.halting.rule, len({s.seed for s in settings}))
    _print(results, points, fixed, config.env.id)
    return 0


def _draw(path: Path, points: Sequence[Point], fixed: Sequence[Spread], env_id: str, rule: str, seeds: int) -> None:
    """The picture, where it can be painted."""
    from hrm_agents.reports.plots import write_png

    try:
        with user_errors("frontier.png"):
            write_png(path, picture(points, fixed, env_id, rule, seeds))
    except UserError as error:
        say(f"no picture: {error}")
    else:
        say(f"wrote {path}")


def _print(results: Sequence[Result], points: Sequence[Point], fixed: Sequence[Spread], env_id: str) -> None:
    seeds = len({result.setting.seed for result in results})
    console = Console()
    about = f"{env_id}, {results[0].num_puzzles} unseen puzzles, {seeds} seed(s)"
    console.print(f"{about}: mean (least to most)" if seeds > 1 else about, highlight=False, soft_wrap=True)
    right = [Column(name, justify="right") for name in ("solved", "segments", "out of segments", "AUC")]
    table = Table("price", "discount", *right)
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
    """``93.1% (92.0 to 94.5)``; without the range where there is none."""
    mean, low, high = (f"{scale * value:.{digits}f}" for value in spread)
    return f"{mean}{unit}" + (f" ({low} to {high})" if spread.low < spread.high else "")
