"""The benchmark of labels and nearest answers."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import nearest, records
from hrm_agents.config import RunConfig
from hrm_envs import PuzzleBatch
from hrm_envs.maze.task import MazeTask

TINY = {"kind": "random", "wall_share": (0.1, 0.3), "size": 5, "min_path": 3, "num_puzzles": 24, "max_segments": 2}


def test_a_label_is_one_of_the_right_answers():
    """The verifier accepts every nearest path, the label task the stored one alone."""
    task, rng = MazeTask(size=7, kind="random", wall_share=(0.1, 0.3), min_path=4), np.random.default_rng(0)
    batch = task.sample(rng, 32)
    other = task.nearest(batch, rng.normal(size=(*batch.puzzle.shape, 6)).astype(np.float32))
    by_label = nearest.MazeByLabel(size=7, kind="random")
    verdict = by_label.verify(PuzzleBatch(batch.puzzle, batch.solution), other)
    assert np.array_equal(verdict.success, (other == batch.solution).all(axis=1))
    assert not verdict.success.all()
    assert task.verify(batch, other).success.all()


@pytest.mark.parametrize("arm", nearest.ARMS)
def test_every_arm_learns_what_it_says(arm):
    config = nearest.Run("open-9x9", arm, 0).config()
    assert config.answer.target == ("nearest" if arm == "nearest" else "label")
    assert (config.env.id == nearest.BY_LABEL) == (arm == "label-q")


def test_an_arm_is_trained_and_judged_by_the_verifier(monkeypatch, tmp_path):
    arm = "label-q"
    monkeypatch.setitem(nearest.TASKS, "open-9x9", TINY)
    base = nearest.preset(nearest.ENV)
    run = RunConfig(updates=2, batch_size=4, eval_every=1, eval_puzzles=4)
    monkeypatch.setattr(nearest, "preset", lambda env_id: replace(base, run=run))
    row = nearest.train(nearest.Run("open-9x9", arm, 0), tmp_path)
    assert (row["arm"], len(row["curve"])) == (arm, 2)
    assert 0.0 <= row["success_rate"] <= 1.0
    monkeypatch.setattr(nearest, "FILE", tmp_path / "nearest.csv")
    records.add_run(nearest.FILE, nearest.KEYS, row)
    assert len((tmp_path / "nearest-curves.csv").read_text().splitlines()) == 3
    assert nearest.table().count(arm) >= 1
