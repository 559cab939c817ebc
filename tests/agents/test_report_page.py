"""The pages of `hrm-agents report`: what they show, that it is escaped, and that they say what is missing."""

import json
import re
import shlex
import shutil
import sys
from html.parser import HTMLParser

import pytest

from hrm_agents.cli import main
from hrm_agents.commands.rerun import rerun_command
from hrm_agents.commands.train import Train, parse_settings
from hrm_agents.config import TrainConfig, from_dict
from hrm_agents.errors import UserError
from hrm_agents.records.event_file import EventFile
from hrm_agents.reports.comparison import comparison_page
from hrm_agents.reports.groups import grouped
from hrm_agents.reports.headline import FIGURES, HEADLINE
from hrm_agents.reports.markup import element, joined
from hrm_agents.reports.page import Thinking, run_page
from hrm_agents.reports.run_record import RunRecord
from hrm_agents.reports.training_curves import read_curves, thinned

VOID = {"meta", "img", "wbr"}
HOSTILE = '</title><script>alert("1")</script>&amp;<img src=x onerror=y>'


class Page(HTMLParser):
    """A page that is well formed: tags balance, ids are unique, and nothing is loaded from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.tags, self.links = [], [], [], []
        self.words, self.values, self.cells = [], [], []
        assert text.startswith("<!DOCTYPE html>\n")
        self.feed(text)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))
        assert {link[1:] for link in self.links if link.startswith("#")} <= set(self.ids)
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in self.links)
        assert not {"script", "link", "iframe", "object", "base"} & set(self.tags)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        for name, value in attributes:
            assert not name.startswith("on"), name
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href"):
                self.links.append(value)
            if tag == "data" and name == "value":
                self.values.append(float(value))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.words.append(text)
        if {"td", "th"} & set(self.open):
            self.cells[-1] += text

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def evaluation(success=0.5, segments=2.0):
    figures = dict.fromkeys((figure.name for figure in FIGURES), 0.25)
    figures |= {"success_rate": success, "mean_segments": segments}
    return {
        "env_id": "HRM/Sudoku-4x4-v0",
        "split": "test",
        "num_puzzles": 40,
        "num_classes": 30,
        "max_segments": 3,
        **figures,
        "success_per_segment": [0.125, 0.375, success],
        "halts_per_segment": [0.2, 0.3, 0.5],
        "intervals": {"success_rate": [0.3125, 0.6875]},
    }


@pytest.fixture
def write(sudoku_run, tmp_path):
    """Writes the folder of a run that has a config alone, and reads it."""
    original = json.loads((sudoku_run / "config.json").read_text())

    def write(name, *, seed=0, final=None, env=None, training=None, **changes):
        config = json.loads(json.dumps(original))
        config["training"]["run"]["seed"] = seed
        for group, values in (training or {}).items():
            config["training"][group] |= values
        config["env"] |= env or {}
        config["training"]["env"] = config["env"]
        config |= {"evaluation": evaluation() if final is None else final, "files": {}, **changes}
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        return RunRecord.read(tmp_path / name)

    return write


def one(record, **missing):
    """The page of a run whose model is not at hand."""
    gaps = Thinking(missing={"halting": "no model", "episodes": "no model", **missing})
    return Page(run_page(record, gaps, element("pre", "again"), "tests"))


def several(*records, free=()):
    return Page(comparison_page(records, [element("pre", "again")] * len(records), free, "tests"))


def test_the_page_of_a_finished_run(sudoku_run, tmp_path, capsys):
    pytest.importorskip("pygame")
    pytest.importorskip("matplotlib")
    arguments = ["report", str(sudoku_run), "--num-puzzles", "8", "--episodes", "2", "--out"]
    assert main([*arguments, str(tmp_path / "one.html")]) == 0
    assert capsys.readouterr() == ("", f"wrote {tmp_path / 'one.html'}\n")
    text = (tmp_path / "one.html").read_text()
    page = Page(text)
    config = json.loads((sudoku_run / "config.json").read_text())
    found = config["evaluation"]
    assert page.values[0] == found[HEADLINE[0].name]
    for figure in FIGURES:
        assert found[figure.name] in page.values
        assert figure.text(found[figure.name]) in page.cells
    for low, high in found["intervals"].values():
        assert {low, high} <= set(page.values)
    assert set(found["success_per_segment"]) | set(found["halts_per_segment"]) <= set(page.values)
    for value in (config["data_hash"], config["files"]["model.safetensors"], "4 of 4", "seed 0"):
        assert value in page.text
    assert "hrm-agents train HRM/Sudoku-4x4-v0" in page.text
    # The calibration counts the answers of 3 segments to 8 puzzles.
    bins = [place for place, cell in enumerate(page.cells) if re.fullmatch(r"0\.\d to [01]\.\d", cell)]
    assert sum(int(page.cells[place + 1]) for place in bins) == 24
    # One image of each puzzle and one of each segment; charts of training and of halting.
    assert page.tags.count("img") >= 4
    assert page.tags.count("svg") == 7
    assert 'class="missing"' not in text
    assert "not recorded" not in page.text
    # Colours follow the page.
    assert not any(color in text.partition("</style>")[2] for color in ("#ffffff", "#0072b2", "#000000"))
    assert main([*arguments, str(tmp_path / "two.html")]) == 0
    assert (tmp_path / "two.html").read_text() == text


def test_figures_are_those_of_the_config_and_dashes_where_it_has_none(write):
    record = write("run")
    page = one(record)
    row = page.cells.index("Solved")
    assert page.cells[row : row + 3] == ["Solved", "50.00%", "[31.25%, 68.75%]"]
    row = page.cells.index("Segments")
    assert page.cells[row : row + 3] == ["Segments", "2.00", "no interval"]
    rows = page.cells.index("Puzzles that halt there") + 1
    assert page.cells[rows : rows + 9] == ["1", "12.50%", "20.00%", "2", "37.50%", "30.00%", "3", "50.00%", "50.00%"]
    assert "40 puzzles of 30 symmetry classes of the test split" in page.text
    # 4x4 Sudoku: what the checkpoint itself counts.
    assert f"{record.parameters:,} parameters" in page.text


@pytest.mark.parametrize("text", [HOSTILE, "\u202e\ud800\x00 $\\frac$ 'quoted' \"twice\"", "x" * 500])
def test_all_text_is_escaped(write, text):
    changes = {"env": {"id": text, "kwargs": {"keyword": text, "<b>": [text]}}, "data_hash": text}
    first = write("a", **changes, training={"run": {"init_from": text}}, custom={"model": text}, model_name=None)
    second = write("b", **changes, seed=1, training={"run": {"init_from": "<i>"}})
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    for page in (one(first, halting=text), several(first, second)):
        assert "".join(shown.split()) in "".join(page.text.split())
        assert not {"b>", "i"} & set(page.tags)
        assert page.tags.count("title") == 1
        "".join(page.words).encode()


def test_elements_escape_text_but_not_markup():
    assert element("p", "a<b", element("b", "&"), class_="x", aria_label='"', id=None) == (
        '<p class="x" aria-label="&quot;">a&lt;b<b>&amp;</b></p>'
    )
    assert element("img", src="a") == '<img src="a">'
    assert joined("<", element("br")) == "&lt;<br></br>"


def test_intervals_over_seeds(write):
    """Three runs: t(2) = 4.302653, s = 0.1, so the half width is 4.302653 * 0.1 / sqrt(3) = 0.248414."""
    runs = [
        write(str(seed), seed=seed, final=evaluation(success, segments))
        for seed, (success, segments) in enumerate([(0.5, 1.0), (0.6, 2.0), (0.7, 3.0)])
    ]
    (group,) = grouped(runs, ())
    solved, segments, forced = (group.spread(figure) for figure in FIGURES[:3])
    assert solved.mean == pytest.approx(0.6)
    assert solved.interval == pytest.approx((0.351586, 0.848414), abs=1e-6)
    # The half width is 2.484138: segments lie between 1 and 3.
    assert segments == (2.0, (1.0, 3.0))
    assert forced == (0.25, None)
    page = several(*runs)
    row = page.cells.index("all runs")
    assert page.cells[row : row + 5] == [
        "all runs", "3", "60.00% [35.16%, 84.84%]", "2.00 [1.00, 3.00]", "25.00%"
    ]  # fmt: skip
    assert "The runs differ in the seed alone." in page.text


def test_runs_are_grouped_by_all_but_the_seed(write):
    slow = [write(f"slow-{seed}", seed=seed, final=evaluation(0.1 * seed)) for seed in (1, 2)]
    fast = [write("fast", training={"optim": {"lr": 0.5}, "run": {"threads": 7}})]
    cost = [write("cost", env={"kwargs": {"num_puzzles": 32, "max_segments": 3, "segment_cost": 0.01}})]
    groups = grouped([slow[0], *fast, slow[1], *cost], {"run.threads"})
    assert [group.runs for group in groups] == [tuple(slow), tuple(fast), tuple(cost)]
    page = several(slow[0], *fast, slow[1], free={"run.threads"})
    row = page.cells.index("optim.lr")
    assert page.cells[row - 3 : row + 3] == ["Setting", "lr=0.0007", "lr=0.5", "optim.lr", "0.0007", "0.5"]
    assert "without influence on what is learned: run.threads" in page.text
    data = write("data", data_hash="another")
    assert [len(group.runs) for group in grouped([slow[0], data], ())] == [1, 1]
    assert [group.label for group in grouped([slow[0], write("odd", env={"id": "$<id>"})], ())] == ["A", "B"]


def test_runs_that_share_a_seed_have_no_interval(write):
    runs = [write(name, seed=3, final=evaluation(success)) for name, success in (("a", 0.2), ("b", 0.4))]
    (group,) = grouped(runs, ())
    spread = group.spread(FIGURES[0])
    assert spread.mean == pytest.approx(0.3)
    assert spread.interval is None


def test_curves_of_several_runs_share_a_chart(write):
    pytest.importorskip("matplotlib")
    folders = [write("a").folder, write("b", seed=1).folder, write("c", training={"optim": {"lr": 0.5}}).folder]
    for run, folder in enumerate(folders):
        with EventFile(folder / "tensorboard") as events:
            for step in (10, 20):
                events.add_scalar("eval/success_rate", 0.1 * run, step)
                events.add_scalar("train/loss", 30.0 - step, step + 100 * run)
    page = several(*map(RunRecord.read, folders))
    # The two seeds of one setting have no update in common where their losses are recorded: no mean, no line.
    assert page.tags.count("svg") == 2
    assert page.text.count("lr=0.0007 (mean of 2 seeds)") == 1
    assert page.text.count("lr=0.5 (one seed)") == 2
    assert "has no curves" not in page.text
    page = several(RunRecord.read(folders[0]), write("bare", seed=2))
    assert "bare has no curves: the run has no TensorBoard records." in page.text
    many = [write(f"rate {rate}", training={"optim": {"lr": rate}}) for rate in range(1, 10)]
    assert "One chart can tell 8 settings apart" in several(*many).text


def test_an_unfinished_run_gives_what_there_is(write):
    record = write("stopped", final={}, updates=3)
    stopped = write("null", seed=1, updates=3)
    config = json.loads((stopped.folder / "config.json").read_text())
    (stopped.folder / "config.json").write_text(json.dumps({**config, "evaluation": None}))
    stopped = RunRecord.read(stopped.folder)
    page = one(stopped)
    assert "There are no final figures: the run has no final evaluation: its checkpoint is from after 3" in page.text
    assert "3 of 4 updates" in page.text
    assert "There are no training curves: the run has no TensorBoard records." in page.text
    assert "Halting was not measured: no model." in page.text
    assert "There are no frames: no model." in page.text
    assert page.values == []
    page = several(record, write("done", seed=2), stopped)
    assert "null: the run has no final evaluation" in page.text
    assert "1 of 3 finished" in page.cells


def test_a_network_of_the_users_own(sudoku_run, tmp_path):
    shutil.copytree(sudoku_run, tmp_path / "own")
    path = tmp_path / "own" / "config.json"
    config = {**json.loads(path.read_text()), "model_name": None, "custom": {"model": "mine: Net"}}
    path.write_text(json.dumps(config))
    assert main(["report", str(tmp_path / "own")]) == 0
    page = Page((tmp_path / "own" / "report.html").read_text())
    assert "network mine: Net" in page.text
    assert "The number of parameters is unknown: the run trained its own network (mine: Net)." in page.text
    assert "Halting was not measured:" in page.text
    assert "There are no frames:" in page.text
    assert (
        "There is no command that trains this run again: it trained with code of its own (model mine: Net)" in page.text
    )
    assert config["evaluation"]["success_rate"] in page.values


def test_without_the_extras_it_says_so(sudoku_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = tmp_path / "page.html"
    assert main(["report", str(sudoku_run), "--num-puzzles", "4", "--out", str(out)]) == 0
    page = Page(out.read_text())
    assert 'Charts are not shown: charts need matplotlib: pip install "hrm-agents[plot]".' in page.text
    assert "There are no frames: " in page.text
    assert "hrm-agents[render]" in page.text
    assert not {"svg", "img"} & set(page.tags)


def test_curves_are_the_recorded_ones(tmp_path):
    with EventFile(tmp_path / "tensorboard") as events:
        for step, value in enumerate([1.0, float("nan"), 0.25]):
            events.add_scalar("train/loss", value, step)
            events.add_scalar("train/nothing", float("inf"), step)
    assert read_curves(tmp_path) == {"train/loss": [(0.0, 1.0), (2.0, 0.25)]}
    with pytest.raises(UserError, match="no TensorBoard records"):
        read_curves(tmp_path / "tensorboard")


def test_thinned_curves_keep_their_mean():
    curve = [(float(x), float(x * x)) for x in range(6)]
    assert thinned(curve, 3) == [(0.5, 0.5), (2.5, 6.5), (4.5, 20.5)]
    assert thinned(curve, 4) == thinned(curve, 3)
    assert thinned(curve, 6) == curve
    assert len(thinned([(x, 1.0) for x in range(100_001)], 300)) <= 300


def test_the_command_gives_all_settings_of_the_run(sudoku_run):
    config = json.loads((sudoku_run / "config.json").read_text())
    config["training"]["run"] |= {"compile": True, "init_from": "a folder; rm -rf"}
    config["training"]["env"]["kwargs"] |= {"text": "7", "pair": [1, 2], "word": "x y", "nothing": None}
    command = rerun_command(config, "config.json", ("mine.py",))
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:3] == ["hrm-agents", "train", "HRM/Sudoku-4x4-v0"]
    assert words[-4:] == ["--module", "mine.py", "--out", "runs/again"]
    settings = parse_settings(Train, "train", words[2:-4]).config()
    assert settings == from_dict(TrainConfig, config["training"])
    # The preset of ARC has a width, and no option can take it away.
    config["training"]["env"]["id"] = "HRM/ARC-AGI-1-v0"
    assert config["training"]["model"]["puzzle_emb_ndim"] is None
    with pytest.raises(UserError, match="no command line gives all of its settings"):
        rerun_command(config, "config.json")
    with pytest.raises(UserError, match=r"code of its own \(rule mine: Rule\)"):
        rerun_command({**config, "custom": {"rule": "mine: Rule"}}, "config.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give the folder of a training run, or several to compare"),
        (["{folder}"], "is not a checkpoint: it has no config.json"),
        (["{run}", "{run}/../sudoku"], "is given twice: name each run once"),
        (["{run}", "--num-puzzles", "-1"], "--num-puzzles must"),
        (["{run}", "--out", "{folder}"], "cannot write"),
    ],
)
def test_errors_are_one_line(sudoku_run, tmp_path, capsys, arguments, message):
    places = [argument.format(folder=tmp_path, run=sudoku_run) for argument in arguments]
    assert main(["report", *places]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": []}, "'env' must be an object"),
        ({"env": {"id": 5}}, "'env' must name the environment"),
        ({"training": None}, "'training' must be an object"),
        ({"evaluation": {"success_rate": "high"}}, "evaluation.success_rate is damaged"),
        ({"evaluation": {"intervals": {"success_rate": [0.1]}}}, "evaluation.intervals is damaged"),
        ({"evaluation": {"success_per_segment": ["x"]}}, "evaluation.success_per_segment is damaged"),
    ],
)
def test_a_damaged_config_is_an_error(write, changes, message):
    record = write("run")
    path = record.folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(UserError, match=message):
        RunRecord.read(record.folder)
