"""The analyses of ``hrm-agents analyse``: options, what they measure, draw and print."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from hrm_agents.commands.common import EXPLAINED, Device, Keywords, Modules
from hrm_agents.limits import Limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hrm_agents.analysis.attention import AttentionMap
    from hrm_agents.analysis.depth import Depth
    from hrm_agents.analysis.dimension import Dimensions
    from hrm_agents.analysis.residuals import Residuals
    from hrm_agents.analysis.settling import Settling
    from hrm_agents.analysis.trajectories import Trajectories
    from hrm_agents.solving.solver import Solver

Progress = Callable[[float], None]
#: An option for the number of segments that most analyses have.
Segments = Annotated[int | None, EXPLAINED]


@dataclass(frozen=True)
class Analysis(ABC):
    """Options that all analyses share, and what each has to provide."""

    out: Annotated[Path | None, EXPLAINED] = None
    """Draw the result into this file, NAME.png, .pdf or .svg."""
    json: Annotated[Path | None, EXPLAINED] = None
    """Write the numbers to this file; - for standard output, in place of the summary."""
    dark: bool = False
    """Draw on a dark background."""
    kwargs: Keywords = ()
    module: Modules = ()
    device: Device = "cpu"

    @abstractmethod
    def measure(self, solver: Solver, env_kwargs: Mapping[str, Any], progress: Progress) -> Any:
        """Analyse one model."""

    @abstractmethod
    def draw(self, results: Sequence[Any]) -> Figure:
        """Draw the results of all models."""

    @abstractmethod
    def summary(self, result: Any) -> list[str]:
        """What the result says, in a few lines."""


@dataclass(frozen=True)
class ResidualsOptions(Analysis):
    """How far each step moves the states (forward residuals).

    In an HRM the worker L should converge within a cycle and be given new work by every step of the planner H, which
    converges steadily (section 2 of the HRM paper). Networks that step in other ways show one residual per segment.
    """

    num_puzzles: int = 64
    """Number of unseen puzzles."""
    segments: Segments = None
    """Number of segments; as in training if omitted."""

    def measure(self, solver: Solver, env_kwargs: Mapping[str, Any], progress: Progress) -> Residuals:
        """See :class:`Analysis`."""
        from hrm_agents.analysis.residuals import forward_residuals

        return forward_residuals(
            solver, num_puzzles=self.num_puzzles, segments=self.segments, env_kwargs=env_kwargs, progress=progress
        )

    def draw(self, results: Sequence[Residuals]) -> Figure:
        """See :class:`Analysis`."""
        from hrm_agents.reports.analysis_charts import draw_residuals

        return draw_residuals(results[0], dark=self.dark)

    def summary(self, result: Residuals) -> list[str]:
        """Median residual of the first and the last step of each state."""
        import numpy as np

        medians = np.median(result.residual, axis=0).reshape(-1)
        names = result.steps * result.residual.shape[1]
        lines = []
        for name in dict.fromkeys(result.steps):
            mine = [float(value) for value, step in zip(medians, names, strict=True) if step == name]
            lines.append(f"{name}: median residual {mine[0]:.3g} at step 1, {mine[-1]:.3g} at step {len(mine)}")
        return lines


@dataclass(frozen=True)
class DimensionOptions(Analysis):
    """In how many dimensions the states vary (participation ratio).

    The paper reports 89.95 for the planner's state z_H and 30.22 for the worker's z_L (section 4). Give several
    checkpoints before the word dimension, such as runs/x/best runs/x, for the course of training.
    """

    num_puzzles: int = 256
    """Number of unseen puzzles."""
    samples: Literal["puzzles", "cells"] = "puzzles"
    """What varies: the whole state from puzzle to puzzle, or the state vectors over the cells of all puzzles."""
    segments: Segments = None
    """Measure after this many segments; as in training if omitted."""

    def measure(self, solver: Solver, env_kwargs: Mapping[str, Any], progress: Progress) -> Dimensions:
        """See :class:`Analysis`."""
        from hrm_agents.analysis.dimension import state_dimensions

        return state_dimensions(
            solver,
            num_puzzles=self.num_puzzles,
            samples=self.samples,
            segments=self.segments,
            env_kwargs=env_kwargs,
            progress=progress,
        )

    def draw(self, results: Sequence[Dimensions]) -> Figure:
        """See :class:`Analysis`."""
        from hrm_agents.reports.analysis_charts import draw_dimensions

        return draw_dimensions(results, dark=self.dark)

    def summary(self, result: Dimensions) -> list[str]:
        """The ratios with their intervals."""
        lines = []
        for state in result.states:
            low, high = state.interval
            limit = "" if state.limit is None else f", about {state.limit:.1f} for infinitely many"
            lines.append(
                f"{result.model}, {state.name}: participation ratio {state.ratio:.1f} [{low:.1f}, {high:.1f}] over "
                f"{result.num_puzzles} puzzles{limit}; at most {state.most}"
            )
        return lines


@dataclass(frozen=True)
class TrajectoriesOptions(Analysis):
    """How the states move from segment to segment.

    Each puzzle is a path in the first two principal components of all states, coloured by segment.
    """

    num_puzzles: int = 64
    """Number of unseen puzzles."""
    segments: Segments = None
    """Number of segments; as in training if omitted."""

    def measure(self, solver: Solver, env_kwargs: Mapping[str, Any], progress: Progress) -> Trajectories:
        """See :class:`Analysis`."""
        from hrm_agents.analysis.trajectories import state_trajectories

        return state_trajectories(
            solver, num_puzzles=self.num_puzzles, segments=self.segments, env_kwargs=env_kwargs, progress=progress
        )

    def draw(self, results: Sequence[Trajectories]) -> Figure:
        """See :class:`Analysis`."""
        from hrm_agents.reports.analysis_charts import draw_trajectories

        return draw_trajectories(results[0], dark=self.dark)

    def summary(self, result: Trajectories) -> list[str]:
        """The variance that the picture shows."""
        shares = {state.name: float(state.explained.sum()) for state in result.states}
        return [f"{name}: two components explain {share:.1%} of the variance" for name, share in shares.items()]


@dataclass(frozen=True)
class SettlingOptions(Analysis):
    """From which segment on the cells keep their tokens."""

    num_puzzles: int = 256
    """Number of unseen puzzles."""
    puzzle: Annotated[int | None, EXPLAINED] = None
    """The puzzle to draw, from 0; the one whose cells change for longest if omitted."""
    segments: Segments = None
    """Number of segments; as in training if omitted."""

    def measure(self, solver: Solver, env_kwargs: Mapping[str, Any], progress: Progress) -> Settling:
        """See :class:`Analysis`."""
        from hrm_agents.analysis.settling import cell_settling

        found = cell_settling(
            solver, num_puzzles=self.num_puzzles, segments=self.segments, env_kwargs=env_kwargs, progress=progress
        )
        if self.puzzle is not None:
            Limits(0, len(found.puzzle) - 1).check("--puzzle", self.puzzle)
        return found

    def draw(self, results: Sequence[Settling]) -> Figure:
        """See :class:`Analysis`."""
        from hrm_agents.reports.board_charts import draw_settling

        return draw_settling(results[0], self.puzzle, dark=self.dark)

    def summary(self, result: Settling) -> list[str]:
        """The share of cells that settle at each segment."""
        last = result.solved.shape[1]
        shares = {segment: float((result.settled == segment).mean()) for segment in range(1, last + 1)}
        return [f"settle at segment {segment}: {share:.2%} of the cells" for segment, share in shares.items() if share]


@dataclass(frozen=True)
class AttentionOptions(Analysis):
    """Where one cell looks: its attention to all cells of the board."""

    layer: Annotated[str | None, EXPLAINED] = None
    """Name of the attention layer, such as H.blocks.1.attention; the last one of a segment if omitted."""
    head: Annotated[tuple[int, ...], EXPLAINED] = ()
    """Heads to draw, from 0; all if omitted."""
    cell: Annotated[tuple[int, int] | None, EXPLAINED] = None
    """Row and column of the cell, from 1; the first one that the model has to fill if omitted."""
    puzzle: int = 0
    """The puzzle, from 0."""
    segments: Segments = None
    """Look in this segment; in the last one of training if omitted."""

    def measure(self, solver: Solver, env_kwargs: Mapping[str, Any], progress: Progress) -> AttentionMap:
        """See :class:`Analysis`."""
        from hrm_agents.analysis.attention import attention_map

        found = attention_map(
            solver,
            layer=self.layer,
            cell=self.cell,
            index=self.puzzle,
            segments=self.segments,
            env_kwargs=env_kwargs,
            progress=progress,
        )
        for head in self.head:
            Limits(0, len(found.weights) - 1).check("--head", head)
        return found

    def draw(self, results: Sequence[AttentionMap]) -> Figure:
        """See :class:`Analysis`."""
        from hrm_agents.reports.board_charts import draw_attention

        return draw_attention(results[0], self.head or None, dark=self.dark)

    def summary(self, result: AttentionMap) -> list[str]:
        """The cell that each head attends to most, and the layers to choose from."""
        columns = result.grid_shape[1]
        lines = []
        for head in self.head or range(len(result.weights)):
            most = int(result.weights[head].argmax())
            place = f"row {most // columns + 1}, column {most % columns + 1}"
            lines.append(f"{result.layer}, head {head}: most attention to {place}, {result.weights[head].max():.1%}")
        return [*lines, f"layers: {', '.join(result.layers)}"]


@dataclass(frozen=True)
class DepthOptions(Analysis):
    """Success with more segments than in training.

    Intervals are 95% Wilson intervals over symmetry classes of puzzles.
    """

    num_puzzles: int = 128
    """Number of unseen puzzles."""
    segments: int = 64
    """The largest number of segments."""

    def measure(self, solver: Solver, env_kwargs: Mapping[str, Any], progress: Progress) -> Depth:
        """See :class:`Analysis`."""
        from hrm_agents.analysis.depth import success_by_depth

        return success_by_depth(
            solver, num_puzzles=self.num_puzzles, segments=self.segments, env_kwargs=env_kwargs, progress=progress
        )

    def draw(self, results: Sequence[Depth]) -> Figure:
        """See :class:`Analysis`."""
        from hrm_agents.reports.analysis_charts import draw_depth

        return draw_depth(results[0], dark=self.dark)

    def summary(self, result: Depth) -> list[str]:
        """Success after 1, 2, 4, ... segments, and at those of training."""
        last = len(result.success)
        counts = sorted({2**power for power in range(last.bit_length())} | {last, min(last, result.trained_segments)})
        lines = []
        for count in counts:
            low, high = result.intervals[count - 1]
            training = " (as in training)" if count == result.trained_segments else ""
            lines.append(f"{count} segments{training}: {result.success[count - 1]:.1%} [{low:.1%}, {high:.1%}] solved")
        return lines


#: The analyses, by the word on the command line.
ANALYSES: dict[str, type[Analysis]] = {
    "residuals": ResidualsOptions,
    "dimension": DimensionOptions,
    "trajectories": TrajectoriesOptions,
    "settling": SettlingOptions,
    "attention": AttentionOptions,
    "depth": DepthOptions,
}
