"""PPO from Stable-Baselines3 learns to walk through unseen mazes, with an HRM as its features extractor.

    python sb3_maze_moves.py --extractor hrm --seed 0 --out runs/hrm-0

The HRM thinks about the maze without the agent, once for all steps of a walk, and PPO reads its features of the cell
where the agent stands. The MLP and the CNN see the whole picture, agent included, at every step.

In training, walks begin anywhere in the maze and a step earns a reward if it leads closer to G. In evaluation, walks
begin at S and must reach G within as many steps as the maze has open cells; no maze is a rotation or reflection of a
training maze. A random agent succeeds in 6% of these walks. Evaluations along the way use validation mazes, the last
one test mazes.

OUT receives model.zip and progress.csv: steps, CPU minutes (evaluations included), success with sampled actions and
success with the most likely actions.
"""

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers.vector import TransformReward
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn

from hrm_agents.integrations.sb3 import ReasoningVecEnv
from hrm_agents.integrations.sb3_walker import HRMWalkerExtractor, WalkBuffer
from hrm_agents.models import Architecture
from hrm_agents.optim import AdamATan2
from hrm_envs.maze.tokens import FREE, START
from hrm_envs.moves.settings import AGENT

ENV = "hrm_envs:HRM/MazeMoves-9x9-v0"
NUM_ENVS = 64
EVAL_EVERY = 100_000
"""Steps between two evaluations."""


class SmallCNN(BaseFeaturesExtractor):
    """Three convolutions that keep the size: NatureCNN needs at least 36 x 36 pixels."""

    def __init__(self, observation_space: gym.spaces.Box) -> None:
        super().__init__(observation_space, features_dim=128)
        planes, rows, columns = observation_space.shape
        self.net = nn.Sequential(
            nn.Conv2d(planes, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * rows * columns, 128),
            nn.ReLU(),
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Planes float32 ``[B, 5, rows, columns]`` between 0 and 1 to features ``[B, 128]``."""
        return self.net(observations)


class Settings(NamedTuple):
    """What differs from one extractor to another."""

    observation: str
    """Form of the observation: "tokens" or "planes"."""
    learning_rate: float
    """At the start; it falls linearly to 0."""
    ppo: dict[str, Any]
    """Keywords of PPO."""
    policy: dict[str, Any]
    """Keywords of its policy."""


ARCHITECTURE = Architecture(
    H_layers=1,
    L_layers=1,
    H_cycles=1,
    L_cycles=4,
    expansion=2.0,
    prefix_slots=0,
    position="rope2d",
    rope_theta=100.0,
    gradient="cycle",
)
HRM_POLICY = {
    "features_extractor_class": HRMWalkerExtractor,
    "features_extractor_kwargs": {
        "architecture": ARCHITECTURE,
        # The HRM sees free cells in place of the agent and of S, so that it thinks about the maze alone.
        "walker": AGENT,
        "seen_as": {AGENT: FREE, START: FREE},
        # The outer walls are the same in all mazes.
        "border": 1,
        "space_options": {"grids": {"observation": (9, 9)}},
    },
    "optimizer_class": AdamATan2,
    "optimizer_kwargs": {"weight_decay": 0.0},
}
SETTINGS = {
    # WalkBuffer fills minibatches with whole walks, so that each holds few mazes to think about.
    "hrm": Settings(
        observation="tokens",
        learning_rate=1e-3,
        ppo={"n_epochs": 1, "batch_size": 1024, "rollout_buffer_class": WalkBuffer},
        policy=HRM_POLICY,
    ),
    "mlp": Settings(
        observation="planes",
        learning_rate=5e-4,
        ppo={"n_epochs": 4, "batch_size": 256},
        policy={"net_arch": [256, 256]},
    ),
    "cnn": Settings(
        observation="planes",
        learning_rate=5e-4,
        ppo={"n_epochs": 4, "batch_size": 256},
        policy={"features_extractor_class": SmallCNN},
    ),
}


def make_training_env(observation: str) -> VecNormalize:
    """Training mazes with walks that begin anywhere, and a reward for every step."""
    envs = gym.make_vec(ENV, num_envs=NUM_ENVS, shaping=True, gamma=1.0, exploring_starts=True, observation=observation)
    # A step closer to G pays 1, a step away from it -1, a bump into a wall -0.5. Reaching G pays no more than a step:
    # a larger reward would make all others small once VecNormalize has scaled them.
    envs = TransformReward(envs, lambda reward: np.clip(50 * reward, -1, 1))
    return VecNormalize(ReasoningVecEnv(envs), norm_obs=False, gamma=0.9)


def make_agent(settings: Settings, seed: int) -> PPO:
    """PPO with the hyperparameters that all extractors share."""
    return PPO(
        "MlpPolicy",
        make_training_env(settings.observation),
        learning_rate=lambda remaining: settings.learning_rate * remaining,
        n_steps=32,
        gamma=0.9,
        gae_lambda=0.5,
        # With the usual 0.01 the policy becomes certain of its first guesses and stops learning.
        ent_coef=0.2,
        # With the usual weight of the value loss (0.5) and orthogonal initialisation, the critic shapes the features.
        vf_coef=0.05,
        policy_kwargs={"net_arch": [], "ortho_init": False, **settings.policy},
        seed=seed,
        device="cpu",
        **settings.ppo,
    )


def success(model: PPO, observation: str, mazes: int, deterministic: bool, split: str = "test") -> float:
    """Share of the first ``mazes`` unseen mazes of a split in which the agent reaches G."""
    env = gym.make_vec(ENV, num_envs=mazes, split=split, observation=observation)
    obs, _ = env.reset(seed=0, options={"index": np.arange(mazes)})
    arrived = np.zeros(mazes, bool)
    ended = np.zeros(mazes, bool)
    while not ended.all():
        action, _ = model.predict(obs, deterministic=deterministic)
        obs, _, terminated, truncated, _ = env.step(action)
        # The environments start further walks after an end; only the first walk of each counts.
        arrived |= terminated & ~ended
        ended |= terminated | truncated
    return float(arrived.mean())


def main(arguments: list[str] | None = None) -> None:
    """Train, and evaluate on unseen mazes along the way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extractor", choices=SETTINGS, default="hrm", help="network that reads the maze")
    parser.add_argument("--steps", type=int, default=2_000_000, help="training steps, all 64 environments together")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the mazes and the actions")
    parser.add_argument("--out", type=Path, default=Path("runs/walk"), help="folder for progress.csv and model.zip")
    parser.add_argument(
        "--mazes", type=int, default=1000, help="unseen mazes in the final evaluation; others use a fifth of them"
    )
    options = parser.parse_args(arguments)

    torch.set_num_threads(1)  # networks this small gain nothing from more
    settings = SETTINGS[options.extractor]
    model = make_agent(settings, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    progress = ["steps,cpu_minutes,sampled,most_likely"]
    start = time.process_time()

    def evaluate(mazes: int, split: str) -> None:
        """Add a line to progress.csv."""
        sampled = success(model, settings.observation, mazes, deterministic=False, split=split)
        most_likely = success(model, settings.observation, mazes, deterministic=True, split=split)
        minutes = (time.process_time() - start) / 60
        line = f"{model.num_timesteps},{minutes:.2f},{sampled:.3f},{most_likely:.3f}"
        print(line, flush=True)
        progress.append(line)
        (options.out / "progress.csv").write_text("\n".join(progress) + "\n")

    def evaluate_if_due(*_: Any) -> bool:
        """PPO calls this after every step of the environments; True means: continue."""
        if model.num_timesteps >= EVAL_EVERY * len(progress):
            evaluate(max(options.mazes // 5, 1), "validation")
        return True

    model.learn(options.steps, callback=evaluate_if_due)
    model.save(options.out / "model.zip")
    evaluate(options.mazes, "test")


if __name__ == "__main__":
    main()
