"""Networks that think in segments."""

from hrm_agents.models.hrm import HRM, Carry, HRMConfig, SegmentOutput

__all__ = ["HRM", "Carry", "HRMConfig", "SegmentOutput"]
