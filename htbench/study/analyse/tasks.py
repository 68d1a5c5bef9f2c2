"""The analysis of each task that is no choice between two methods."""

from collections.abc import Collection
from pathlib import Path

from htbench.core.errors import UsageError
from htbench.core.types import method_and_strength
from htbench.run.store import Store
from htbench.run.summary import Summary
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


def refuse_other_run(run: Path, names: Collection[str], task: Task) -> None:
    """Refuse a run that has none of the methods by whose `names` answers name pictures.

    Raises:
        UsageError: for such a run.
    """
    if task.name == "strength":
        names = {method_and_strength(name)[0] for name in names if "@" in name}
    with Store.read(run) as store:
        if set(names).isdisjoint(Summary(store).methods):
            raise UsageError(
                f"run {run.name!r} has none of the study's methods",
                remedy="Give the run that the study was exported from.",
            )
