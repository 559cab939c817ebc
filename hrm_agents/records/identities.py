"""What the task identities of a saved model stand for, and whether an environment means the same by them.

A task embedding has a row for each identity, and its weights fit every environment with as many: only the table of
identities, saved beside the weights, tells whether row 5 still belongs to the same task.
"""

from __future__ import annotations

from typing import Any

from hrm_agents.errors import UserError
from hrm_envs import IdTable


def saved_table(task: Any, where: str) -> IdTable | None:
    """The table in a task spec that was read from JSON; None if the spec has none, or is itself None.

    Args:
        task: ``dataclasses.asdict`` of a ``TaskSpec``, after JSON.
        where: the file, for messages.

    Raises:
        UserError: it is not of that form.
    """
    if task is not None and not isinstance(task, dict):
        raise UserError(f"{where}: expected an object, found {type(task).__name__}")
    table = (task or {}).get("id_table")
    if table is None:
        return None
    fits = (
        isinstance(table, dict)
        and set(table) == {"tasks", "copies", "seed"}
        and isinstance(table["tasks"], list)
        and all(isinstance(name, str) for name in table["tasks"])
        and all(isinstance(table[name], int) for name in ("copies", "seed"))
    )
    if not fits:
        raise UserError(f"{where}.id_table: expected 'tasks' (a list of names), 'copies' and 'seed' (whole numbers)")
    return IdTable(tuple(table["tasks"]), table["copies"], table["seed"])


def first_difference(there: IdTable | None, here: IdTable | None) -> str | None:
    """In what two tables differ first, in words; None if they are the same."""
    if there == here:
        return None
    there, here = there or IdTable(()), here or IdTable(())
    if len(there.tasks) != len(here.tasks):
        return f"number of tasks: {len(there.tasks)} there and {len(here.tasks)} here"
    for number, (theirs, ours) in enumerate(zip(there.tasks, here.tasks, strict=True)):
        if theirs != ours:
            return f"tasks[{number}] is {theirs!r} there and {ours!r} here"
    if there.copies != here.copies:
        return f"{there.copies} copies of each task there and {here.copies} here"
    return f"copies drawn from seed {there.seed} there and {here.seed} here"
