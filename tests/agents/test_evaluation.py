import dataclasses
import json

import numpy as np
import pytest
import torch

import hrm_agents.evaluation.evaluate as evaluation_module
from hrm_agents.evaluation.evaluate import HaltJudge, evaluate, open_env, summarise
from hrm_agents.evaluation.evaluate import trace as trace_env
from hrm_agents.evaluation.intervals import wilson
from hrm_agents.evaluation.outcomes import Trace
from hrm_agents.halting.q_scale import LOGIT
from hrm_agents.models.hrm import SegmentOutput
from hrm_agents.policy import Decision, HRMPolicy
from hrm_agents.records.checkpoint import load

ID = "HRM/Sudoku-4x4-v0"


def trace(policy, env_id, env_kwargs, *, num_puzzles=None, batch_size=250, **options):
    env = open_env(env_id, env_kwargs, num_puzzles=num_puzzles, batch_size=batch_size)
    return trace_env(policy, env, **options)


@pytest.fixture
def policy(sudoku_run):
    model = load(sudoku_run).model
    torch.manual_seed(0)
    torch.nn.init.normal_(model.q_head.weight)
    torch.nn.init.zeros_(model.q_head.bias)
    return HRMPolicy(model)


def test_summary_by_hand():
    """Five puzzles, three segments; 1 in `wants` is an agent that wants to halt."""
    wants = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 1]], bool)
    success = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0], [0, 1, 0]], bool)
    score = np.array([[1.0, 0.5, 0.5], [1.0, 0.25, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.5]], np.float32)
    # The agent's own decision counts, not what the Q-values would say by another rule.
    q_halt = np.where(wants, 0.25, 0.5).astype(np.float32)
    q_continue = np.full((5, 3), 0.25, np.float32)
    pays, answer = success.astype(np.float32), np.zeros((5, 4), np.uint8)
    result = Trace(answer, success, score, q_halt, q_continue, pays, wants)
    assert result.halt_segment().tolist() == [0, 1, 2, 2, 2]
    report = summarise(result.at_halt(), "an/id", "test", 3, result)
    assert report.num_puzzles == 5
    assert report.max_segments == 3
    assert report.success_rate == 2 / 5
    assert report.mean_score == pytest.approx((1.0 + 0.25 + 1.0 + 0.0 + 0.5) / 5)
    assert report.mean_segments == (1 + 2 + 3 + 3 + 3) / 5
    # The last puzzle halts of its own accord in the segment that would have been forced.
    assert report.forced_rate == 2 / 5
    assert (report.forced_solved_rate, report.forced_unsolved_rate) == (1 / 5, 1 / 5)
    assert report.success_per_segment == (2 / 5, 1 / 5, 2 / 5)
    assert report.halts_per_segment == (1 / 5, 1 / 5, 3 / 5)
    ends = result.at_halt()
    assert ends.segments.tolist() == [1, 2, 3, 3, 3]
    assert ends.forced_halt.tolist() == [False, False, True, True, False]
    assert ends.success.tolist() == [True, False, True, False, False]
    assert json.loads(json.dumps(report.to_dict()))["halts_per_segment"] == [0.2, 0.2, 0.6]
    # Nothing is known about symmetry classes.
    assert (report.num_classes, report.intervals) == (5, {})
    known = summarise(ends, "an/id", "test", 3, classes=np.array([3, 3, 4, 4, 5]))
    assert known.num_classes == 3
    assert known.intervals["success_rate"] == wilson(2 / 5, 25 / 9)
    assert known.intervals["forced_unsolved_rate"] == wilson(1 / 5, 25 / 9)
    low, high = known.intervals["mean_segments"]
    assert 1.5 <= low < report.mean_segments < high <= 3.0


def test_each_puzzle_of_the_test_split_is_judged_once(policy, monkeypatch):
    made, asked = [], []
    make_vector = evaluation_module.make_vector

    def spy(env_id, num_envs, kwargs):
        env = make_vector(env_id, num_envs, kwargs)
        reset = env.reset

        def spying_reset(*, seed=None, options=None):
            asked.extend(options["index"].tolist())
            return reset(seed=seed, options=options)

        env.reset = spying_reset
        made.append(kwargs)
        return env

    monkeypatch.setattr(evaluation_module, "make_vector", spy)
    shares = []
    result = trace(policy, ID, {"max_segments": 2}, num_puzzles=25, batch_size=10, progress=shares.append)
    assert result.success.shape == result.score.shape == result.q_halt.shape == (25, 2)
    # The last batch is filled up to the size of the others.
    assert asked == [*range(25), *[24] * 5]
    assert {kwargs["split"] for kwargs in made} == {"test"}
    assert not any(kwargs["expose_solution"] for kwargs in made)
    assert shares == [10 / 25, 20 / 25, 1.0]


def test_batch_size_does_not_matter(policy):
    one, other = (trace(policy, ID, {"max_segments": 3}, num_puzzles=20, batch_size=size) for size in (7, 100))
    for name in ("success", "score", "answer"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("q_halt", "q_continue"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-4)
    assert len(np.unique(one.q_halt)) == one.q_halt.size, "puzzles must differ for the test to say anything"


def test_first_takes_the_first_of_the_same_puzzles(policy):
    whole = trace(policy, ID, {"max_segments": 2}, num_puzzles=20)
    part = trace(policy, ID, {"max_segments": 2}, num_puzzles=20, first=6)
    np.testing.assert_allclose(part.q_halt, whole.q_halt[:6], atol=1e-4)
    assert len(trace(policy, ID, {"max_segments": 2}, num_puzzles=5, first=6).q_halt) == 5


def test_the_halting_rule_agrees_with_playing_the_episodes(policy, sudoku_run):
    """The report says what would happen in the environment if the model halted there."""
    from hrm_agents.solving.solver import Solver

    report = evaluate(policy, ID, {"max_segments": 3, "num_puzzles": 12})
    config = load(sudoku_run).config
    solver = Solver(policy.model, config, sudoku_run)
    env = solver.make_env(num_puzzles=12)
    episodes = [list(solver.think(env, options={"index": index})) for index in range(12)]
    lengths = [len(segments) for segments in episodes]
    assert report.mean_segments == pytest.approx(np.mean(lengths))
    assert len(set(lengths)) > 1
    traced = trace(policy, ID, {"max_segments": 3, "num_puzzles": 12}, batch_size=5)
    np.testing.assert_array_equal(traced.answer, [segments[-1].answer for segments in episodes])
    probability = LOGIT.probability(traced.at_halt().q_halt)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, [segments[-1].q_halt for segments in episodes], atol=1e-4)


@pytest.mark.parametrize("batch_size", [6, 100])
def test_until_the_halt_gives_the_same_figures_as_to_the_end(policy, batch_size):
    kwargs = {"max_segments": 4, "num_puzzles": 30}
    end = evaluate(policy, ID, kwargs, batch_size=batch_size)
    halt = evaluate(policy, ID, kwargs, batch_size=batch_size, until="halt")
    assert len(end.success_per_segment) == 4
    assert halt == dataclasses.replace(end, success_per_segment=())
    assert 1 < halt.mean_segments < 4
    assert halt.seconds > 0
    assert "seconds" not in halt.to_dict(), "reports of the same run must be equal"


def test_arguments_that_make_no_sense(policy):
    with pytest.raises(ValueError, match="first=0: must be at least 1"):
        evaluate(policy, ID, first=0)
    with pytest.raises(ValueError, match="until='never': choose 'halt' or 'end'"):
        evaluate(policy, ID, until="never")


def test_an_ordinary_task_has_no_ensemble(policy):
    report = evaluate(policy, ID, {"max_segments": 2, "num_puzzles": 5}, judge=HaltJudge(LOGIT))
    assert report.ensemble is None
    assert "ensemble" not in report.to_dict()


class Copier:
    """Answers with the puzzle, which is wrong, and halts at once."""

    def __init__(self):
        self.model = torch.nn.Linear(1, 1)

    def initial_carry(self, num_rows):
        return None

    def act(self, obs, carry, reset):
        puzzle, zeros = torch.from_numpy(obs["puzzle"]), torch.zeros(len(obs["puzzle"]))
        output = SegmentOutput(zeros[:, None, None], zeros, zeros, zeros[:, None])
        return Decision(puzzle, torch.ones(len(puzzle), dtype=torch.bool), carry, output)


def test_puzzles_are_counted_by_symmetry_class():
    """The 16 test puzzles of 5x5 mazes are copies of a few."""
    maze, kwargs = "HRM/Maze-5x5-v0", {"num_puzzles": 16, "max_segments": 2}
    env = open_env(maze, kwargs)
    keys = env.task.symmetry_key(env.puzzles.puzzle)
    assert env.puzzle_classes[:, 0].tolist() == keys.tolist()
    assert 1 < env.num_classes == len(set(keys.tolist())) < 16
    for size, number in ((16, env.num_classes), (3, len(set(keys[:3].tolist())))):
        report = evaluate(Copier(), maze, kwargs, first=size)
        assert (report.num_puzzles, report.num_classes) == (size, number)
    sizes = np.unique(keys, return_counts=True)[1]
    report = evaluate(Copier(), maze, kwargs)
    assert report.success_rate == 0.0
    assert report.intervals["success_rate"] == wilson(report.success_rate, 16**2 / (sizes**2).sum())
    assert json.loads(json.dumps(report.to_dict()))["intervals"]["success_rate"] == [*report.intervals["success_rate"]]


def test_model_is_left_as_it_was(policy):
    model = policy.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for until in ("end", "halt"):
        model.train()
        evaluate(policy, ID, {"max_segments": 2, "num_puzzles": 5}, until=until)
        assert model.training
        model.eval()
        evaluate(policy, ID, {"max_segments": 2, "num_puzzles": 5}, until=until)
        assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_report_is_frozen(policy):
    report = evaluate(policy, ID, {"max_segments": 2, "split": "train", "num_puzzles": 5})
    assert report.split == "train"
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.success_rate = 1.0
