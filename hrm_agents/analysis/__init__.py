"""What trained agents do: how well they choose when to halt, in figures and (in `plots`) in pictures.

Needs numpy alone; `hrm_agents.analysis.plots` loads pygame when something is drawn.
"""

from hrm_agents.analysis.halting_report import HaltingReport, halting_report
from hrm_agents.analysis.monitor import HaltingMonitor

__all__ = ["HaltingMonitor", "HaltingReport", "halting_report"]
