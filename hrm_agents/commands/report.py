"""``hrm-agents report``."""

from __future__ import annotations

import io
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from hrm_agents.commands.common import EXPLAINED, Device, Modules, parse, progress, say
from hrm_agents.errors import UserError
from hrm_agents.limits import Limits
from hrm_agents.records.files import check_writable, write_atomically

if TYPE_CHECKING:
    from hrm_agents.reports.markup import Markup
    from hrm_agents.reports.page import Step, Thinking
    from hrm_agents.reports.run_record import RunRecord
    from hrm_agents.solving.recording import Frame
    from hrm_agents.solving.solution import Segment
    from hrm_agents.solving.solver import Solver

#: Width and height of a frame in the page, in pixels; twice the size at which it is usually shown.
_FRAME = 288
#: A strip shows at most this many segments.
_MOST_FRAMES = 16


@dataclass(frozen=True)
class Report:
    """Write one HTML page on a training run, or one that compares several runs.

    The page of a run has its final figures with 95% intervals, training curves, how well it halts, frames of thought on
    unseen puzzles, all settings, and the command that trains it again. The page of several runs has their figures side
    by side (mean and 95% t interval over runs that differ in the seed alone), their curves on top of each other, and
    the settings that differ. A page is one file that loads nothing, and says what a run lacks.
    """

    runs: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN ...", help_behavior_hint="")
    ] = ()
    """Folders of training runs, finished or not."""
    out: Annotated[Path | None, EXPLAINED] = None
    """The HTML file; if omitted, report.html in the folder of the run, or comparison.html here for several."""
    num_puzzles: int = 500
    """Page of one run: number of test puzzles on which halting is measured, at every segment; 0 leaves this out."""
    episodes: int = 3
    """Page of one run: number of unseen puzzles whose frames are shown (needs the extra `render`); 0 leaves them
    out."""
    module: Modules = ()
    device: Device = "cpu"


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Report, "report", arguments)
    Limits(0, 1_000_000).check("--num-puzzles", options.num_puzzles)
    Limits(0, 50).check("--episodes", options.episodes)
    _check_runs(options.runs)
    from hrm_agents.reports.comparison import comparison_page
    from hrm_agents.reports.page import run_page
    from hrm_agents.reports.run_record import RunRecord
    from hrm_agents.user_modules import import_modules

    import_modules(options.module)
    records = [RunRecord.read(folder) for folder in options.runs]
    out = options.out or (options.runs[0] / "report.html" if len(records) == 1 else Path("comparison.html"))
    check_writable(out)
    reruns = [_rerun(record, options.module) for record in records]
    if len(records) == 1:
        text = run_page(records[0], _think(records[0], options), reruns[0], _versions())
    else:
        from hrm_agents.commands.frontier_runs import FREE_SETTINGS

        text = comparison_page(records, reruns, FREE_SETTINGS, _versions())
    write_atomically(out, text.encode())
    say(f"wrote {out}")
    return 0


def _check_runs(runs: Sequence[Path]) -> None:
    """Check that there are runs, and none twice, which would make differences between seeds look smaller.

    Raises:
        UserError: there is none, or one is given twice.
    """
    if not runs:
        raise UserError("give the folder of a training run, or several to compare: hrm-agents report RUN ...")
    places = [run.resolve() for run in runs]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise UserError(f"{runs[number]} is given twice: name each run once")


def _rerun(record: RunRecord, modules: Sequence[str]) -> Markup:
    """The command that trains a run again, or why there is none."""
    from hrm_agents.commands.rerun import rerun_command
    from hrm_agents.records.checkpoint import CONFIG
    from hrm_agents.reports.markup import element, missing

    try:
        return element("pre", element("code", rerun_command(record.config, str(record.folder / CONFIG), modules)))
    except UserError as error:
        return missing(f"There is no command that trains this run again: {error}.")


def _think(record: RunRecord, options: Report) -> Thinking:
    """Measure and draw what the model of a run does on unseen puzzles, as far as that is possible here."""
    from hrm_agents.reports.page import Thinking
    from hrm_agents.solving.solver import load

    omitted = {
        **({} if options.num_puzzles else {"halting": "--num-puzzles 0 leaves it out"}),
        **({} if options.episodes else {"episodes": "--episodes 0 leaves them out"}),
    }
    if len(omitted) == 2:
        return Thinking(missing=omitted)
    try:
        solver = load(record.folder, options.device)
    except UserError as error:
        return Thinking(missing={"halting": str(error), "episodes": str(error)} | omitted)
    halting, episodes = None, []
    if "halting" not in omitted:
        try:
            with progress("measuring halts") as share:
                report = solver.evaluate(first=options.num_puzzles, until="end", progress=share)
            halting = report.halting
        except UserError as error:
            omitted["halting"] = str(error)
    if "episodes" not in omitted:
        try:
            episodes = _episodes(solver, options.episodes)
        except UserError as error:
            omitted["episodes"] = str(error)
    return Thinking(halting, episodes, omitted)


def _episodes(solver: Solver, number: int) -> list[list[Step]]:
    """The first unseen puzzles, frame by frame.

    Raises:
        UserError: the environment cannot be made or drawn.
    """
    from hrm_agents.solving.recording import record_episode

    env = solver.make_env(render_mode="rgb_array", num_puzzles=number)
    found = [record_episode(solver, env, options={"index": index}) for index in range(number)]
    env.close()
    return [_steps(*episode) for episode in found]


def _steps(frames: Sequence[Frame], segments: Sequence[Segment]) -> list[Step]:
    """The puzzle and its segments; of very many, the first and the last ones."""
    from hrm_agents.reports.page import Step

    steps = [Step(_png(frames[0]), "puzzle")]
    skipped = range(_MOST_FRAMES // 2, len(segments) - _MOST_FRAMES // 2)
    for number, (frame, segment) in enumerate(zip(frames[1:], segments, strict=True)):
        if number not in skipped:
            steps.append(Step(_png(frame), f"segment {number + 1}", _notes(segment)))
    return steps


def _notes(segment: Segment) -> list[str]:
    """Verdict, partial credit and Q-values of a segment, a line each."""
    verdict = "right" if segment.success else f"wrong, score {segment.score:.2f}"
    values = {"Q halt": segment.q_halt, "Q continue": segment.q_continue, "gain": segment.gain}
    shown = [f"{name} {value:.2f}" for name, value in values.items() if value is not None]
    return [verdict, *shown, *(["ends here"] if segment.halt else [])]


def _png(frame: Frame) -> bytes:
    """The board of a frame, uint8 ``[H, W, 3]``, as a small PNG file.

    The board fills the square at the left of a wide frame and at the top of a tall one; the page writes the rest.
    """
    from PIL import Image

    side = min(frame.shape[:2])
    board = Image.fromarray(frame[:side, :side]).resize((_FRAME, _FRAME), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    board.quantize(128, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _versions() -> str:
    """What makes the page."""
    import torch

    from hrm_agents import __version__

    return f"hrm-agents {__version__}, torch {torch.__version__} and Python {platform.python_version()}"
