"""Comparison of the task identities of a saved model with those of an environment.

A task embedding has a row per identity and fits any environment with as many identities. Only the table of identities
saved with the weights shows whether row 5 still belongs to the same task.
"""

from __future__ import annotations

from typing import Any

from hrm_agents.errors import UserError
from hrm_envs import IdTable


def saved_table(task: Any, where: str) -> IdTable | None:
    """The table of identities in a task spec from JSON; None if the spec is None or has no table.

    Args:
        task: ``dataclasses.asdict`` of a ``TaskSpec``, after JSON.
        where: the file, for messages.

    Raises:
        UserError: the spec or the table has another form.
    """
    if task is not None and not isinstance(task, dict):
        raise UserError(f"{where}: expected an object, found {type(task).__name__}")
    table = (task or {}).get("id_table")
    if table is None:
        return None
    is_valid = (
        isinstance(table, dict)
        and set(table) == {"tasks", "copies", "seed"}
        and isinstance(table["tasks"], list)
        and all(isinstance(name, str) for name in table["tasks"])
        and all(isinstance(table[name], int) for name in ("copies", "seed"))
    )
    if not is_valid:
        raise UserError(f"{where}.id_table: expected 'tasks' (a list of names), 'copies' and 'seed' (whole numbers)")
    return IdTable(tuple(table["tasks"]), table["copies"], table["seed"])


def first_difference(there: IdTable | None, here: IdTable | None) -> str | None:
    """Description of the first difference between two tables; None if they are equal."""
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
