"""PPO of Stable-Baselines3 learns to walk through mazes that it has not seen; an HRM is its features extractor.

    python sb3_maze_moves.py --extractor hrm --seed 0 --out runs/hrm-0

The HRM thinks about the maze without the walker and is read where the walker stands: once for all steps of a walk. MLP
and CNN see the whole picture, walker and all, at every step. While they learn, walks begin anywhere in the maze, and a
step pays if it leads closer to G. They are judged by walks from S that reach G within as many steps as the maze has
open cells, in mazes that are no rotation or reflection of one trained on; of random walkers 6% do. OUT gets model.zip
and progress.csv: steps, minutes of CPU (of judging too), success of the policy as it acts (sampled) and of its most
likely moves.
"""

import argparse
import time
from pathlib import Path
from typing import Any

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
SHAPE = {"H_layers": 1, "L_layers": 1, "H_cycles": 1, "L_cycles": 4, "expansion": 2.0, "prefix_slots": 0}
HRM = {
    "features_extractor_class": HRMWalkerExtractor, "features_extractor_kwargs": {
        "architecture": Architecture(**SHAPE, position="rope2d", rope_theta=100.0, gradient="cycle"), "border": 1,
        "space_options": {"grids": {"observation": (9, 9)}}, "walker": AGENT, "seen_as": {AGENT: FREE, START: FREE},
    }, "optimizer_class": AdamATan2, "optimizer_kwargs": {"weight_decay": 0.0},
}  # fmt: skip


class SmallCNN(BaseFeaturesExtractor):
    """Three convolutions that keep the size, for pictures smaller than the 36 pixels that NatureCNN needs."""

    def __init__(self, observation_space: gym.spaces.Box) -> None:
        super().__init__(observation_space, 128)
        planes, rows, columns = observation_space.shape
        layers = [layer for size in (planes, 32, 32) for layer in (nn.Conv2d(size, 32, 3, padding=1), nn.ReLU())]
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * rows * columns, 128), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        """Features [B, 128] of planes [B, 5, rows, columns] between 0 and 1."""
        return self.net(observations)


#: By extractor: observation, learning rate at first, keywords of PPO and those of its policy.
SETTINGS: dict[str, tuple[str, float, dict[str, Any], dict[str, Any]]] = {
    "hrm": ("tokens", 1e-3, {"n_epochs": 1, "batch_size": 1024, "rollout_buffer_class": WalkBuffer}, HRM),
    "mlp": ("planes", 5e-4, {"n_epochs": 4, "batch_size": 256}, {"net_arch": [256, 256]}),
    "cnn": ("planes", 5e-4, {"n_epochs": 4, "batch_size": 256}, {"features_extractor_class": SmallCNN}),
}


def success(model: PPO, observation: str, mazes: int, deterministic: bool) -> float:
    """Share of the first ``mazes`` unseen mazes in which the walker reaches G."""
    env = gym.make_vec(ENV, num_envs=mazes, split="test", observation=observation)
    obs, _ = env.reset(seed=0, options={"index": np.arange(mazes)})
    won, over = np.zeros((2, mazes), bool)
    while not over.all():
        obs, _, terminated, truncated, _ = env.step(model.predict(obs, deterministic=deterministic)[0])
        won |= terminated & ~over
        over |= terminated | truncated
    return float(won.mean())


def main(arguments: list[str] | None = None) -> None:
    """Train, and judge on unseen mazes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extractor", choices=SETTINGS, default="hrm", help="what looks at the maze")
    parser.add_argument("--steps", type=int, default=2_000_000, help="of the environment, in 64 mazes at once")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the mazes and the moves")
    parser.add_argument("--out", type=Path, default=Path("runs/walk"), help="folder for progress.csv and model.zip")
    parser.add_argument("--mazes", type=int, default=1000, help="how many unseen ones judge; a fifth now and then")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)  # nets this small gain nothing from more
    observation, rate, settings, policy_kwargs = SETTINGS[args.extractor]
    walks = gym.make_vec(ENV, num_envs=64, shaping=True, gamma=1.0, exploring_starts=True, observation=observation)
    # Closer pays 1, farther -1, a bump -0.5; G itself no more, or all else would be small beside it.
    venv = ReasoningVecEnv(TransformReward(walks, lambda reward: np.clip(50 * reward, -1, 1)))
    # With the usual entropy bonus a policy grows sure of its first guesses and stops learning; with the usual initial
    # logits and weight of the value's loss, the features are made for the critic.
    model = PPO(
        "MlpPolicy", VecNormalize(venv, norm_obs=False, gamma=0.9), seed=args.seed, device="cpu", n_steps=32,
        learning_rate=lambda left: rate * left, gamma=0.9, gae_lambda=0.5, ent_coef=0.2, vf_coef=0.05, **settings,
        policy_kwargs={"net_arch": [], "ortho_init": False, **policy_kwargs},
    )  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    progress, start = ["steps,cpu_minutes,sampled,most_likely"], time.process_time()

    def judge(mazes: int) -> None:
        sampled, likely = (success(model, observation, mazes, deterministic) for deterministic in (False, True))
        progress.append(f"{model.num_timesteps},{(time.process_time() - start) / 60:.2f},{sampled:.3f},{likely:.3f}")
        print(progress[-1], flush=True)
        (args.out / "progress.csv").write_text("\n".join(progress) + "\n")

    def watch(*_: Any) -> bool:
        if model.num_timesteps >= 100_000 * len(progress):
            judge(max(args.mazes // 5, 1))
        return True

    model.learn(args.steps, callback=watch)
    model.save(args.out / "model.zip")
    judge(args.mazes)


if __name__ == "__main__":
    main()
