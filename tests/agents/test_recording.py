import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.commands.watch import colored
from hrm_agents.errors import UserError
from hrm_agents.solving.recording import check_gif, record_episode, write_gif, write_recording
from hrm_agents.solving.solution import Segment
from hrm_agents.solving.text import describe, narrate


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
    names = r"choose a name that ends in .gif (animation), .mp4 (video) or .png (all images in one strip)"
    for name in ("out.avi", "out", "out.png.zip", ".gif"):
        assert watch(capsys, maze_run, "--record", tmp_path / name).endswith(f"{name}: {names}")
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
    assert (
        "there is no display to open a window on: print text with --text, or write a GIF with --record FILE.gif" in line
    )
    assert "render_mode" not in line


# Strips and videos


def test_a_strip_has_every_picture_in_its_place(tmp_path):
    episodes = [[frame(shade, (40, 1000)) for shade in range(10, 60, 10)], [frame(200, (40, 1000))]]
    write_recording(tmp_path / "out.png", episodes)
    with Image.open(tmp_path / "out.png") as image:
        strip = np.asarray(image)
    assert strip.shape == (3 * 40, 3 * 1000, 3)  # three fit into a row; five take two rows, and the sixth has its own
    shades = strip[20::40, 500::1000, 0]
    assert shades.tolist() == [[10, 20, 30], [40, 50, 10], [200, 10, 10]]  # the first ground fills what is left


def test_a_strip_of_wide_or_few_pictures(tmp_path):
    for size, number, shape in (((20, 5000), 2, (40, 5000, 3)), ((20, 30), 2, (20, 60, 3))):
        write_recording(tmp_path / "out.png", [[frame(0, size)] * number])
        with Image.open(tmp_path / "out.png") as image:
            assert np.asarray(image).shape == shape


def test_a_video_shows_every_picture_for_its_time(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    episodes = [[frame(0, (33, 47)), frame(100, (33, 47))], [frame(200, (33, 47))]]
    write_recording(tmp_path / "new" / "out.mp4", episodes, fps=2.0)
    read = ["-i", str(tmp_path / "new" / "out.mp4"), "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    done = subprocess.run([ffmpeg.get_ffmpeg_exe(), *read], capture_output=True, check=True)
    assert b"Video: h264" in done.stderr
    assert b" 48x34" in done.stderr  # even sides
    assert b" 10 fps" in done.stderr
    shades = np.frombuffer(done.stdout, np.uint8).reshape(-1, 34, 48)[:, :33, :47].mean(axis=(1, 2))
    assert shades == pytest.approx([0] * 5 + [100] * 20 + [200] * 20, abs=3)


def test_watch_writes_the_format_of_the_name(maze_run, tmp_path):
    pytest.importorskip("pygame")
    pytest.importorskip("imageio_ffmpeg")
    small = ["--kwargs", "render_size=180", "theme=light", "--episodes", "1"]
    for name, start in (("a.GIF", b"GIF8"), ("a.mp4", b"\0\0\0"), ("a.png", b"\x89PNG")):
        assert main(["watch", str(maze_run), "--record", str(tmp_path / name), *small]) == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size[0] % 180 == image.size[1] % 120 == 0
        assert image.getpixel((0, 0)) == (255, 255, 255)


def test_a_video_that_cannot_be_encoded(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    with pytest.raises(UserError, match=r"out\.mp4: ffmpeg could not encode the video: \S"):
        write_recording(tmp_path / "out.mp4", [[np.zeros((0, 4, 3), np.uint8)]])
    assert os.listdir(tmp_path) == []


def test_a_video_without_ffmpeg(maze_run, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    line = watch(capsys, maze_run, "--record", tmp_path / "out.mp4")
    assert 'MP4 needs ffmpeg, which is not installed: run `pip install "hrm-agents[video]"`' in line
    assert os.listdir(tmp_path) == []


# Text


def test_watch_as_text(maze_run, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)  # over ssh there may be none
    assert main(["watch", str(maze_run), "--text", "--episodes", "2", "--kwargs", "max_segments=2"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text  # not a terminal
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("puzzle")] == ["puzzle 1", "puzzle 2"]
    told = [line for line in lines if line.startswith("segment 1: ")]
    assert len(told) == 2
    for line in told:
        assert re.fullmatch(
            r"segment 1: (right|wrong \(score \d+%\)), Q halt -?\d\.\d\d(, [\w ]+ [+-]?\d\.\d\d)?: (halt|think on)",
            line,
        )
    ended = [line.startswith("segment") and line.endswith(": halt") for line in lines]
    assert sum(ended) == 2
    right = sum("right" in line for line, end in zip(lines, ended, strict=True) if end)
    assert lines[-1] == f"solved {right} of 2"
    first = lines.index("puzzle 1")
    assert all(set(row) <= set("# SG") for row in lines[first + 1 : first + 6])


@pytest.mark.parametrize(
    ("terminal", "environ", "color"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False), (True, {"NO_COLOR": ""}, True),
     (True, {"TERM": "dumb"}, False)],
)  # fmt: skip
def test_colours_are_for_terminals(terminal, environ, color, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert colored(SimpleNamespace(isatty=lambda: terminal)) == color


def test_text_is_the_same_in_colour(maze_run):
    solver = hrm_agents.load(maze_run)
    env = solver.make_env(render_mode="ansi", num_puzzles=3, max_segments=2)
    plain, coloured = (list(narrate(solver, env, "one", seed=4, color=color)) for color in (False, True))
    assert [(re.sub(r"\x1b\[[0-9;]*m", "", piece), right) for piece, right in coloured] == plain
    assert all("\x1b[" in piece for piece, _ in coloured)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"q_continue": 0.25}, "segment 3: wrong (score 99%), Q halt 0.50, Q continue 0.25: think on"),
        ({"gain": 0.1, "halt": True}, "segment 3: wrong (score 99%), Q halt 0.50, gain of thinking on +0.10: halt"),
        ({"success": True, "score": 1.0}, "segment 3: right, Q halt 0.50: think on"),
    ],
)
def test_a_segment_in_one_line(values, line):
    cells = np.zeros(4, np.uint8)
    said = {"q_continue": None, "halt": False, "success": False, "score": 0.999, **values}
    segment = Segment(cells, cells.astype(np.float32), 0.5, **said)
    assert re.sub(r"\x1b\[[0-9;]*m", "", describe(3, segment)) == line


def test_text_and_a_file_at_once(maze_run, capsys, tmp_path):
    assert "--text and --record exclude each other" in watch(capsys, maze_run, "--text", "--record", tmp_path / "a.gif")
