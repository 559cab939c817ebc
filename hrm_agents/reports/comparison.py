"""One HTML page that compares training runs: figures side by side, curves overlaid, and what differs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from hrm_agents.reports.figures import STYLES
from hrm_agents.reports.groups import Group, differences, grouped
from hrm_agents.reports.headline import FIGURES, HEADLINE, Figure, interval_of, value_of
from hrm_agents.reports.markup import Markup, breakable, document, element, joined, missing, section, table
from hrm_agents.reports.parts import Charts, Drawing, contents, footer, settings_tables
from hrm_agents.reports.plots import draw_curves
from hrm_agents.reports.run_record import NOT_RECORDED, SEED, RunRecord
from hrm_agents.reports.training_curves import thinned

_SECTIONS = {
    "results": "Results",
    "differences": "What differs",
    "training": "Training",
    "runs": "Each run",
    "configuration": "Shared configuration",
    "reproduction": "Reproduction",
}
#: Curves to compare: title, tag, name of the y axis, and whether it is a share.
_CURVES = (
    ("Unseen puzzles", "eval/success_rate", "puzzles solved", True),
    ("Training puzzles", "rollout/success_rate", "puzzles solved", True),
    ("Segments on unseen puzzles", "eval/mean_segments", "segments per puzzle", False),
    ("Loss", "train/loss", "loss", False),
)


def comparison_page(
    records: Sequence[RunRecord], reruns: Sequence[Markup], free: Collection[str], made_with: str
) -> str:
    """The page, as a whole HTML document. Equal arguments give equal text.

    Args:
        records: of the runs, at least two.
        reruns: how to train each again.
        free: settings that do not change what a model learns.
        made_with: versions that made the page.
    """
    groups, charts = grouped(records, free), Charts()
    shared = {
        name: value
        for name, value in groups[0].settings.items()
        if all(group.settings.get(name) == value for group in groups)
    }
    bodies = {
        "results": _results(groups),
        "differences": _differences(groups, records, free),
        "training": _training(groups, charts),
        "runs": _runs(groups),
        "configuration": settings_tables(
            {name: shared[name] for name in shared if "." in name or name == "model_name"}
        ),
        "reproduction": _reproduction(groups, records, reruns),
    }
    environments = sorted({record.env_id for record in records})
    facts = [
        joined(element("b", str(len(records))), " runs"),
        joined(element("b", str(len(groups))), " setting" + "s" * (len(groups) > 1)),
        joined("environment ", element("b", breakable(", ".join(environments)))),
    ]
    return document(
        f"{len(records)} runs in {', '.join(environments)}",
        element(
            "header",
            element("p", "Comparison of training runs", class_="kind"),
            element("h1", breakable(environments[0]) if len(environments) == 1 else "Several environments"),
            element("ul", *(element("li", fact) for fact in facts), class_="facts"),
        ),
        contents(_SECTIONS),
        *(section(name, title, bodies[name]) for name, title in _SECTIONS.items()),
        footer(made_with),
    )


def _results(groups: Sequence[Group]) -> Markup:
    """Means over seeds, a row for each group."""
    rows: list[list[str]] = []
    for group in groups:
        finished = sum(bool(run.evaluation) for run in group.runs)
        runs = str(finished) if finished == len(group.runs) else f"{finished} of {len(group.runs)} finished"
        rows.append([group.label, runs, *(_mean(group, figure) for figure in FIGURES)])
    text = (
        "Final figures on unseen puzzles: the mean over runs that differ in the seed alone, with Student's t interval "
        "(95%) of that mean in brackets. One run, runs with equal figures, and runs that share a seed have no "
        "interval. Runs without a final evaluation are left out."
    )
    head = ["Setting", "Runs", *(figure.title for figure in FIGURES)]
    return joined(element("p", text), table("Final figures, mean over seeds", head, rows))


def _mean(group: Group, figure: Figure) -> Markup:
    spread = group.spread(figure)
    if spread is None:
        return value_of(figure, None)
    mean = value_of(figure, spread.mean)
    return mean if spread.interval is None else joined(mean, " ", _small(interval_of(figure, spread.interval)))


def _small(content: Markup) -> Markup:
    return element("small", content)


def _differences(groups: Sequence[Group], records: Sequence[RunRecord], free: Collection[str]) -> Markup:
    """The settings that differ, a column for each group."""
    names = differences([group.settings for group in groups])
    settings = [record.settings() for record in records]
    also = [name for name in differences(settings) if name in free]
    parts = []
    if names:
        rows = [[name, *(breakable(group.settings.get(name, NOT_RECORDED)) for group in groups)] for name in names]
        parts.append(table("Settings that differ", ["Setting", *(group.label for group in groups)], rows))
    else:
        parts.append(element("p", "The runs differ in the seed alone."))
    if also:
        parts.append(element("p", f"Also different, without influence on what is learned: {', '.join(also)}."))
    return joined(*parts)


def _training(groups: Sequence[Group], charts: Charts) -> Markup:
    """Curves of all runs, overlaid."""
    parts: list[str] = [
        missing(f"{_name(run)} has no curves: {run.missing['curves']}.")
        for group in groups
        for run in group.runs
        if "curves" in run.missing
    ]
    if len(groups) > len(STYLES):
        return joined(
            *parts, missing(f"One chart can tell {len(STYLES)} settings apart: compare fewer runs to see their curves.")
        )
    drawings: list[Drawing] = []
    for title, tag, y_label, is_share in _CURVES:
        series = {
            group.label: [thinned(run.curves[tag]) for run in group.runs if tag in run.curves] for group in groups
        }
        series = {label: runs for label, runs in series.items() if runs and _overlap(runs)}
        if series:
            draw = partial(draw_curves, series, title, "", "update", y_label, percent=is_share)
            drawings.append((draw, f"{title}: each run thin, the mean over the seeds of a setting thick."))
    return joined(*parts, charts.grid(drawings)) if drawings else joined(*parts, missing("There are no curves yet."))


def _overlap(runs: Sequence[Sequence[tuple[float, float]]]) -> bool:
    """Whether there is an update that all runs have passed: a mean needs one."""
    return max(points[0][0] for points in runs) <= min(points[-1][0] for points in runs)


def _runs(groups: Sequence[Group]) -> Markup:
    """The figures of each run, with intervals over puzzles."""
    rows: list[list[str]] = []
    for group in groups:
        for run in group.runs:
            figures = [
                joined(
                    value_of(figure, run.evaluation.get(figure.name)),
                    " ",
                    _small(interval_of(figure, run.intervals[figure.name])) if figure.name in run.intervals else "",
                )
                for figure in HEADLINE
            ]
            size = NOT_RECORDED if run.parameters is None else f"{run.parameters:,}"
            rows.append([_name(run), group.label, _seed(run), size, run.progress, *figures])
    text = "Brackets: 95% intervals over the choice of puzzles, which say nothing about other seeds."
    head = ["Run", "Setting", "Seed", "Parameters", "Updates", *(figure.title for figure in HEADLINE)]
    gaps = [missing(f"{_name(run)}: {reason}.") for run, reason in _gaps(groups)]
    return joined(element("p", text), table("Final figures of each run", head, rows), *gaps)


def _gaps(groups: Sequence[Group]) -> list[tuple[RunRecord, str]]:
    """What the runs lack besides curves."""
    return [
        (run, reason)
        for group in groups
        for run in group.runs
        for part, reason in run.missing.items()
        if part != "curves"
    ]


def _reproduction(groups: Sequence[Group], records: Sequence[RunRecord], reruns: Sequence[Markup]) -> Markup:
    """The command of each group, and where each run comes from."""
    parts = []
    for group in groups:
        first, *others = group.runs
        command = next(rerun for record, rerun in zip(records, reruns, strict=True) if record is first)
        seeds = ", ".join(_seed(run) for run in others)
        parts += [
            element("h3", f"{group.label}, seed {_seed(first)}"),
            command,
            element("p", f"The other runs have the same settings but the seed (--run.seed): {seeds}.")
            if others
            else "",
        ]
    origins = [record.origin() for record in records]
    names = list(dict.fromkeys(name for origin in origins for name in origin))
    rows: list[list[str]] = [
        [_name(record), _seed(record), *(origin.get(name, "") for name in names)]
        for record, origin in zip(records, origins, strict=True)
    ]
    return joined(*parts, table("Origin of each run", ["Run", "Seed", *names], rows))


def _seed(record: RunRecord) -> str:
    return record.settings().get(SEED, NOT_RECORDED)


def _name(record: RunRecord) -> str:
    """The folder, with the one around it: seeds often share a name."""
    return "/".join(record.folder.absolute().parts[-2:])
