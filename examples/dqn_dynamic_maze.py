"""An HRM as the Q-network of a DQN, in mazes whose doors open and shut while one walks in them.

    python examples/dqn_dynamic_maze.py [--carry reset] [--seed 1] [--total-steps 160000] [--out runs/dqn]

The question is that of HRM-Agent (Dang and Rawlinson 2025, arXiv 2510.22832): does it help to think on from the last
step's thoughts ("keep"), rather than from nothing at every step ("reset")? The mazes, network and settings are ours.

The rest is a double DQN (van Hasselt et al. 2016) whose replay holds short sequences, each with the carry from which it
began (Kapturowski et al. 2019, R2D2): training replays the sequence from there, so that later carries are fresh.

Yardsticks, of 2,000 walks in unseen 7x7 mazes: 11% of random walkers reach G in time, and 87% of those that always take
the shortest way through the doors that are open now.
"""

import time
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
import tyro
from gymnasium.vector import AutoresetMode
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

import hrm_envs  # noqa: F401  registers the environments
from hrm_agents.errors import UserError
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.embeddings import rope_2d
from hrm_agents.models.recursion import Carry, Recursion
from hrm_envs.maze.tokens import FREE, START
from hrm_envs.wrappers.moves_settings import AGENT, MOVES, SYMBOLS

WEIGHTS = "network.pt"


@dataclass
class Args:
    """A DQN that thinks, in mazes that change."""

    carry: Literal["keep", "reset"] = "keep"  # think on from the last step, or from nothing at every step
    seed: int = 0  # of weights, exploration and mazes
    total_steps: int = 160_000  # moves to learn from, of all walkers together
    out: Path = Path("runs/dqn-dynamic-maze")  # folder for TensorBoard and the weights
    size: int = 7  # rows and columns of the mazes, odd
    num_envs: int = 64  # walkers side by side
    sequence: int = 4  # steps in a sequence of the replay
    capacity: int = 16_384  # sequences in the replay
    batch_size: int = 32  # sequences in an update
    updates: int = 4  # updates after every ``sequence`` steps of all walkers
    learning_rate: float = 2e-3  # of Adam
    gamma: float = 0.9  # discount, of the shaping too
    shaping: bool = False  # whether getting closer to G pays at once; doors that shut G off then cost much
    tau: float = 0.01  # how far the target network follows in an update
    explore_until: float = 1.0  # share of the moves over which the chance of a random one falls to ``last_epsilon``
    last_epsilon: float = 0.1  # chance of a random move in the end, and in evaluations
    eval_every: int = 20_000  # moves between two evaluations
    eval_walks: int = 1000  # walks in unseen mazes an evaluation


class Sequences(NamedTuple):
    """B sequences of L steps; observation L belongs to no step, but the last step's target needs it."""

    z_H: Tensor  # float32 [B, T, d], the planner's part of the carry with which the network met observation 0
    z_L: Tensor  # float32 [B, T, d], the worker's part
    obs: Tensor  # uint8 [B, L + 1, S]
    begins: Tensor  # bool [B, L + 1], the observation is the first of its walk: no earlier thought belongs to it
    action: Tensor  # int64 [B, L]
    reward: Tensor  # float32 [B, L]
    terminated: (
        Tensor  # bool [B, L], the step reached G; a walk cut off by the limit is not terminated, its value goes on
    )
    counts: Tensor  # bool [B, L], a walker took the step; otherwise the environment only put it into its next maze


class Replay:
    """The last ``capacity`` sequences."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.size, self.at = capacity, 0, 0
        self.stored: Sequences | None = None

    def add(self, new: Sequences) -> None:
        """Store ``new``, over the oldest ones if there is no room."""
        if self.stored is None:
            self.stored = Sequences(*(values.new_empty(self.capacity, *values.shape[1:]) for values in new))
        index = (self.at + torch.arange(len(new.obs))) % self.capacity
        for stored, values in zip(self.stored, new, strict=True):
            stored[index] = values
        self.at = (self.at + len(index)) % self.capacity
        self.size = min(self.capacity, self.size + len(index))

    def sample(self, num: int) -> Sequences:
        """``num`` sequences, drawn evenly."""
        assert self.stored is not None
        index = torch.randint(self.size, (num,))
        return Sequences(*(stored[index] for stored in self.stored))


class QNetwork(Recursion):
    """One segment of thought a step, about the maze without the walker; it is read where the walker stands.

    So a thought is a plan for every cell, and stays of use after a move.
    """

    def __init__(self, size: int, keep: bool) -> None:
        # The border is wall in every maze: leaving it out halves the work.
        inner = size - 2
        config = Architecture(
            hidden_size=32, H_layers=1, L_layers=1, H_cycles=1, L_cycles=2, position="rope2d", gradient="cycle"
        )
        super().__init__(config, inner * inner)
        self.keep = keep
        self.cells = torch.arange(size * size).view(size, size)[1:-1, 1:-1].flatten()
        self.embedding = nn.Embedding(len(SYMBOLS), config.hidden_size)
        self._add_modules()
        self.head = nn.Linear(config.hidden_size, len(MOVES))
        nn.init.zeros_(self.head.weight)  # targets must not begin as the noise of a fresh network
        nn.init.zeros_(self.head.bias)
        self._add_states(rope_2d((inner, inner), 0, config.head_dim, theta=100.0))

    def forward(self, obs: Tensor, carry: Carry, begins: Tensor) -> tuple[Carry, Tensor]:
        """Observations [B, S], what was thought before, and where a walk begins, bool [B], to carry and Q [B, 4]."""
        carry = self.reset_carry(carry, begins if self.keep else torch.ones_like(begins))
        tokens = obs[:, self.cells].int()
        walker = (tokens == AGENT).int().argmax(dim=1)
        maze = tokens.masked_fill((tokens == AGENT) | (tokens == START), FREE)
        thought = self.think(carry, self.embedding(maze))
        return thought.detach(), self.head(thought.z_H[torch.arange(len(obs)), walker])

    def replay(self, batch: Sequences) -> Tensor:
        """Q [B, L + 1, 4] of every observation, met one after the other."""
        carry, values = Carry(batch.z_H, batch.z_L), []
        for obs, begins in zip(batch.obs.unbind(1), batch.begins.unbind(1), strict=True):
            carry, q = self(obs, carry, begins)
            values.append(q)
        return torch.stack(values, dim=1)


def td_target(reward: Tensor, terminated: Tensor, online: Tensor, target: Tensor, gamma: float) -> Tensor:
    """What Q should have been: the reward, and the value of the next move, chosen by one network, judged by the other.

    Args:
        reward: float [...], of each step.
        terminated: bool [...], nothing comes after the step.
        online: float [..., A], the learning network's values of the moves after the step.
        target: float [..., A], the target network's.
        gamma: discount of a step.
    """
    best = online.argmax(dim=-1, keepdim=True)
    return reward + gamma * target.gather(-1, best).squeeze(-1) * ~terminated


def td_loss(network: QNetwork, target_network: QNetwork, batch: Sequences, gamma: float) -> Tensor:
    """Huber loss of the steps that count, as a scalar."""
    q = network.replay(batch)
    with torch.no_grad():
        target = td_target(batch.reward, batch.terminated, q[:, 1:], target_network.replay(batch)[:, 1:], gamma)
    chosen = q[:, :-1].gather(-1, batch.action[..., None]).squeeze(-1)
    return F.smooth_l1_loss(chosen[batch.counts], target[batch.counts])


class Walkers:
    """Walks that go on and on, and what the network thinks meanwhile."""

    def __init__(self, envs: gym.vector.VectorEnv[Any, Any, Any], network: QNetwork, seed: int) -> None:
        self.envs, self.network = envs, network
        self.rng = np.random.default_rng(seed)
        self.obs = torch.from_numpy(envs.reset(seed=seed)[0])
        self.begins = torch.ones(envs.num_envs, dtype=torch.bool)
        self.ended = torch.zeros(envs.num_envs, dtype=torch.bool)
        self.carry = network.initial_carry(envs.num_envs)
        self.returns = torch.zeros(envs.num_envs)
        #: Return and success of every walk that has ended; whoever reads it empties it.
        self.finished: list[tuple[float, bool]] = []

    @torch.no_grad()
    def step(self, epsilon: float) -> dict[str, Tensor]:
        """Move all walkers, at random with chance ``epsilon``; one step of :class:`Sequences`, [B, ...] each."""
        step = {"obs": self.obs, "begins": self.begins, "counts": ~self.ended}
        self.carry, q = self.network(self.obs, self.carry, self.begins)
        action = q.argmax(dim=1).numpy()
        at_random = self.rng.random(len(action)) < epsilon
        action = np.where(at_random, self.rng.integers(q.shape[1], size=len(action)), action)
        obs, reward, terminated, truncated, _ = self.envs.step(action)
        step["action"], step["terminated"] = torch.from_numpy(action), torch.from_numpy(terminated)
        step["reward"] = torch.from_numpy(reward).float()
        self.obs = torch.from_numpy(obs)
        # After the end of a walk its last observation stays for one step, which the environment takes to begin anew.
        self.begins, self.ended = self.ended, torch.from_numpy(terminated | truncated)
        self.returns += step["reward"]
        for row in self.ended.nonzero().flatten().tolist():
            self.finished.append((float(self.returns[row]), bool(terminated[row])))
            self.returns[row] = 0.0
        return step

    def collect(self, length: int, epsilon: float) -> Sequences:
        """``length`` steps of all walkers."""
        carry = self.carry
        steps = [self.step(epsilon) for _ in range(length)]
        row = {name: torch.stack([step[name] for step in steps], dim=1) for name in steps[0]}
        row["obs"] = torch.cat([row["obs"], self.obs[:, None]], dim=1)
        row["begins"] = torch.cat([row["begins"], self.begins[:, None]], dim=1)
        return Sequences(z_H=carry.z_H, z_L=carry.z_L, **row)


def make_envs(args: Args, split: str, num_envs: int) -> gym.vector.VectorEnv[Any, Any, Any]:
    """Mazes with doors. NEXT_STEP leaves the last observation of a walk in the sequence, where its target needs it."""
    return gym.make_vec(
        "HRM/MazeMoves-9x9-Doors-v0",
        num_envs=num_envs,
        size=args.size,
        split=split,
        shaping=args.shaping,
        gamma=args.gamma,
        autoreset_mode=AutoresetMode.NEXT_STEP,
    )


def evaluate(network: QNetwork, args: Args, epsilon: float) -> float:
    """Share of ``eval_walks`` walks in unseen mazes, always the same ones, that reach G in time.

    Some moves at random, because otherwise a walker that once does nothing does so until a door moves.
    """
    walkers = Walkers(make_envs(args, "test", args.eval_walks), network, seed=10_000)
    over, success = torch.zeros(2, args.eval_walks, dtype=torch.bool)
    while not over.all():
        success |= walkers.step(epsilon)["terminated"] & ~over
        over |= walkers.ended
    walkers.envs.close()
    return float(success.float().mean())


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, and compare with a walker that moves at random."""
    args = tyro.cli(Args, args=arguments, description=__doc__)
    wrong = [name for name in ("total_steps", "num_envs", "sequence", "eval_walks") if getattr(args, name) < 1]
    if wrong:
        raise UserError(f"{wrong[0]}={getattr(args, wrong[0])}: it takes at least 1")
    if (args.out / WEIGHTS).exists():
        raise UserError(f"{args.out} holds the network of an earlier run: choose another folder with --out")
    torch.manual_seed(args.seed)
    envs = make_envs(args, "train", args.num_envs)
    network = QNetwork(args.size, keep=args.carry == "keep")
    target_network = deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=args.learning_rate)
    walkers, replay = Walkers(envs, network, args.seed), Replay(args.capacity)
    writer = SummaryWriter(str(args.out))
    writer.add_text("args", "\n".join(f"- {name}: {value}" for name, value in asdict(args).items()))
    started, next_eval, losses = time.process_time(), args.eval_every, []
    per_round = args.num_envs * args.sequence
    for moves in range(per_round, args.total_steps + per_round, per_round):
        explored = moves / (args.explore_until * args.total_steps)
        replay.add(walkers.collect(args.sequence, max(args.last_epsilon, 1.0 - explored)))
        for _ in range(args.updates):
            loss = td_loss(network, target_network, replay.sample(args.batch_size), args.gamma)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                for slow, fast in zip(target_network.parameters(), network.parameters(), strict=True):
                    slow.lerp_(fast, args.tau)
            losses.append(loss.item())
        if moves >= next_eval or moves >= args.total_steps:
            next_eval += args.eval_every
            row = {
                "train/loss": float(np.mean(losses)),
                "eval/success_rate": evaluate(network, args, args.last_epsilon),
                "time/cpu_seconds": time.process_time() - started,
            }
            if walkers.finished:
                ended = np.array(walkers.finished).mean(axis=0)
                row |= {"rollout/ep_rew_mean": float(ended[0]), "rollout/success_rate": float(ended[1])}
            for name, value in row.items():
                writer.add_scalar(name, value, moves)
            print(f"[{moves}]", *(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
            walkers.finished.clear()
            losses.clear()
    writer.close()
    envs.close()
    torch.save(network.state_dict(), args.out / WEIGHTS)
    results = {"success": row["eval/success_rate"], "random": evaluate(network, args, epsilon=1.0)}
    print(", ".join(f"{name} {share:.1%}" for name, share in results.items()), f"of {args.eval_walks} unseen mazes")
    return results


if __name__ == "__main__":
    main()
