"""The command ``analyse`` and its pictures."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from test_plots import overlap, texts

from hrm_agents.analysis.attention import AttentionMap
from hrm_agents.analysis.depth import Depth
from hrm_agents.analysis.dimension import Dimensions, StateDimension
from hrm_agents.analysis.residuals import Residuals
from hrm_agents.analysis.settling import Settling
from hrm_agents.analysis.trajectories import StateTrajectories, Trajectories
from hrm_agents.cli import main
from hrm_agents.commands.analyses import ANALYSES
from hrm_agents.commands.common import parse
from hrm_agents.reports.analysis_charts import draw_depth, draw_dimensions, draw_residuals, draw_trajectories
from hrm_agents.reports.board_charts import MOST_SYMBOLS, draw_attention, draw_settling, segment_colors

pytest.importorskip("matplotlib")

from matplotlib.colors import to_rgb

DOCS = Path(__file__).parents[2] / "docs"
NAME = "a_module:Somebody/With-A-Long-Environment-Name-v0"
RNG = np.random.default_rng(0)
SYMBOLS = (" ", "#", ".", "o")


def dimensions(updates=None):
    states = tuple(
        StateDimension(name, 99, ratio, (ratio - 1, ratio + 1), limit, (2, 4, 6), (1, 2, 3), (1, 1.5, 2), (1, 3, 4))
        for name, ratio, limit in (("z_H", 3.0, 5.0), ("z_L", 2.0, None))
    )
    return Dimensions(NAME, "folder", updates, 6, "puzzles", 8, 0.5, states)


def trajectories(last):
    rng = np.random.default_rng(0)
    states = [StateTrajectories(name, rng.normal(size=(5, last, 2)), np.array([0.6, 0.3])) for name in ("z_H", "z_L")]
    return Trajectories(NAME, tuple(states), rng.random((5, last)) < 0.5)


def settling(rows, columns, last):
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 4, (3, rows * columns)).astype(np.uint8)
    settled = rng.integers(1, last + 1, tokens.shape)
    return Settling(NAME, (rows, columns), SYMBOLS, tokens, tokens, settled, np.ones((3, last), bool))


def attention(rows, columns, heads):
    rng = np.random.default_rng(0)
    tokens, weights = rng.integers(1, 4, rows * columns).astype(np.uint8), rng.random((heads, rows * columns + 1))
    weights /= weights.sum(1, keepdims=True)
    return AttentionMap(
        NAME, "H.blocks.1.attention", ("H.blocks.1.attention",), (rows, columns), SYMBOLS, 3, 5, 8,
        tokens, tokens, weights[:, 1:].astype(np.float32), weights[:, 0].astype(np.float32),
    )  # fmt: skip


def depth(last):
    share = tuple(np.linspace(0.3, 0.9, last).tolist())
    ends = tuple((one - 0.1, one + 0.05) for one in share)
    return Depth(NAME, 128, 100, 4, share, ends, share, tuple(range(1, last + 1)))


RESIDUAL = np.exp(-RNG.random((9, 4, 6)) * np.arange(24).reshape(4, 6)).astype(np.float32)
STEPS = ("z_L", "z_L", "z_H") * 2
SOLVED = np.ones((9, 4), bool)
CHARTS = {
    "residuals": lambda **dark: draw_residuals(Residuals(NAME, STEPS, RESIDUAL, SOLVED), **dark),
    "residuals, one step": lambda **dark: draw_residuals(
        Residuals("HRM/X-v0", ("state 1",), np.ones((2, 40, 1), np.float32), np.ones((2, 40), bool)), **dark
    ),
    "dimension": lambda **dark: draw_dimensions([dimensions()], **dark),
    "dimensions": lambda **dark: draw_dimensions([dimensions(2000), dimensions(500), dimensions(1000)], **dark),
    "dimensions in order": lambda **dark: draw_dimensions([dimensions(), dimensions(5)], **dark),
    "trajectories": lambda **dark: draw_trajectories(trajectories(4), **dark),
    "trajectories, many": lambda **dark: draw_trajectories(trajectories(64), **dark),
    "settling": lambda **dark: draw_settling(settling(9, 9, 8), **dark),
    "settling, wide": lambda **dark: draw_settling(settling(2, 20, 1), 1, **dark),
    "attention": lambda **dark: draw_attention(attention(4, 4, 2), **dark),
    "attention, many": lambda **dark: draw_attention(attention(6, 6, 6), **dark),
    "depth": lambda **dark: draw_depth(depth(64), **dark),
    "depth, short": lambda **dark: draw_depth(depth(2), **dark),
}


@pytest.mark.parametrize("name", CHARTS)
def test_text_covers_no_other_text_and_stays_inside(name):
    figure = CHARTS[name]()
    boxes = [(text, box) for text, box in texts(figure) if text.strip()]
    for (one, box), (other, other_box) in itertools.combinations(boxes, 2):
        assert not overlap(box, other_box), (one, other)
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0, text
        assert box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0, text
        assert box.y1 <= figure.bbox.y1, text


@pytest.mark.parametrize("name", ["residuals", "dimensions", "trajectories", "settling", "attention", "depth"])
def test_dark_charts_say_the_same(name):
    light, dark = CHARTS[name](), CHARTS[name](dark=True)
    assert min(to_rgb(light.get_facecolor())) > 0.9
    assert max(to_rgb(dark.get_facecolor())) < 0.2
    assert [text for text, _ in texts(light)] == [text for text, _ in texts(dark)]


def test_residuals_are_drawn_at_the_end_of_their_step():
    (axes,) = CHARTS["residuals"]().axes
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["z_H"].get_xdata()[:3], [0.5, 1.0, 1.5])
    np.testing.assert_allclose(lines["z_L"].get_xdata()[:3], [1 / 6, 2 / 6, 4 / 6])
    np.testing.assert_allclose(lines["z_H"].get_ydata()[0], np.median(RESIDUAL[:, 0, 2]))


def test_checkpoints_are_drawn_in_the_order_of_training():
    above, below = CHARTS["dimensions"]().axes
    assert list(below.lines[0].get_xdata()) == [500, 1000, 2000]
    assert list(above.containers[0][0].get_ydata()) == [3.0, 3.0, 3.0]
    assert list(CHARTS["dimensions in order"]().axes[1].lines[0].get_xdata()) == [1, 2]


def test_boards_show_the_chosen_puzzle_and_symbols_where_they_fit():
    result = settling(4, 4, 3)
    one = draw_settling(result, 2).axes[1]
    assert [text.get_text() for text in one.texts] == [SYMBOLS[token] for token in result.answer[2]]
    shades = segment_colors(3, dark=False).to_rgba(result.settled[2].reshape(4, 4))
    np.testing.assert_allclose(one.images[0].get_array(), shades)
    assert "puzzle 2: final answer right" in one.get_title(loc="left")
    latest = int(result.settled.sum(1).argmax())
    assert f"puzzle {latest}:" in draw_settling(result).axes[1].get_title(loc="left")
    assert not draw_settling(settling(2, MOST_SYMBOLS + 1, 2)).axes[1].texts


def test_chosen_heads_are_drawn_and_the_cell_is_outlined():
    heading, one, *bar = draw_attention(attention(4, 4, 3), [2]).axes
    assert one.get_title(loc="left").startswith("head 2")
    (outline,) = one.patches
    assert outline.get_xy() == (0.5, 0.5)  # cell 5 is in row 1, column 1, from 0
    assert "row 2, column 2" in heading.texts[0].get_text().replace("\n", " ")
    assert len(bar) == 1


SMALL = {
    "residuals": ["--num-puzzles", "3"],
    "dimension": ["--num-puzzles", "4"],
    "trajectories": ["--num-puzzles", "3"],
    "settling": ["--num-puzzles", "3", "--puzzle", "2"],
    "attention": ["--head", "1", "--cell", "2", "2"],
    "depth": ["--num-puzzles", "3", "--segments", "5"],
}


@pytest.mark.parametrize("what", ANALYSES)
def test_every_analysis_prints_draws_and_writes_and_repeats(what, maze_run, tmp_path, capsys):
    def run(name):
        paths = [tmp_path / f"{name}.png", tmp_path / f"{name}.json"]
        flags = ["--out", str(paths[0]), "--json", str(paths[1])]
        assert main(["analyse", str(maze_run), what, *SMALL[what], *flags]) == 0
        return capsys.readouterr(), [path.read_bytes() for path in paths]

    (printed, errors), (picture, numbers) = run("first")
    assert picture.startswith(b"\x89PNG")
    assert f"wrote {tmp_path / 'first.png'}\n" in errors
    document = json.loads(numbers)
    (document,) = document if what == "dimension" else (document,)
    assert document["env_id"] == "HRM/Maze-5x5-v0"
    assert document["checkpoint"] == str(maze_run)
    assert printed.strip()
    assert run("second")[1] == [picture, numbers]


def test_dimension_compares_checkpoints(maze_run, tmp_path, capsys):
    runs = [str(maze_run), str(maze_run)]
    flags = ["--num-puzzles", "4", "--json", "-", "--out", str(tmp_path / "training.svg"), "--dark"]
    assert main(["analyse", *runs, "dimension", *flags]) == 0
    assert [one["checkpoint"] for one in json.loads(capsys.readouterr().out)] == runs
    assert (tmp_path / "training.svg").read_bytes().startswith(b"<?xml")


def test_help_names_every_analysis(capsys):
    assert main(["analyse", "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"  {name} " in text for name in ANALYSES)
    for name in ANALYSES:
        assert main(["analyse", name, "--help"]) == 0
        assert "--out" in capsys.readouterr().out


def test_the_documented_commands_parse_and_cover_every_analysis():
    found = re.findall(r"^hrm-agents analyse (.*)$", (DOCS / "analysis.md").read_text(), re.MULTILINE)
    words = [line.split() for line in found]
    named = [(what, line[line.index(what) + 1 :]) for line in words for what in ANALYSES if what in line]
    assert len(named) == len(words)
    assert {what for what, _ in named} == set(ANALYSES)
    for what, options in named:
        assert parse(ANALYSES[what], f"analyse RUN {what}", options).out.suffix == ".png"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no analysis: name one of residuals, dimension,"),
        (["runs/x"], "there is no analysis in 'runs/x': name one of"),
        (["--dark", "residuals"], "--dark: options come after the analysis"),
        (["a", "b", "residuals"], "residuals takes one checkpoint, got 2: only dimension compares several"),
        (["nowhere", "residuals"], "nowhere is not a checkpoint"),
        (["residuals", "--out", "x.gif"], "unknown suffix '.gif'; choose from .png, .pdf, .svg"),
        (["residuals", "--num-puzzles", "0"], "must be at least 1, got 0"),
        (["RUN", "settling", "--num-puzzles", "2", "--puzzle", "2"], "--puzzle must be at most 1, got 2"),
        (["RUN", "attention", "--head", "2"], "--head must be at most 1, got 2"),
        (["RUN", "depth", "--kwargs", "colour=red", "--segments", "2"], "unexpected keyword argument 'colour'"),
    ],
)
def test_mistakes(arguments, message, maze_run, capsys):
    assert main(["analyse", *(str(maze_run) if word == "RUN" else word for word in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
