"""What ``hrm-agents bench`` can measure: options and figures of each."""

from hrm_agents.commands.benches.base import Bench, Result
from hrm_agents.commands.benches.env import EnvBench
from hrm_agents.commands.benches.scale import ScaleBench
from hrm_agents.commands.benches.solve import SolveBench
from hrm_agents.commands.benches.train import TrainBench

#: By name.
BENCHES: dict[str, type[Bench]] = {"env": EnvBench, "train": TrainBench, "solve": SolveBench, "scale": ScaleBench}

__all__ = ["BENCHES", "Bench", "Result"]
