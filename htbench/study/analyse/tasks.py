"""The analysis of each task that is no choice between two methods."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from htbench.core.errors import UsageError
from htbench.core.types import method_and_strength
from htbench.run.store import Store
from htbench.run.study_result import TableRecord
from htbench.run.summary import Summary
from htbench.stats.families import FamiliesByConcept
from htbench.study.analyse import best, scale, strength
from htbench.study.analyse.agreement import agreement_with_majority, pair_votes_of
from htbench.study.analyse.evaluators import Evaluator
from htbench.study.analyse.task_result import TaskResult, shown
from htbench.study.exclusions import Flow
from htbench.study.task import Task


def compute_task(
    flow: Flow,
    task: Task,
    families: FamiliesByConcept | None = None,
    *,
    evaluators: Sequence[Evaluator] = (),
    rounds: int = 1000,
    seed: int = 0,
) -> TaskResult:
    """The result of a study, by the analysis of its task.

    Judges and metrics are held against the pairs of pictures that answers imply.
    """
    found = _compute(flow, task, families, rounds=rounds, seed=seed)
    people = pair_votes_of(flow.kept, task) if evaluators else {}
    agreements = agreement_with_majority(people, evaluators)
    if not agreements:
        return found
    table = TableRecord(
        title="Judges and metrics on pairs of pictures, by the answers to each [95 % interval]",
        columns=["With the majority of people", "Compared", "Alike where both decide", "AC1"],
        rows=[
            [
                "one person, of the others: the ceiling"
                if each.source == "person"
                else f"{each.source} {each.name}",
                f"{each.compared:,}",
                shown(each.accuracy),
                shown(each.ac1),
            ]
            for each in agreements
        ],
    )
    return replace(
        found,
        tables=(*found.tables, table),
        facts={**found.facts, "agreement": [asdict(each) for each in agreements]},
    )


def _compute(
    flow: Flow, task: Task, families: FamiliesByConcept | None, *, rounds: int, seed: int
) -> TaskResult:
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
