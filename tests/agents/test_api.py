import numpy as np
import pytest
import torch

import hrm_agents
from hrm_agents.errors import UserError
from hrm_agents.halting.q_scale import LOGIT, PLAIN

PUZZLE = "12..\n34..\n....\n...1"
FULL = "1234341221434321"


@pytest.fixture(scope="module")
def solver(sudoku_run):
    return hrm_agents.load(sudoku_run)


def test_thoughts_have_the_promised_shapes(solver):
    solution = solver.solve(FULL)
    assert solution.answer.shape == (16,)
    assert solution.answer.dtype == np.uint8
    assert 1 <= len(solution.segments) <= 3
    assert [segment.halt for segment in solution.segments][:-1] == [False] * (len(solution.segments) - 1)
    assert solution.segments[-1].halt
    for segment in solution.segments:
        assert segment.confidence.shape == (16,)
        assert ((segment.confidence > 0) & (segment.confidence <= 1)).all()
        assert 0.0 < segment.q_halt < 1.0
        assert 0.0 < segment.q_continue < 1.0
    np.testing.assert_array_equal(solution.answer, solution.segments[-1].answer)


def test_text_arrays_and_lists_are_the_same_puzzle(solver):
    grid = np.array([int(digit) + 1 for digit in FULL])
    answers = [solver.solve(form) for form in (FULL, grid, grid.reshape(4, 4), grid.tolist(), grid.astype(np.uint8))]
    for answer in answers:
        np.testing.assert_array_equal(answer.answer, answers[0].answer)
        assert answer.text == answers[0].text


def test_max_segments_overrides_the_training(solver):
    assert len(solver.solve(FULL, max_segments=1).segments) == 1
    with torch.no_grad():
        before = solver.model.q_head.bias.clone()
        solver.model.q_head.bias.copy_(torch.tensor([-1.0, 1.0]))
        assert len(solver.solve(FULL, max_segments=7).segments) == 7
        solver.model.q_head.bias.copy_(before)


@pytest.mark.parametrize(
    ("puzzle", "message"),
    [
        ("11..............", "row 1, column 1 and row 1, column 2 both hold 1"),
        ("1...", "ends after 1 of 4 rows"),
        ("................", "several solutions"),
        ("12345678........", "5"),
        (np.ones(9, int), "4 x 4 = 16 cells"),
        (np.full(16, 9), "tokens are 0 to"),
        (np.ones(16), "integer tokens"),
    ],
)
def test_malformed_puzzles_say_what_is_wrong(solver, puzzle, message):
    with pytest.raises(ValueError, match=message):
        solver.solve(puzzle)


# Many puzzles


@pytest.fixture
def restless(solver):
    """The solver with a Q-head that halts some puzzles early and others not."""
    head = solver.model.q_head
    before = [parameter.detach().clone() for parameter in head.parameters()]
    torch.manual_seed(0)
    torch.nn.init.normal_(head.weight)
    torch.nn.init.zeros_(head.bias)
    yield solver
    with torch.no_grad():
        for parameter, old in zip(head.parameters(), before, strict=True):
            parameter.copy_(old)


@pytest.fixture(scope="module")
def many(solver):
    """Forty puzzles and one of them again; the run was trained on 32."""
    puzzles = solver.make_env(num_puzzles=40).unwrapped.puzzles.puzzle
    return np.concatenate([puzzles, puzzles[:1]])


@pytest.mark.parametrize("max_segments", [None, 6])
def test_solving_all_is_solving_each(restless, many, max_segments):
    shares = []
    result = restless.solve_all(many, max_segments, batch_size=7, progress=shares.append)
    each = [restless.solve(puzzle, max_segments) for puzzle in many]
    np.testing.assert_array_equal(result.answer, [solution.answer for solution in each])
    np.testing.assert_array_equal(result.success, [solution.success for solution in each])
    np.testing.assert_array_equal(result.segments, [len(solution.segments) for solution in each])
    assert len(np.unique(result.segments)) > 1
    assert result.segments.max() == (max_segments or 3)
    ends = [solution.segments[-1] for solution in each]
    np.testing.assert_allclose(result.score, [end.score for end in ends])
    np.testing.assert_allclose(LOGIT.probability(result.q_halt), [end.q_halt for end in ends], atol=1e-5)
    assert shares[-1] == 1.0


def test_all_puzzles_in_other_forms(solver, many, tmp_path):
    expected = solver.solve_all(many).answer
    text = "\n".join("".join(str(token - 1) if token > 1 else "." for token in puzzle) for puzzle in many)
    (tmp_path / "puzzles.txt").write_text(text)
    for form in (text, tmp_path / "puzzles.txt", many.reshape(-1, 4, 4), many.astype(int)):
        np.testing.assert_array_equal(solver.solve_all(form).answer, expected)
    assert len(solver.solve_all(FULL)) == 1


def test_mistakes_among_many_puzzles(solver, many):
    bad = many.copy()
    bad[3, :2] = 2
    with pytest.raises(ValueError, match="puzzle 3: row 1, column 1 and row 1, column 2 both hold 1"):
        solver.solve_all(bad)
    with pytest.raises(ValueError, match="4 x 4 = 16 cells"):
        solver.solve_all(np.zeros((0, 16), np.uint8))
    with pytest.raises(ValueError, match="there is no such file"):
        solver.solve_all("no/such/file.txt")
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        solver.solve_all(many, batch_size=0)
    with pytest.raises(UserError, match="max_segments=0"):
        solver.solve_all(many, 0)


def test_a_model_that_needs_identities_solves_none_from_outside(shift_run):
    with pytest.raises(UserError, match="needs the task identity of each puzzle"):
        hrm_agents.load(shift_run).solve_all(np.ones((2, 3), int))


def test_every_answer_can_be_shown(solver):
    """An untrained model may answer with padding, which the notation of Sudoku lacks."""
    assert len(solver.format(np.zeros(16, np.uint8)).splitlines()) == 4
    assert "1 2 | 3 4" in solver.format(np.array([int(digit) + 1 for digit in FULL], np.uint8))


def test_another_size_is_refused(solver):
    with pytest.raises(UserError, match=r"trained on grids of 4 x 4 with 6 tokens; Sudoku 6x6 has 6 x 6 with 8"):
        solver.make_env(size=6)
    with pytest.raises(UserError, match="4 x 4"):
        solver.evaluate({"size": 6})


def test_evaluate_takes_all_unseen_puzzles_however_few_it_was_trained_on(solver, monkeypatch):
    report = solver.evaluate({"max_segments": 1})
    assert (report.split, report.num_puzzles, report.max_segments) == ("test", 1000, 1)
    # Of the training puzzles there are as many as in training.
    assert solver.evaluate({"max_segments": 1, "split": "train"}).num_puzzles == 32
    assert solver.evaluate({"max_segments": 1, "num_puzzles": 7}, batch_size=2).num_puzzles == 7


def test_evaluate_thinks_to_the_end_unless_views_vote(solver, shift_run):
    kwargs = {"max_segments": 2, "num_puzzles": 5}
    assert len(solver.evaluate(kwargs).success_per_segment) == 2
    assert solver.evaluate(kwargs, until="halt").success_per_segment == ()
    voting = hrm_agents.load(shift_run)
    halt, end = voting.evaluate({"views": 2}), voting.evaluate({"views": 2}, until="end")
    assert halt.success_per_segment == ()
    assert len(end.success_per_segment) == 2
    assert halt.ensemble.answers == end.ensemble.answers
    assert halt.ensemble.metrics == pytest.approx(end.ensemble.metrics)
    assert len(voting.evaluate({"views": 1}).success_per_segment) == 2


def test_plain_values_stay_plain(tiny_config, tmp_path):
    from hrm_agents.trainer import Trainer

    config = tiny_config(kwargs={"num_puzzles": 8, "max_segments": 2, "segment_cost": 0.1}, run={"updates": 1})
    Trainer(config, tmp_path).run()
    solver = hrm_agents.load(tmp_path)
    assert solver.q_scale == PLAIN
    # Plain values start at 0; as a logit, that would be shown as 0.5.
    assert solver.solve(FULL).segments[0].q_halt == pytest.approx(0.0, abs=0.1)
