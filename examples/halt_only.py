"""A DQN from Stable-Baselines3 learns only when to stop: a trained, frozen HRM gives the answers.

    pip install "hrm-agents[sb3]" && python examples/halt_only.py [CHECKPOINT] [--seeds 0 1 2]

After each segment the DQN sees the features and the Q-values of the HRM's own Q-head, and chooses whether to halt. A
right answer pays 1, each further segment costs --segment-cost. At the end a table compares the DQN with the HRM's own
halting and with fixed numbers of segments, on the same test puzzles. With several seeds, means follow with their 95%
intervals: over seeds of the DQN, since the HRM and the puzzles are the same for all.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import DQN

from hrm_agents import Solver, load
from hrm_agents.environments import of_unseen
from hrm_agents.evaluation.evaluate import Evaluation
from hrm_agents.integrations.sb3 import ReasoningVecEnv
from hrm_agents.reports.frontier_interval import Spread
from hrm_agents.rollout import step_info
from hrm_agents.solving.thinker import HRMThinker
from hrm_envs.wrappers import HaltOnlyVector

NUM_ENVS = 64


class Halting(NamedTuple):
    """A row of the table."""

    success: float
    """Share of puzzles solved."""
    segments: float
    """Mean number of segments."""
    earned: float
    """Mean return of an episode."""


def make_env(solver: Solver, num_envs: int, *, split: str, segment_cost: float) -> HaltOnlyVector:
    """The checkpoint's environment, with its HRM inside: the action is the halt alone."""
    kwargs = solver.env_kwargs if split == "train" else of_unseen(solver.env_kwargs, split)
    kwargs = {**kwargs, "split": split, "reward": "exact", "segment_cost": segment_cost}
    envs = gym.make_vec(solver.env_id, num_envs=num_envs, **kwargs)
    return HaltOnlyVector(envs, HRMThinker(solver.model))


def learn(solver: Solver, *, steps: int, segment_cost: float, seed: int) -> DQN:
    """Train a DQN for ``steps`` segments, on the puzzles that the HRM was trained on."""
    env = make_env(solver, NUM_ENVS, split="train", segment_cost=segment_cost)
    agent = DQN(
        "MlpPolicy",
        ReasoningVecEnv(env),
        learning_rate=lambda remaining: 1e-3 * remaining,
        buffer_size=steps,
        learning_starts=min(1000, steps // 2),
        batch_size=256,
        # The HRM's segments take most of the time, so the DQN learns from each of them often.
        train_freq=1,
        gradient_steps=16,
        target_update_interval=10 * NUM_ENVS,
        # Episodes end after a few segments, and the segment cost already makes waiting worse.
        gamma=1.0,
        # Half of all random actions halt: with more of them the DQN would hardly see late segments.
        exploration_initial_eps=0.3,
        exploration_final_eps=0.1,
        exploration_fraction=0.5,
        seed=seed,
        device="cpu",
    )
    return agent.learn(steps)


def play(solver: Solver, agent: DQN, *, puzzles: int, segment_cost: float) -> Halting:
    """Let the DQN halt the HRM on the first ``puzzles`` unseen puzzles, without exploration."""
    env = make_env(solver, puzzles, split="test", segment_cost=segment_cost)
    obs, _ = env.reset(seed=0, options={"index": np.arange(puzzles)})
    playing = np.ones(puzzles, np.bool_)
    success = np.zeros(puzzles, np.bool_)
    segments = np.zeros(puzzles)
    earned = np.zeros(puzzles)
    while playing.any():
        action, _ = agent.predict(obs, deterministic=True)
        obs, reward, ended, _, info = env.step(action)
        segments += playing
        earned += np.where(playing, reward, 0.0)
        success |= playing & ended & step_info(info, "is_success")
        # The environments go on to further puzzles after an end; only the first of each counts.
        playing &= ~ended
    return Halting(float(success.mean()), float(segments.mean()), float(earned.mean()))


def without_dqn(report: Evaluation, segment_cost: float) -> dict[str, Halting]:
    """The rows to compare with: fixed numbers of segments, and the HRM's own Q-head."""
    results = {f"segment {t}": (rate, t) for t, rate in enumerate(report.success_per_segment, start=1)}
    results["HRM's own Q-head"] = (report.success_rate, report.mean_segments)
    return {
        name: Halting(success, segments, success - segment_cost * (segments - 1))
        for name, (success, segments) in results.items()
    }


def show(name: str, row: Halting) -> None:
    """Print a row of the table."""
    print(f"{name:17} {row.success:6.1%}  {row.segments:8.2f}  {row.earned:6.3f}", flush=True)


def show_means(rows: list[Halting]) -> None:
    """Print the means over seeds, with 95% intervals where seeds differ."""
    for name, values, digits in zip(Halting._fields, zip(*rows, strict=True), (".1%", ".2f", ".3f"), strict=True):
        spread = Spread.of(values)
        ends = "" if spread.interval is None else " ({0:{2}} to {1:{2}})".format(*spread.interval, digits)
        print(f"DQN, mean {name} of {len(rows)} seeds: {spread.mean:{digits}}{ends}")


def main(arguments: list[str] | None = None) -> dict[str, Halting]:
    """Train and compare; returns the rows of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", default=Path("maze-9x9"), help="folder of a run, or name of a model"
    )
    parser.add_argument("--steps", type=int, default=10_000, help="training steps of the DQN, one segment each")
    parser.add_argument("--segment-cost", type=float, default=0.01, help="cost of each further segment")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one DQN is trained for each seed")
    parser.add_argument("--puzzles", type=int, default=1000, help="unseen puzzles to compare on")
    options = parser.parse_args(arguments)

    torch.set_num_threads(1)
    solver = load(options.checkpoint)
    report = solver.evaluate(first=options.puzzles)
    puzzles = f"{report.num_puzzles} test puzzles ({report.num_classes} up to symmetry)"
    print(f"{solver.env_id}, {puzzles}, a further segment costs {options.segment_cost}")
    print(f"{'who stops':17} solved  segments  earned")
    table = without_dqn(report, options.segment_cost)
    for name, row in table.items():
        show(name, row)
    for seed in options.seeds:
        agent = learn(solver, steps=options.steps, segment_cost=options.segment_cost, seed=seed)
        name = f"DQN, seed {seed}"
        table[name] = play(solver, agent, puzzles=options.puzzles, segment_cost=options.segment_cost)
        show(name, table[name])
    if len(options.seeds) > 1:
        show_means([table[f"DQN, seed {seed}"] for seed in options.seeds])
    return table


if __name__ == "__main__":
    main()
