"""A training loop of your own in plain torch: an HRM, a Rollout and the losses, without the Trainer.

    python examples/own_loop.py [--env HRM/Sudoku-4x4-v0] [--updates 1000] [--out FOLDER]

Every update thinks one segment about each of 32 puzzles. The answer head learns from the solutions (deep supervision).
The Q-head learns what halting pays and what continuing is worth, as in the paper (arXiv 2506.21734, section 2).
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
from hrm_agents.halting.q_scale import LOGIT
from hrm_agents.halting.targets import continue_target
from hrm_agents.losses import stablemax_cross_entropy
from hrm_agents.models import HRM, Architecture, HRMConfig
from hrm_agents.optim import EMA, AdamATan2
from hrm_agents.policy import HRMPolicy
from hrm_agents.presets import preset
from hrm_agents.records.checkpoint import save_model
from hrm_agents.rollout import Rollout, SegmentBatch

NUM_ENVS = 32
LEARNING_RATE = 7e-4
WARMUP = 200
"""Updates over which the learning rate rises from 0."""
PRINT_EVERY = 100


def losses(model: HRM, batch: SegmentBatch, max_segments: int) -> dict[str, Tensor]:
    """Mean losses over the rows of one segment."""
    decision = batch.decision
    # The value of continuing is the best Q-value of the next segment: run it ahead, without gradient.
    with torch.no_grad():
        _, ahead = model(decision.carry, batch.puzzle, batch.task_id)
    is_last_t = batch.segment + 1 >= max_segments
    target = continue_target(ahead.q_halt, ahead.q_continue, is_last_t=is_last_t)
    return {
        "answer": stablemax_cross_entropy(decision.output.logits, batch.solution).mean(),
        "q_halt": LOGIT.loss(decision.output.q_halt, batch.halt_reward).mean(),
        "q_continue": LOGIT.loss(decision.output.q_continue, target).mean(),
    }


def train(env_id: str, architecture: Architecture, *, updates: int, seed: int, out: Path | None) -> Evaluation:
    """Train in an environment, save the model if ``out`` is given, and evaluate on 500 unseen puzzles."""
    torch.manual_seed(seed)
    env = gym.make_vec(env_id, num_envs=NUM_ENVS, split="train", expose_solution=True)
    model = HRM(HRMConfig.for_task(architecture, env.task_spec))
    optimizer = AdamATan2(model.parameters(), lr=LEARNING_RATE)  # or any optimizer of torch
    average = EMA(model.dense_parameters(), decay=0.999)
    # One episode in ten must think for a random number of segments, so that the model learns late segments too.
    exploration = Exploration(per="episode", probability=0.1, max_segments=env.max_segments)
    rollout = Rollout(env, HRMPolicy(model), exploration, seed)

    for update, batch in enumerate(islice(rollout, updates), start=1):
        terms = losses(model, batch, env.max_segments)
        loss = terms["answer"] + 0.5 * (terms["q_halt"] + terms["q_continue"])
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, update / WARMUP)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update()

        if update % PRINT_EVERY == 0:
            parts = [f"{name} {term.item():.3f}" for name, term in terms.items()]
            solved = f"solved {batch.success.mean():.0%} in segment {batch.segment.float().mean():.1f}"
            print(f"{update:6}", *parts, solved, sep="  ", flush=True)

    # The averaged weights are the better ones: evaluate and save these.
    average.copy_to(model.dense_parameters())
    report = evaluate(HRMPolicy(model), env_id, first=500)
    if out is not None:
        # What hrm_agents.load and the commands need to know about a model.
        metadata = {"env": {"id": env_id, "kwargs": {}}, "task": asdict(env.task_spec), "training": {}}
        save_model(out, model, metadata)
    return report


def main(arguments: list[str] | None = None) -> Evaluation:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="HRM/Sudoku-4x4-v0", help="Sudoku, a maze, or a task of your own")
    parser.add_argument("--updates", type=int, default=1000, help="training updates, one segment of 32 puzzles each")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of the puzzles")
    parser.add_argument("--out", type=Path, help="save the model here, for hrm-agents evaluate, solve and watch")
    options = parser.parse_args(arguments)

    torch.set_num_threads(1)
    architecture = preset(options.env).model
    report = train(options.env, architecture, updates=options.updates, seed=options.seed, out=options.out)
    print(f"{report.success_rate:.1%} of {report.num_puzzles} unseen puzzles, {report.mean_segments:.2f} segments each")
    return report


if __name__ == "__main__":
    main()
