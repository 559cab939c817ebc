"""Conformance checks for task authors: one call checks every rule that the package relies on.

    from hrm_envs.testing import check_task

    def test_my_task():
        check_task(MyTask(size=5))

A broken rule raises :class:`TaskError`, whose message names the rule and shows an example. Correct tasks of the usual
sizes pass in about a second.
"""

from __future__ import annotations

from collections.abc import Callable

from hrm_envs.task import Task
from hrm_envs.testing import drawing, nearest, optional, puzzles, symmetries, verdicts
from hrm_envs.testing.specimen import Specimen, TaskError

__all__ = ["RULES", "TaskError", "check_task"]

#: All rules, in the order in which they are checked; each may assume the earlier ones.
RULES: dict[str, Callable[[Specimen], None]] = {
    **puzzles.RULES,
    **verdicts.RULES,
    **nearest.RULES,
    **symmetries.RULES,
    **optional.RULES,
    **drawing.RULES,
}


def check_task(task: Task, *, num: int = 64, seed: int = 0, padded: bool = False) -> None:
    """Check a task against every rule in :data:`RULES`.

    To stay fast, the check of ``default_num_puzzles`` makes at most 200 puzzles per split. Drawing is checked only if
    pygame is installed.

    Args:
        task: a task instance.
        num: number of puzzles to check. A few rules need at least a dozen.
        seed: seed of the puzzles, symmetries and answers.
        padded: whether puzzles and solutions may contain padding, as for tasks with grids of several sizes.

    Raises:
        TaskError: the task breaks a rule.
        ValueError: ``task`` is not a task, or ``num`` is less than 1.
    """
    if not isinstance(task, Task):
        advice = f"; make one first: check_task({task.__name__}())" if isinstance(task, type) else ""
        raise ValueError(f"check_task takes a Task, not {task!r}{advice}")
    if num < 1:
        raise ValueError(f"num={num} must be at least 1")
    specimen = Specimen(task, num, seed, padded)
    name = getattr(getattr(task, "spec", None), "name", type(task).__name__)
    for rule, check in RULES.items():
        try:
            check(specimen)
        except TaskError as error:
            raise TaskError(f"{name} breaks the rule {rule!r}: {error}") from None
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise TaskError(f"{name} fails while checking the rule {rule!r}: {reason}") from error
