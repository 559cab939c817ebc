"""PPO in plain TorchRL: an HRM walks through mazes and keeps its carry from move to move.

    pip install "hrm-agents[torchrl]" && python examples/torchrl_maze_moves.py [--size 7] [--steps 300000]

``HRMModule`` takes the place of TorchRL's ``LSTMModule``; everything else is TorchRL's own. The carry travels through
the environment as recurrent states and is stored with every step. The losses replay each sequence of steps, starting
from the stored carry of its first step.
"""

import argparse

import gymnasium as gym
import numpy as np
import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import EnvBase, ExplorationType, GymWrapper, InitTracker, set_exploration_type
from torchrl.modules import ActorValueOperator, ProbabilisticActor, set_recurrent_mode
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from hrm_agents.integrations.torchrl import HRMModule
from hrm_agents.models.architecture import Architecture
from hrm_envs import independent_seeds

ENV = "hrm_envs:HRM/MazeMoves-9x9-v0"
GAMMA = 0.95
NUM_STEPS = 16
"""Steps of each environment between two updates of the policy."""
EPOCHS = 3
MINIBATCHES = 4
PRINT_EVERY = 20
"""Batches between two printed lines."""
EVAL_MAZES = 256
"""Unseen mazes in the evaluation."""


def make_env(hrm: HRMModule, num_envs: int, size: int, split: str, seed: int) -> EnvBase:
    """Mazes side by side, with a place for the carry in their data."""
    mazes = gym.make_vec(
        ENV,
        num_envs=num_envs,
        size=size,
        split=split,
        shaping=True,
        gamma=GAMMA,
        autoreset_mode="Disabled",  # TorchRL resets the environments itself
    )
    # TorchRL would seed environment i with seed + i, and runs with seeds 0 and 1 would share nearly all mazes.
    mazes.reset(seed=independent_seeds(seed, num_envs))
    env = GymWrapper(mazes, categorical_action_encoding=True)
    env = env.append_transform(InitTracker())
    env = env.append_transform(hrm.make_tensordict_primer())
    return env


def make_agent(size: int) -> tuple[HRMModule, ActorValueOperator]:
    """An HRM, and a policy head and a value head on its features."""
    space = gym.make(ENV, size=size).observation_space
    architecture = Architecture(hidden_size=32, H_layers=1, L_layers=1, position="rope2d", gradient="cycle")
    grids = {"observation": (size, size)}
    hrm = HRMModule.for_space(space, architecture, readout="both", space_options={"grids": grids})
    num_features = hrm.model.features_dim
    logits = TensorDictModule(nn.Linear(num_features, 4), in_keys=["features"], out_keys=["logits"])
    actor = ProbabilisticActor(
        logits, in_keys=["logits"], distribution_class=torch.distributions.Categorical, return_log_prob=True
    )
    value = TensorDictModule(nn.Linear(num_features, 1), in_keys=["features"], out_keys=["state_value"])
    return hrm, ActorValueOperator(hrm, actor, value)


def success(steps: TensorDictBase) -> float:
    """Share of the environments whose first walk in ``steps`` ``[num_envs, num_steps]`` reaches G.

    Later walks do not count: short walks arrive more often, and more of them fit into the same number of steps.
    """
    done = steps["next", "done"].squeeze(-1).long()
    in_first_walk = done.cumsum(1) - done == 0
    arrived = steps["next", "terminated"].squeeze(-1) & in_first_walk
    return float(arrived.any(1).float().mean())


def evaluate(env: EnvBase, policy: nn.Module, num_steps: int) -> float:
    """Success of the most likely moves, one walk in each maze; ``num_steps`` must be enough for any walk."""
    with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
        start = env.reset(options={"index": np.arange(env.num_envs)})
        steps = env.rollout(num_steps, policy, auto_reset=False, tensordict=start, break_when_any_done=False)
    return success(steps)


def main(arguments: list[str] | None = None) -> float:
    """Train, and return the success in unseen mazes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=7, help="rows and columns of the mazes, odd, from 7")
    parser.add_argument("--steps", type=int, default=300_000, help="training steps, all environments together")
    parser.add_argument("--walkers", type=int, default=64, help="environments side by side")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    torch.manual_seed(options.seed)
    hrm, agent = make_agent(options.size)
    policy = agent.get_policy_operator()
    critic = agent.get_value_operator()
    advantage = GAE(gamma=GAMMA, lmbda=0.9, value_network=critic, average_gae=True, deactivate_vmap=True)
    loss = ClipPPOLoss(policy, critic, entropy_coeff=0.01, critic_coeff=0.5)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)

    env = make_env(hrm, options.walkers, options.size, "train", options.seed)
    steps_per_batch = NUM_STEPS * options.walkers
    num_batches = -(-options.steps // steps_per_batch)  # rounded up
    collector = Collector(env, policy, frames_per_batch=steps_per_batch, total_frames=num_batches * steps_per_batch)

    for number, batch in enumerate(collector):  # [walkers, NUM_STEPS]
        # In recurrent mode the HRM runs through each stored sequence, where it otherwise thinks about single steps.
        with torch.no_grad(), set_recurrent_mode(True):
            advantage(batch)
        for _ in range(EPOCHS):
            for rows in torch.randperm(options.walkers).chunk(MINIBATCHES):
                terms = loss(batch[rows])
                total_loss = terms["loss_objective"] + terms["loss_critic"] + terms["loss_entropy"]
                optimizer.zero_grad()
                total_loss.backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
        if number % PRINT_EVERY == 0:
            moves = (number + 1) * steps_per_batch
            print(f"{moves:8,} moves: reward {batch['next', 'reward'].mean():.3f} per move")
    collector.shutdown()

    unseen = make_env(hrm, EVAL_MAZES, options.size, "test", options.seed)
    share = evaluate(unseen, policy, num_steps=options.size**2)
    print(f"{share:.1%} of the walks in {EVAL_MAZES} unseen mazes arrive")
    return share


if __name__ == "__main__":
    main()
