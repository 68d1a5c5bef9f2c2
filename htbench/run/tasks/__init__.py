"""Tasks of a run: what methods are asked to do with a concept, one module per task."""

from collections.abc import Mapping

from htbench.core.errors import UnknownName
from htbench.run.tasks.add import ADD
from htbench.run.tasks.compose import COMPOSE
from htbench.run.tasks.remove import REMOVE
from htbench.run.tasks.replace import REPLACE
from htbench.run.tasks.task import Task

TASKS: Mapping[str, Task] = {task.name: task for task in (ADD, REMOVE, REPLACE, COMPOSE)}
"""All tasks by name; the first is that of a plan that names none."""


def find(name: str) -> Task:
    """The task of this name.

    Raises:
        UnknownName: if there is none, with the nearest name.
    """
    if name not in TASKS:
        raise UnknownName("task", name, TASKS, remedy="See docs/tasks.md.")
    return TASKS[name]
