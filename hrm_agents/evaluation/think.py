"""Thinking about each puzzle only until the policy halts, so that compute follows difficulty.

A row that halts is given the next puzzle; when no puzzles are left, the batch shrinks. Rows do not interact, so each
puzzle gets the answer that it would get alone. Only the last bits of logits and Q-values may differ, because matrix
products of another size may add up in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hrm_agents.evaluation.outcomes import Solutions
from hrm_agents.policy import HRMPolicy

#: Makes the carry that puzzles start from, given their numbers, int64 ``[B]``, in the environment's order.
Initial = Callable[[NDArray[np.int64]], Any]


@torch.no_grad()
def think_to_halt(
    policy: HRMPolicy,
    env: Any,
    *,
    first: int | None = None,
    initial: Initial | None = None,
    progress: Callable[[float], None] | None = None,
) -> Solutions:
    """Think about every puzzle of an environment until the policy halts or the segments run out.

    Args:
        policy: thinks and halts; its model is not changed.
        env: a vector environment without autoreset, from :func:`hrm_agents.evaluation.evaluate.open_env`. The model
            gets batches of its size until fewer puzzles are left.
        first: number of puzzles, from the first on; all if omitted or if the environment has fewer.
        initial: carry to start from; the model's own initial carry if omitted.
        progress: called with the share done, whenever a puzzle is.
    """
    total = env.num_puzzles if first is None else min(env.num_puzzles, first)
    result = Solutions.empty(total, env.task_spec.num_cells)
    # The environment steps all its rows, so those beyond the last puzzle play copies of it. The model does not.
    puzzle = np.minimum(np.arange(env.num_envs), total - 1)
    rows = np.arange(min(env.num_envs, total))
    begun, done = len(rows), 0
    answer, halt = np.zeros((env.num_envs, env.task_spec.num_cells), np.uint8), np.zeros(env.num_envs, np.bool_)
    obs, _ = env.reset(seed=0, options={"index": puzzle})
    carry, fresh = policy.initial_carry(len(rows)), np.ones(len(rows), np.bool_)
    while len(rows):
        if initial is not None and fresh.any():
            carry = policy.put_rows(carry, fresh, initial(puzzle[rows[fresh]]))
            fresh = np.zeros_like(fresh)
        decision = policy.act({name: array[rows] for name, array in obs.items()}, carry, fresh)
        answer[rows], halt[rows] = decision.answer.cpu().numpy(), decision.halt.cpu().numpy()
        obs, _, terminated, _, info = env.step({"answer": answer, "halt": halt})
        ended = terminated[rows]
        places = rows[ended]
        _record(result, puzzle[places], places, obs, info)
        output, halt_at = decision.output, torch.from_numpy(ended).to(policy.device)
        result.q_halt[puzzle[places]] = output.q_halt[halt_at].cpu().numpy()
        result.q_continue[puzzle[places]] = output.q_continue[halt_at].cpu().numpy()

        refilled = places[: total - begun]
        puzzle[refilled] = np.arange(begun, begun + len(refilled))
        begun += len(refilled)
        if terminated.any():
            obs, _ = env.reset(options={"reset_mask": terminated, "index": puzzle[terminated]})
        kept = ~ended | np.isin(rows, refilled)
        carry, fresh, rows = policy.keep_rows(decision.carry, kept), ended[kept], rows[kept]
        if progress is not None and len(places):
            done += len(places)
            progress(done / total)
    return result


def _record(
    result: Solutions,
    puzzles: NDArray[np.int64],
    places: NDArray[np.int64],
    obs: dict[str, NDArray[Any]],
    info: dict[str, NDArray[Any]],
) -> None:
    """Store what the environment says about ``puzzles``, whose episodes ended in its rows ``places``."""
    result.answer[puzzles] = obs["answer"][places]
    result.segments[puzzles] = obs["segment"][places, 0]
    result.success[puzzles] = info["is_success"][places]
    result.score[puzzles] = info["score"][places]
    result.forced_halt[puzzles] = info["forced_halt"][places]
