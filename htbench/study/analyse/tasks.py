"""The analysis of each task that is no choice between two methods."""

from htbench.stats.families import FamiliesByConcept
from htbench.study.analyse import best, scale, strength
from htbench.study.analyse.task_result import TaskResult
from htbench.study.exclusions import Flow
from htbench.study.task import Task


def compute_task(
    flow: Flow,
    task: Task,
    families: FamiliesByConcept | None = None,
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> TaskResult:
    """The result of a study, by the analysis of its task."""
    if task.name == "strength":
        return strength.compute(flow, families, rounds=rounds, seed=seed)
    if task.pictures == "set":
        return best.compute(flow, task, families, rounds=rounds, seed=seed)
    return scale.compute(flow, task, families, rounds=rounds, seed=seed)
