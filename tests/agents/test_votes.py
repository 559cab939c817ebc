"""Evaluation where a puzzle has several views: from the answers at the halt to the command's tables and files."""

import json
import sys

import numpy as np
import pytest
import torch
from shift_task import ASKED, ID, shift

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.environments import make_vector
from hrm_agents.errors import UserError
from hrm_agents.evaluation.evaluate import HaltJudge, evaluate
from hrm_agents.halting.decisions import GreaterValue
from hrm_agents.halting.q_scale import LOGIT, PLAIN
from hrm_agents.models.hrm import SegmentOutput
from hrm_agents.policy import Decision
from hrm_agents.trainer import Trainer

#: What happens to the six views (two test inputs of the task "keep", three copies each) in two segments:
#: whether the answer is right, and the odds of halting (the logit is their logarithm, Q-continue is always 0).
#: The first input: 0.9 for a wrong answer, 0.6 + 0.75 for the right one. The second: 0.8 for a wrong one, 0.2 + 0.5.
RIGHT = [(0, 1), (1, 0), (0, 1), (0, 1), (0, 1), (0, 1)]
ODDS = [(9.0, 9.0), (1.5, 9.0), (0.5, 3.0), (4.0, 9.0), (0.25, 0.25), (1.0, 1.0)]


class ScriptedPolicy:
    def __init__(self, model):
        self.model, self.rule = model, GreaterValue()

    def initial_carry(self, num_rows):
        return None

    def act(self, obs, carry, reset):
        copy = (obs["task_id"][:, 0] - 1) % 3
        letters = shift(obs["puzzle"], -copy)
        rows = 3 * (letters == ASKED[1]).all(1) + copy
        segment = obs["segment"][0, 0]
        right = np.array(RIGHT)[rows, segment].astype(bool)
        answer = shift(np.where(right[:, None], letters, np.array([2, 2, 2])), copy)
        q_halt = torch.tensor(np.log(np.array(ODDS)[rows, segment]), dtype=torch.float32)
        q_continue = torch.zeros(len(rows))
        output = SegmentOutput(torch.zeros(len(rows), 3, 4), q_halt, q_continue, q_continue[:, None])
        return Decision(torch.from_numpy(answer), q_halt > q_continue, carry, output)


@pytest.mark.parametrize("batch_size", [1, 4, 250])
def test_votes_by_hand(shift_run, batch_size):
    """The vote counts the answers at the halt, by the Q-head's word there, and no later ones."""
    policy = ScriptedPolicy(hrm_agents.load(shift_run).model)
    kwargs = {"names": ("keep",), "views": 3}
    report = evaluate(policy, ID, kwargs, batch_size=batch_size, judge=HaltJudge(LOGIT))
    assert report.num_puzzles == report.num_classes == 6
    assert report.intervals == report.halting.intervals == {}, "views of a puzzle depend on each other"
    assert evaluate(policy, ID, {"names": ("keep",)}, judge=HaltJudge(LOGIT)).intervals
    assert report.ensemble.answers == {"0/2": tuple(ASKED[0]), "0/3": (2, 2, 2)}
    assert report.ensemble.metrics["vote"] == 0.5
    assert report.ensemble.metrics["sureness"] == pytest.approx((0.9 + 0.6 + 0.75 + 0.8 + 0.2 + 0.5) / 6)
    # Views 0 and 3 halt on a wrong answer; view 1 halts before its answer turns wrong.
    assert report.success_rate == 4 / 6
    assert report.halts_per_segment == (3 / 6, 3 / 6)
    assert report.to_dict()["ensemble"] == dict(report.ensemble.metrics)
    json.dumps(report.to_dict())
    # Plain values instead of logits: log(9), log(4) and log(3) count as 1, log(1.5) as itself, log(1) and less as 0.
    plain = evaluate(policy, ID, kwargs, batch_size=batch_size, judge=HaltJudge(PLAIN)).ensemble
    assert plain.answers == {"0/2": tuple(ASKED[0]), "0/3": (2, 2, 2)}
    assert plain.metrics["sureness"] == pytest.approx((1 + np.log(1.5) + 1 + 1 + 0 + 0) / 6)
    assert evaluate(policy, ID, kwargs, batch_size=batch_size).ensemble is None


def restless(solver):
    """The same solver with a Q-head that halts some views early and others not."""
    torch.manual_seed(1)
    torch.nn.init.normal_(solver.model.q_head.weight)
    torch.nn.init.zeros_(solver.model.q_head.bias)
    return solver


def test_a_trained_run_votes_as_playing_each_view_by_hand_does(shift_run):
    solver = restless(hrm_agents.load(shift_run))
    report = solver.evaluate({"views": 2, "max_segments": 3}, batch_size=3)
    env = solver.make_env(views=2, max_segments=3)
    assert report.num_puzzles == env.unwrapped.num_puzzles == 8
    ends = [list(solver.think(env, options={"index": index}))[-1] for index in range(8)]
    # Two views of each input, one after the other: the surer one wins unless both agree.
    right = []
    for first, second in zip(ends[::2], ends[1::2], strict=True):
        unshifted = shift(np.stack([first.answer, second.answer]), [0, -1])
        right.append(unshifted[int(second.q_halt > first.q_halt)])
    solutions = env.unwrapped.puzzles.solution[::2]
    assert report.ensemble.metrics["vote"] == np.mean((np.stack(right) == solutions).all(1))
    assert report.ensemble.metrics["sureness"] == pytest.approx(np.mean([end.q_halt for end in ends]), abs=1e-5)
    assert list(report.ensemble.answers.values()) == [tuple(answer.tolist()) for answer in right]
    assert len({end.q_halt for end in ends}) == 8, "views must differ for the test to say anything"


def test_views_belong_to_the_keywords(shift_run):
    solver = hrm_agents.load(shift_run)
    assert solver.max_views() == 3
    one = solver.evaluate()
    assert one.num_puzzles == 4
    assert set(one.ensemble.metrics) == {"vote", "sureness"}
    assert solver.evaluate({"split": "train"}).ensemble is None
    # A choice of puzzles is fine as long as each has one view.
    assert solver.evaluate(first=3).num_puzzles == solver.evaluate({"num_puzzles": 3}).num_puzzles == 3
    with pytest.raises(UserError, match=r"first=3 would separate the 2 views of a puzzle.* or ask for views=1"):
        solver.evaluate({"views": 2}, first=3)
    with pytest.raises(UserError, match="num_puzzles=3 would separate the 2 views"):
        solver.evaluate({"views": 2, "num_puzzles": 3})
    with pytest.raises(UserError, match="views=4: choose 1 to 3"):
        solver.evaluate({"views": 4})


def test_evaluation_during_training_does_not_vote(shift_run, tiny_config, tmp_path):
    assert "ensemble" not in json.loads((shift_run / "config.json").read_text())["evaluation"]
    report = Trainer(tiny_config(ID, {"views": 2}), tmp_path).evaluate(None)
    assert (report.num_puzzles, report.ensemble) == (8, None)


def test_an_environment_shows_its_puzzles_in_order():
    env = make_vector(ID, 2, {"split": "test", "views": 3})
    obs, _ = env.reset(options={"index": [4, 11]})
    np.testing.assert_array_equal(obs["puzzle"], env.puzzles.puzzle[[4, 11]])
    np.testing.assert_array_equal(obs["task_id"][:, 0], env.puzzles.task_id[[4, 11]])
    assert env.puzzles.task_id.tolist() == [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]
    assert env.puzzles.example.tolist() == [2, 2, 2, 3, 3, 3, 2, 2, 2, 3, 3, 3]


# The command


@pytest.fixture
def error(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        assert main(["evaluate", *map(str, arguments)]) == 2
        return capsys.readouterr().err

    return run


def test_evaluate_takes_all_views_and_writes_what_they_voted_for(shift_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out, report = tmp_path / "new" / "out", tmp_path / "report.json"
    assert main(["evaluate", str(shift_run), "--out", str(out), "--json", str(report)]) == 0
    text, errors = capsys.readouterr()
    assert f"{ID} test, 12 puzzles" in text
    assert "3 of each puzzle" in text
    assert errors == f"wrote {out / 'votes.json'}\n"
    document = json.loads(report.read_text())
    expected = hrm_agents.load(shift_run).evaluate({"views": 3})
    assert document["views"] == 3
    assert document["reports"][0]["ensemble"] == pytest.approx(dict(expected.ensemble.metrics))
    assert json.loads((out / "votes.json").read_text()) == {
        name: list(answer) for name, answer in expected.ensemble.answers.items()
    }
    for name, value in expected.ensemble.metrics.items():
        (row,) = [line for line in text.splitlines() if name in line]
        assert f"{value:.4f}" in row


def test_evaluate_with_some_views(shift_run, capsys):
    for options in (["--views", "2"], ["--kwargs", "views=2"], ["--views", "3", "--kwargs", "views=2"]):
        assert main(["evaluate", str(shift_run), *options, "--json", "-"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["views"], document["reports"][0]["num_puzzles"]) == (2, 8)
    assert main(["evaluate", str(shift_run), "--split", "train", "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "views" not in document
    assert "ensemble" not in document["reports"][0]


def test_a_stored_collection_has_no_spread_over_seeds(error, shift_run):
    message = "Test/Shift-v0 has the same puzzles, up to symmetry, for pool_seed 0 and 1, so the spread"
    assert message in error(shift_run, "--seeds", "0", "1")


def test_evaluate_mistakes_about_views(error, shift_run, sudoku_run, tmp_path):
    assert "--views needs a task that shows puzzles in several views" in error(sudoku_run, "--views", "2")
    assert "--views must lie between 1 and 3" in error(shift_run, "--views", "4")
    assert "--views must lie between 1 and 3" in error(shift_run, "--views", "0")
    assert "--views needs the test split" in error(shift_run, "--views", "2", "--split", "train")
    assert "give one of the 2 --seeds" in error(shift_run, "--out", tmp_path / "out", "--seeds", "0", "1")
    assert "would separate the 3 views" in error(shift_run, "--num-puzzles", "3")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("in the way")
    message = error(shift_run, "--out", tmp_path / "file")
    assert f"cannot write {tmp_path / 'file' / 'halting.json'}" in message
    assert "choose another place" in message


def test_votes_that_cannot_be_written(error, shift_run, tmp_path, monkeypatch):
    (tmp_path / "votes.json").mkdir()
    assert "cannot write into" in error(shift_run, "--out", tmp_path)


def test_evaluate_writes_a_report_on_halting_with_charts(sudoku_run, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for kind, start in starts.items():
        out, style = tmp_path / kind, ["--format", kind] if kind != "png" else []
        assert main(["evaluate", str(sudoku_run), "--num-puzzles", "20", "--out", str(out), *style]) == 0
        text, errors = capsys.readouterr()
        names = ["halting.json", f"halting.{kind}", f"reliability.{kind}"]
        assert errors == "".join(f"wrote {out / name}\n" for name in names)
        assert all((out / name).read_bytes().startswith(start) for name in names[1:])
    report = json.loads((tmp_path / "png" / "halting.json").read_text())
    assert report["num_puzzles"] == 20
    assert f"calibration error to halt  {report['calibration_on_policy']['ece']:.4f}\n" in text
    assert f"over all segments        {report['calibration']['ece']:.4f}\n" in text
    assert main(["evaluate", str(sudoku_run), "--num-puzzles", "20", "--out", str(tmp_path / "dark"), "--dark"]) == 0
    assert (tmp_path / "dark" / "halting.png").read_bytes() != (tmp_path / "png" / "halting.png").read_bytes()
    capsys.readouterr()
    # Without matplotlib the figures remain.
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["evaluate", str(sudoku_run), "--num-puzzles", "20", "--out", str(tmp_path / "plain")]) == 0
    assert "no halting or reliability chart: charts need matplotlib" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "plain").iterdir()] == ["halting.json"]


@pytest.mark.parametrize("style", [["--dark"], ["--format", "pdf"]])
def test_a_style_of_charts_needs_a_folder(error, sudoku_run, style):
    assert "give a folder as --out" in error(sudoku_run, *style)


def test_an_old_report_outlives_an_evaluation_that_fails(sudoku_run, tmp_path, monkeypatch):
    report = tmp_path / "report.json"
    report.write_text("the old one")
    monkeypatch.setattr("hrm_agents.solving.solver.Solver.evaluate", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["evaluate", str(sudoku_run), "--json", str(report)])
    assert report.read_text() == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_until_the_halt_there_is_nothing_to_report(sudoku_run, tmp_path, capsys):
    assert main(["evaluate", str(sudoku_run), "--num-puzzles", "5", "--until", "halt", "--out", str(tmp_path)]) == 0
    assert "the halting report needs --until end" in capsys.readouterr().err
