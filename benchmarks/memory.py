"""Train memories on the T-maze over several seeds, with three implementations of PPO, and compare their returns.

    python -m benchmarks.memory [--learners ppo recurrent-ppo torchrl] [--networks hrm hrm-bptt-1 lstm] [--jobs 2]
    python -m benchmarks.memory --table

The T-maze and ``ppo`` are those of ``examples/t_maze.py``; ``recurrent-ppo`` is sb3-contrib's, ``torchrl`` consists of
TorchRL's collector and losses. All learn with the settings of the example, from the same number of steps. The networks
are an HRM whose gradient crosses all steps of a sequence, the same HRM with the gradient cut after each step, and an
LSTM. Every finished run adds a line to ``results/memory.csv``: the return is the mean over new episodes with sampled
actions; the best is 0.93, and -0.07 is what an agent that turns to either side at random reaches. ``--table`` prints
means over the seeds with 95% t intervals. Run it from the root of the repository.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor, nn

from benchmarks.records import RESULTS, grouped, markdown, mean_with_interval, report_runs
from benchmarks.runs import side_by_side
from examples import t_maze
from hrm_envs import independent_seeds

FILE = RESULTS / "memory.csv"
EVAL_SEED = 1_000_000
"""Added to the seed of a run for its evaluation, as in the example."""
NETWORKS = {"hrm": None, "hrm-bptt-1": 1, "lstm": None}
"""Steps that a gradient covers, None for all of a sequence."""


def own_ppo(network: str, corridor: int, seed: int, updates: int) -> float:
    """PPO of the example."""
    kind: Literal["hrm", "lstm"] = "lstm" if network == "lstm" else "hrm"
    return t_maze.main(t_maze.Args(kind, bptt=NETWORKS[network], corridor=corridor, updates=updates, seed=seed))


def recurrent_ppo(network: str, corridor: int, seed: int, updates: int) -> float:
    """RecurrentPPO of sb3-contrib, with a network of its own for the value."""
    from sb3_contrib import RecurrentPPO

    from hrm_agents.integrations.sb3 import ReasoningVecEnv, RecurrentHRMPolicy

    hrm = {"architecture": t_maze.ARCHITECTURE, "bptt": NETWORKS[network]}
    policy, kwargs = (
        ("MlpLstmPolicy", {"lstm_hidden_size": t_maze.LSTM_SIZE}) if network == "lstm" else (RecurrentHRMPolicy, hrm)
    )
    model = RecurrentPPO(
        policy,
        ReasoningVecEnv(t_maze.make_envs(t_maze.NUM_ENVS, corridor)),
        learning_rate=lambda left: t_maze.LEARNING_RATE * left,
        n_steps=t_maze.NUM_STEPS,
        batch_size=t_maze.NUM_ENVS * t_maze.NUM_STEPS // t_maze.MINIBATCHES,
        n_epochs=t_maze.EPOCHS,
        gamma=t_maze.GAMMA,
        gae_lambda=t_maze.LAMBDA,
        clip_range=t_maze.CLIP,
        ent_coef=t_maze.ENTROPY_WEIGHT,
        vf_coef=t_maze.VALUE_WEIGHT,
        # One linear layer after the memory, as in the example.
        policy_kwargs={"net_arch": [], **kwargs},
        seed=seed,
        device="cpu",
    )
    model.learn(updates * t_maze.NUM_STEPS * t_maze.NUM_ENVS)
    state: Any = None

    def act(obs: np.ndarray, begins: np.ndarray) -> np.ndarray:
        nonlocal state
        action, state = model.predict(obs, state=state, episode_start=begins)
        return action

    return t_maze.mean_return(act, corridor, seed + EVAL_SEED)


def torchrl_ppo(network: str, corridor: int, seed: int, updates: int) -> float:
    """PPO of TorchRL, with one memory for policy and value."""
    from tensordict.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential
    from torchrl.collectors import Collector
    from torchrl.envs import EnvBase, GymWrapper, InitTracker
    from torchrl.modules import ActorValueOperator, LSTMModule, ProbabilisticActor, set_recurrent_mode
    from torchrl.objectives import ClipPPOLoss
    from torchrl.objectives.value import GAE

    from hrm_agents.integrations.torchrl import HRMModule

    torch.manual_seed(seed)
    space: Any = t_maze.TMaze(corridor).observation_space
    memory: TensorDictModuleBase
    if network == "lstm":
        embedding = TensorDictModule(nn.Embedding(int(space.n), 32), ["observation"], ["embedded"])
        lstm = LSTMModule(32, t_maze.LSTM_SIZE, in_key="embedded", out_key="features")
        primer, size, memory = lstm.make_tensordict_primer(), t_maze.LSTM_SIZE, TensorDictSequential(embedding, lstm)
    else:
        memory = HRMModule.for_space(space, t_maze.ARCHITECTURE, bptt=NETWORKS[network])
        primer, size = memory.make_tensordict_primer(), memory.model.features_dim

    def make_env(num_envs: int, seeds: Sequence[int | None]) -> EnvBase:
        mazes = SyncVectorEnv([lambda: t_maze.TMaze(corridor)] * num_envs, autoreset_mode=AutoresetMode.DISABLED)
        mazes.reset(seed=list(seeds))
        env = GymWrapper(mazes, categorical_action_encoding=True).append_transform(InitTracker())
        return env.append_transform(primer.clone())

    logits = TensorDictModule(nn.Linear(size, 3), ["features"], ["logits"])
    actor = ProbabilisticActor(
        logits, ["logits"], distribution_class=torch.distributions.Categorical, return_log_prob=True
    )
    agent = ActorValueOperator(memory, actor, TensorDictModule(nn.Linear(size, 1), ["features"], ["state_value"]))
    policy, critic = agent.get_policy_operator(), agent.get_value_operator()
    advantage = GAE(gamma=t_maze.GAMMA, lmbda=t_maze.LAMBDA, value_network=critic, deactivate_vmap=True)
    loss = ClipPPOLoss(
        policy,
        critic,
        clip_epsilon=t_maze.CLIP,
        entropy_coeff=t_maze.ENTROPY_WEIGHT,
        critic_coeff=t_maze.VALUE_WEIGHT,
        loss_critic_type="l2",
        normalize_advantage=True,
    )
    optimizer = torch.optim.Adam(loss.parameters(), lr=t_maze.LEARNING_RATE)
    frames = t_maze.NUM_STEPS * t_maze.NUM_ENVS
    env = make_env(t_maze.NUM_ENVS, independent_seeds(seed, t_maze.NUM_ENVS))
    collector = Collector(env, policy, frames_per_batch=frames, total_frames=updates * frames)
    for update, batch in enumerate(collector):  # [NUM_ENVS, NUM_STEPS]
        for group in optimizer.param_groups:
            group["lr"] = t_maze.LEARNING_RATE * (1 - update / updates)
        with torch.no_grad(), set_recurrent_mode(True):
            advantage(batch)
        for _ in range(t_maze.EPOCHS):
            for rows in torch.randperm(t_maze.NUM_ENVS).chunk(t_maze.MINIBATCHES):
                terms = loss(batch[rows])
                optimizer.zero_grad()
                (terms["loss_objective"] + terms["loss_critic"] + terms["loss_entropy"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
    collector.shutdown()

    episodes = t_maze.EVAL_EPISODES
    with torch.no_grad():
        steps = make_env(episodes, independent_seeds(seed + EVAL_SEED, episodes)).rollout(
            t_maze.TMaze(corridor).max_steps, policy, break_when_any_done=False
        )
    return first_return(steps["next", "reward"].squeeze(-1), steps["next", "done"].squeeze(-1))


def first_return(reward: Tensor, done: Tensor) -> float:
    """Mean over environments of the return of their first episode, from steps ``[B, T]`` that contain all of it."""
    in_first = done.long().cumsum(1) - done.long() == 0
    return float((reward * in_first).sum(1).mean())


LEARNERS: dict[str, Callable[[str, int, int, int], float]] = {
    "ppo": own_ppo,
    "recurrent-ppo": recurrent_ppo,
    "torchrl": torchrl_ppo,
}


def train(learner: str, network: str, corridor: int, seed: int, updates: int) -> dict[str, Any]:
    """Train and evaluate one agent; the result is a row of results/memory.csv."""
    torch.set_num_threads(1)
    start = time.process_time()
    result = LEARNERS[learner](network, corridor, seed, updates)
    return {
        "learner": learner,
        "network": network,
        "corridor": corridor,
        "seed": seed,
        "updates": updates,
        "return": round(result, 3),
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def table() -> str:
    """The summary of results/memory.csv as Markdown: mean over the seeds, with a 95% t interval."""
    names = ("learner", "network", "corridor", "updates")
    lines = []
    for group, rows in grouped(FILE, names).items():
        values = [float(row["return"]) for row in rows]
        seconds = f"{np.mean([float(row['cpu_seconds']) for row in rows]):.0f}"
        lines.append([*group, ", ".join(f"{value:.2f}" for value in values), mean_with_interval(values), seconds])
    return markdown([*names, "return of each seed", "mean [95% interval]", "CPU seconds"], lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the experiment, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--corridor", type=int, default=t_maze.Args.corridor)
    parser.add_argument("--updates", type=int, default=t_maze.Args.updates)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    parser.add_argument("--quick", action="store_true", help="2 updates each, not recorded, to see that it works")
    parser.add_argument("--table", action="store_true", help="print the summary of results/memory.csv")
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
        return
    calls = [
        (learner, network, options.corridor, seed, 2 if options.quick else options.updates)
        for learner in options.learners
        for network in options.networks
        for seed in options.seeds
    ]
    keys = ("learner", "network", "corridor", "updates", "seed")
    report_runs(side_by_side(train, calls, options.jobs), FILE, keys, record=not options.quick)


if __name__ == "__main__":
    main()
