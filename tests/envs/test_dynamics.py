"""The segment MDP, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

from hrm_envs.dynamics import SegmentDynamics
from hrm_envs.rewards import exact, partial
from hrm_envs.spec import TaskSpec
from hrm_envs.streams import Draws
from hrm_envs.task import PuzzleBatch, Task, Verdict


class CopyTask(Task):
    """Repeat two cells; the score is the share of right ones."""

    spec = TaskSpec("Copy", (1, 2), ("?", "a", "b"))

    def sample(self, rng, num):
        puzzle = rng.integers(1, 3, (num, 2)).astype(np.uint8)
        return PuzzleBatch(puzzle, puzzle.copy())

    def verify(self, batch, answer):
        right = answer == batch.solution
        return Verdict(right.all(axis=1), right.mean(axis=1, dtype=np.float32))

    def augment(self, batch, draws):
        flip = draws.integers(2).astype(bool)[:, None]
        puzzle = np.where(flip, batch.puzzle[:, ::-1], batch.puzzle)
        return PuzzleBatch(puzzle, puzzle.copy(), batch.task_id)


POOL = PuzzleBatch(np.array([[1, 2], [2, 2], [1, 1]], np.uint8), np.array([[1, 2], [2, 2], [1, 1]], np.uint8))
RIGHT, HALF, WRONG = [1, 2], [1, 1], [2, 1]


def dynamics(num_rows: int, **kwargs) -> SegmentDynamics:
    made = SegmentDynamics(CopyTask(), POOL, num_rows, **{"max_segments": 3, "reward": exact, **kwargs})
    made.seed(np.arange(num_rows, dtype=np.uint64), np.arange(num_rows))
    made.reset(np.arange(num_rows), index=np.zeros(num_rows, np.int64))
    return made


def step(made, answers, halts):
    return made.step(np.array(answers, np.uint8), np.array(halts, bool))


def test_episodes_computed_by_hand():
    """Four rows with M = 3 and a cost of 0.25: halts right, halts wrong, thinks to the end, halts at the end."""
    made = dynamics(4, segment_cost=0.25)
    first = step(made, [RIGHT, WRONG, RIGHT, HALF], [1, 1, 0, 0])
    assert first.reward.tolist() == [1, 0, -0.25, -0.25]
    assert first.terminated.tolist() == [True, True, False, False]
    assert first.forced_halt.tolist() == [False] * 4
    assert first.halt_reward.tolist() == [1, 0, 1, 0]  # the reward for halting, halted or not
    assert first.verdict.score.tolist() == [1, 0, 1, 0.5]
    made.reset(np.array([0, 1]), index=np.array([0, 0]))

    second = step(made, [HALF, HALF, WRONG, RIGHT], [0, 0, 0, 0])
    assert second.reward.tolist() == [-0.25] * 4
    assert made.segment.tolist() == [1, 1, 2, 2]

    third = step(made, [RIGHT, RIGHT, RIGHT, RIGHT], [0, 1, 0, 1])
    assert third.reward.tolist() == [-0.25, 1, 1, 1]
    assert third.terminated.tolist() == [False, True, True, True]
    assert third.forced_halt.tolist() == [False, False, True, False]  # a chosen halt at M is not forced


def test_one_segment_is_graded_at_once():
    outcome = step(dynamics(2, max_segments=1, segment_cost=9), [RIGHT, WRONG], [0, 0])
    assert outcome.reward.tolist() == [1, 0]
    assert outcome.terminated.all()
    assert outcome.forced_halt.all()


def test_the_cost_is_charged_as_it_is_written():
    outcome = step(dynamics(1, segment_cost=0.1), [WRONG], [0])
    assert outcome.reward.dtype == np.float64
    assert outcome.reward[0] == -0.1
    assert str(step(dynamics(1), [WRONG], [0]).reward[0]) == "0.0"


def test_partial_reward_and_functions():
    assert step(dynamics(1, reward=partial), [HALF], [1]).reward.tolist() == [0.5]
    minus = dynamics(2, reward=lambda verdict: np.where(verdict.success, 2.0, -1.0))
    outcome = step(minus, [RIGHT, HALF], [1, 0])
    assert outcome.reward.tolist() == [2, 0]
    assert outcome.halt_reward.tolist() == [2, -1]
    assert outcome.halt_reward.dtype == np.float32


def test_rewards_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"returns shape \(\) for 2 row"):
        step(dynamics(2, reward=lambda verdict: verdict.score.sum()), [RIGHT, HALF], [1, 0])


def test_reset_takes_rows_apart():
    made = dynamics(3)
    step(made, [RIGHT, HALF, WRONG], [0, 0, 0])
    made.reset(np.array([1]), index=np.array([2]))
    assert made.segment.tolist() == [1, 0, 1]
    assert made.answer.tolist() == [RIGHT, [0, 0], WRONG]
    assert made.batch.puzzle.tolist() == [[1, 2], [1, 1], [1, 2]]
    assert POOL.puzzle.tolist() == [[1, 2], [2, 2], [1, 1]]


def test_reset_plays_given_puzzles():
    made = dynamics(2)
    tokens = np.array([[2, 1]], np.uint8)
    made.reset(np.array([1]), puzzles=PuzzleBatch(tokens, tokens, np.array([7], np.int32)))
    assert made.batch.puzzle.tolist() == [[1, 2], [2, 1]]
    assert made.observe()["task_id"].tolist() == [[0], [7]]


def test_random_puzzles_are_augmented_and_indexed_ones_are_not():
    made = dynamics(200, augment=True)
    made.reset(np.arange(200))
    assert [2, 1] in made.batch.puzzle.tolist()
    made.reset(np.arange(200), index=np.zeros(200, np.int64))
    assert made.batch.puzzle.tolist() == [[1, 2]] * 200
    plain = dynamics(200)
    plain.reset(np.arange(200))
    assert [2, 1] not in plain.batch.puzzle.tolist()


def test_a_row_plays_what_it_would_play_alone():
    together = dynamics(3, augment=True)
    for _ in range(5):
        together.reset(np.array([0, 2]))
    alone = dynamics(1, augment=True)
    alone.seed(np.array([2], np.uint64), np.array([0]))
    alone.reset(np.array([0]))  # row 2 began one episode by index before
    for _ in range(5):
        alone.reset(np.array([0]))
    assert (alone.batch.puzzle[0] == together.batch.puzzle[2]).all()
    assert len(Draws(np.zeros(3, np.uint64), np.zeros(3))) == 3


def test_state_round_trip():
    made = dynamics(4, augment=True)
    made.reset(np.arange(4))
    step(made, [RIGHT] * 4, [0] * 4)
    state = made.get_state()
    twin = dynamics(4, augment=True)
    twin.set_state(state)
    for name in state:
        state[name] = state[name] * 0 + 1  # get_state returns copies, and set_state makes copies
    for _ in range(3):
        for one in (made, twin):
            step(one, [HALF] * 4, [0] * 4)
            one.reset(np.array([1, 3]))
        assert data_equivalence(made.get_state(), twin.get_state(), exact=True)


def test_states_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"'keys': expected shape \(3,\), found \(2,\)"):
        dynamics(3).set_state(dynamics(2).get_state())
    state = dynamics(3).get_state()
    del state["segment"]
    with pytest.raises(ValueError, match=r"'segment': expected shape .*found nothing"):
        dynamics(3).set_state(state)
