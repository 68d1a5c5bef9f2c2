"""Agreement of judges, metrics and, as the ceiling, one person with the majority of people."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Float

from htbench.stats import crossed
from htbench.stats.durations import Interval
from htbench.study.analyse.evaluators import Evaluator
from htbench.study.answer import Answer, Pair
from htbench.study.task import Task

EvaluatorSource = Literal["judge", "metric", "person"]
PairVotes = Mapping[Pair, Mapping[str, float]]
"""Votes by pair of pictures and rater: 1 for the first method, 0 for the second, 0.5 for a tie."""
Counts = Float[np.ndarray, "units outcomes"]
_OUTCOMES = len(crossed.OUTCOMES)


@dataclass(frozen=True, kw_only=True)
class MajorityAgreement:
    """Agreement of a judge, a metric or one person with the majority of people.

    Measures are NaN where they are not defined. Intervals are for new concepts and, where several
    people voted, new people; NaN below three of either.
    """

    source: EvaluatorSource
    name: str
    compared: int
    """Number of pairs of pictures that both have a verdict on; for a person, of votes."""
    accuracy: Interval
    """Share of equal verdicts, where both decide."""
    kappa: Interval
    """Cohen's, over won, tied and lost.

    Cohen. A Coefficient of Agreement for Nominal Scales. 1960. https://doi.org/10.1177/001316446002000104
    """
    ac1: Interval
    """Gwet's, which is not lowered by a strong preference of all.

    Gwet. Computing Inter-rater Reliability and Its Variance in the Presence of High Agreement.
    2008. https://doi.org/10.1348/000711006X126600
    """


def collect_pair_votes(answers: Iterable[Answer]) -> PairVotes:
    """Votes by pair of pictures and rater; repeats, checks and skipped pairs are left out."""
    votes: dict[Pair, dict[str, float]] = {}
    for answer in answers:
        value = answer.value
        if answer.kind == "vote" and value is not None:
            value = value if answer.left < answer.right else 1 - value
            votes.setdefault(answer.pair, {})[answer.rater] = value
    return votes


def pair_votes_of(answers: Iterable[Answer], task: Task) -> PairVotes:
    """The votes on pairs of methods' pictures that the answers of a task are or imply.

    Of two pictures for one concept, prompt and seed, a person prefers the one of the higher answer
    and, of several, the chosen one to each other; equal answers are a tie. There are none of
    strengths.
    """
    if task.name == "pairs":
        return collect_pair_votes(answers)
    if task.name == "strength":
        return {}
    if task.pictures == "set":
        return _votes(
            (each, (each.shown[place], 1.0), (other, 0.0))
            for each in answers
            if each.kind == "vote" and each.choice in task.answers(len(each.shown))
            for place in [task.answers(len(each.shown)).index(each.choice)]
            for other in each.shown
            if other != each.shown[place]
        )
    order = task.ascending_answers
    by_person: dict[tuple[object, ...], dict[str, tuple[Answer, float]]] = defaultdict(dict)
    for each in answers:
        if each.kind == "vote" and each.choice in order:
            key = each.rater, each.criterion, each.concept, each.prompt, each.seed
            by_person[key][each.left] = each, float(order.index(each.choice))
    return _votes(
        (each, (one, value), (two, other))
        for own in by_person.values()
        for (one, (each, value)), (two, (_, other)) in combinations(own.items(), 2)
    )


def _votes(
    compared: Iterable[tuple[Answer, tuple[str, float], tuple[str, float]]],
) -> PairVotes:
    """The vote of each person's answer on two methods, from the value of each."""
    votes: dict[Pair, dict[str, float]] = {}
    for each, *sides in compared:
        (one, value), (two, other) = sorted(sides)
        pair = Pair(each.criterion, each.concept, each.prompt, each.seed, one, two)
        votes.setdefault(pair, {})[each.rater] = (1 + np.sign(value - other)) / 2
    return votes


def units_of(pair_votes: PairVotes) -> list[crossed.Unit]:
    """Each pair of pictures as its concept with its votes."""
    return [(pair.concept, votes) for pair, votes in pair_votes.items()]


def agreement_with_majority(
    people: PairVotes, evaluators: Iterable[Evaluator]
) -> tuple[MajorityAgreement, ...]:
    """The agreement with the majority of people: one person's, the ceiling, and each evaluator's.

    One without a pair of pictures in common is left out.
    """
    found = [ceiling(people)] + [
        majority_agreement(each.source, each.name, each.preferences, people) for each in evaluators
    ]
    return tuple(agreement for agreement in found if agreement)


def majority_agreement(
    source: EvaluatorSource, name: str, verdicts: Mapping[Pair, float], pair_votes: PairVotes
) -> MajorityAgreement | None:
    """Agreement of verdicts with people's mean votes; None without a pair of pictures in common."""
    common = {pair: votes for pair, votes in pair_votes.items() if pair in verdicts}
    mine = np.array([_outcome_index(verdicts[pair]) for pair in common], int)

    def tables(counts: Counts, unit: np.ndarray) -> np.ndarray:
        table = np.zeros((len(unit), _OUTCOMES, _OUTCOMES))
        judged = np.flatnonzero(counts.any(1))
        table[judged, mine[unit[judged]], _majority(counts[judged])] = 1
        return table.reshape(len(unit), -1)

    return _agreement(source, name, common, tables)


def ceiling(pair_votes: PairVotes) -> MajorityAgreement | None:
    """Agreement of each vote with the majority of the other people on the same pair of pictures.

    It is the most that can be expected of a judge. None if no pair has two votes.
    """

    def tables(counts: Counts, unit: np.ndarray) -> np.ndarray:
        table = np.zeros((len(unit), _OUTCOMES, _OUTCOMES))
        for mine in range(_OUTCOMES):
            others = counts - np.eye(_OUTCOMES)[mine]
            cast = np.flatnonzero((counts[:, mine] > 0) & (others.sum(1) > 0))
            table[cast, mine, _majority(others[cast])] += counts[cast, mine]
        return table.reshape(len(unit), -1)

    several = {pair: votes for pair, votes in pair_votes.items() if len(votes) > 1}
    return _agreement("person", "one person", several, tables)


def _agreement(
    source: EvaluatorSource,
    name: str,
    pair_votes: PairVotes,
    tables: crossed.Contribution,
) -> MajorityAgreement | None:
    """The agreement in tables of counts, mine by theirs, of each pair of pictures."""
    if not pair_votes:
        return None
    sums = crossed.Sums.collect(units_of(pair_votes), tables)
    total = sums.by_concept.sum(0).reshape(_OUTCOMES, _OUTCOMES)
    ties = bool(total[1].any() or total[:, 1].any())
    estimates = crossed.estimate(
        sums, lambda each: _measures(each.reshape(-1, _OUTCOMES, _OUTCOMES), ties=ties)
    )
    decided = total[::2, ::2]
    accuracy = estimates.share(0, count=int(np.trace(decided)), of=int(decided.sum()))
    low, high = accuracy.interval
    return MajorityAgreement(
        source=source,
        name=name,
        compared=int(total.sum()),
        accuracy=Interval(value=accuracy.value, low=low, high=high),
        kappa=estimates.coefficient(1),
        ac1=estimates.coefficient(2),
    )


def _majority(counts: Counts) -> np.ndarray:
    """The index of the outcome that most votes are nearest to."""
    return np.asarray(1 - np.sign(counts[:, 0] - counts[:, 2]).astype(int))


def _outcome_index(value: float) -> int:
    return 1 - int(np.sign(round(value - 0.5, 9)))


def _measures(
    tables: Float[np.ndarray, "draws sides sides"], *, ties: bool
) -> Float[np.ndarray, "draws measures"]:
    """Accuracy, kappa and AC1 of each table of counts; `ties`: a tie is one of the categories."""
    total, same = tables.sum((1, 2)), np.trace(tables, axis1=1, axis2=2)
    decided = tables[:, ::2, ::2]
    mine, theirs = tables.sum(2) / total[:, None], tables.sum(1) / total[:, None]
    shares = (mine + theirs) / 2
    kappa_chance = (mine * theirs).sum(1)
    ac1_chance = (shares * (1 - shares)).sum(1) / (2 if ties else 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        agreed = same / total
        accuracy = np.trace(decided, axis1=1, axis2=2) / decided.sum((1, 2))
        kappa = (agreed - kappa_chance) / (1 - kappa_chance)
        ac1 = (agreed - ac1_chance) / (1 - ac1_chance)
    measures = np.stack([accuracy, kappa, ac1], axis=1)
    return np.where(np.isfinite(measures), measures, np.nan)
