import numpy as np
import pytest
import torch

from hrm_agents.halting.decisions import should_halt
from hrm_agents.halting.exploration import Exploration
from hrm_agents.halting.q_scale import PLAIN
from hrm_agents.halting.targets import continue_target


def test_ties_think_on():
    halt = should_halt(torch.tensor([1.0, 0.0, -1.0]), torch.zeros(3))
    assert halt.tolist() == [True, False, False]


def test_minimum_per_episode_holds_until_reset():
    rng = np.random.default_rng(0)
    exploration = Exploration("episode", probability=1.0, max_segments=6)
    first = exploration.minimum(rng, np.ones(1000, np.int64), np.ones(1000, bool))
    assert set(first) == {2, 3, 4, 5, 6}
    reset = np.arange(1000) < 500
    second = exploration.minimum(rng, first, reset)
    assert (second[500:] == first[500:]).all()
    assert (second[:500] != first[:500]).any()


def test_minimum_per_segment_is_redrawn():
    rng = np.random.default_rng(0)
    exploration = Exploration("segment", probability=0.1, max_segments=4)
    previous = np.full(10_000, 4)
    drawn = exploration.minimum(rng, previous, np.zeros(10_000, bool))
    assert drawn.dtype == np.int64
    assert np.mean(drawn == 1) == pytest.approx(0.9, abs=0.01)
    assert [np.mean(drawn == m) for m in (2, 3, 4)] == pytest.approx([1 / 30] * 3, abs=0.007)


@pytest.mark.parametrize(("probability", "max_segments"), [(0.0, 8), (1.0, 1)])
def test_nothing_to_explore(probability, max_segments):
    exploration = Exploration("episode", probability, max_segments)
    assert (exploration.minimum(np.random.default_rng(0), np.ones(50, int), np.ones(50, bool)) == 1).all()


@pytest.mark.parametrize(("probability", "max_segments"), [(-0.1, 4), (1.1, 4), (0.1, 0)])
def test_exploration_rejects(probability, max_segments):
    with pytest.raises(ValueError, match="must"):
        Exploration("episode", probability, max_segments)


def test_continue_target_of_the_paper():
    halt, go_on = torch.tensor([1.0, 1.0, 3.0]), torch.tensor([2.0, 2.0, 2.0], requires_grad=True)
    target = continue_target(halt, go_on, torch.tensor([False, True, False]))
    torch.testing.assert_close(target, torch.tensor([2.0, 1.0, 3.0]).sigmoid())
    assert not target.requires_grad


def test_continue_target_with_a_price():
    halt, go_on = torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.75])
    is_last = torch.tensor([False, True])
    target = continue_target(halt, go_on, is_last, scale=PLAIN, segment_cost=0.25, gamma=0.5)
    torch.testing.assert_close(target, torch.tensor([0.125, 0.0]))
    with pytest.raises(ValueError, match="mse"):
        continue_target(halt, go_on, is_last, segment_cost=0.1)
