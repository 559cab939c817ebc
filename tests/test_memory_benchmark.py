"""The benchmark of memories: every learner runs with every network, and its table is right."""

import pytest
import torch

from benchmarks import memory
from hrm_agents.evaluation.intervals import t_interval

# TorchRL's collectors warn about their own classes.
pytestmark = pytest.mark.filterwarnings("ignore:Creating .* inherits from WeightUpdaterBase:DeprecationWarning")


@pytest.fixture
def tiny(monkeypatch):
    for name, value in {"NUM_ENVS": 4, "NUM_STEPS": 4, "EPOCHS": 1, "EVAL_EPISODES": 16}.items():
        monkeypatch.setattr(memory.t_maze, name, value)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("network", memory.NETWORKS)
@pytest.mark.parametrize("learner", memory.LEARNERS)
def test_every_learner_trains_every_network(tiny, learner, network):
    for package in {"recurrent-ppo": ["sb3_contrib"], "torchrl": ["torchrl"]}.get(learner, []):
        pytest.importorskip(package)
    row = memory.train(learner, network, corridor=1, seed=0, updates=1)
    # The worst return is that of waiting until the end, the best that of the shortest way.
    assert -1.08 <= row["return"] <= 0.98
    assert (row["learner"], row["network"], row["corridor"], row["updates"]) == (learner, network, 1, 1)


def test_only_the_first_episode_of_an_environment_counts():
    reward = torch.tensor([[1.0, 2.0, 4.0, 8.0], [1.0, 1.0, 1.0, 1.0]])
    done = torch.tensor([[False, True, False, True], [False, False, False, True]])
    assert memory.first_return(reward, done) == (3.0 + 4.0) / 2


def test_the_table_has_means_and_intervals(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "FILE", tmp_path / "memory.csv")
    lines = ["learner,network,corridor,seed,updates,return,cpu_seconds", "ppo,lstm,6,0,80,0.5,9.0"]
    lines += [f"ppo,hrm,6,{seed},80,{value},20.0" for seed, value in enumerate((0.9, 0.8, 1.0))]
    memory.FILE.write_text("\n".join(lines) + "\n")
    low, high = t_interval([0.9, 0.8, 1.0])
    rows = memory.table().splitlines()[2:]
    assert rows == [
        "| ppo | lstm | 6 | 80 | 0.50 | 0.50 | 9 |",
        f"| ppo | hrm | 6 | 80 | 0.90, 0.80, 1.00 | 0.90 [{low:.2f}, {high:.2f}] | 20 |",
    ]
