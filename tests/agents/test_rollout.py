import numpy as np
import pytest
import torch

from hrm_agents.environments import make_single, make_vector
from hrm_agents.halting.exploration import Exploration
from hrm_agents.models.hrm import HRM, Architecture, HRMConfig
from hrm_agents.policy import HRMPolicy
from hrm_agents.records.checkpoint import load_state, save_run
from hrm_agents.records.resume import pack, unpack
from hrm_agents.rollout import Rollout
from hrm_envs import PuzzleBatch

ROWS, SEGMENTS, COST = 8, 4, 0.25


class SometimesRight(HRMPolicy):
    """Hands in the environment's solution in half of the rows, and halts in a third, at random."""

    def __init__(self, model, env):
        super().__init__(model)
        self._env, self._rng = env, np.random.default_rng(0)

    def act(self, obs, carry, reset, min_segments=None, draws=None):
        decision = super().act(obs, carry, reset, min_segments, draws)
        knows = torch.from_numpy(self._rng.random(ROWS) < 0.5)
        right = torch.from_numpy(self._env.solutions())
        halt = torch.from_numpy(self._rng.random(ROWS) < 0.33)
        return decision._replace(answer=torch.where(knows[:, None], right, decision.answer), halt=halt)


@pytest.fixture
def env():
    kwargs = {"num_puzzles": 32, "max_segments": SEGMENTS, "expose_solution": True, "segment_cost": COST}
    return make_vector("HRM/Sudoku-4x4-v0", ROWS, kwargs)


@pytest.fixture
def model(env):
    torch.manual_seed(0)
    model = HRM(HRMConfig.for_task(Architecture(hidden_size=16, num_heads=2, H_layers=1, L_layers=1), env.task_spec))
    torch.nn.init.normal_(model.q_head.weight, std=3.0)
    torch.nn.init.zeros_(model.q_head.bias)
    return model


def explore(probability=0.0):
    return Exploration("episode", probability, SEGMENTS)


def verify(puzzle, solution, answer):
    task = make_single("HRM/Sudoku-4x4-v0", {"num_puzzles": 1}).unwrapped.task
    return task.verify(PuzzleBatch(puzzle.numpy(), solution.numpy()), answer.numpy())


def test_each_solution_solves_the_puzzle_that_was_acted_on(env, model):
    rollout = Rollout(env, SometimesRight(model, env), explore(), seed=1)
    ended = replaced = 0
    for _ in range(60):
        batch = rollout.step()
        assert verify(batch.puzzle, batch.solution, batch.solution).success.all()
        ended += batch.terminated.sum()
        # The trap: by now the environment tells the solution of the puzzle that came after.
        following = torch.from_numpy(env.solutions())[batch.terminated]
        replaced += int((following != batch.solution[batch.terminated]).any(1).sum())
    assert ended > 100
    assert replaced > 0.9 * ended


def test_what_a_step_reports_belongs_to_that_step(env, model):
    rollout = Rollout(env, SometimesRight(model, env), explore(), seed=1)
    seen = {"right and ended": 0, "wrong and ended": 0, "right and running": 0, "forced": 0}
    segment = np.zeros(ROWS, int)
    for _ in range(40):
        batch = rollout.step()
        segment += 1
        np.testing.assert_array_equal(batch.segment, segment)
        halt = batch.decision.halt.numpy()
        verdict = verify(batch.puzzle, batch.solution, batch.decision.answer)
        np.testing.assert_array_equal(batch.success, verdict.success)
        np.testing.assert_array_equal(batch.score, verdict.score)
        np.testing.assert_array_equal(batch.halt_reward, verdict.success.astype(np.float32))
        np.testing.assert_array_equal(batch.terminated, halt | (segment == SEGMENTS))
        np.testing.assert_array_equal(batch.forced_halt, ~halt & (segment == SEGMENTS))
        np.testing.assert_allclose(batch.reward, np.where(batch.terminated, verdict.success, -COST))
        seen["right and ended"] += (verdict.success & batch.terminated).sum()
        seen["wrong and ended"] += (~verdict.success & batch.terminated).sum()
        seen["right and running"] += (verdict.success & ~batch.terminated).sum()
        seen["forced"] += batch.forced_halt.sum()
        segment[batch.terminated] = 0
    assert min(seen.values()) > 5, seen


def test_memory_is_reset_where_an_episode_ended_and_kept_elsewhere(env, model):
    given = []

    def spy(carry, puzzle, task_id):
        given.append(carry)
        return model(carry, puzzle, task_id)

    rollout = Rollout(env, HRMPolicy(model, spy), explore(), seed=1)
    initial = model.initial_carry(ROWS)
    last, ended, endings = initial, np.ones(ROWS, bool), 0
    for _ in range(15):
        batch = rollout.step()
        for now, fresh, kept in zip(given[-1], initial, last, strict=True):
            torch.testing.assert_close(now[ended], fresh[ended], rtol=0, atol=0)
            torch.testing.assert_close(now[~ended], kept[~ended], rtol=0, atol=0)
        last, ended = batch.decision.carry, batch.terminated
        assert not any(state.requires_grad for state in last)
        endings += ended.sum()
    assert 0 < endings < 15 * ROWS


def test_exploration_sets_the_length_of_episodes_of_a_hasty_model(env, model):
    with torch.no_grad():
        model.q_head.weight.zero_()
        model.q_head.bias.copy_(torch.tensor([1.0, -1.0]))

    def lengths(probability):
        rollout = Rollout(env, HRMPolicy(model), explore(probability), seed=1)
        batches = [rollout.step() for _ in range(60)]
        return np.concatenate([batch.segment.numpy()[batch.terminated] for batch in batches])

    assert set(lengths(0.0)) == {1}
    assert set(lengths(1.0)) == {2, 3, 4}
    share = (lengths(0.5) > 1).mean()
    assert 0.35 < share < 0.65


def test_state_survives_the_disk_and_continues_identically(env, model, tmp_path):
    first = Rollout(env, HRMPolicy(model), explore(0.5), seed=1)
    for _ in range(7):
        first.step()
    save_run(tmp_path, {}, {"model": {}}, *pack(first.state_dict()))
    expected = [first.step() for _ in range(12)]

    kwargs = {"num_puzzles": 32, "max_segments": SEGMENTS, "expose_solution": True, "segment_cost": COST}
    second = Rollout(make_vector("HRM/Sudoku-4x4-v0", ROWS, kwargs), HRMPolicy(model), explore(0.5), seed=99)
    second.load_state_dict(unpack(load_state(tmp_path)))
    for one in expected:
        other = second.step()
        for name in ("puzzle", "solution", "segment", "halt_reward"):
            torch.testing.assert_close(getattr(other, name), getattr(one, name), rtol=0, atol=0)
        torch.testing.assert_close(other.decision, one.decision, rtol=0, atol=0)
        np.testing.assert_array_equal(other.terminated, one.terminated)
    assert sum(batch.terminated.sum() for batch in expected) > 5


def test_state_of_another_batch_size_is_refused(env, model):
    state = Rollout(env, HRMPolicy(model), explore(), seed=1).state_dict()
    other = make_vector("HRM/Sudoku-4x4-v0", ROWS + 1, {"num_puzzles": 32, "expose_solution": True})
    with pytest.raises(ValueError, match="shape"):
        Rollout(other, HRMPolicy(model), explore(), seed=1).load_state_dict(state)


@pytest.mark.parametrize("mode", ["NextStep", "Disabled"])
def test_other_autoreset_modes_are_refused(model, mode):
    env = make_vector("HRM/Sudoku-4x4-v0", ROWS, {"num_puzzles": 32, "autoreset_mode": mode})
    with pytest.raises(ValueError, match="training needs autoreset_mode=SameStep"):
        Rollout(env, HRMPolicy(model), explore(0.5), seed=1)


def test_rollouts_with_neighbouring_seeds_share_no_row(model):
    """Training resets with the run's seed, and row i with seed + i would have all rows but one in common."""

    def rows(seed):
        env = make_vector("HRM/Sudoku-4x4-v0", 32, {"max_segments": SEGMENTS, "expose_solution": True})
        return {row.tobytes() for row in Rollout(env, HRMPolicy(model), explore(), seed).step().puzzle.numpy()}

    runs = [rows(seed) for seed in (0, 1, 2)]
    assert [len(run) for run in runs] == [32] * 3
    assert len(set.union(*runs)) == 96
    assert rows(0) == runs[0]
