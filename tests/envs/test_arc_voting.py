"""The vote over many views of ARC test inputs: counting, ranking, reading answers and scoring."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hrm_envs.arc.augmentation import Augmentation
from hrm_envs.arc.grids import END, FIRST_COLOUR, place, read_grid
from hrm_envs.arc.voting import (
    Ballot,
    Candidate,
    PassRate,
    Prediction,
    TestInput,
    by_task,
    count_votes,
    known_tasks,
    pass_rate,
    read_predictions,
    vote,
)

PLAIN = Augmentation(0, np.arange(10, dtype=np.uint8))


def grid(*rows):
    """A grid from strings of digits."""
    return np.array([[int(cell) for cell in row] for row in rows], np.uint8)


A, B, C = grid("12", "30"), grid("12", "31"), grid("5")


def predictions(*pairs):
    return [Prediction(cells, probability) for cells, probability in pairs]


def summary(candidates):
    return [(c.grid.tolist(), c.count, c.halt_probability) for c in candidates]


def ballot(task="t", index=0, *, output=A, ranked=(A,)):
    """A ballot whose candidates are ``ranked`` in this order."""
    candidates = tuple(Candidate(cells, len(ranked) - place, 0.5) for place, cells in enumerate(ranked))
    return Ballot(TestInput(task, index, C, output), candidates, sum(c.count for c in candidates))


# -- counting and ranking ----------------------------------------------------------------------------------------


def test_more_votes_beat_a_higher_probability():
    ranked = vote(predictions((B, 1.0), (A, 0.25), (A, 0.75)))
    assert summary(ranked) == [(A.tolist(), 2, 0.5), (B.tolist(), 1, 1.0)]


def test_of_as_many_votes_the_higher_mean_probability_ranks_first():
    ranked = vote(predictions((A, 0.9), (B, 0.75), (C, 1.0), (B, 0.5), (A, 0.1)))
    assert summary(ranked) == [(B.tolist(), 2, 0.625), (A.tolist(), 2, 0.5), (C.tolist(), 1, 1.0)]


@pytest.mark.parametrize("order", list(permutations([A, B, C])))
def test_of_equals_the_first_predicted_ranks_first(order):
    ranked = vote(predictions(*[(cells, 0.5) for cells in order]))
    assert [c.grid.tolist() for c in ranked] == [cells.tolist() for cells in order]


def test_the_order_of_the_views_does_not_decide_between_equals():
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in floating point."""
    up, down = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    assert sum(up) != sum(down)
    for first, second in ((up, down), (down, up)):
        ranked = vote(predictions(*[(A, p) for p in first], *[(B, p) for p in second]))
        assert ranked[0].halt_probability == ranked[1].halt_probability
        assert np.array_equal(ranked[0].grid, A)


def test_the_same_cells_in_another_shape_are_another_candidate():
    flat, tall, square = grid("1111"), grid("1", "1", "1", "1"), grid("11", "11")
    assert [c.count for c in vote(predictions((flat, 0.1), (tall, 0.2), (square, 0.3)))] == [1, 1, 1]


def test_an_empty_grid_is_no_vote():
    empty = np.zeros((0, 0), np.uint8)
    assert summary(vote(predictions((empty, 1.0), (A, 0.0), (empty, 1.0)))) == [(A.tolist(), 1, 0.0)]
    assert vote(predictions((empty, 1.0))) == []
    assert vote([]) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=12))
def test_vote_against_counting_by_hand(pairs):
    """Every candidate has its count and mean, and each adjacent pair is in order by the three rules."""
    grids = [A, B, C, np.zeros((0, 0), np.uint8)]
    ranked = vote(predictions(*[(grids[which], quarter / 4) for which, quarter in pairs]))
    found = [next(n for n in range(3) if np.array_equal(grids[n], c.grid)) for c in ranked]
    assert sorted(found) == sorted({which for which, _ in pairs} - {3})
    keys = []
    for which, candidate in zip(found, ranked, strict=True):
        quarters = [quarter for number, quarter in pairs if number == which]
        assert candidate.count == len(quarters)
        assert candidate.halt_probability == pytest.approx(sum(quarters) / 4 / len(quarters))
        first = [number for number, _ in pairs].index(which)
        keys.append((-candidate.count, -candidate.halt_probability, first))
    assert keys == sorted(keys)


# -- reading answers ---------------------------------------------------------------------------------------------


def read(tokens, side, augmentations=None):
    rows = np.array(tokens, np.uint8).reshape(-1, side * side)
    shown = augmentations or [PLAIN] * len(rows)
    return [p.grid for p in read_predictions(rows, np.zeros(len(rows), np.float32), side, shown)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # Well formed: 1 x 2 cells and their end markers.
        ("341_ 11__ ____ ____", ["12"]),
        # No end markers: padding also ends the grid.
        ("34__ ____ ____ ____", ["12"]),
        # A separate colour beside or below the grid is not read.
        ("34_5 11__ ____ ____", ["12"]),
        ("341_ 111_ 5___ ____", ["12"]),
        # An adjacent colour may enlarge the largest rectangle.
        ("341_ 5___ ____ ____", ["12"]),
        ("3___ 4___ 5___ 66__", ["1", "2", "3", "4"]),
        # A hole: the largest rectangle from the corner that avoids it.
        ("333_ 313_ 333_ ____", ["111"]),
        # No colour in the corner: no grid.
        ("13__ 33__ ____ ____", None),
        ("____ ____ ____ ____", None),
        ("1111 1111 1111 1111", None),
        # The grid fills the canvas.
        ("2222 2222 2222 2222", ["0000"] * 4),
    ],
)
def test_answers_are_read_as_the_largest_rectangle_from_the_corner(rows, expected):
    tokens = [0 if cell == "_" else int(cell) for cell in rows.replace(" ", "")]
    (found,) = read(tokens, 4)
    assert found.tolist() == ([] if expected is None else grid(*expected).tolist())
    assert np.array_equal(found, read_grid(np.array(tokens, np.uint8), 4))


def augmentations():
    colours = st.permutations(range(1, 10)).map(lambda rest: np.array([0, *rest], np.uint8))
    return st.builds(Augmentation, st.integers(0, 7), colours)


def grids(largest=6):
    sizes = st.tuples(st.integers(1, largest), st.integers(1, largest))
    return sizes.flatmap(lambda size: arrays(np.uint8, size, elements=st.integers(0, 9)))


@given(grids(), st.lists(augmentations(), min_size=1, max_size=8))
def test_right_answers_under_any_augmentation_are_one_candidate(cells, shown):
    answers = place([augmentation.apply(cells) for augmentation in shown], 7)
    (only,) = vote(read_predictions(answers, np.full(len(shown), 0.5, np.float32), 7, shown))
    assert np.array_equal(only.grid, cells)
    assert (only.count, only.halt_probability) == (len(shown), 0.5)


@settings(max_examples=30)
@given(arrays(np.uint8, (5, 16), elements=st.integers(0, 11)), st.lists(augmentations(), min_size=5, max_size=5))
def test_any_tokens_are_read_as_one_at_a_time(answers, shown):
    expected = [a.undo(read_grid(row, 4)) for row, a in zip(answers, shown, strict=True)]
    for found, wanted in zip(read(answers, 4, shown), expected, strict=True):
        assert np.array_equal(found, wanted)


def test_more_answers_than_are_read_at_once():
    count = 2500
    cells = [np.full((1 + n % 3, 1 + n % 2), n % 10, np.uint8) for n in range(count)]
    for found, wanted in zip(read(place(cells, 3), 3), cells, strict=True):
        assert np.array_equal(found, wanted)


# -- ballots from arrays -----------------------------------------------------------------------------------------

TESTS = [TestInput("b", 0, C, A), TestInput("a", 1, C, B), TestInput("a", 0, C, C)]


def count(which, cells, halt=None, tests=TESTS):
    halt = np.full(len(which), 0.5, np.float32) if halt is None else np.array(halt, np.float32)
    return count_votes(place(cells, 3), halt, 3, [PLAIN] * len(which), which, tests)


def test_answers_go_to_the_test_inputs_they_answer():
    which = [("a", 0), ("b", 0), ("a", 1), ("b", 0), ("a", 0), ("b", 0)]
    ballots = count(which, [C, A, B, B, A, A], [0.5, 0.5, 1.0, 0.25, 0.75, 1.0])
    assert [b.test for b in ballots] == TESTS
    assert [summary(b.candidates) for b in ballots] == [
        [(A.tolist(), 2, 0.75), (B.tolist(), 1, 0.25)],
        [(B.tolist(), 1, 1.0)],
        [(A.tolist(), 1, 0.75), (C.tolist(), 1, 0.5)],
    ]
    assert [b.views for b in ballots] == [3, 1, 2]
    assert [b.rank for b in ballots] == [1, 1, 2]


def test_answers_without_a_grid_are_views_but_no_votes():
    answers = np.concatenate([place([A], 3), np.full((2, 9), END, np.uint8)])
    (found,) = count_votes(answers, np.zeros(3, np.float32), 3, [PLAIN] * 3, [("b", 0)] * 3, [TestInput("b", 0, C, A)])
    assert (found.views, found.votes, found.rank) == (3, 1, 1)


def test_test_inputs_may_have_no_answers():
    assert [(b.views, b.candidates, b.rank) for b in count([], [])] == [(0, (), None)] * 3


def test_what_is_wrong_with_the_arguments_is_said():
    answers, halt, which = place([A, B], 3), np.full(2, 0.5, np.float32), [("b", 0)] * 2

    def fails(match, answers=answers, halt=halt, shown=2, which=which, tests=TESTS, side=3):
        with pytest.raises(ValueError, match=match):
            count_votes(answers, halt, side, [PLAIN] * shown, which, tests)

    fails(r"shape \(2, 9\); a canvas of side 4 makes it \[B, 16\]", side=4)
    fails("2 answers need as many", halt=halt[:1])
    fails("2 answers need as many", shown=3)
    fails("2 answers need as many", which=which[:1])
    bad = answers.copy()
    bad[1, 4] = FIRST_COLOUR + 10
    fails("row 1 of the answers holds token 12; the last is 11", answers=bad)
    fails("row 1 has the halt probability 1.5", halt=np.array([0.5, 1.5], np.float32))
    fails("row 0 has the halt probability nan", halt=np.array([np.nan, 0.5], np.float32))
    fails("row 1 answers test input 2 of task a, which is not among", which=[("b", 0), ("a", 2)])
    fails(
        r"task a: its test inputs are numbered \[0, 2\]; number them 0 to 1", tests=[*TESTS[2:], TestInput("a", 2, C)]
    )
    fails(r"task a: its test inputs are numbered \[0, 0\]", tests=[TESTS[2], TESTS[2]])


# -- scoring -----------------------------------------------------------------------------------------------------


def test_rank_and_attempts():
    ranked = [grid(str(n)) for n in range(5)]
    third = ballot(output=ranked[2], ranked=ranked)
    assert third.rank == 3
    assert [third.solved(attempts) for attempts in (1, 2, 3, 4, 100)] == [False, False, True, True, True]
    assert ballot(output=A, ranked=ranked).rank is None
    assert not ballot(output=A, ranked=ranked).solved(100)
    assert ballot(output=None).rank is None
    # A right answer has the right size.
    assert ballot(output=grid("11"), ranked=[grid("1", "1"), grid("11")]).rank == 2


def test_a_task_of_several_outputs_counts_by_two_rules():
    ballots = [
        ballot("one", 0, ranked=[A]),
        ballot("half", 0, ranked=[A, B]),
        ballot("half", 1, ranked=[B, A]),
        ballot("third", 0, ranked=[B, C, A]),
        ballot("third", 1, ranked=[A]),
        ballot("third", 2, ranked=[]),
    ]
    # one: 1 of 1; half: 1 of 2; third: 1 of 3.
    assert pass_rate(ballots, 1) == PassRate(pytest.approx(1 / 3), pytest.approx((1 + 1 / 2 + 1 / 3) / 3))
    # half: 2 of 2.
    assert pass_rate(ballots, 2) == PassRate(pytest.approx(2 / 3), pytest.approx((1 + 1 + 1 / 3) / 3))
    # third: 2 of 3.
    for attempts in (3, 100):
        assert pass_rate(ballots, attempts) == PassRate(pytest.approx(2 / 3), pytest.approx((1 + 1 + 2 / 3) / 3))


@pytest.mark.parametrize("attempts", [1, 2, 10, 100])
@pytest.mark.parametrize(("late", "expected"), [(0, 1.0), (1, 0.0)])
def test_the_last_attempt_counts_and_the_next_does_not(attempts, late, expected):
    numbers = np.arange(attempts + late)
    ranked = [*(np.array([[1, n // 10 % 10, n % 10, n // 100]], np.uint8) for n in numbers[:-1]), A]
    assert pass_rate([ballot(ranked=ranked)], attempts) == PassRate(expected, expected)


def test_tasks_with_an_unknown_output_are_not_scored():
    ballots = [ballot("known"), ballot("partly", 0), ballot("partly", 1, output=None), ballot("not", output=None)]
    assert [[b.test.task for b in group] for group in known_tasks(ballots)] == [["known"]]
    assert pass_rate(ballots, 1) == PassRate(1.0, 1.0)
    with pytest.raises(ValueError, match="nothing to score"):
        pass_rate(ballots[1:], 1)
    with pytest.raises(ValueError, match="attempts=0"):
        pass_rate(ballots, 0)


def test_grouping_keeps_tasks_and_sorts_their_test_inputs():
    ballots = [ballot("b", 1), ballot("a", 0), ballot("b", 0)]
    assert [(task, [b.test.index for b in group]) for task, group in by_task(ballots).items()] == [
        ("b", [0, 1]), ("a", [0]),
    ]  # fmt: skip
