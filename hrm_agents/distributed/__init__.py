"""Training in several processes at once: what they split, exchange and agree on.

Each process (a *rank*) has the whole network and some rows of the batch. ``torchrun`` starts them; :func:`joined` makes
them one group. :class:`Ranks` is a process alone, for which there is nothing to do, and :class:`ManyRanks` one of
several. Everything between processes happens here.
"""

from hrm_agents.distributed.launch import joined, restarts_failures, was_restarted
from hrm_agents.distributed.process_group import ManyRanks
from hrm_agents.distributed.ranks import ALONE, FailedElsewhere, RankLost, Ranks, Rows

__all__ = [
    "ALONE",
    "FailedElsewhere",
    "ManyRanks",
    "RankLost",
    "Ranks",
    "Rows",
    "joined",
    "restarts_failures",
    "was_restarted",
]
