"""``hrm-agents bench env``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from hrm_agents.commands.benches.base import MeasuredBench, Result
from hrm_agents.commands.common import EXPLAINED, progress
from hrm_agents.commands.walking import is_walked
from hrm_agents.environments import user_id
from hrm_agents.limits import Limits

#: Default environments.
ENVS = ("HRM/Sudoku-9x9-v0", "HRM/Maze-30x30-v0")


@dataclass(frozen=True)
class EnvBench(MeasuredBench):
    """Steps per second of vector environments, with random actions.

    A step of one row is a segment, or a move in environments with one move per step.
    """

    envs: Annotated[tuple[str, ...], tyro.conf.Positional, EXPLAINED] = ()
    """Gymnasium ids; if omitted, two built-in ones. module:id and FILE.py:id import your module first."""
    num_envs: int = 256
    """Rows of the vector environment."""
    seconds: float = 1.0
    """Seconds to measure each in a round."""

    def measure(self) -> Result:
        """See :class:`Bench`."""
        from hrm_agents.speed.rounds import in_turn, machine
        from hrm_agents.speed.stepping import open_reasoning, open_walks, steps_per_second

        self.check_rounds()
        Limits(0.0, 3600.0, open_low=True).check("--seconds", self.seconds)
        parts = {}
        with ExitStack() as opened, progress("stepping") as share:
            for id in map(user_id, self.envs or ENVS):
                env, kinds = (open_walks if is_walked(id) else open_reasoning)(id, self.num_envs)
                opened.callback(env.close)
                for kind, actions in kinds.items():

                    def rate(env: Any = env, actions: Sequence[Any] = actions) -> float:
                        return steps_per_second(env, actions, self.seconds)

                    parts[id, kind] = rate
            names = {f"{id}, {kind}": (id, kind) for id, kind in parts}
            found = in_turn({name: parts[names[name]] for name in names}, self.rounds, share)
        figures = [
            {"env": id, "actions": kind, "rows": self.num_envs, "steps_per_second": found[name].to_dict()}
            for name, (id, kind) in names.items()
        ]
        lines = [[id, kind, str(self.num_envs), found[name].text()] for name, (id, kind) in names.items()]
        return Result(("id", "actions", "rows", "env-steps/s"), lines, {"machine": machine(), "figures": figures})
