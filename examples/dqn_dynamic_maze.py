"""A double DQN whose Q-network is an HRM, in mazes with doors that open and shut during the walk.

    python dqn_dynamic_maze.py --carry reset --seed 0 --out reset-0.pt

Does it help to keep the carry from step to step ("keep"), or is a fresh carry at every step ("reset") as good?
HRM-Agent (Dang and Rawlinson 2025, arXiv 2510.22832) asks this question; the mazes, the network and the settings here
are ours. With ``--view 1`` the agent sees only the walls and doors next to it, and G: then it needs a memory.

The algorithm is double DQN (van Hasselt et al. 2016). The replay buffer stores whole walks without their carries, which
would be outdated soon: network and target network process each walk from its start, each with carries of its own, and
learn from every step of it. (R2D2, Kapturowski et al. 2019, does so for parts of long episodes.)
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
from hrm_envs.maze.tokens import FREE, GOAL, START
from hrm_envs.moves.settings import AGENT, MOVES, SYMBOLS

ENV = "hrm_envs:HRM/MazeMoves-9x9-Doors-v0"
UNSEEN = len(SYMBOLS)
"""Token of a cell that the agent does not see."""
NUM_ENVS = 64
CAPACITY = 2048
"""Walks in the replay buffer."""
BATCH_SIZE = 16
"""Walks in a minibatch."""
MAX_STEPS = 32
"""Longest walk in training. Walks begin anywhere, so that short ones are enough to learn from."""
BPTT = 4
"""Steps that a gradient covers."""
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
    segments: int = 1
    """segments of thought per step"""
    size: int = 7
    """rows and columns of the mazes: fewer than the 9 of the id, so that a run takes minutes"""
    view: int | None = None
    """how many cells away the agent sees walls and doors; None for all of the maze"""
    seed: int = 0
    """of weights, exploration and mazes"""
    total_steps: int = 80_000
    """training steps, all environments together"""
    out: str = "dqn.pt"
    """file for the weights"""


class QNetwork(nn.Module):
    """Thinks about the maze at each step, then scores the four moves."""

    def __init__(self, args: Args) -> None:
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
        board = TokenPart(num_cells=args.size**2, vocab_size=UNSEEN + 1, grid_shape=(args.size, args.size))
        # The HRM sees free cells in place of the agent and of S. What it thinks then depends on the maze alone and
        # stays useful after a move. The outer walls (border=1) are the same in all mazes.
        self.hrm = WalkerEncoder(config, board, walker=AGENT, seen_as={AGENT: FREE, START: FREE}, border=1)
        self.head = nn.Linear(config.hidden_size, len(MOVES))
        self.args = args

    def initial_carry(self, batch: int) -> Carry:
        """The carry at the start of walks."""
        return self.hrm.encoder.initial_carry(batch)

    def forward(self, obs: Tensor, carry: Carry, *, detach: bool = True) -> tuple[Carry, Tensor]:
        """Observations uint8 ``[B, S]`` and the carry of the last step to the new carry and Q-values ``[B, 4]``."""
        if self.args.carry == "reset":
            carry = self.initial_carry(len(obs))
        if self.args.view is not None:
            obs = nearby(obs, self.args.size, self.args.view)
        carry, features = self.hrm(obs, carry, segments=self.args.segments, detach=detach)
        return carry, self.head(features)


def nearby(obs: Tensor, size: int, view: int) -> Tensor:
    """Observations ``[B, S]`` with all cells but G hidden that are more than ``view`` rows or columns away."""
    agent, cell = (obs == AGENT).int().argmax(1, keepdim=True), torch.arange(size**2)
    rows, columns = (agent // size - cell // size).abs(), (agent % size - cell % size).abs()
    return torch.where((torch.maximum(rows, columns) > view) & (obs != GOAL), UNSEEN, obs)


class WalkReplay:
    """The last ``CAPACITY`` walks, as tensors by name: each from its reset to its end, padded to ``MAX_STEPS``."""

    def __init__(self) -> None:
        self.data: dict[str, Tensor] = {}
        self.num_added = 0

    def add(self, steps: list[dict[str, Tensor]], last_obs: Tensor) -> None:
        """Store a walk over the oldest one: its steps, and the observation after the last of them."""
        padding = MAX_STEPS - len(steps)
        walk = {name: torch.stack([step[name] for step in steps]) for name in steps[0]}
        # The last observation also fills the rest, since every observation must have an agent.
        walk["obs"] = torch.cat((walk["obs"], last_obs.expand(padding + 1, -1)))
        for name in ("action", "reward", "terminated"):
            walk[name] = nn.functional.pad(walk[name], (0, padding))
        walk["valid"] = torch.arange(MAX_STEPS) < len(steps)
        for name, values in walk.items():
            if name not in self.data:
                self.data[name] = values.new_empty(CAPACITY, *values.shape)
            self.data[name][self.num_added % CAPACITY] = values
        self.num_added += 1

    def sample(self) -> dict[str, Tensor]:
        """Random walks with time in front, ``[T, BATCH_SIZE, ...]`` and ``T + 1`` observations."""
        index = torch.randint(min(self.num_added, CAPACITY), (BATCH_SIZE,))
        steps = int(self.data["valid"][index].any(0).sum())
        return {name: values[index, : steps + (name == "obs")].transpose(0, 1) for name, values in self.data.items()}


def unroll(network: nn.Module, obs: Tensor) -> Tensor:
    """Q-values ``[T, B, 4]`` of observations ``[T, B, S]`` of whole walks, with carries of the network's own.

    The gradient of a step reaches up to ``BPTT - 1`` steps back.
    """
    carry, found = network.initial_carry(obs.shape[1]), []
    for step, now in enumerate(obs):
        carry, q = network(now, carry.truncate(step, BPTT), detach=False)
        found.append(q)
    return torch.stack(found)


def td_loss(network: nn.Module, target_network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Huber loss of the double DQN at every step: Q(s, a) against r + GAMMA * Q_target(s', argmax Q(s', .))."""
    q = unroll(network, batch["obs"])
    q_taken = q[:-1].gather(2, batch["action"][..., None]).squeeze(2)
    with torch.no_grad():
        best_action = q[1:].argmax(2, keepdim=True)
        next_value = unroll(target_network, batch["obs"])[1:].gather(2, best_action).squeeze(2)
        target = batch["reward"] + GAMMA * next_value * ~batch["terminated"]
    losses = nn.functional.smooth_l1_loss(q_taken, target, reduction="none")
    return losses[batch["valid"]].mean()


def choose(q: Tensor, epsilon: float) -> Tensor:
    """Epsilon-greedy actions int64 ``[B]`` for Q-values ``[B, 4]``."""
    num_envs, num_actions = q.shape
    explore = torch.rand(num_envs) < epsilon
    return torch.where(explore, torch.randint(num_actions, (num_envs,)), q.argmax(1))


@torch.no_grad()
def success(network: QNetwork, split: str) -> float:
    """Share of the unseen mazes of a split in which a walk reaches G in time, one walk in each maze."""
    size = network.args.size
    num_mazes = gym.make(ENV, size=size, split=split).unwrapped.mazes.num_puzzles
    envs = gym.make_vec(ENV, num_mazes, size=size, split=split)
    # The seed fixes the doors.
    obs, _ = envs.reset(seed=independent_seeds(0, num_mazes), options={"index": np.arange(num_mazes)})
    carry = network.initial_carry(num_mazes)
    arrived = torch.zeros(num_mazes, dtype=torch.bool)
    ended = torch.zeros(num_mazes, dtype=torch.bool)
    while not ended.all():
        carry, q = network(torch.from_numpy(obs), carry)
        obs, _, terminated, truncated, _ = envs.step(choose(q, EPSILON).numpy())
        # The environments start further walks after an end; only the first walk of each counts.
        arrived |= torch.from_numpy(terminated) & ~ended
        ended |= torch.from_numpy(terminated | truncated)
    return float(arrived.float().mean())


def main(args: Args) -> float:
    """Train and save the weights; returns the success on test mazes, and prints that on validation mazes 20 times."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # a network this small gains nothing from more

    network = QNetwork(args)
    # An exponential average of the weights. It is the target network, and it is what we evaluate and save, because it
    # is steadier than the latest weights.
    target_network = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(1 - TAU))
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    replay = WalkReplay()

    # Training is easier than evaluation: walks begin anywhere, and every move earns a shaping reward.
    envs = gym.make_vec(
        ENV,
        NUM_ENVS,
        size=args.size,
        split="train",
        autoreset_mode="Disabled",
        exploring_starts=True,
        shaping=True,
        gamma=1.0,
    )
    # One seed for all would give environment i this seed + i, and consecutive runs would share nearly all of them.
    obs, _ = envs.reset(seed=independent_seeds(args.seed, NUM_ENVS))
    obs = torch.from_numpy(obs)
    carry = network.initial_carry(NUM_ENVS)
    walks: list[list[dict[str, Tensor]]] = [[] for _ in range(NUM_ENVS)]

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
        at_limit = torch.tensor([len(walk) == MAX_STEPS - 1 for walk in walks])
        ended = terminated | torch.from_numpy(truncated) | at_limit

        # Store walks as they end.
        for row, walk in enumerate(walks):
            walk.append(
                {
                    "obs": obs[row],
                    "action": action[row],
                    "reward": reward[row],
                    "terminated": terminated[row],
                }
            )
            if ended[row]:
                replay.add(walk, next_obs[row])
                walks[row] = []

        # Begin new walks, each with a fresh carry, where one ended.
        obs = next_obs
        if ended.any():
            obs, _ = envs.reset(options={"reset_mask": ended.numpy()})
            obs = torch.from_numpy(obs)
        carry = network.hrm.encoder.reset_carry(next_carry, ended)

        # Learn: one update after every step of all environments, once walks have ended.
        if replay.num_added:
            loss = td_loss(network, target_network.module, replay.sample())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            target_network.update_parameters(network)

        if steps % max(args.total_steps // 20, 1) < NUM_ENVS:
            print(f"{steps} moves: {success(target_network.module, 'validation'):.1%} of validation mazes", flush=True)

    torch.save(target_network.module.state_dict(), args.out)
    result = success(target_network.module, "test")
    print(f"{result:.1%} of test mazes")
    return result


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
