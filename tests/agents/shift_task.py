"""A task with identities and views, small enough to reckon with by hand: ``Test/Shift-v0``."""

from __future__ import annotations

import json

import numpy as np

from hrm_envs import IdTable, PuzzleBatch, Task, TaskSpec, Verdict, register_task

LETTERS = 3
#: Demonstrations of each task, examples 0 and 1, and its test inputs, examples 2 and 3.
KNOWN = np.array([[1, 1, 2], [2, 3, 3]], np.uint8)
ASKED = np.array([[1, 2, 3], [3, 1, 1]], np.uint8)


def shift(letters, by):
    """The letter ``by`` places on, round the alphabet: ``[B, 3]`` by ``[B]``; 0 stays."""
    moved = (letters.astype(int) - 1 + np.reshape(by, (-1, 1))) % LETTERS + 1
    return np.where(letters == 0, 0, moved).astype(np.uint8)


class ShiftVote:
    """The heaviest answer to each test input: the sum of the halt probabilities of the views that gave it."""

    def __init__(self, batch, answer, weight, copies):
        canonical = shift(answer, -((batch.task_id - 1) % copies))
        wanted = shift(batch.solution, -((batch.task_id - 1) % copies))
        inputs = {}
        for row, key in enumerate(zip((batch.task_id - 1) // copies, batch.example, strict=True)):
            inputs.setdefault(key, []).append(row)
        self.answers, right = {}, []
        for (task, example), rows in inputs.items():
            votes = {}
            for row in rows:
                votes[tuple(canonical[row].tolist())] = votes.get(tuple(canonical[row].tolist()), 0.0) + weight[row]
            self.answers[f"{task}/{example}"] = max(votes, key=votes.get)
            right.append(self.answers[f"{task}/{example}"] == tuple(wanted[rows[0]].tolist()))
        self.metrics = {"vote": float(np.mean(right)), "sureness": float(weight.mean())}

    def write(self, folder):
        path = folder / "votes.json"
        path.write_text(json.dumps(self.answers))
        return [path]


class ShiftTask(Task):
    """Each task keeps three letters ("keep") or turns their order round; copy ``k`` shifts the letters by ``k``."""

    def __init__(self, names=("keep", "turn"), copies=3, id_seed=0, views=1):
        if not 1 <= views <= copies:
            raise ValueError(f"views={views}: choose 1 to {copies}")
        self.views, self.max_views = views, copies
        self.spec = TaskSpec("Shift", (1, 3), (" ", "a", "b", "c"), IdTable(tuple(names), copies, id_seed))

    def stored(self, split):
        letters, views = (KNOWN, 1) if split == "train" else (ASKED, self.views)
        number, example, copy = np.indices((len(self.spec.id_table.tasks), len(letters), views)).reshape(3, -1)
        puzzle = letters[example]
        turned = np.array([name != "keep" for name in self.spec.id_table.tasks])[number]
        solution = np.where(turned[:, None], puzzle[:, ::-1], puzzle)
        task_id = (1 + number * self.max_views + copy).astype(np.int32)
        example = (example + (0 if split == "train" else len(KNOWN))).astype(np.int32)
        return PuzzleBatch(shift(puzzle, copy), shift(solution, copy), task_id, example)

    def augment(self, batch, draws):
        copy = draws.integers(self.max_views)
        by = copy - (batch.task_id - 1) % self.max_views
        task_id = (batch.task_id + by).astype(np.int32)
        return PuzzleBatch(shift(batch.puzzle, by), shift(batch.solution, by), task_id, batch.example)

    def verify(self, batch, answer):
        same = answer == batch.solution
        return Verdict(same.all(1), same.mean(1, dtype=np.float32))

    def ensemble(self, batch, answer, halt_probability):
        if (batch.example < len(KNOWN)).any():
            return None
        return ShiftVote(batch, answer, halt_probability, self.max_views)


ID = "Test/Shift-v0"
register_task(ID, ShiftTask, max_segments=2)
