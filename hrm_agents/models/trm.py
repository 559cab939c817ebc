"""The Tiny Recursive Model: HRM's recursion with one small network in both roles.

Jolicoeur-Martineau 2025, "Less is More: Recursive Reasoning with Tiny Networks", arXiv 2510.04871. Tests compare it
with numbers that the author's code computed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from hrm_agents.models.architecture import Architecture, BlockSettings
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.models.interface import Sizes
from hrm_agents.models.layers import ReasoningModule


@dataclass(frozen=True, kw_only=True)
class TRMSettings(BlockSettings):
    """Settings of a Tiny Recursive Model. Steps are the paper's."""

    num_layers: int = 2
    """Blocks in the network."""
    H_cycles: int = 3
    """T, recursions per segment; all but the last are without gradient."""
    L_cycles: int = 6
    """n, steps of the latent z in each recursion, before the step of the answer y."""


class TRM(HRM):
    """HRM with one network for planner and worker, and the gradient through the whole last recursion.

    The planner's state is the answer y of the paper, the worker's its latent z: n times z = net(z, y + x), then
    y = net(y, z); and this T times in a segment. The paper halts by Q(halt) alone, as the rule "probability" does.

    Args:
        settings: width, depth and steps.
        sizes: of the task.

    Raises:
        ValueError: the settings do not fit together or the task.
    """

    def __init__(self, settings: TRMSettings, sizes: Sizes) -> None:
        blocks = {each.name: getattr(settings, each.name) for each in fields(BlockSettings)}
        architecture = Architecture(
            **blocks,
            H_layers=settings.num_layers,
            L_layers=settings.num_layers,
            H_cycles=settings.H_cycles,
            L_cycles=settings.L_cycles,
            gradient="cycle",
        )
        super().__init__(HRMConfig.for_task(architecture, sizes))
        self.settings: TRMSettings = settings

    @classmethod
    def build(cls, settings: TRMSettings, sizes: Sizes) -> TRM:  # type: ignore[override]
        """Make a network with new weights.

        Raises:
            ValueError: the settings do not fit together or the task.
        """
        return cls(settings, sizes)

    def _add_modules(self) -> None:
        self.net = ReasoningModule(self.config.L_layers, self.config, self.num_slots)

    @property
    def H(self) -> ReasoningModule:  # type: ignore[override]
        """The network in the role of the planner."""
        return self.net

    @property
    def L(self) -> ReasoningModule:  # type: ignore[override]
        """The network in the role of the worker."""
        return self.net
