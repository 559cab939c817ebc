"""Stable-Baselines3's DQN learns when to stop thinking, and nothing else: a trained, frozen HRM answers.

    pip install "hrm-agents[sb3]" && python examples/halt_only.py [CHECKPOINT] [--seeds 0 1 2]

After each segment the DQN sees what the HRM's own Q-head reads and says, and chooses: hand the answer in, or think on?
A right answer pays 1, each further segment costs --segment-cost. In the end both play the same unseen puzzles.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import DQN

from hrm_agents import BUNDLED_MAZE, Solver, load
from hrm_agents.environments import of_unseen
from hrm_agents.integrations.sb3 import ReasoningVecEnv
from hrm_agents.rollout import step_info
from hrm_agents.solving.thinker import HRMThinker
from hrm_envs.wrappers import HaltOnlyVector


class Halting(NamedTuple):
    """How well somebody stopped: share solved, mean segments, and what an episode earned."""

    success: float
    segments: float
    earned: float


def make_env(solver: Solver, num_envs: int, *, split: str, segment_cost: float) -> HaltOnlyVector:
    """The environment of a checkpoint, in which its HRM thinks and the agent says when to stop."""
    known = of_unseen(solver.env_kwargs) if split == "test" else solver.env_kwargs
    settings = {**known, "split": split, "reward": "exact", "segment_cost": segment_cost}
    return HaltOnlyVector(gym.make_vec(solver.env_id, num_envs=num_envs, **settings), HRMThinker(solver.model))


def learn(solver: Solver, *, steps: int, segment_cost: float, seed: int) -> DQN:
    """Train a DQN on the puzzles that the HRM was trained on, for so many segments of thought."""
    num_envs = 64
    env = make_env(solver, num_envs, split="train", segment_cost=segment_cost)
    agent = DQN(
        "MlpPolicy",
        ReasoningVecEnv(env),
        # Thinking is what costs time, so each segment is learned from often.
        learning_rate=lambda left: 1e-3 * left,
        buffer_size=steps,
        learning_starts=min(1000, steps // 2),
        batch_size=256,
        train_freq=1,
        gradient_steps=16,
        target_update_interval=10 * num_envs,
        # Episodes end by themselves, and waiting has its price already.
        gamma=1.0,
        # A random choice is a halt every other time: with more of them late segments are hardly seen.
        exploration_initial_eps=0.3,
        exploration_final_eps=0.1,
        exploration_fraction=0.5,
        seed=seed,
        device="cpu",
    )
    return agent.learn(steps)


def play(solver: Solver, agent: DQN, *, puzzles: int, segment_cost: float) -> Halting:
    """Let the DQN stop the HRM on the first so many unseen puzzles, without exploration."""
    env = make_env(solver, puzzles, split="test", segment_cost=segment_cost)
    obs, _ = env.reset(seed=0, options={"index": np.arange(puzzles)})
    success, segments, earned = np.zeros(puzzles, np.bool_), np.zeros(puzzles), np.zeros(puzzles)
    playing = np.ones(puzzles, np.bool_)
    while playing.any():
        action, _ = agent.predict(obs, deterministic=True)
        obs, reward, ended, _, info = env.step(action)
        segments += playing
        earned += np.where(playing, reward, 0.0)
        success |= playing & ended & step_info(info, "is_success")
        # Rows that ended are given further puzzles, which do not count.
        playing &= ~ended
    return Halting(float(success.mean()), float(segments.mean()), float(earned.mean()))


def main(arguments: list[str] | None = None) -> dict[str, Halting]:
    """Train and compare; returns the rows of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, nargs="?", default=BUNDLED_MAZE, help="default: the bundled model")
    parser.add_argument("--steps", type=int, default=10_000, help="segments of thought to learn from")
    parser.add_argument("--segment-cost", type=float, default=0.01, help="price of a further segment; 1 is the reward")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one DQN is trained for each")
    parser.add_argument("--puzzles", type=int, default=1000, help="unseen ones to compare on")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    solver = load(options.checkpoint)
    print(f"{solver.env_id}, {options.puzzles} unseen puzzles, a further segment costs {options.segment_cost}")
    print(f"{'who stops':17} solved  segments  earned")
    report = solver.evaluate(first=options.puzzles)
    everyone = {f"segment {t}": (rate, t) for t, rate in enumerate(report.success_per_segment, start=1)}
    everyone["HRM's own Q-head"] = (report.success_rate, report.mean_segments)
    table = {}
    for name, (success, segments) in everyone.items():
        table[name] = Halting(success, segments, success - options.segment_cost * (segments - 1))
        show(name, table[name])
    for seed in options.seeds:
        agent = learn(solver, steps=options.steps, segment_cost=options.segment_cost, seed=seed)
        table[f"DQN, seed {seed}"] = play(solver, agent, puzzles=options.puzzles, segment_cost=options.segment_cost)
        show(f"DQN, seed {seed}", table[f"DQN, seed {seed}"])
    return table


def show(name: str, row: Halting) -> None:
    """Print a row of the table."""
    print(f"{name:17} {row.success:6.1%}  {row.segments:8.2f}  {row.earned:6.3f}", flush=True)


if __name__ == "__main__":
    main()
