"""The Hierarchical Reasoning Model as one segment: (carry, puzzle) -> (carry, answer logits, Q-values).

Wang et al. 2025, "Hierarchical Reasoning Model", arXiv 2506.21734, section 2. Where the paper and its authors' code
differ, this follows the code; tests compare it with numbers that the code computed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from torch import Tensor

from hrm_agents.models.architecture import Architecture
from hrm_agents.models.embeddings import rotary_tables
from hrm_agents.models.grid import GridModel
from hrm_agents.models.interface import SegmentOutput, Sizes, TaskSizes
from hrm_agents.models.limits import check_setting
from hrm_agents.models.recursion import Carry, Recursion

__all__ = ["HRM", "Architecture", "Carry", "HRMConfig", "SegmentOutput", "TaskSizes"]


@dataclass(frozen=True)
class HRMConfig(Sizes, Architecture):
    """An architecture and the sizes of a task."""

    @classmethod
    def for_task(cls, architecture: Architecture, task: TaskSizes) -> HRMConfig:
        """Combine ``architecture`` with the three sizes of ``task``, such as a ``TaskSpec``."""
        return cls(**asdict(architecture), **asdict(Sizes.of(task)))

    def __post_init__(self) -> None:
        """Check what would otherwise fail deep inside a layer, or exceed the memory of any machine.

        Raises:
            ValueError: a size has the wrong type or is out of bounds (:data:`hrm_agents.models.limits.LIMITS`), or the
                heads do not fit.
        """
        super().__post_init__()
        self.check()
        check_setting("the number of slots that puzzle_emb_ndim fills", self.num_prefix_slots, "prefix_slots")

    @property
    def architecture(self) -> Architecture:
        """The part that does not depend on the task."""
        return Architecture(**{each.name: getattr(self, each.name) for each in fields(Architecture)})

    @property
    def num_prefix_slots(self) -> int:
        """P, the number of slots before the grid."""
        return self.prefix_of(self.num_task_ids)


class HRM(Recursion, GridModel):
    """Planner and worker over one puzzle, with an answer head and a Q-head."""

    config: HRMConfig

    def __init__(self, config: HRMConfig) -> None:
        super().__init__(config, config.num_prefix_slots + config.num_cells)
        self._add_embedding(config.architecture, Sizes.of(config))
        self._add_modules()
        self._add_heads()
        self._add_states(rotary_tables(config, config.num_prefix_slots, [config.grid_shape]))

    @classmethod
    def build(cls, settings: Architecture, sizes: Sizes) -> HRM:
        """Make a network with new weights.

        Raises:
            ValueError: as :class:`HRMConfig`.
        """
        return cls(HRMConfig.for_task(settings, sizes))

    def forward(self, carry: Carry, puzzle: Tensor, task_id: Tensor | None = None) -> tuple[Carry, SegmentOutput]:
        """Run one segment; see :meth:`Recursion.think` for the part with gradient.

        Args:
            carry: states after the previous segment, with the rows of new puzzles reset.
            puzzle: uint8 or int [B, S], tokens in row-major order.
            task_id: int [B]; needed with task embeddings only.

        Returns:
            The new carry, detached, and the outputs of the segment, read from the planner's state.
        """
        return self._outcome(self.think(carry, self._embed(puzzle, task_id)))

    def prepare(self, carry: Carry, puzzle: Tensor, task_id: Tensor | None = None) -> Carry:
        """See :class:`SegmentModel`."""
        return self.think_untracked(carry, self._embed(puzzle, task_id))

    def finish(self, carry: Carry, puzzle: Tensor, task_id: Tensor | None = None) -> tuple[Carry, SegmentOutput]:
        """See :class:`SegmentModel`."""
        return self._outcome(self.think_tracked(carry, self._embed(puzzle, task_id)))

    def _embed(self, puzzle: Tensor, task_id: Tensor | None) -> Tensor:
        x: Tensor = self.embedding(puzzle, task_id).to(self.dtype)
        return x

    def _outcome(self, states: Carry) -> tuple[Carry, SegmentOutput]:
        return states.detach(), self.read(states.z_H)
