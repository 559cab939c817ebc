"""A DQN in one file whose Q-network is an HRM, in mazes with doors that open and shut while one walks.

    python dqn_dynamic_maze.py --carry reset --seed 0 --out reset-0.pt

Does it help to think on from the last step's thoughts ("keep"), rather than from nothing at every step ("reset")? That
is the question of HRM-Agent (Dang and Rawlinson 2025, arXiv 2510.22832); mazes, network and settings are ours. The rest
is a double DQN (van Hasselt et al. 2016); its replay stores each step with the carry that the walker had.
"""

from typing import Literal, NamedTuple

import gymnasium as gym
import torch
import tyro
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hrm_agents.models import Architecture, Carry, TokenPart, WalkerEncoder
from hrm_envs.maze.tokens import FREE, START
from hrm_envs.moves.settings import AGENT, MOVES, SYMBOLS

ENV, SIZE, EVAL_WALKS = "hrm_envs:HRM/MazeMoves-9x9-Doors-v0", 7, 1000  # 7: smaller mazes than those of the id
NUM_ENVS, CAPACITY, BATCH_SIZE = 64, 32_768, 128  # an update after every step of all walkers
LEARNING_RATE, GAMMA, TAU, EPSILON = 1e-3, 0.9, 0.01, 0.1  # TAU: of the average, the target; EPSILON: in the end
EASIER = {"exploring_starts": True, "shaping": True, "gamma": 1.0}  # walks begin anywhere, and each move pays
SHAPE = {"hidden_size": 32, "num_heads": 2, "H_layers": 1, "L_layers": 1, "H_cycles": 1, "prefix_slots": 0}


class Args(NamedTuple):
    """A DQN that thinks, in mazes that change."""

    carry: Literal["keep", "reset"] = "keep"  # think on from the last step, or from nothing at every step
    seed: int = 0  # of weights, exploration and mazes
    total_steps: int = 80_000  # moves to learn from, of all walkers together
    out: str = "dqn.pt"  # file for the weights


class QNetwork(nn.Module):
    """One segment of thought a step, about the maze without the walker: a plan that is of use after a move as well."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        config = Architecture(**SHAPE, position="rope2d", rope_theta=100.0, gradient="cycle")
        board, seen_as = TokenPart(SIZE**2, len(SYMBOLS), (SIZE, SIZE)), {AGENT: FREE, START: FREE}
        self.hrm = WalkerEncoder(config, board, walker=AGENT, seen_as=seen_as, border=1)
        self.head, self.keep = nn.Linear(config.hidden_size, len(MOVES)), keep

    def forward(self, obs: Tensor, carry: Carry) -> tuple[Carry, Tensor]:
        """Observations uint8 [B, S] and what was thought before, to the carry and Q [B, 4]."""
        carry, features = self.hrm(obs, carry if self.keep else self.hrm.encoder.initial_carry(len(obs)))
        return carry, self.head(features)


def td_loss(network: nn.Module, target_network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Huber loss of Q(s, a) against r + GAMMA * Q'(s', a'): the network chooses a', the target network values it."""
    carry = Carry(batch["z_H"], batch["z_L"])
    thought, q = network(batch["obs"], carry)
    with torch.no_grad():
        best = network(batch["next_obs"], thought)[1].argmax(1, keepdim=True)
        target_thought, _ = target_network(batch["obs"], carry)
        value = target_network(batch["next_obs"], target_thought)[1].gather(1, best).squeeze(1)
    target = batch["reward"] + GAMMA * value * ~batch["terminated"]
    return nn.functional.smooth_l1_loss(q.gather(1, batch["action"][:, None]).squeeze(1), target)


def choose(q: Tensor, epsilon: float) -> Tensor:
    """The best moves by Q [B, 4], int64 [B], each replaced by a random one with chance ``epsilon``."""
    return torch.where(torch.rand(len(q)) < epsilon, torch.randint(q.shape[1], (len(q),)), q.argmax(1))


@torch.no_grad()
def success(network: QNetwork) -> float:
    """Share of walks in unseen mazes, always the same ones, that reach G in time."""
    envs, carry = gym.make_vec(ENV, EVAL_WALKS, size=SIZE, split="test"), network.hrm.encoder.initial_carry(EVAL_WALKS)
    obs, won, over = envs.reset(seed=10_000)[0], *torch.zeros(2, EVAL_WALKS, dtype=torch.bool)
    while not over.all():
        carry, q = network(torch.from_numpy(obs), carry)
        obs, _, terminated, truncated, _ = envs.step(choose(q, EPSILON).numpy())
        won |= torch.from_numpy(terminated) & ~over
        over |= torch.from_numpy(terminated | truncated)
    return float(won.float().mean())


def main(args: Args) -> None:
    """Train a walker, and judge now and then the average of its networks, which is steadier than the latest."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # a net this small gains nothing from more
    network, replay = QNetwork(args.carry == "keep"), dict[str, Tensor]()
    target_network = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(1 - TAU))
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    envs = gym.make_vec(ENV, NUM_ENVS, size=SIZE, split="train", autoreset_mode="Disabled", **EASIER)
    obs = torch.from_numpy(envs.reset(seed=NUM_ENVS * args.seed)[0])  # rows of one seed and the next share no mazes
    thought = network.hrm.encoder.initial_carry(NUM_ENVS)
    for moves in range(NUM_ENVS, args.total_steps + NUM_ENVS, NUM_ENVS):
        with torch.no_grad():
            next_thought, q = network(obs, thought)
        action = choose(q, max(EPSILON, 1 - 2 * moves / args.total_steps))
        next_obs, reward, terminated, truncated = map(torch.from_numpy, envs.step(action.numpy())[:4])
        step = {"obs": obs, "z_H": thought.z_H, "z_L": thought.z_L, "action": action, "next_obs": next_obs}
        # A move closer to G pays 1, one farther from it -1, a bump -0.5.
        step |= {"reward": (50 * reward).clamp(-1, 1).float(), "terminated": terminated}
        at = torch.arange(moves - NUM_ENVS, moves) % CAPACITY
        for name, values in step.items():
            replay.setdefault(name, values.new_empty(CAPACITY, *values.shape[1:]))[at] = values
        over = terminated | truncated
        obs = torch.from_numpy(envs.reset(options={"reset_mask": over.numpy()})[0]) if over.any() else next_obs
        thought = network.hrm.encoder.reset_carry(next_thought, over)
        index = torch.randint(min(moves, CAPACITY), (BATCH_SIZE,))
        optimizer.zero_grad()
        td_loss(network, target_network, {name: kept[index] for name, kept in replay.items()}).backward()
        optimizer.step()
        target_network.update_parameters(network)
        if moves % max(args.total_steps // 20, 1) < NUM_ENVS or moves >= args.total_steps:
            print(f"{moves} moves: {success(target_network.module):.1%} of {EVAL_WALKS} unseen mazes", flush=True)
    torch.save(target_network.module.state_dict(), args.out)


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
