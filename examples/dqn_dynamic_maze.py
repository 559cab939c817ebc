"""A double DQN whose Q-network is an HRM, in mazes with doors that open and shut during the walk.

    python dqn_dynamic_maze.py --carry reset --seed 0 --out reset-0.pt

Does it help to keep the carry from step to step ("keep"), or is a fresh carry at every step ("reset") as good?
HRM-Agent (Dang and Rawlinson 2025, arXiv 2510.22832) asks this question; the mazes, the network and the settings here
are ours. The algorithm is double DQN (van Hasselt et al. 2016). The replay buffer stores every step with its carry.
"""

from dataclasses import dataclass
from typing import Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hrm_agents.models import Architecture, Carry, TokenPart, WalkerEncoder
from hrm_envs import independent_seeds
from hrm_envs.maze.tokens import FREE, START
from hrm_envs.moves.settings import AGENT, MOVES, SYMBOLS

ENV = "hrm_envs:HRM/MazeMoves-9x9-Doors-v0"
SIZE = 7
"""Rows and columns: smaller than the mazes of the id, so that a run takes minutes."""
NUM_ENVS = 64
CAPACITY = 32_768
"""Steps in the replay buffer."""
BATCH_SIZE = 128
LEARNING_RATE = 1e-3
GAMMA = 0.9
TAU = 0.01
"""How far the target network moves towards the network at each update."""
EPSILON = 0.1
"""Chance of a random move, at the end of training and in evaluation."""


@dataclass(frozen=True)
class Args:
    """Settings of a run."""

    carry: Literal["keep", "reset"] = "keep"
    """keep the carry from step to step, or start every step from a fresh one"""
    seed: int = 0
    """of weights, exploration and mazes"""
    total_steps: int = 80_000
    """training steps, all environments together"""
    out: str = "dqn.pt"
    """file for the weights"""


class QNetwork(nn.Module):
    """Thinks one segment about the maze at each step, then scores the four moves."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        config = Architecture(
            hidden_size=32,
            num_heads=2,
            H_layers=1,
            L_layers=1,
            H_cycles=1,
            prefix_slots=0,
            position="rope2d",
            rope_theta=100.0,
            gradient="cycle",
        )
        board = TokenPart(num_cells=SIZE**2, vocab_size=len(SYMBOLS), grid_shape=(SIZE, SIZE))
        # The HRM sees free cells in place of the agent and of S. What it thinks then depends on the maze alone and
        # stays useful after a move. The outer walls (border=1) are the same in all mazes.
        self.hrm = WalkerEncoder(config, board, walker=AGENT, seen_as={AGENT: FREE, START: FREE}, border=1)
        self.head = nn.Linear(config.hidden_size, len(MOVES))
        self.keep = keep

    def forward(self, obs: Tensor, carry: Carry) -> tuple[Carry, Tensor]:
        """Observations uint8 ``[B, S]`` and the carry of the last step to the new carry and Q-values ``[B, 4]``."""
        if not self.keep:
            carry = self.hrm.encoder.initial_carry(len(obs))
        carry, features = self.hrm(obs, carry)
        return carry, self.head(features)


class ReplayBuffer:
    """The last ``CAPACITY`` steps, as tensors by name."""

    def __init__(self) -> None:
        self.data: dict[str, Tensor] = {}
        self.num_added = 0

    def add(self, steps: dict[str, Tensor]) -> None:
        """Store a step of every environment, tensors ``[NUM_ENVS, ...]``, over the oldest ones."""
        slots = torch.arange(self.num_added, self.num_added + NUM_ENVS) % CAPACITY
        for name, values in steps.items():
            if name not in self.data:
                self.data[name] = values.new_empty(CAPACITY, *values.shape[1:])
            self.data[name][slots] = values
        self.num_added += NUM_ENVS

    def sample(self) -> dict[str, Tensor]:
        """Random steps, tensors ``[BATCH_SIZE, ...]``."""
        index = torch.randint(min(self.num_added, CAPACITY), (BATCH_SIZE,))
        return {name: values[index] for name, values in self.data.items()}


def td_loss(network: nn.Module, target_network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Huber loss of the double DQN: Q(s, a) against r + GAMMA * Q_target(s', argmax Q(s', .))."""
    carry = Carry(batch["z_H"], batch["z_L"])
    next_carry, q = network(batch["obs"], carry)
    q_taken = q.gather(1, batch["action"][:, None]).squeeze(1)
    with torch.no_grad():
        _, next_q = network(batch["next_obs"], next_carry)
        best_action = next_q.argmax(1, keepdim=True)
        # Each network reads s' with the carry that it made itself in s.
        target_carry, _ = target_network(batch["obs"], carry)
        _, target_q = target_network(batch["next_obs"], target_carry)
        next_value = target_q.gather(1, best_action).squeeze(1)
        target = batch["reward"] + GAMMA * next_value * ~batch["terminated"]
    return nn.functional.smooth_l1_loss(q_taken, target)


def choose(q: Tensor, epsilon: float) -> Tensor:
    """Epsilon-greedy actions int64 ``[B]`` for Q-values ``[B, 4]``."""
    num_envs, num_actions = q.shape
    explore = torch.rand(num_envs) < epsilon
    return torch.where(explore, torch.randint(num_actions, (num_envs,)), q.argmax(1))


@torch.no_grad()
def success(network: QNetwork, split: str) -> float:
    """Share of the unseen mazes of a split in which a walk reaches G in time, one walk in each maze."""
    num_mazes = gym.make(ENV, size=SIZE, split=split).unwrapped.mazes.num_puzzles
    envs = gym.make_vec(ENV, num_mazes, size=SIZE, split=split)
    # The seed fixes the doors.
    obs, _ = envs.reset(seed=independent_seeds(0, num_mazes), options={"index": np.arange(num_mazes)})
    carry = network.hrm.encoder.initial_carry(num_mazes)
    arrived = torch.zeros(num_mazes, dtype=torch.bool)
    ended = torch.zeros(num_mazes, dtype=torch.bool)
    while not ended.all():
        carry, q = network(torch.from_numpy(obs), carry)
        obs, _, terminated, truncated, _ = envs.step(choose(q, EPSILON).numpy())
        # The environments start further walks after an end; only the first walk of each counts.
        arrived |= torch.from_numpy(terminated) & ~ended
        ended |= torch.from_numpy(terminated | truncated)
    return float(arrived.float().mean())


def main(args: Args) -> None:
    """Train, print the success on validation mazes 20 times along the way and that on test mazes, save the weights."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # a network this small gains nothing from more

    network = QNetwork(keep=args.carry == "keep")
    # An exponential average of the weights. It is the target network, and it is what we evaluate and save, because it
    # is steadier than the latest weights.
    target_network = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(1 - TAU))
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    replay = ReplayBuffer()

    # Training is easier than evaluation: walks begin anywhere, and every move earns a shaping reward.
    envs = gym.make_vec(
        ENV,
        NUM_ENVS,
        size=SIZE,
        split="train",
        autoreset_mode="Disabled",
        exploring_starts=True,
        shaping=True,
        gamma=1.0,
    )
    # One seed for all would give environment i this seed + i, and consecutive runs would share nearly all of them.
    obs, _ = envs.reset(seed=independent_seeds(args.seed, NUM_ENVS))
    obs = torch.from_numpy(obs)
    carry = network.hrm.encoder.initial_carry(NUM_ENVS)

    for steps in range(NUM_ENVS, args.total_steps + NUM_ENVS, NUM_ENVS):
        # Act. Epsilon falls from 1 to EPSILON over the first half of training.
        with torch.no_grad():
            next_carry, q = network(obs, carry)
        epsilon = max(EPSILON, 1 - 2 * steps / args.total_steps)
        action = choose(q, epsilon)
        next_obs, reward, terminated, truncated, _ = envs.step(action.numpy())
        next_obs = torch.from_numpy(next_obs)
        # A move closer to G pays 1, a move away from it -1, a bump into a wall -0.5.
        reward = (50 * torch.from_numpy(reward)).clamp(-1, 1).float()
        terminated = torch.from_numpy(terminated)
        ended = terminated | torch.from_numpy(truncated)

        # Store the step with the carry that the network started from.
        replay.add(
            {
                "obs": obs,
                "z_H": carry.z_H,
                "z_L": carry.z_L,
                "action": action,
                "reward": reward,
                "next_obs": next_obs,
                "terminated": terminated,
            }
        )

        # Begin new walks, each with a fresh carry, where one ended.
        obs = next_obs
        if ended.any():
            obs, _ = envs.reset(options={"reset_mask": ended.numpy()})
            obs = torch.from_numpy(obs)
        carry = network.hrm.encoder.reset_carry(next_carry, ended)

        # Learn: one update after every step of all environments.
        loss = td_loss(network, target_network, replay.sample())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        target_network.update_parameters(network)

        if steps % max(args.total_steps // 20, 1) < NUM_ENVS:
            print(f"{steps} moves: {success(target_network.module, 'validation'):.1%} of validation mazes", flush=True)

    print(f"{success(target_network.module, 'test'):.1%} of test mazes")
    torch.save(target_network.module.state_dict(), args.out)


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
