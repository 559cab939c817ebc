import csv
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inference import NAMES, Counter, Numbers, assert_same, numbers_env
from torch import nn

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.evaluation.evaluate import HaltJudge, evaluate, open_env
from hrm_agents.evaluation.outcomes import Solutions
from hrm_agents.evaluation.search import (
    Search,
    SearchSettings,
    choose_tries,
    noisy_start,
    part_of,
    think_repeatedly,
)
from hrm_agents.evaluation.think import think_to_halt
from hrm_agents.halting.q_scale import LOGIT
from hrm_agents.models.hrm import HRM, Carry, HRMConfig, SegmentOutput
from hrm_agents.policy import HRMPolicy
from hrm_agents.records.checkpoint import load

ID = "HRM/Sudoku-4x4-v0"


@pytest.fixture
def model(sudoku_run):
    """Solves next to nothing, but different answers and halts come of different states."""
    model = load(sudoku_run).model
    torch.manual_seed(0)
    nn.init.normal_(model.q_head.weight)
    nn.init.zeros_(model.q_head.bias)
    return model


def ended(success, q_halt, segments, answer=None):
    result = Solutions.empty(len(success), 2)
    result.success[:], result.q_halt[:], result.segments[:] = success, q_halt, segments
    if answer is not None:
        result.answer[:] = np.array(answer)[:, None]
    return result


#: Four puzzles, three tries.
TRIES = (
    ended([1, 0, 0, 0], [2.0, 1.0, 3.0, 0.0], [1, 2, 3, 4], [10, 20, 30, 40]),
    ended([0, 1, 0, 1], [5.0, 1.0, 2.0, -1.0], [2, 2, 2, 2], [11, 21, 31, 41]),
    ended([1, 0, 0, 1], [4.0, 0.0, 4.0, -2.0], [8, 8, 8, 8], [12, 22, 32, 42]),
)


# -- choosing ----------------------------------------------------------------------------------------------


def test_choices_by_hand():
    """Of equals the earliest counts; a verifier that accepts none leaves the choice to Q."""
    assert choose_tries(TRIES, "q").tolist() == [1, 0, 2, 0]
    assert choose_tries(TRIES, "verifier").tolist() == [0, 1, 2, 1]
    assert choose_tries(TRIES[:1], "q").tolist() == choose_tries(TRIES[:1], "verifier").tolist() == [0, 0, 0, 0]


def test_points_by_hand():
    points = Search(TRIES, SearchSettings(3, 0.3, "q")).points()
    assert [tuple(point) for point in points] == [
        (1, 10 / 4, 1 / 4, 1 / 4),
        (2, 18 / 4, 0 / 4, 3 / 4),
        (3, 50 / 4, 0 / 4, 3 / 4),
    ]
    document = json.loads(json.dumps(Search(TRIES, SearchSettings(3, 0.3, "verifier")).to_dict()))
    assert document["choose"] == "verifier"
    assert document["noise"] == 0.3
    assert document["tries"][1] == {"tries": 2, "mean_segments": 4.5, "q": 0.0, "verifier": 0.75}


def test_chosen_answers_are_whole_and_cost_all_tries():
    chosen = Search(TRIES, SearchSettings(3, choose="verifier")).solutions()
    assert chosen.answer.tolist() == [[10, 10], [21, 21], [32, 32], [41, 41]]
    assert chosen.answer.dtype == np.uint8
    assert chosen.success.tolist() == [True, True, False, True]
    assert chosen.q_halt.tolist() == [2.0, 1.0, 4.0, -1.0]
    assert chosen.segments.tolist() == [11, 12, 13, 14]


# -- where the thinking starts -----------------------------------------------------------------------------


class Echo(Counter):
    """Halts as a :class:`Counter`, and always answers with the number that it started from, in base 4."""

    def forward(self, carry, puzzle, task_id):
        counted, output = super().forward(Carry(carry.z_L, carry.z_L), puzzle, task_id)
        digits = carry.z_H[:, 0, 0].long()[:, None] // 4 ** torch.arange(3) % 4
        return Carry(carry.z_H, counted.z_H), output._replace(logits=nn.functional.one_hot(digits, 4).float())


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=20), batch_size=st.integers(1, 8))
def test_each_puzzle_starts_once_from_states_of_its_own(lengths, batch_size):
    asked = []

    def initial(puzzles):
        asked.extend(puzzles.tolist())
        return Carry(torch.tensor(7 * puzzles % 64)[:, None, None].float(), torch.zeros(len(puzzles), 1, 1))

    env = numbers_env(len(lengths), batch_size, 8)
    result = think_to_halt(HRMPolicy(Echo(lengths)), env, initial=initial)
    numbers = np.arange(len(lengths))
    assert asked == numbers.tolist()
    np.testing.assert_array_equal(result.segments, lengths)
    np.testing.assert_array_equal(result.answer, 7 * numbers[:, None] % 64 // 4 ** np.arange(3) % 4)


def small_policy(dtype="float32"):
    torch.manual_seed(0)
    sizes = {"vocab_size": 6, "grid_shape": (4, 4)}
    return HRMPolicy(HRM(HRMConfig(hidden_size=16, num_heads=2, H_layers=1, L_layers=1, dtype=dtype, **sizes)))


def test_the_noise_is_normal_and_lies_on_the_initial_states():
    policy = small_policy()
    places = np.arange(200)
    plain = policy.initial_carry(200)
    parts = []
    for disturbed, state in zip(noisy_start(policy, SearchSettings(2, 0.5), 1)(places), plain, strict=True):
        assert disturbed.shape == state.shape
        parts.append(((disturbed - state) / 0.5).numpy())
    noise = np.concatenate(parts, axis=1)  # [200, 2 * 17, 16]
    assert noise.mean() == pytest.approx(0.0, abs=0.015)
    assert noise.std() == pytest.approx(1.0, abs=0.015)
    assert (np.abs(noise) < 1).mean() == pytest.approx(0.683, abs=0.01)
    # No two numbers are copies: not those of H and L, nor of neighbouring puzzles, cells or units.
    for other in (parts[1], np.roll(parts[0], 1, 0), np.roll(parts[0], 1, 1), np.roll(parts[0], 1, 2)):
        assert abs(np.corrcoef(parts[0].ravel(), other.ravel())[0, 1]) < 0.02
    for disturbed, state in zip(noisy_start(policy, SearchSettings(2, 0.0), 1)(places), plain, strict=True):
        torch.testing.assert_close(disturbed, state, rtol=0, atol=0)


def test_the_noise_goes_by_seed_try_and_puzzle_alone():
    policy = small_policy()
    together = noisy_start(policy, SearchSettings(3, 1.0, seed=5), 2)(np.array([3, 8, 4]))
    for row, puzzle in enumerate((3, 8, 4)):
        alone = noisy_start(policy, SearchSettings(3, 1.0, seed=5), 2)(np.array([puzzle]))
        for one, other in zip(alone, together, strict=True):
            assert torch.equal(one[0], other[row])
    for seed, number, puzzle in ((6, 2, 3), (5, 3, 3), (5, 2, 2), (2, 5, 3)):
        other = noisy_start(policy, SearchSettings(6, 1.0, seed=seed), number)(np.array([puzzle]))
        assert not (other.z_H[0] == together.z_H[0]).any()


def test_the_noise_takes_the_type_of_the_states():
    start = noisy_start(small_policy("bfloat16"), SearchSettings(2, 1.0), 1)
    assert {state.dtype for state in start(np.arange(2))} == {torch.bfloat16}


class OneState(nn.Module):
    """A carry of another kind than HRM's: one state, and a count of segments."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))

    def initial_carry(self, num_rows):
        return torch.ones(num_rows, 5), torch.zeros(num_rows, dtype=torch.int64)


def test_every_state_of_any_carry_gets_noise():
    states, count = noisy_start(HRMPolicy(OneState()), SearchSettings(2, 1.0), 1)(np.array([3, 8]))
    assert (states != 1.0).all()
    assert (states[0] != states[1]).all()
    assert count.tolist() == [0, 0], "a number of segments cannot have noise"


# -- searching ---------------------------------------------------------------------------------------------


class Lucky(nn.Module):
    """One segment, which is right if and only if the first number of z_H is above 0; Q(halt) is that number."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))
        self.rows = 0

    def initial_carry(self, num_rows):
        return Carry(torch.zeros(num_rows, 1, 2), torch.zeros(num_rows, 1, 2))

    def reset_carry(self, carry, reset):
        return Carry(*(torch.where(reset[:, None, None], 0.0, state) for state in carry))

    def forward(self, carry, puzzle, task_id):
        self.rows += len(puzzle)
        luck = carry.z_H[:, 0, 0]
        answer = torch.where(luck[:, None] > 0, puzzle.long(), 3 - puzzle.long())
        return carry, SegmentOutput(nn.functional.one_hot(answer, 4).float(), luck, luck - 1, luck[:, None])


@pytest.mark.parametrize("choose", ["q", "verifier"])
def test_a_model_that_knows_when_it_is_right_finds_the_right_try(choose):
    policy, numbers = HRMPolicy(Lucky()), np.arange(60)
    tries = SearchSettings(4, 2.0, choose, 9)
    found = think_repeatedly(policy, numbers_env(60, 7, 3), tries)
    luck = np.stack([np.zeros(60), *(noisy_start(policy, tries, n)(numbers).z_H[:, 0, 0].numpy() for n in (1, 2, 3))])
    chosen = found.solutions()
    np.testing.assert_array_equal(chosen.success, (luck > 0).any(0))
    if choose == "q":
        np.testing.assert_array_equal(chosen.q_halt, luck.max(0))
    digits = Numbers(60).stored("test").puzzle
    np.testing.assert_array_equal(chosen.answer, np.where(chosen.success[:, None], digits, 3 - digits))
    assert chosen.segments.tolist() == [4] * 60
    # All wrong at first; each further try solves half of the rest.
    shares = [point.q for point in found.points()]
    assert shares == [0.0, *((luck[: n + 1] > 0).any(0).mean() for n in (1, 2, 3))]
    assert 0.3 < shares[1] < shares[2] < shares[3] < 1
    assert shares == [point.verifier for point in found.points()]


@pytest.mark.parametrize("batch_size", [1, 7])
def test_batch_size_does_not_matter(model, batch_size):
    def found(size):
        env = open_env(ID, {"max_segments": 4}, num_puzzles=24, batch_size=size)
        return think_repeatedly(HRMPolicy(model), env, SearchSettings(3, 1.0, seed=3))

    one, other = found(batch_size), found(24)
    for mine, theirs in zip(one.tries, other.tries, strict=True):
        assert_same(mine, theirs, 1e-4)
    assert (one.tries[0].answer != one.tries[1].answer).any(1).all(), "the noise must matter for the test to say so"
    assert (one.tries[1].answer != one.tries[2].answer).any(1).all()
    assert len(np.unique(one.tries[1].segments)) > 1


def test_fewer_tries_are_the_first_of_more_and_the_first_is_undisturbed(model):
    env = open_env(ID, {"max_segments": 3}, num_puzzles=10, batch_size=4)
    policy = HRMPolicy(model)
    two, three = SearchSettings(2, 0.5), think_repeatedly(policy, env, SearchSettings(3, 0.5))
    plain = think_to_halt(policy, env)
    for name in NAMES:
        for short in (think_repeatedly(policy, env, two), think_repeatedly(policy, env, two, first=6)):
            for one, other in zip(short.tries, three.tries, strict=False):
                got = getattr(one, name)
                np.testing.assert_allclose(got, getattr(other, name)[: len(got)], atol=1e-4)
        np.testing.assert_array_equal(getattr(three.tries[0], name), getattr(plain, name))
    other = think_repeatedly(policy, env, SearchSettings(2, 0.5, seed=1))
    assert (other.tries[1].q_halt != three.tries[1].q_halt).all()


def test_a_first_try_that_is_known_is_not_made_again():
    model, shares = Lucky(), []
    env = numbers_env(10, 4, 3)
    first = think_to_halt(HRMPolicy(model), env)
    model.rows = 0
    tries = SearchSettings(3, 1.0)
    found = think_repeatedly(HRMPolicy(model), env, tries, first_try=first, progress=shares.append)
    assert model.rows == 20
    assert found.tries[0] is first
    assert shares == sorted(shares)
    assert 1 / 3 < shares[0] < 1 / 2
    assert shares[-1] == 1.0


def test_parts_of_a_progress():
    shares = []
    part_of(shares.append, 1, 4)(0.5)
    assert shares == [0.375]
    assert part_of(None, 0, 2) is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"tries": 0}, "tries=0: must be at least 1"),
        ({"noise": -0.1}, "noise=-0.1: a standard deviation"),
        ({"noise": float("nan")}, "noise=nan"),
        ({"noise": float("inf")}, "noise=inf"),
        ({"choose": "luck"}, "choose='luck': choose from 'q', 'verifier'"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_settings_that_make_no_sense(setting, message):
    with pytest.raises(ValueError, match=message):
        SearchSettings(**{"tries": 2, "noise": 0.1, **setting})


# -- evaluating --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", ["end", "halt"])
def test_evaluation_adds_the_tries_and_changes_nothing_else(model, until):
    policy, kwargs = HRMPolicy(model), {"max_segments": 3, "num_puzzles": 20}
    options = {"until": until, "judge": HaltJudge(LOGIT)}
    shares = []
    plain = evaluate(policy, ID, kwargs, **options)
    tries = SearchSettings(3, 1.0, seed=4)
    more = evaluate(policy, ID, kwargs, **options, search=tries, progress=shares.append)
    assert more == plain
    assert more.halting == plain.halting
    assert plain.search is None
    assert "search" not in plain.to_dict()
    expected = think_repeatedly(policy, open_env(ID, kwargs), tries)
    for one, other in zip(more.search.tries, expected.tries, strict=True):
        assert_same(one, other, 1e-4)
    document = json.loads(json.dumps(more.to_dict()))
    assert document.pop("search") == expected.to_dict()
    assert document == json.loads(json.dumps(plain.to_dict()))
    assert document["mean_segments"] == expected.points()[0].mean_segments
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_solve_all_with_several_tries():
    solver = hrm_agents.load("maze-9x9")
    puzzles = open_env(solver.env_id, num_puzzles=6).puzzles.puzzle
    once, thrice = solver.solve_all(puzzles), solver.solve_all(puzzles, search=SearchSettings(3, 0.1, "verifier"))
    assert once.success.all()
    assert thrice.success.all()
    assert (thrice.segments >= once.segments + 2).all()
    # The first right try is chosen, which is the first here.
    np.testing.assert_array_equal(thrice.q_halt, once.q_halt)


def test_command_prints_and_writes_the_tries(sudoku_run, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("COLUMNS", "120")
    arguments = ["evaluate", str(sudoku_run), "--num-puzzles", "12", "--tries", "2", "--choose", "verifier"]
    assert main([*arguments, "--out", str(tmp_path), "--json", str(tmp_path / "report.json")]) == 0
    text = capsys.readouterr().out
    assert "solved in 2 tries, chosen by verifier" in text
    assert "(noise 0.3)" in text
    (report,) = json.loads((tmp_path / "report.json").read_text())["reports"]
    tries = report["search"]["tries"]
    assert [row["tries"] for row in tries] == [1, 2]
    assert f"in {tries[1]['mean_segments']:.2f} segments" in text
    assert f"chosen by verifier  {100 * tries[1]['verifier']:.1f}%" in text
    with (tmp_path / "tries.csv").open() as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    name = "one try, fixed segments"
    expected = [(name, 1, segment, share) for segment, share in enumerate(report["success_per_segment"], 1)]
    expected += [("best Q(halt) of k tries", row["tries"], row["mean_segments"], row["q"]) for row in tries]
    expected += [("any of k tries right", row["tries"], row["mean_segments"], row["verifier"]) for row in tries]
    assert len(expected) == 7
    assert rows == [tuple(map(str, row)) for row in expected]
    assert (tmp_path / "tries.png").read_bytes().startswith(b"\x89PNG")


def test_command_over_several_seeds_and_until_the_halt(sudoku_run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    arguments = ["evaluate", str(sudoku_run), "--num-puzzles", "12", "--tries", "2", "--until", "halt"]
    assert main([*arguments, "--seeds", "0", "1"]) == 0
    text = capsys.readouterr().out
    assert "solved in 2 tries, chosen by q" in text
    assert "12 puzzles of 12 classes x 2 sets (pool_seed 0, 1)" in text
    assert "solved if stopped here" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tries", "0"], "--tries must be at least 1, got 0"),
        (["--noise", "0.5"], "--noise and --choose need several tries: give --tries"),
        (["--choose", "q"], "--noise and --choose need several tries: give --tries"),
        (["--tries", "2", "--noise", "0"], "--noise must be above 0"),
        (["--tries", "2", "--noise", "nan"], "--noise must be above 0"),
        (["--tries", "2", "--choose", "luck"], "luck"),
        (["--tries", "2", "--kwargs", "pool_seed=-1"], "pool_seed"),
    ],
)
def test_command_mistakes(sudoku_run, capsys, arguments, message):
    assert main(["evaluate", str(sudoku_run), "--num-puzzles", "5", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_help_says_what_the_verifier_means(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["evaluate", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "may hand in one answer for each try" in text
    assert "must not be compared with agents that answer once" in text
