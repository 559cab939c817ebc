"""One HTML page on a training run: figures, curves, halting, frames of thought, settings and how to run it again."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from hrm_agents.evaluation.intervals import wilson
from hrm_agents.reports.course_charts import courses
from hrm_agents.reports.headline import FIGURES, HEADLINE, interval_of, value_of
from hrm_agents.reports.markup import Markup, breakable, document, element, joined, missing, section, table
from hrm_agents.reports.parts import Charts, contents, definitions, footer, settings_tables
from hrm_agents.reports.plots import draw_halting, draw_reliability
from hrm_agents.reports.run_record import SEED, RunRecord

if TYPE_CHECKING:
    from hrm_agents.evaluation.halting_report import HaltingReport

_SECTIONS = {
    "results": "Results",
    "training": "Training",
    "halting": "Halting",
    "thought": "Frames of thought",
    "configuration": "Configuration",
    "reproduction": "Reproduction",
}


@dataclass(frozen=True)
class Step:
    """A frame of an episode: the puzzle, or the answer of a segment."""

    png: bytes
    """Contents of an image file."""
    title: str
    """Such as "segment 2"."""
    notes: Sequence[str] = ()
    """What the model thought, in short lines."""


@dataclass(frozen=True)
class Thinking:
    """What the model of a run does on unseen puzzles."""

    halting: HaltingReport | None = None
    episodes: Sequence[Sequence[Step]] = ()
    """The steps of each puzzle."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why there is no ``halting`` and why there are no ``episodes``, where that is so."""


def run_page(record: RunRecord, thinking: Thinking, rerun: Markup, made_with: str) -> str:
    """The page, as a whole HTML document. Equal arguments give equal text.

    Args:
        record: of the run.
        thinking: measured on its model.
        rerun: how to train it again.
        made_with: versions that made the page.
    """
    charts = Charts()
    bodies = {
        "results": _results(record),
        "training": _training(record, charts),
        "halting": _halting(thinking, charts),
        "thought": _thought(thinking, charts),
        "configuration": settings_tables(record.settings()),
        "reproduction": joined(rerun, definitions(_origin(record))),
    }
    return document(
        f"{record.env_id}: {record.network}, seed {record.settings().get(SEED, '?')}",
        _head(record),
        contents(_SECTIONS),
        *(section(name, title, bodies[name]) for name, title in _SECTIONS.items()),
        footer(made_with),
    )


def _head(record: RunRecord) -> Markup:
    """What was trained, and its main figures."""
    size = "unknown number of" if record.parameters is None else f"{record.parameters:,}"
    facts = [
        joined("network ", element("b", breakable(record.network))),
        joined(element("b", size), " parameters"),
        joined(element("b", record.progress), " updates"),
        joined("seed ", element("b", record.settings().get(SEED, "?"))),
    ]
    cards = [
        element(
            "div",
            element("dt", figure.title),
            element("dd", value_of(figure, record.evaluation[figure.name]), class_="value"),
            element("dd", interval_of(figure, record.intervals.get(figure.name)), class_="interval"),
        )
        for figure in HEADLINE
        if figure.name in record.evaluation
    ]
    return element(
        "header",
        element("p", "Training run", class_="kind"),
        element("h1", breakable(record.env_id)),
        element("ul", *(element("li", fact) for fact in facts), class_="facts"),
        element("dl", *cards, class_="cards") if cards else "",
    )


def _results(record: RunRecord) -> Markup:
    """The final figures with their intervals, at the halt and by segment."""
    parts: list[str] = []
    if "parameters" in record.missing:
        parts.append(missing(f"The number of parameters is unknown: {record.missing['parameters']}."))
    if record.best is not None:
        parts.append(
            element(
                "p",
                f"The best checkpoint on the way is from update {record.best.updates:,}, with "
                f"{100 * record.best.success_rate:.2f}% of the unseen puzzles of its evaluation solved.",
            )
        )
    if "evaluation" in record.missing:
        return joined(missing(f"There are no final figures: {record.missing['evaluation']}."), *parts)
    found = record.evaluation
    rows: list[list[str]] = [
        [
            figure.title,
            value_of(figure, found[figure.name]),
            interval_of(figure, record.intervals.get(figure.name)),
            figure.meaning,
        ]
        for figure in FIGURES
        if figure.name in found
    ]
    classes = f" of {found['num_classes']:,} symmetry classes" if "num_classes" in found else ""
    puzzles = f"{found['num_puzzles']:,} puzzles{classes}" if "num_puzzles" in found else "an unknown number of puzzles"
    text = (
        f"Final evaluation on {puzzles} of the {found.get('split', 'unknown')} split, unseen in training. Intervals "
        "are over the choice of puzzles; they say nothing about other seeds of training."
    )
    return joined(
        element("p", text),
        table("Final figures", ["Figure", "Value", "95% interval", "Meaning"], rows),
        *parts,
        _by_segment(found.get("success_per_segment") or [], found.get("halts_per_segment") or []),
    )


def _by_segment(success: Sequence[float], halts: Sequence[float]) -> Markup:
    """Success of stopping at each segment, and where the model halts."""
    if not success:
        return missing("Success per segment is not recorded.")
    rows: list[list[str]] = [
        [
            str(segment),
            _bar(share),
            _bar(halts[segment - 1]) if segment <= len(halts) else "",
        ]
        for segment, share in enumerate(success, 1)
    ]
    head = ["Segment", "Solved by its answer", "Puzzles that halt there"]
    return table("Success per segment, if all puzzles stopped there; and where the model halts", head, rows, "bars")


def _bar(share: float) -> Markup:
    """A share with a bar of that length."""
    bar = element("span", class_="bar", style=f"--share: {min(max(share, 0.0), 1.0):.4f}", aria_hidden="true")
    return joined(element("data", f"{100 * share:.2f}%", value=repr(share)), bar)


def _training(record: RunRecord, charts: Charts) -> Markup:
    """Curves over updates."""
    if "curves" in record.missing:
        return missing(f"There are no training curves: {record.missing['curves']}.")
    drawings = [(course.draw, course.caption) for course in courses(record.curves)]
    if not drawings:
        return missing("There are no training curves yet: the first record is written after run.log_every updates.")
    return charts.grid(drawings)


def _halting(thinking: Thinking, charts: Charts) -> Markup:
    """How well the model chooses when to halt, and how far its Q(halt) can be trusted."""
    report = thinking.halting
    if report is None:
        return missing(f"Halting was not measured: {thinking.missing['halting']}.")
    drawings = [
        (
            partial(draw_halting, report),
            f"Success and halts on {report.num_puzzles:,} unseen puzzles. The oracle halts at the first right answer.",
        ),
        (
            partial(draw_reliability, report),
            "Reliability of Q(halt) over all segments, with 95% Wilson intervals. The lower panel counts the answers.",
        ),
    ]
    bins: list[list[str]] = [
        [
            f"{each.low:.1f} to {each.high:.1f}",
            f"{each.count:,}",
            f"{each.mean_probability:.3f}",
            f"{each.share_right:.3f}",
            "[{:.3f}, {:.3f}]".format(*wilson(each.share_right, each.count)),
        ]
        for each in report.calibration.bins
    ]
    head = ["Q(halt) as a probability", "Answers", "Mean probability", "Share right", "95% interval"]
    return joined(
        element(
            "p",
            f"Measured for this page on the first {report.num_puzzles:,} puzzles of the test split, each thought "
            f"through to segment {report.max_segments}: how well the model chooses where to stop.",
        ),
        charts.grid(drawings),
        table("Quality of the halts", ["Figure", "Value", "95% interval", "Meaning"], _quality(report)),
        table("Calibration of Q(halt), over the answers of all segments", head, bins),
    )


def _quality(report: HaltingReport) -> list[list[str]]:
    """Rows: figure, value, interval over puzzles, meaning."""
    on_policy = report.calibration_on_policy
    figures: list[tuple[str, str, float | None, str]] = [
        ("halt_precision", "Halts on a right answer", report.halt_precision, "share of the halts by choice"),
        ("halt_recall", "Solvable puzzles halted right", report.halt_recall, "share of those right at some segment"),
        ("auc_on_policy", "AUC of Q(halt)", report.auc_on_policy, "right against wrong answers, up to the halt"),
        ("", "Calibration error", on_policy.ece, "ten bins of equal width, up to the halt"),
        ("", "Brier score", on_policy.brier, "up to the halt"),
        ("", "Success of the oracle", report.oracle_success_rate, "right at some segment"),
        ("", "Segments of the oracle", report.oracle_mean_segments, "up to the first right answer"),
        ("", "Lost to halts", report.success_regret, "success of the oracle less that of the model"),
        ("", "Wasted segments", report.wasted_segments, "per puzzle, after the first right answer"),
        ("", "Mean return", report.mean_return, "discounted reward less segment costs"),
    ]
    rows: list[list[str]] = []
    for name, title, value, meaning in figures:
        interval = report.intervals.get(name)
        shown = "\N{EN DASH}" if value is None else element("data", f"{value:.4f}", value=repr(value))
        bounds = "\N{EN DASH}" if interval is None else "[{:.4f}, {:.4f}]".format(*interval)
        rows.append([title, shown, bounds, meaning])
    return rows


def _thought(thinking: Thinking, charts: Charts) -> Markup:
    """Strips of frames, one for each puzzle."""
    if "episodes" in thinking.missing:
        return missing(f"There are no frames: {thinking.missing['episodes']}.")
    strips = []
    for number, steps in enumerate(thinking.episodes, 1):
        frames = [
            element(
                "li",
                element(
                    "img",
                    src=f"data:image/png;base64,{base64.b64encode(step.png).decode()}",
                    alt=f"puzzle {number}, {step.title}",
                ),
                element("b", step.title),
                *(element("span", note) for note in step.notes),
            )
            for step in steps
        ]
        caption = f"Unseen puzzle {number}: the puzzle, then the answer of each segment."
        strips.append(charts.figure(element("ol", *frames, class_="frames"), caption, "strip"))
    return element("div", *strips, class_="strips")


def _origin(record: RunRecord) -> dict[str, str]:
    """What a rerun has to share with the run to give the same figures."""
    origin = {name: breakable(value) for name, value in record.origin().items()}
    return {"Seed": record.settings().get(SEED, "?"), "Folder": breakable(record.folder.name), **origin}
