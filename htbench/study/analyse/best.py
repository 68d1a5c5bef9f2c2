"""Results of the task `best`: worths of methods from choices of the best of several."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from htbench.run.study_result import TableRecord
from htbench.stats import best_of, crossed
from htbench.stats.answer_clusters import AnswerClusters
from htbench.stats.best_of import Choices
from htbench.stats.durations import Interval
from htbench.stats.families import FamiliesByConcept
from htbench.stats.proportions import Proportion
from htbench.study.analyse.task_result import (
    TaskResult,
    agreement_notes,
    interval_facts,
    share,
    shown,
    units_of,
    votes_of,
)
from htbench.study.answer import Answer
from htbench.study.exclusions import Flow
from htbench.study.task import MAX_SET, Task


def compute(
    flow: Flow,
    task: Task,
    families: FamiliesByConcept | None = None,
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> TaskResult:
    """The result of a study of sets of pictures, from its answers after exclusions."""
    votes = votes_of(flow.kept, task.answers(MAX_SET))
    criterion = flow.unique[0].criterion if flow.unique else ""
    names = sorted({name for each in votes for name in each.shown})
    notes = agreement_notes(
        flow.kept, units_of(votes, lambda each: float(names.index(_chosen(each))))
    )
    columns = ("method", "shown", "chosen", "worth", "low", "high")
    if not votes:
        return TaskResult(
            task=task.name, criterion=criterion, tables=(), notes=tuple(notes), facts={},
            columns=columns, rows=(),
        )  # fmt: skip
    clusters = AnswerClusters.collect(
        [each.concept for each in votes], [each.rater for each in votes], families
    )
    choices = _choices(votes, names)
    worths = best_of.fit(choices)
    everybody = best_of.fit(_choices(votes_of(flow.unique, task.answers(MAX_SET)), names))
    factor = clusters.correction(best_of.influence(choices, worths))
    drawn = np.array(
        [
            best_of.fit(choices, weight=clusters.weights(by_concept, by_person))
            for by_concept, by_person in zip(*clusters.draws(rounds=rounds, seed=seed), strict=True)
        ]
    )
    resamples = worths + factor * (drawn - worths)
    intervals = [clusters.interval(float(worths[k]), resamples[:, k]) for k in range(len(names))]
    order = sorted(range(len(names)), key=lambda k: -worths[k])
    shares = [_share_chosen(votes, name) for name in names]
    summary = TableRecord(
        title=f"{criterion}: worth of each method, in logits, and how often it was the best of "
        "those shown [95 % interval]",
        columns=["Method", "Worth", "Chosen", "Without exclusions"],
        rows=[
            [
                names[k],
                f"{shown(intervals[k])}{_limit(shares[k])}",
                share(shares[k]),
                f"{everybody[k]:.2f}",
            ]
            for k in order
        ],
    )
    pairs = []
    for one, two in combinations(order, 2):
        found = clusters.interval(
            float(worths[one] - worths[two]), resamples[:, one] - resamples[:, two]
        )
        low, high = np.exp(found.low), np.exp(found.high)
        odds = Interval(value=math.exp(found.value), low=float(low), high=float(high))
        pairs.append((names[one], names[two], odds))
    compared = TableRecord(
        title=f"{criterion}: how many times as often one method is the best as another "
        "[95 % interval]",
        columns=["Method", "Over", "Times as often"],
        rows=[[one, two, shown(odds)] for one, two, odds in pairs],
    )
    model = (
        "A choice has the chance exp(worth) over the sum for all pictures shown, the first stage "
        "of the Plackett-Luce model. Worths have mean 0. Intervals resample concepts, by family, "
        "and people."
    )
    return TaskResult(
        task=task.name,
        criterion=criterion,
        tables=(summary, compared),
        notes=(model, *notes),
        facts={
            "methods": [
                {
                    "method": names[k],
                    "worth": interval_facts(intervals[k]),
                    "chosen": shares[k].count,
                    "shown": shares[k].of,
                }
                for k in order
            ],
            "odds": [{"one": one, "two": two, **interval_facts(odds)} for one, two, odds in pairs],
        },
        columns=columns,
        rows=tuple((names[k], shares[k].of, shares[k].count, *_ends(intervals[k])) for k in order),
    )


def _chosen(vote: Answer) -> str:
    return vote.shown[int(vote.choice) - 1]


def _choices(votes: Sequence[Answer], names: Sequence[str]) -> Choices:
    place = {name: k for k, name in enumerate(names)}
    known = [each for each in votes if all(name in place for name in each.shown)]
    member = np.zeros((len(known), len(names)), bool)
    for row, each in enumerate(known):
        member[row, [place[name] for name in each.shown]] = True
    return Choices(chosen=np.array([place[_chosen(each)] for each in known]), member=member)


def _share_chosen(votes: Sequence[Answer], name: str) -> Proportion:
    own = [each for each in votes if name in each.shown]
    return crossed.share([(each.concept, each.rater, _chosen(each) == name) for each in own])


def _limit(proportion: Proportion) -> str:
    """A remark where only the prior bounds a worth."""
    if proportion.count == proportion.of:
        return " (always chosen: no upper limit)"
    return "" if proportion.count else " (never chosen: no lower limit)"


def _ends(interval: Interval) -> tuple[float | str, ...]:
    ends = (interval.value, interval.low, interval.high)
    return tuple("" if math.isnan(end) else end for end in ends)
