"""Networks that think in segments."""

from hrm_agents.models.encoder import FeaturePart, HRMEncoder, InputPart, TokenPart
from hrm_agents.models.hrm import HRM, Architecture, Carry, HRMConfig
from hrm_agents.models.interface import SegmentModel, SegmentOutput, Sizes
from hrm_agents.models.walker import WalkerEncoder

__all__ = [
    "HRM",
    "Architecture",
    "Carry",
    "FeaturePart",
    "HRMConfig",
    "HRMEncoder",
    "InputPart",
    "SegmentModel",
    "SegmentOutput",
    "Sizes",
    "TokenPart",
    "WalkerEncoder",
]
