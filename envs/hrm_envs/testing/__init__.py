"""The conformance kit for people who write a task: one call checks every rule that the package relies on.

    from hrm_envs.testing import check_task

    def test_my_task():
        check_task(MyTask(size=5))

A broken rule raises :class:`TaskError`, whose text names the rule and shows the example that breaks it. Correct
tasks of the usual sizes pass in about a second.
"""

from __future__ import annotations

from collections.abc import Callable

from hrm_envs.task import Task
from hrm_envs.testing import drawing, puzzles, symmetries, verdicts, views
from hrm_envs.testing.specimen import Specimen, TaskError

__all__ = ["RULES", "TaskError", "check_task"]

#: Every rule, in the order in which they are checked; each may take the ones before it for granted.
RULES: dict[str, Callable[[Specimen], None]] = {
    **puzzles.RULES,
    **verdicts.RULES,
    **symmetries.RULES,
    **views.RULES,
    **drawing.RULES,
}


def check_task(task: Task, *, num: int = 64, seed: int = 0, padded: bool = False) -> None:
    """Check a task against every rule in :data:`RULES`.

    Whether ``default_num_puzzles`` exist is tried with at most 200 puzzles of each split, to stay quick. Drawing is
    checked only where pygame is installed.

    Args:
        task: the task, ready made.
        num: how many puzzles to look at. A few rules can tell nothing from fewer than a dozen.
        seed: of the puzzles, symmetries and answers.
        padded: whether puzzles and solutions may hold padding, as grids smaller than the task's do.

    Raises:
        TaskError: the task breaks a rule.
        ValueError: ``task`` is no task, or there is nothing to look at.
    """
    if not isinstance(task, Task):
        advice = f"; make one first: check_task({task.__name__}())" if isinstance(task, type) else ""
        raise ValueError(f"check_task takes a task, not {task!r}{advice}")
    if num < 1:
        raise ValueError(f"num={num}: at least one puzzle is needed")
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
