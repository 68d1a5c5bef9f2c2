"""Results of the tasks `rating` and `yes-no`: effects of methods by a cumulative link model."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from htbench.run.study_result import TableRecord
from htbench.stats import crossed, cumulative_link
from htbench.stats.answer_clusters import AnswerClusters
from htbench.stats.cumulative_link import CumulativeLinkFit, Ratings
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
from htbench.study.task import Task

_HIGH = ("4", "5", "yes")
"""Answers that say that the picture fits."""
_LIMITS = {"all": "only the highest answer", "none": "only the lowest answer"}


def compute(
    flow: Flow,
    task: Task,
    families: FamiliesByConcept | None = None,
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> TaskResult:
    """The result of a study of single pictures, from its answers after exclusions."""
    answers = task.ascending_answers
    votes = votes_of(flow.kept, answers)
    criterion = flow.unique[0].criterion if flow.unique else ""
    units = units_of(votes, lambda each: answers.index(each.choice))
    notes = agreement_notes(flow.kept, units, ordinal=task.name == "rating")
    if not votes:
        return TaskResult(
            task=task.name, criterion=criterion, tables=(), notes=tuple(notes), facts={},
            columns=("method", "answer", "answers"), rows=(),
        )  # fmt: skip
    names = sorted({each.left for each in votes})
    whole, effects, draws = _effects(votes, names, answers, families, rounds=rounds, seed=seed)
    everybody = _fit(votes_of(flow.unique, answers), names, answers)[1].effects
    counts = {
        name: Counter[str](each.choice for each in votes if each.left == name) for name in names
    }
    order = sorted(range(len(names)), key=lambda k: -effects[k].value)
    high = "Yes" if task.name == "yes-no" else "4 or 5"
    shares = {name: _share_high(votes, name) for name in names}
    summary = TableRecord(
        title=f"{criterion}: effect of each method on the answers, in logits [95 % interval]",
        columns=["Method", "Effect", high, *answers, "Without exclusions"],
        rows=[
            [
                names[k],
                f"{shown(effects[k])}{_limit(counts[names[k]], answers)}",
                share(shares[names[k]]),
                *(f"{counts[names[k]][answer]:,}" for answer in answers),
                f"{everybody[k]:.2f}",
            ]
            for k in order
        ],
    )
    pairs = [(names[one], names[two], draws.odds(one, two)) for one, two in combinations(order, 2)]
    compared = TableRecord(
        title=f"{criterion}: how many times higher the odds of a higher answer are [95 % interval]",
        columns=["Method", "Over", "Odds"],
        rows=[[one, two, shown(odds)] for one, two, odds in pairs],
    )
    model = (
        "A cumulative link model (logit): thresholds between the answers, an effect per method, "
        f"and normal effects of concepts (standard deviation {whole.concept_spread:.2f}) and of "
        f"people ({whole.person_spread:.2f}). Effects of methods have mean 0. Intervals resample "
        "concepts, by family, and people."
    )
    return TaskResult(
        task=task.name,
        criterion=criterion,
        tables=(summary, *([compared] if pairs else [])),
        notes=(model, *notes),
        facts={
            "answers": list(answers),
            "thresholds": whole.thresholds.tolist(),
            "concept_spread": whole.concept_spread,
            "person_spread": whole.person_spread,
            "methods": [
                {
                    "method": names[k],
                    "effect": interval_facts(effects[k]),
                    "high": {"value": shares[names[k]].value, "of": shares[names[k]].of},
                    "counts": {answer: counts[names[k]][answer] for answer in answers},
                }
                for k in order
            ],
            "odds": [{"one": one, "two": two, **interval_facts(odds)} for one, two, odds in pairs],
        },
        columns=("method", "answer", "answers"),
        rows=tuple((name, answer, counts[name][answer]) for name in names for answer in answers),
    )


class _Draws:
    """Resampled effects of methods, and the odds that follow from them."""

    def __init__(self, clusters: AnswerClusters, value: np.ndarray, resamples: np.ndarray) -> None:
        self._clusters, self._value, self._resamples = clusters, value, resamples

    def effect(self, k: int) -> Interval:
        """The effect of method `k`."""
        return self._clusters.interval(float(self._value[k]), self._resamples[:, k])

    def odds(self, one: int, two: int) -> Interval:
        """The odds of a higher answer to method `one`, over those to `two`."""
        found = self._clusters.interval(
            float(self._value[one] - self._value[two]),
            self._resamples[:, one] - self._resamples[:, two],
        )
        low, high = np.exp(found.low), np.exp(found.high)
        return Interval(value=math.exp(found.value), low=float(low), high=float(high))


def _effects(
    votes: Sequence[Answer],
    names: Sequence[str],
    answers: Sequence[str],
    families: FamiliesByConcept | None,
    *,
    rounds: int,
    seed: int,
) -> tuple[CumulativeLinkFit, list[Interval], _Draws]:
    """The fit, the effects of methods with their intervals, and the resamples of them."""
    clusters = AnswerClusters.collect(
        [each.concept for each in votes], [each.rater for each in votes], families
    )
    ratings, whole = _fit(votes, names, answers)
    moved = cumulative_link.influence(ratings, whole)
    factor = clusters.correction(moved.answers, of_concepts=moved.concepts, of_people=moved.people)
    resamples = np.array(
        [
            cumulative_link.refit(ratings, whole, by_concept, by_person)
            for by_concept, by_person in zip(*clusters.draws(rounds=rounds, seed=seed), strict=True)
        ]
    )
    draws = _Draws(clusters, whole.effects, whole.effects + factor * (resamples - whole.effects))
    return whole, [draws.effect(k) for k in range(len(names))], draws


def _fit(
    votes: Sequence[Answer], names: Sequence[str], answers: Sequence[str]
) -> tuple[Ratings, CumulativeLinkFit]:
    known = [each for each in votes if each.left in names]
    clusters = AnswerClusters.collect(
        [each.concept for each in known], [each.rater for each in known]
    )
    ratings = Ratings(
        answer=np.array([answers.index(each.choice) for each in known]),
        method=np.array([names.index(each.left) for each in known]),
        concept=clusters.concept,
        person=clusters.person,
        categories=len(answers),
        methods=len(names),
        concepts=clusters.families.n,
        people=clusters.people,
    )
    return ratings, cumulative_link.fit(ratings)


def _share_high(votes: Sequence[Answer], name: str) -> Proportion:
    own = [each for each in votes if each.left == name]
    return crossed.share([(each.concept, each.rater, each.choice in _HIGH) for each in own])


def _limit(counts: Mapping[str, int], answers: Sequence[str]) -> str:
    """A remark where only the prior bounds an effect."""
    total = sum(counts.values())
    if counts[answers[-1]] == total:
        return f" ({_LIMITS['all']}: no upper limit)"
    return f" ({_LIMITS['none']}: no lower limit)" if counts[answers[0]] == total else ""
