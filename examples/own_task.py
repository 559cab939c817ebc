"""A task of your own: register it, check it, train on it. Takes about half a minute on a laptop.

python examples/own_task.py
"""

import tempfile
from pathlib import Path

import numpy as np

from hrm_agents.config import EnvConfig, RunConfig, TrainConfig
from hrm_agents.models.hrm import Architecture
from hrm_agents.trainer import Trainer
from hrm_envs import PuzzleBatch, Task, TaskSpec, Verdict, register_task
from hrm_envs.spec import Tokens
from hrm_envs.testing import check_task


class Reverse(Task):
    """Write the row backwards."""

    def __init__(self, length: int = 6) -> None:
        self.spec = TaskSpec(name="Reverse", grid_shape=(1, length), symbols=(" ", "a", "b", "c"))
        self.default_num_puzzles = {"train": 400, "test": 50}

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        """Random rows of letters and their solutions."""
        puzzle = rng.integers(1, 4, (num, self.spec.num_cells)).astype(np.uint8)
        return PuzzleBatch(puzzle, puzzle[:, ::-1].copy())

    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        """Accept an answer if all letters are right; the score is the share of right letters."""
        right = answer == batch.solution
        return Verdict(right.all(axis=1), right.mean(axis=1, dtype=np.float32))


def main(updates: int = 500) -> float:
    """Register, check and train; returns the share of unseen puzzles solved."""
    register_task("Mine/Reverse-v0", Reverse, max_segments=4)
    check_task(Reverse())
    config = TrainConfig(
        env=EnvConfig("Mine/Reverse-v0"),
        model=Architecture(hidden_size=32, H_layers=1, L_layers=1, gradient="cycle"),
        run=RunConfig(updates=updates, eval_every=0),
    )
    with tempfile.TemporaryDirectory() as folder:
        report = Trainer(config, Path(folder)).run()
    print(f"{report.success_rate:.1%} of unseen rows reversed, in {report.mean_segments:.2f} segments")
    return report.success_rate


if __name__ == "__main__":
    main()
