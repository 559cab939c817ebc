"""Puzzles solved per second: with rows that take the next puzzle when they halt, and with as many segments for all."""

from __future__ import annotations

import time
from typing import Any

import torch

from hrm_agents.evaluation.evaluate import open_env
from hrm_agents.evaluation.think import think_to_halt
from hrm_agents.halting.decisions import FixedLength
from hrm_agents.policy import HRMPolicy
from hrm_agents.solving.solver import Solver

#: The ways to think, by name.
REFILLED, FIXED = "until it halts", "always M segments"


class SolvingSpeed:
    """A trained model and test puzzles, ready to be measured.

    Args:
        solver: the model.
        num_puzzles: how many to solve in each round.
        batch_size: puzzles at a time.
        env_kwargs: keywords of the environment, changed or added.
    """

    def __init__(self, solver: Solver, num_puzzles: int, batch_size: int, env_kwargs: dict[str, Any]) -> None:
        self.num_puzzles = num_puzzles
        self.env = open_env(solver.env_id, {**solver.saved_kwargs(env_kwargs), **env_kwargs}, batch_size=batch_size)
        self.policies = {
            REFILLED: solver.policy,
            FIXED: HRMPolicy(solver.model, rule=FixedLength(self.env.max_segments)),
        }
        #: Mean number of segments, by way to think; known after a measurement.
        self.segments: dict[str, float] = {}

    def puzzles_per_second(self, way: str) -> float:
        """Solve the puzzles once."""
        policy = self.policies[way]
        start = time.perf_counter()
        solutions = think_to_halt(policy, self.env, first=self.num_puzzles)
        if policy.device.type == "cuda":
            torch.cuda.synchronize(policy.device)
        seconds = time.perf_counter() - start
        self.segments[way] = float(solutions.segments.mean())
        return len(solutions.segments) / seconds
