"""PPO in one file learns a T-maze with an HRM as its memory.

    python t_maze.py --network hrm --seed 0

The T-maze (Bakker 2002) is the simplest task that cannot be solved without a memory. A cue at the start says at which
side of the junction, at the end of a corridor, the reward is. In between, all observations are equal. An agent without
memory turns to the wrong side in half of the episodes, for a mean return of at most -0.07; the best return is 0.93.

The gradient of PPO must reach back through the corridor to teach the network to keep the cue. HRM itself stops it
after each segment: compare ``--bptt 1``, which does the same, with the default, which unrolls whole sequences.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor, nn
from torch.distributions import Categorical

from hrm_agents.models import Carry, HRMEncoder, TokenPart
from hrm_agents.models.encoder import MEMORY
from hrm_envs import independent_seeds

NUM_ENVS = 32
NUM_STEPS = 32
"""Steps of each environment between two updates: also the length of the sequences, which gradients cannot leave."""
EPOCHS = 4
MINIBATCHES = 4
LEARNING_RATE = 1e-3
"""At first; it falls linearly to 0. At a constant one, a policy that had learned the way may forget it again."""
GAMMA, LAMBDA = 0.99, 0.95
CLIP = 0.2
ENTROPY_WEIGHT, VALUE_WEIGHT = 0.01, 0.5
EVAL_EPISODES = 512
# MEMORY stands for one H cycle with a gradient in all its steps.
ARCHITECTURE = replace(MEMORY, hidden_size=32, num_heads=2, H_layers=1, L_layers=1)
LSTM_SIZE = 64
"""Width of the LSTM: its state then has as many numbers as the carry of the HRM, and it about as many weights."""


@dataclass(frozen=True)
class Args:
    """Settings of a run."""

    network: Literal["hrm", "lstm"] = "hrm"
    """network that remembers"""
    bptt: int | None = None
    """steps that a gradient of the HRM covers; None for all of a sequence, 1 for none but its own"""
    corridor: int = 6
    """cells from the cue to the junction"""
    updates: int = 60
    """rollouts of 1,024 steps to learn from"""
    seed: int = 0
    """of weights, cues and actions"""


class TMaze(gym.Env[np.int64, np.int64]):
    """A corridor with a cue at its start and a junction at its end.

    Observations are the cue (0 or 1) in the first cell, 2 in the corridor and 3 at the junction. Actions are a step
    forward (0) and the turns to the left (1) and right (2). Every action costs 0.01 and does nothing where it is not
    possible. A turn at the junction ends the episode with 1 at the side of the cue and -1 at the other. So does, with
    -1, the end of the time: four times as many actions as the shortest way needs.

    Args:
        corridor: steps from the first cell to the junction, at least 1.
    """

    CORRIDOR, JUNCTION = 2, 3
    FORWARD, LEFT = 0, 1
    STEP_COST = 0.01

    def __init__(self, corridor: int = 6) -> None:
        self.observation_space = gym.spaces.Discrete(4)
        self.action_space = gym.spaces.Discrete(3)
        self.corridor = corridor
        self.max_steps = 4 * (corridor + 1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.int64, dict]:
        """Go back to the start, with a new cue."""
        super().reset(seed=seed)
        self.cue = int(self.np_random.integers(2))
        self.place = self.time = 0
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict]:
        """Go forward or turn."""
        self.time += 1
        at_junction = self.place == self.corridor
        turned = at_junction and action != self.FORWARD
        self.place += not at_junction and action == self.FORWARD
        ended = turned or self.time == self.max_steps
        right = turned and action - self.LEFT == self.cue
        return self._observe(), ended * (1.0 if right else -1.0) - self.STEP_COST, ended, False, {}

    def _observe(self) -> np.int64:
        if self.place == 0:
            return np.int64(self.cue)
        return np.int64(self.JUNCTION if self.place == self.corridor else self.CORRIDOR)


def make_envs(num_envs: int, corridor: int) -> VectorEnv:
    """T-mazes side by side; each begins its next episode in the step that ends one."""
    return SyncVectorEnv([lambda: TMaze(corridor)] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


class HRMMemory(nn.Module):
    """One segment per step, whose carry is kept."""

    def __init__(self, bptt: int | None) -> None:
        super().__init__()
        self.encoder = HRMEncoder(ARCHITECTURE, TokenPart(num_cells=1, vocab_size=4))
        self.features_dim = self.encoder.features_dim
        self.bptt = bptt

    def initial_state(self, batch: int) -> tuple[Tensor, ...]:
        """The state at the start of episodes, tensors ``[B, ...]``."""
        return self.encoder.initial_carry(batch)

    def forward(self, obs: Tensor, state: tuple[Tensor, ...], begins: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Observations ``[T, B]`` to the state after them and features ``[T, B, d]``."""
        return self.encoder.unroll(obs[..., None], Carry(*state), begins, bptt=self.bptt)


class LSTMMemory(nn.Module):
    """An LSTM with the same interface."""

    def __init__(self) -> None:
        super().__init__()
        self.features_dim = LSTM_SIZE
        self.embedding = nn.Embedding(4, 32)
        self.cell = nn.LSTMCell(32, self.features_dim)

    def initial_state(self, batch: int) -> tuple[Tensor, ...]:
        """The state at the start of episodes, tensors ``[B, d]``."""
        return torch.zeros(batch, self.features_dim), torch.zeros(batch, self.features_dim)

    def forward(self, obs: Tensor, state: tuple[Tensor, ...], begins: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Observations ``[T, B]`` to the state after them and features ``[T, B, d]``."""
        features = []
        for embedded, begin in zip(self.embedding(obs), begins, strict=True):
            state = self.cell(embedded, tuple(part * ~begin[:, None] for part in state))
            features.append(state[0])
        return tuple(part.detach() for part in state), torch.stack(features)


class Agent(nn.Module):
    """A memory with a head for the policy and one for the value."""

    def __init__(self, args: Args) -> None:
        super().__init__()
        self.memory = HRMMemory(args.bptt) if args.network == "hrm" else LSTMMemory()
        self.policy = nn.Linear(self.memory.features_dim, 3)
        self.value = nn.Linear(self.memory.features_dim, 1)

    def forward(
        self, obs: Tensor, state: tuple[Tensor, ...], begins: Tensor
    ) -> tuple[tuple[Tensor, ...], Categorical, Tensor]:
        """Observations ``[T, B]`` to the state after them, the distribution of actions and values ``[T, B]``."""
        state, features = self.memory(obs, state, begins)
        return state, Categorical(logits=self.policy(features)), self.value(features).squeeze(-1)

    @torch.no_grad()
    def act(
        self, obs: Tensor, state: tuple[Tensor, ...], begins: Tensor
    ) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """One step: ``[B]`` to the new state, and the sampled action, its log probability and the value, ``[B]``."""
        state, choice, value = self(obs[None], state, begins[None])
        action = choice.sample()
        return state, {"action": action[0], "log_prob": choice.log_prob(action)[0], "value": value[0]}


def advantages(reward: Tensor, value: Tensor, ended: Tensor) -> Tensor:
    """Generalised advantage estimates (Schulman et al. 2016) ``[T, B]``; ``value`` ``[T + 1, B]`` has one step more."""
    found, advantage = torch.zeros_like(reward), torch.zeros_like(reward[0])
    for step in reversed(range(len(reward))):
        goes_on = ~ended[step]
        delta = reward[step] + GAMMA * value[step + 1] * goes_on - value[step]
        found[step] = advantage = delta + GAMMA * LAMBDA * advantage * goes_on
    return found


def ppo_loss(agent: Agent, state: tuple[Tensor, ...], batch: dict[str, Tensor]) -> Tensor:
    """Clipped loss of PPO (Schulman et al. 2017) of sequences, tensors ``[T, B]``, from the states before them."""
    _, choice, value = agent(batch["obs"], state, batch["begins"])
    ratio = (choice.log_prob(batch["action"]) - batch["log_prob"]).exp()
    advantage = (batch["advantage"] - batch["advantage"].mean()) / (batch["advantage"].std() + 1e-8)
    gain = torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage).mean()
    value_loss = (value - batch["return"]).square().mean()
    return -gain + VALUE_WEIGHT * value_loss - ENTROPY_WEIGHT * choice.entropy().mean()


def mean_return(act: Callable[[np.ndarray, np.ndarray], np.ndarray], corridor: int, seed: int) -> float:
    """Mean return of ``EVAL_EPISODES`` episodes; ``act`` maps observations and begins of episodes to actions."""
    envs = make_envs(EVAL_EPISODES, corridor)
    obs, _ = envs.reset(seed=independent_seeds(seed, EVAL_EPISODES))
    begins = np.ones(EVAL_EPISODES, bool)
    total, ended = np.zeros(EVAL_EPISODES), np.zeros(EVAL_EPISODES, bool)
    while not ended.all():
        obs, reward, begins, _, _ = envs.step(act(obs, begins))
        # The environments start further episodes after an end; only the first of each counts.
        total += reward * ~ended
        ended |= begins
    return float(total.mean())


def evaluate(agent: Agent, corridor: int, seed: int) -> float:
    """Mean return of new episodes with sampled actions."""
    state = agent.memory.initial_state(EVAL_EPISODES)

    def act(obs: np.ndarray, begins: np.ndarray) -> np.ndarray:
        nonlocal state
        state, step = agent.act(torch.from_numpy(obs), state, torch.from_numpy(begins))
        return step["action"].numpy()

    return mean_return(act, corridor, seed)


def main(args: Args) -> float:
    """Train, and return the mean return of new episodes."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # a network this small gains nothing from more
    agent = Agent(args)
    optimizer = torch.optim.Adam(agent.parameters(), lr=LEARNING_RATE)

    envs = make_envs(NUM_ENVS, args.corridor)
    # One seed for all would give environment i this seed + i, and consecutive runs would share nearly all of them.
    obs, _ = envs.reset(seed=independent_seeds(args.seed, NUM_ENVS))
    obs = torch.from_numpy(obs)
    state, begins = agent.memory.initial_state(NUM_ENVS), torch.ones(NUM_ENVS, dtype=torch.bool)

    for update in range(1, args.updates + 1):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - (update - 1) / args.updates)
        # Act, and keep the state that the sequence started from.
        first_state, steps = state, []
        for _ in range(NUM_STEPS):
            state, step = agent.act(obs, state, begins)
            next_obs, reward, terminated, _, _ = envs.step(step["action"].numpy())
            ended = torch.from_numpy(terminated)
            steps.append({**step, "obs": obs, "begins": begins, "reward": torch.from_numpy(reward), "ended": ended})
            obs, begins = torch.from_numpy(next_obs), ended
        _, after = agent.act(obs, state, begins)
        rollout = {name: torch.stack([step[name] for step in steps]) for name in steps[0]}
        value = torch.cat((rollout["value"], after["value"][None]))
        rollout["advantage"] = advantages(rollout["reward"].float(), value, rollout["ended"])
        rollout["return"] = rollout["advantage"] + rollout["value"]

        # Learn from whole sequences: a minibatch consists of rows, and the memory runs through all of their steps.
        for _ in range(EPOCHS):
            for rows in torch.randperm(NUM_ENVS).chunk(MINIBATCHES):
                batch = {name: values[:, rows] for name, values in rollout.items()}
                loss = ppo_loss(agent, tuple(part[rows] for part in first_state), batch)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()

        if update % max(args.updates // 10, 1) == 0:
            per_episode = float(rollout["reward"].sum() / rollout["ended"].sum().clamp(min=1))
            print(f"update {update}: return {per_episode:.2f}", flush=True)

    result = evaluate(agent, args.corridor, seed=args.seed + 1_000_000)
    print(f"return {result:.3f} in {EVAL_EPISODES} new episodes")
    return result


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
