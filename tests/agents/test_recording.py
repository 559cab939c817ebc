import os

import numpy as np
import pytest
from PIL import Image

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.errors import UserError
from hrm_agents.solving.recording import check_gif, record_episode, write_gif


def frame(value, size=(20, 30)):
    return np.full((*size, 3), value, np.uint8)


def test_gif_holds_every_picture_and_stays_on_the_last(tmp_path):
    # No shade occurs twice: equal neighbours may be merged, and each must keep its colour.
    episodes = [[frame(0), frame(60), frame(120)], [frame(180), frame(240)]]
    write_gif(tmp_path / "new" / "out.gif", episodes, fps=4.0)
    with Image.open(tmp_path / "new" / "out.gif") as gif:
        assert gif.n_frames == 5
        assert gif.size == (30, 20)
        assert gif.info["loop"] == 0
        durations, shades = [], []
        for number in range(5):
            gif.seek(number)
            durations.append(gif.info["duration"])
            shades.append(int(np.asarray(gif.convert("L")).mean()))
    assert durations == [250, 250, 1000, 250, 1000]
    assert shades == pytest.approx([0, 60, 120, 180, 240], abs=1)


def test_an_episode_is_the_puzzle_and_one_picture_a_segment(maze_run):
    pytest.importorskip("pygame")
    solver = hrm_agents.load(maze_run)
    env = solver.make_env(render_mode="rgb_array", num_puzzles=3)
    frames, segments = record_episode(solver, env, options={"index": 1})
    assert len(frames) == len(segments) + 1
    assert all(picture.dtype == np.uint8 and picture.shape == frames[0].shape for picture in frames)
    assert (frames[0] != frames[1]).any()
    again, _ = record_episode(solver, env, options={"index": 1})
    for one, other in zip(frames, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_gif_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        write_gif(tmp_path / "file" / "out.gif", [[frame(0)]])


@pytest.mark.parametrize("name", ["out.mp4", "out", "out.gif.png", ".gif", "gif"])
def test_only_gifs_are_written(tmp_path, name):
    for write in (check_gif, lambda path: write_gif(path, [[frame(0)]])):
        with pytest.raises(UserError, match=r"only GIFs can be written; choose a name that ends in \.gif"):
            write(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_capitals_do_not_matter(tmp_path):
    write_gif(tmp_path / "OUT.GIF", [[frame(0)]])
    assert (tmp_path / "OUT.GIF").read_bytes().startswith(b"GIF8")


def test_nothing_to_write_and_impossible_speeds(tmp_path):
    with pytest.raises(ValueError, match="no images"):
        write_gif(tmp_path / "out.gif", [[], []])
    for fps in (0.0, -1.0, 1000.0, float("nan")):
        with pytest.raises(ValueError, match="must lie between"):
            write_gif(tmp_path / "out.gif", [[frame(0)]], fps)
    assert os.listdir(tmp_path) == []


# hrm-agents watch


def watch(capsys, *arguments):
    """The one line that the command fails with."""
    assert main(["watch", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_watch_refuses_before_it_thinks(maze_run, capsys, tmp_path, monkeypatch):
    (tmp_path / "folder.gif").mkdir()

    def think(*args, **kwargs):
        raise AssertionError("the pictures would be lost")

    monkeypatch.setattr("hrm_agents.solving.recording.record_episode", think)
    assert "only GIFs can be written" in watch(capsys, maze_run, "--record", tmp_path / "out.mp4")
    assert "cannot write" in watch(capsys, maze_run, "--record", "/proc/nowhere/out.gif")
    assert "cannot write" in watch(capsys, maze_run, "--record", tmp_path / "folder.gif")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_no_success(maze_run, capsys, tmp_path):
    pytest.importorskip("pygame")
    (tmp_path / "full.gif").symlink_to("/dev/full")
    line = watch(capsys, maze_run, "--record", tmp_path / "full.gif", "--episodes", 1)
    assert "cannot write" in line
    assert "No space left" in line
    assert (tmp_path / "full.gif").is_symlink()


@pytest.mark.usefixtures("no_screen")
def test_watch_without_a_display_advises_an_option_that_it_has(maze_run, capsys):
    line = watch(capsys, maze_run)
    assert "there is no display to open a window on: write a GIF with --record FILE.gif" in line
    assert "render_mode" not in line
