import numpy as np
import pytest

import hrm_agents
from hrm_agents.errors import UserError
from hrm_agents.recording import record_episode, write_gif


def frame(value, size=(20, 30)):
    return np.full((*size, 3), value, np.uint8)


def test_gif_holds_every_picture_and_stays_on_the_last(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    # No shade occurs twice: equal neighbours may be merged, and each must keep its colour.
    episodes = [[frame(0), frame(60), frame(120)], [frame(180), frame(240)]]
    write_gif(tmp_path / "new" / "out.gif", episodes, fps=4.0)
    with image_module.open(tmp_path / "new" / "out.gif") as gif:
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
    pytest.importorskip("PIL")
    solver = hrm_agents.load(maze_run)
    env = solver.make_env(render_mode="rgb_array", num_puzzles=3)
    frames, segments = record_episode(solver, env, options={"index": 1})
    assert len(frames) == len(segments) + 1
    assert all(picture.dtype == np.uint8 and picture.shape == frames[0].shape for picture in frames)
    assert (frames[0] != frames[1]).any()
    again, _ = record_episode(solver, env, options={"index": 1})
    for one, other in zip(frames, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_missing_pillow_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(UserError, match=r'pip install "hrm-agents\[render\]"'):
        write_gif(tmp_path / "out.gif", [[frame(0)]])
    assert not (tmp_path / "out.gif").exists()


def test_a_gif_that_cannot_be_written(tmp_path):
    pytest.importorskip("PIL")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        write_gif(tmp_path / "file" / "out.gif", [[frame(0)]])
