"""PPO in plain TorchRL, with an HRM that walks through mazes and thinks on from move to move.

    pip install "hrm-agents[torchrl]" && python examples/torchrl_maze_moves.py [--size 5] [--steps 300000]

``HRMModule`` takes the place of TorchRL's ``LSTMModule``; all else is TorchRL's own. Its states travel through the
environment, are stored with every step, and losses replay whole stretches of time from where these began.
"""

import argparse

import gymnasium as gym
import torch
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import EnvBase, ExplorationType, GymWrapper, InitTracker, set_exploration_type
from torchrl.modules import ActorValueOperator, ProbabilisticActor, set_recurrent_mode
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from hrm_agents.integrations.torchrl import HRMModule
from hrm_agents.models.architecture import Architecture

ENV = "hrm_envs:HRM/MazeMoves-9x9-v0"
GAMMA = 0.95
#: Moves of every walker between two updates, how often they are learned from, and in how many parts.
STRETCH, EPOCHS, MINIBATCHES = 16, 3, 4


def make_env(hrm: HRMModule, walkers: int, size: int, split: str, seed: int) -> EnvBase:
    """Many mazes in one, with a place for the states."""
    mazes = gym.make_vec(
        ENV, num_envs=walkers, size=size, split=split, shaping=True, gamma=GAMMA, autoreset_mode="Disabled"
    )
    env = GymWrapper(mazes, categorical_action_encoding=True)
    env = env.append_transform(InitTracker()).append_transform(hrm.make_tensordict_primer())
    env.set_seed(seed)
    return env


def make_agent(size: int) -> tuple[HRMModule, ActorValueOperator]:
    """An HRM, and on what it thinks a policy and a value."""
    space = gym.make(ENV, size=size).observation_space
    architecture = Architecture(hidden_size=32, H_layers=1, L_layers=1, position="rope2d", gradient="cycle")
    grids = {"observation": (size, size)}
    hrm = HRMModule.for_space(space, architecture, readout="both", space_options={"grids": grids})
    features = hrm.model.features_dim
    scores = TensorDictModule(nn.Linear(features, 4), in_keys=["features"], out_keys=["logits"])
    actor = ProbabilisticActor(
        scores, in_keys=["logits"], distribution_class=torch.distributions.Categorical, return_log_prob=True
    )
    value = TensorDictModule(nn.Linear(features, 1), in_keys=["features"], out_keys=["state_value"])
    return hrm, ActorValueOperator(hrm, actor, value)


def arrived(env: EnvBase, policy: nn.Module, moves: int) -> float:
    """Share of the walks that reach the goal, always taking the best move."""
    with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
        ends = env.rollout(moves, policy, break_when_any_done=False)["next"]
    return float(ends["terminated"].sum() / ends["done"].sum())


def main(arguments: list[str] | None = None) -> float:
    """Train, and return the share of unseen mazes in which the walker arrives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=5, help="rows and columns of the mazes, odd")
    parser.add_argument("--steps", type=int, default=300_000, help="moves of all walkers together")
    parser.add_argument("--walkers", type=int, default=64, help="side by side")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    torch.manual_seed(options.seed)
    hrm, agent = make_agent(options.size)
    policy, critic = agent.get_policy_operator(), agent.get_value_operator()
    advantage = GAE(gamma=GAMMA, lmbda=0.9, value_network=critic, average_gae=True, deactivate_vmap=True)
    loss = ClipPPOLoss(policy, critic, entropy_coeff=0.01, critic_coeff=0.5)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    env = make_env(hrm, options.walkers, options.size, "train", options.seed)
    frames = STRETCH * options.walkers
    total = -(-options.steps // frames) * frames  # whole stretches
    collector = Collector(env, policy, frames_per_batch=frames, total_frames=total)

    moves = 0
    for number, data in enumerate(collector):  # [walkers, STRETCH]
        with torch.no_grad(), set_recurrent_mode(True):
            advantage(data)
        for _ in range(EPOCHS):
            for rows in torch.randperm(options.walkers).chunk(MINIBATCHES):
                terms = loss(data[rows])
                optimizer.zero_grad()
                (terms["loss_objective"] + terms["loss_critic"] + terms["loss_entropy"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
        moves += data.numel()
        if number % 20 == 0:
            ends = data["next"]
            share = float(ends["terminated"].sum() / ends["done"].sum().clamp(min=1))
            print(f"{moves:8,} moves: {share:.0%} of the walks arrived")
    collector.shutdown()

    unseen = make_env(hrm, options.walkers, options.size, "test", options.seed)
    share = arrived(unseen, policy, options.size**2)
    print(f"{share:.1%} of the walks in unseen mazes arrive")
    return share


if __name__ == "__main__":
    main()
