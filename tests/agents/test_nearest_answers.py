"""Learning from the right answer that is nearest to the model's own."""

import numpy as np
import pytest
import torch

from hrm_agents.errors import UserError
from hrm_agents.trainer import Trainer
from hrm_envs import PuzzleBatch

OPEN = {"kind": "random", "wall_share": (0.0, 0.2), "size": 7, "num_puzzles": 32, "max_segments": 3}


def batches(config, folder, number=4):
    """The trainer, and batches of segments, with the solution that the environment had stored for each."""
    trainer = Trainer(config, folder)
    found = []
    for _ in range(number):
        stored = trainer.env.solutions()
        found.append((stored, trainer.rollout.step()))
    return trainer, found


def total(batch, answer):
    """How much the model favours an answer ``[B]``."""
    logits = batch.decision.output.logits.detach()
    return logits.gather(-1, torch.from_numpy(answer).long()[..., None]).sum((1, 2))


def test_the_nearest_right_answer_is_learned(tiny_config, tmp_path):
    """The default where there are several: right, favoured more than the label, and another one at times."""
    trainer, found = batches(tiny_config("HRM/Maze-7x7-v0", OPEN, run={"batch_size": 16}), tmp_path)
    others = 0
    for stored, batch in found:
        learned = batch.solution.numpy()
        puzzles = PuzzleBatch(batch.puzzle.numpy(), stored)
        assert trainer.env.task.verify(puzzles, learned).success.all()
        assert (total(batch, learned) >= total(batch, stored) - 1e-4).all()
        others += (learned != stored).any(1).sum()
    assert others > 8
    assert "answer_loss" in trainer.update()


def test_the_label_is_learned_on_request(tiny_config, tmp_path):
    config = tiny_config("HRM/Maze-7x7-v0", OPEN, answer={"target": "label"}, run={"batch_size": 16})
    for stored, batch in batches(config, tmp_path)[1]:
        assert np.array_equal(batch.solution.numpy(), stored)


def test_a_task_with_one_answer_has_no_nearest_one(tiny_config, tmp_path):
    with pytest.raises(
        UserError, match=r"answer.target='nearest': the task of HRM/Sudoku-4x4-v0 knows one right answer"
    ):
        Trainer(tiny_config(answer={"target": "nearest"}), tmp_path)
    for stored, batch in batches(tiny_config(), tmp_path, number=2)[1]:
        assert np.array_equal(batch.solution.numpy(), stored)


def test_without_labels_nothing_is_near(tiny_config, tmp_path):
    """From reward alone the environment is not asked for solutions, and hides them."""
    answer = {"supervised_weight": 0.0, "reward_weight": 1.0, "samples": 2}
    trainer = Trainer(tiny_config("HRM/Maze-7x7-v0", OPEN, answer=answer), tmp_path)
    assert not trainer.rollout.step().solution.any()
