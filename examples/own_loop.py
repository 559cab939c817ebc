"""A training loop of your own, in plain torch: an HRM, a Rollout and the losses, without the Trainer.

    python examples/own_loop.py [--env HRM/Sudoku-4x4-v0] [--updates 1000] [--out FOLDER]

Every update thinks one segment about each of 32 puzzles. The answer head learns the solutions (deep supervision),
the Q-head what halting pays and what thinking on is worth, as in the paper: arXiv 2506.21734, section 2.
"""

import argparse
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import gymnasium as gym
import torch
from torch import Tensor

import hrm_envs  # noqa: F401  (registers the ids)
from hrm_agents.evaluation.evaluate import Evaluation, evaluate
from hrm_agents.halting.exploration import Exploration
from hrm_agents.halting.targets import continue_target
from hrm_agents.losses import q_loss, stablemax_cross_entropy
from hrm_agents.models import HRM, Architecture, HRMConfig
from hrm_agents.optim import EMA, AdamATan2
from hrm_agents.policy import HRMPolicy
from hrm_agents.presets import preset
from hrm_agents.records.checkpoint import save_model
from hrm_agents.rollout import Rollout, SegmentBatch


def losses(model: HRM, batch: SegmentBatch, max_segments: int) -> dict[str, Tensor]:
    """Mean losses over the rows of one segment."""
    decision = batch.decision
    # What thinking on is worth is asked of the next segment: think it ahead, for its values alone.
    with torch.no_grad():
        _, ahead = model(decision.carry, batch.puzzle, batch.task_id)
    target = continue_target(ahead.q_halt, ahead.q_continue, next_is_last=batch.segment + 1 >= max_segments)
    return {
        "answer": stablemax_cross_entropy(decision.output.logits, batch.solution).mean(),
        "q_halt": q_loss(decision.output.q_halt, batch.halt_reward).mean(),
        "q_continue": q_loss(decision.output.q_continue, target).mean(),
    }


def train(env_id: str, architecture: Architecture, *, updates: int, seed: int, out: Path | None) -> Evaluation:
    """Train on the puzzles of an environment, judge on 500 unseen ones, and save the model if told where."""
    torch.manual_seed(seed)
    env = gym.make_vec(env_id, num_envs=32, split="train", expose_solution=True)
    model = HRM(HRMConfig.for_task(architecture, env.task_spec))
    optimizer = AdamATan2(model.parameters(), lr=7e-4)  # or another one of torch
    average = EMA(model.dense_parameters(), decay=0.999)
    # One episode in ten must think for longer than it wants to, so that late segments are learned too.
    exploration = Exploration(per="episode", probability=0.1, max_segments=env.max_segments)
    rollout = Rollout(env, HRMPolicy(model), exploration, seed)
    for update, batch in enumerate(islice(rollout, updates), start=1):
        found = losses(model, batch, env.max_segments)
        optimizer.zero_grad()
        (found["answer"] + 0.5 * (found["q_halt"] + found["q_continue"])).backward()
        for group in optimizer.param_groups:
            group["lr"] = 7e-4 * min(1.0, update / 200)
        optimizer.step()
        average.update()
        if update % 100 == 0:
            print(
                f"{update:6}",
                *(f"{name} {loss.item():.3f}" for name, loss in found.items()),
                f"solved {batch.success.mean():.0%} in segment {batch.segment.float().mean():.1f}",
                sep="  ",
                flush=True,
            )
    average.copy_to(model.dense_parameters())
    report = evaluate(model, env_id, first=500)
    if out is not None:
        # All that hrm_agents.load, and the commands, must know of a model.
        about = {"env": {"id": env_id, "kwargs": {}}, "task": asdict(env.task_spec), "training": {}}
        save_model(out, model, about)
    return report


def main(arguments: list[str] | None = None) -> Evaluation:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="HRM/Sudoku-4x4-v0", help="Sudoku, a maze, or a task of your own")
    parser.add_argument("--updates", type=int, default=1000, help="segments of thought in each of 32 rows")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of the puzzles")
    parser.add_argument("--out", type=Path, help="save the model here, for hrm-agents evaluate, solve and watch")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    report = train(options.env, preset(options.env).model, updates=options.updates, seed=options.seed, out=options.out)
    print(f"{report.success_rate:.1%} of {report.num_puzzles} unseen puzzles, {report.mean_segments:.2f} segments each")
    return report


if __name__ == "__main__":
    main()
