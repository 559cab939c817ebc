"""``hrm-agents bench``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from hrm_agents.commands.common import parse, progress
from hrm_agents.environments import make_vector
from hrm_agents.errors import UserError


@dataclass(frozen=True)
class Bench:
    """Measure how many environment steps per second a vector environment makes with random actions."""

    envs: Annotated[tuple[str, ...], tyro.conf.Positional] = ("HRM/Sudoku-9x9-v0", "HRM/Maze-30x30-v0")
    """Gymnasium ids."""
    num_envs: int = 256
    """Rows of the vector environment."""
    seconds: float = 3.0
    """How long to measure each."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Bench, "bench", arguments)
    if options.seconds <= 0:
        raise UserError(f"--seconds must be positive, got {options.seconds}")
    table = Table("id", "rows", "env-steps/s, answers from the action space", "env-steps/s, uint8 answers")
    for id in options.envs:
        with progress(f"measuring {id}") as share:
            env = make_vector(id, options.num_envs, {})
            rates = [steps_per_second(env, options.seconds / 2, dtype) for dtype in (np.int64, np.uint8)]
            share(1.0)
        table.add_row(id, str(options.num_envs), *(f"{rate:,.0f}" for rate in rates))
    Console().print(table)
    return 0


def steps_per_second(env: Any, seconds: float, dtype: Any = np.int64) -> float:
    """Rows stepped per second, over about ``seconds``, with answers of ``dtype`` and halts from the action space.

    The actions are drawn before the clock starts: drawing them takes longer than the step.
    """
    env.action_space.seed(0)
    actions = []
    for _ in range(16):
        action = env.action_space.sample()
        actions.append({"answer": action["answer"].astype(dtype), "halt": action["halt"]})
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    steps, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        env.step(actions[steps % len(actions)])
        steps += 1
    return steps * env.num_envs / elapsed
