"""PPO of Stable-Baselines3 learns to walk through mazes that it has not seen; an HRM is its features extractor.

    python sb3_maze_moves.py --extractor hrm --seed 0 --out runs/hrm-0
    python sb3_maze_moves.py --extractor cnn --seed 0 --out runs/cnn-0

The HRM thinks about the maze without the walker and is read where the walker stands. So a maze is thought about once
for all steps of a walk, not once a step. MLP and CNN see the whole picture, walker and all, at every step.

While it learns, a step closer to G pays at once (shaping). Success is to reach G within as many steps as the maze has
open cells, in mazes that are no rotation or reflection of one trained on; of random walkers 6% do. OUT gets model.zip
and progress.csv: steps, minutes of CPU, success of the policy as it acts (sampled) and of its most likely moves.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn

import hrm_envs  # noqa: F401  registers the environments
from hrm_agents.integrations.sb3 import ReasoningVecEnv
from hrm_agents.integrations.sb3_walker import HRMWalkerExtractor
from hrm_agents.models.architecture import Architecture

ENV, GAMMA = "HRM/MazeMoves-9x9-v0", 0.99
FREE, START, WALKER = 2, 3, 6  # tokens of the observation
SHAPE = {"H_layers": 1, "L_layers": 1, "H_cycles": 1, "L_cycles": 4, "expansion": 2.0, "prefix_slots": 0}
HRM = {
    "architecture": Architecture(**SHAPE, position="rope2d", rope_theta=100.0, gradient="cycle"),
    "space_options": {"grids": {"observation": (9, 9)}}, "walker": WALKER, "seen_as": {WALKER: FREE, START: FREE},
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


#: By extractor: observation, learning rate at first, steps in a minibatch, and policy_kwargs. The HRM thinks once about
#: each maze in a minibatch, so it takes all 1,024 steps at once.
SETTINGS: dict[str, tuple[str, float, int, dict[str, Any]]] = {
    "hrm": ("tokens", 1.5e-3, 1024, {"features_extractor_class": HRMWalkerExtractor, "features_extractor_kwargs": HRM}),
    "mlp": ("planes", 5e-4, 256, {"net_arch": [64, 64]}),
    "cnn": ("planes", 5e-4, 256, {"features_extractor_class": SmallCNN}),
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
    parser.add_argument("--steps", type=int, default=400_000, help="of the environment, in 32 mazes at once")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the mazes and the moves")
    parser.add_argument("--out", type=Path, default=Path("runs/maze-moves"), help="folder for progress.csv, model.zip")
    parser.add_argument("--mazes", type=int, default=1000, help="how many unseen ones judge; a fifth now and then")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)  # nets this small gain nothing from more
    observation, rate, batch_size, policy_kwargs = SETTINGS[args.extractor]
    venv = ReasoningVecEnv(gym.make_vec(ENV, num_envs=32, shaping=True, gamma=GAMMA, observation=observation))
    model = PPO(
        "MlpPolicy", VecNormalize(venv, norm_obs=False, gamma=GAMMA), seed=args.seed, device="cpu",
        learning_rate=lambda left: rate * left, n_steps=32, batch_size=batch_size, n_epochs=3, gamma=GAMMA,
        gae_lambda=0.3, ent_coef=0.01, policy_kwargs={"net_arch": [], **policy_kwargs},
    )  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    progress, start = ["steps,cpu_minutes,sampled,most_likely"], time.process_time()

    class Progress(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            if self.num_timesteps >= 25_000 * len(progress):
                judge(max(args.mazes // 5, 1))

    def judge(mazes: int) -> None:
        minutes = (time.process_time() - start) / 60
        sampled, most_likely = (success(model, observation, mazes, deterministic) for deterministic in (False, True))
        progress.append(f"{model.num_timesteps},{minutes:.2f},{sampled:.3f},{most_likely:.3f}")
        print(progress[-1], flush=True)
        (args.out / "progress.csv").write_text("\n".join(progress) + "\n")

    model.learn(args.steps, callback=Progress())
    model.save(args.out / "model.zip")
    judge(args.mazes)


if __name__ == "__main__":
    main()
