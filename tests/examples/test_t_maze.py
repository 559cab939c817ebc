"""The T-maze of the examples: its rewards, its PPO, and that a memory is learned with a gradient across steps."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

EXAMPLES = Path(__file__).parents[2] / "examples"
FORWARD, LEFT, RIGHT = range(3)


@pytest.fixture(scope="module")
def maze():
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("t_maze")
    torch.set_num_threads(threads)


def walk(env, actions, seed=0):
    """The cue, then observations, rewards and ends of the steps."""
    cue, _ = env.reset(seed=seed)
    return cue, [env.step(np.int64(action))[:3] for action in actions]


def test_a_walk_by_hand(maze):
    env = maze.TMaze(corridor=2)
    cue, steps = walk(env, [FORWARD, LEFT, FORWARD, FORWARD])
    # The turn in the corridor and the step forward at the junction do nothing.
    assert steps == [(2, -0.01, False), (2, -0.01, False), (3, -0.01, False), (3, -0.01, False)]
    assert env.step(np.int64(LEFT + cue))[:3] == (3, pytest.approx(0.99), True)
    cue, steps = walk(env, [FORWARD, FORWARD])
    assert env.step(np.int64(RIGHT - cue))[:3] == (3, pytest.approx(-1.01), True)
    _, steps = walk(env, [LEFT] * 12)
    assert [ended for *_, ended in steps] == [False] * 11 + [True]
    assert steps[-1][1] == pytest.approx(-1.01)


def test_both_cues_appear_and_nothing_else_differs(maze):
    env = maze.TMaze(corridor=3)
    walks = [walk(env, [FORWARD] * 3, seed) for seed in range(20)]
    assert {int(cue) for cue, _ in walks} == {0, 1}
    assert all(steps == walks[0][1] for _, steps in walks)
    check_env(env, skip_render_check=True)


def test_returns_without_and_with_memory(maze):
    """Of the best policy without memory about -0.07, and 0.93 of one that is told the cue, as the docstring says."""
    times = np.zeros(maze.EVAL_EPISODES, int)

    def act(obs, begins, told):
        times[:] = np.where(begins, 0, times + 1)
        cues[begins] = obs[begins]
        return np.where(times == 6, LEFT + cues * told, FORWARD)

    cues = np.zeros(maze.EVAL_EPISODES, int)
    assert maze.mean_return(lambda *seen: act(*seen, told=True), 6, seed=0) == pytest.approx(0.93)
    assert maze.mean_return(lambda *seen: act(*seen, told=False), 6, seed=0) == pytest.approx(-0.07, abs=0.15)


def test_advantages_by_hand(maze, monkeypatch):
    monkeypatch.setattr(maze, "GAMMA", 0.5)
    monkeypatch.setattr(maze, "LAMBDA", 0.5)
    reward, value = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[4.0], [8.0], [2.0], [6.0]])
    found = maze.advantages(reward, value, ended=torch.tensor([[False], [True], [False]]))
    # 1 + 0.5 * 8 - 4 + 0.25 * (2 - 8); 2 - 8; 3 + 0.5 * 6 - 2.
    assert found.flatten().tolist() == [-0.5, -6.0, 4.0]


@pytest.mark.parametrize("network", ["hrm", "lstm"])
def test_sequences_are_replayed_as_they_were_collected(maze, network):
    """With the same weights, log probabilities and values are those of the single steps, also after an end."""
    torch.manual_seed(0)
    agent = maze.Agent(maze.Args(network))
    torch.nn.init.normal_(agent.policy.weight)
    obs = torch.randint(4, (6, 3))
    begins = torch.rand(6, 3) < 0.3
    first = state = tuple(torch.randn_like(part) for part in agent.memory.initial_state(3))
    steps = []
    for step in range(6):
        state, found = agent.act(obs[step], state, begins[step])
        steps.append(found)
    after, choice, value = agent(obs, first, begins)
    action = torch.stack([step["action"] for step in steps])
    log_prob = torch.stack([step["log_prob"] for step in steps])
    torch.testing.assert_close(choice.log_prob(action), log_prob)
    torch.testing.assert_close(value, torch.stack([step["value"] for step in steps]))
    torch.testing.assert_close(after, state)


def test_it_learns_a_short_maze(maze, monkeypatch):
    settings = {"NUM_ENVS": 64, "NUM_STEPS": 8, "MINIBATCHES": 2, "LEARNING_RATE": 2e-3, "EVAL_EPISODES": 128}
    for name, value in settings.items():
        monkeypatch.setattr(maze, name, value)
    result = maze.main(maze.Args("lstm", corridor=1, updates=20))
    assert result > 0.7  # without memory at most -0.02 on average


@pytest.mark.parametrize("bptt", [None, 1])
def test_an_hrm_runs(maze, bptt, monkeypatch, capsys):
    monkeypatch.setattr(maze, "EVAL_EPISODES", 16)
    monkeypatch.setattr(maze, "NUM_STEPS", 4)
    assert -1.5 < maze.main(maze.Args("hrm", bptt=bptt, corridor=1, updates=1)) < 1.0
    assert "update 1: return" in capsys.readouterr().out
