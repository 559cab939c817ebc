"""Hierarchical Reasoning Models as reinforcement-learning agents in Gymnasium environments."""

from importlib.metadata import version as _version

from hrm_agents.api import Solution, Solver, load

__version__ = _version("hrm-agents")

__all__ = ["Solution", "Solver", "__version__", "load"]
