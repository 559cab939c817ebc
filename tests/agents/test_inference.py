import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import hrm_agents
from hrm_agents.evaluation.evaluate import open_env, trace
from hrm_agents.evaluation.outcomes import Solutions, Trace
from hrm_agents.evaluation.think import think_to_halt
from hrm_agents.halting.q_scale import LOGIT, PLAIN
from hrm_agents.models.hrm import Carry, SegmentOutput
from hrm_agents.policy import HRMPolicy
from hrm_agents.records.checkpoint import load
from hrm_envs import PuzzleBatch, Task, TaskSpec, Verdict
from hrm_envs.vector_env import ReasoningVectorEnv

NAMES = ("answer", "success", "score", "segments", "forced_halt", "q_halt", "q_continue")


class Numbers(Task):
    """Puzzle ``i`` is the number ``i`` in base 4, least digit first, to be repeated."""

    def __init__(self, num):
        self.spec = TaskSpec("Numbers", (1, 3), ("0", "1", "2", "3"))
        self.num = num

    def stored(self, split):
        puzzle = (np.arange(self.num)[:, None] // 4 ** np.arange(3) % 4).astype(np.uint8)
        return PuzzleBatch(puzzle, puzzle) if split == "test" else None

    def verify(self, batch, answer):
        right = answer == batch.solution
        return Verdict(right.all(1), right.mean(1, dtype=np.float32))


class Counter(nn.Module):
    """Counts its segments in the carry; from segment ``lengths[i]`` on wants to halt, and is right then if i is even.

    Q(halt) is ``i + 1`` where it wants to halt and minus that before; Q(continue) is 0.
    """

    def __init__(self, lengths):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))
        self.lengths = torch.tensor(lengths)
        self.batches = []

    def initial_carry(self, num_rows):
        # Garbage: a row must be reset before its first segment, not only made.
        return Carry(torch.full((num_rows, 1, 1), 99.0), torch.zeros(num_rows, 1, 1))

    def reset_carry(self, carry, reset):
        return Carry(torch.where(reset[:, None, None], 0.0, carry.z_H), carry.z_L)

    def forward(self, carry, puzzle, task_id):
        self.batches.append(len(puzzle))
        number = (puzzle.long() * 4 ** torch.arange(3)).sum(1)
        segment = carry.z_H[:, 0, 0] + 1
        wants = segment >= self.lengths[number]
        answer = torch.where((wants & (number % 2 == 0))[:, None], puzzle.long(), 3 - puzzle.long())
        q_halt = torch.where(wants, number + 1.0, -number - 1.0)
        logits, none = nn.functional.one_hot(answer, 4).float(), torch.zeros(len(puzzle))
        return Carry(segment[:, None, None], carry.z_L), SegmentOutput(logits, q_halt, none, none[:, None])


def numbers_env(num, batch_size, max_segments):
    return ReasoningVectorEnv(
        Numbers(num), batch_size, split="test", max_segments=max_segments, autoreset_mode="Disabled"
    )


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    batch_size=st.integers(1, 12),
    max_segments=st.integers(1, 7),
    first=st.none() | st.integers(1, 40),
)
def test_each_puzzle_takes_the_segments_it_needs_and_the_batch_stays_full(lengths, batch_size, max_segments, first):
    model, shares = Counter(lengths), []
    env = numbers_env(len(lengths), batch_size, max_segments)
    result = think_to_halt(HRMPolicy(model), env, first=first, progress=shares.append)
    lengths = np.array(lengths[:first])
    total, numbers = len(lengths), np.arange(len(lengths))
    forced = lengths > max_segments
    assert len(result) == total
    np.testing.assert_array_equal(result.segments, np.minimum(lengths, max_segments))
    np.testing.assert_array_equal(result.forced_halt, forced)
    np.testing.assert_array_equal(result.success, ~forced & (numbers % 2 == 0))
    np.testing.assert_array_equal(result.score == 1, result.success)
    digits = Numbers(total).stored("test").puzzle
    np.testing.assert_array_equal(result.answer, np.where(result.success[:, None], digits, 3 - digits))
    np.testing.assert_array_equal(result.q_halt, np.where(forced, -1, 1) * (numbers + 1))
    np.testing.assert_array_equal(result.q_continue, 0)
    # No segment is thought in vain, and no row is empty while a puzzle waits.
    assert sum(model.batches) == result.segments.sum()
    assert shares == sorted(set(shares))
    assert shares[-1] == 1.0
    full = [batch == batch_size for batch in model.batches]
    assert full == sorted(full, reverse=True)
    assert model.batches == sorted(model.batches, reverse=True)


def test_refilling_by_hand():
    """Two rows, five puzzles: 0, 2, 3, 3, 3, 3 in the one row and 1, 1, 1, 4 in the other."""
    model = Counter([1, 3, 1, 4, 1])
    think_to_halt(HRMPolicy(model), numbers_env(5, 2, 8))
    assert model.batches == [2, 2, 2, 2, 1, 1]


def test_a_higher_limit_costs_nothing_where_the_model_halts():
    lengths = [1, 2, 1, 3, 2, 1, 1, 4]
    short, long = Counter(lengths), Counter(lengths)
    one = think_to_halt(HRMPolicy(short), numbers_env(8, 3, 4))
    other = think_to_halt(HRMPolicy(long), numbers_env(8, 3, 1000))
    assert short.batches == long.batches
    for name in NAMES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def assert_same(one, other, q_tolerance):
    for name in NAMES[:5]:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in NAMES[5:]:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=q_tolerance, err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_the_same_as_thinking_to_the_end_and_looking_back(sudoku_run, batch_size):
    model = load(sudoku_run).model
    torch.manual_seed(0)
    nn.init.normal_(model.q_head.weight)
    nn.init.zeros_(model.q_head.bias)
    env = open_env("HRM/Sudoku-4x4-v0", {"max_segments": 5}, num_puzzles=40, batch_size=batch_size)
    halted = think_to_halt(HRMPolicy(model), env)
    assert len(np.unique(halted.segments)) > 2, "puzzles must differ for the test to say anything"
    assert halted.forced_halt.any()
    assert not halted.forced_halt.all()
    # Matrix products of another size may add up in another order.
    assert_same(halted, trace(HRMPolicy(model), env).at_halt(), 1e-4)


def test_the_bundled_model_gives_the_same_answers_one_by_one_and_in_a_changing_batch():
    solver = hrm_agents.load("maze-9x9")
    batched, single = (
        think_to_halt(HRMPolicy(solver.model), open_env(solver.env_id, {}, num_puzzles=32, batch_size=size))
        for size in (8, 1)
    )
    assert batched.success.all()
    assert len(np.unique(batched.segments)) > 1
    assert_same(batched, single, 1e-3)


def test_halt_probability_by_hand():
    logits = LOGIT.probability(np.array([0.0, np.log(3.0), -np.log(3.0), 200.0, -200.0], np.float32))
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, [0.5, 0.75, 0.25, 1.0, 0.0], atol=1e-6)
    plain = PLAIN.probability(np.array([0.0, 0.3, -0.2, 1.5], np.float32))
    np.testing.assert_array_equal(plain, np.array([0.0, 0.3, 0.0, 1.0], np.float32))


def test_empty_outcomes_have_the_shapes_and_types_of_their_fields():
    trace, solutions = Trace.empty(3, 4, 2), Solutions.empty(3, 4)
    assert len(trace) == len(solutions) == 3
    for outcome, shape in ((trace, (3, 2)), (solutions, (3,))):
        assert (outcome.answer.shape, outcome.answer.dtype) == ((3, 4), np.uint8)
        assert {array.shape for name, array in vars(outcome).items() if name != "answer"} == {shape}
    assert (trace.wants_halt.dtype, trace.halt_reward.dtype) == (np.bool_, np.float32)
    assert (solutions.segments.dtype, solutions.forced_halt.dtype) == (np.int64, np.bool_)
