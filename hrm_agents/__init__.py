"""Hierarchical Reasoning Models as reinforcement-learning agents in Gymnasium environments."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrm_agents.models.registry import register_model
    from hrm_agents.solving.solution import Segment, Solution
    from hrm_agents.solving.solver import Solver, load

__version__: str

__all__ = ["Segment", "Solution", "Solver", "__version__", "load", "register_model"]


def __getattr__(name: str) -> Any:
    # On first use: `hrm-agents --help` should not wait for torch.
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("hrm-agents")
        except PackageNotFoundError:  # a checkout on the path, never installed
            return "unknown"
    if name in ("Segment", "Solution", "Solver", "load"):
        from hrm_agents.solving import solver as api

        return getattr(api, name)
    if name == "register_model":
        from hrm_agents.models.registry import register_model

        return register_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
