"""Agreement of judges, metrics and, as the ceiling, one person with the majority of people."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from htbench.stats import estimates
from htbench.stats.durations import Interval
from htbench.study.answer import Answer, Pair

EvaluatorSource = Literal["judge", "metric", "person"]
PairVotes = Mapping[Pair, Mapping[str, float]]
"""Votes by pair of pictures and rater: 1 for the first method, 0 for the second, 0.5 for a tie."""
_OUTCOMES = 3
"""Won, tied, lost."""


@dataclass(frozen=True, kw_only=True)
class MajorityAgreement:
    """Agreement of a judge, a metric or one person with the majority of people.

    Measures are NaN where they are not defined. Intervals resample concepts.
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
        if answer.kind == "vote" and answer.value is not None:
            value = answer.value if answer.left < answer.right else 1 - answer.value
            votes.setdefault(answer.pair, {})[answer.rater] = value
    return votes


def majority_agreement(
    source: EvaluatorSource,
    name: str,
    verdicts: Mapping[Pair, float],
    pair_votes: PairVotes,
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> MajorityAgreement | None:
    """Agreement of verdicts with people's mean votes; None without a pair of pictures in common."""
    rows = [
        (pair.concept, verdicts[pair], float(np.mean(list(votes.values()))))
        for pair, votes in pair_votes.items()
        if pair in verdicts
    ]
    return _agreement(source, name, rows, rounds=rounds, seed=seed) if rows else None


def ceiling(
    pair_votes: PairVotes, *, rounds: int = 1000, seed: int = 0
) -> MajorityAgreement | None:
    """Agreement of each vote with the majority of the other people on the same pair of pictures.

    It is the most that can be expected of a judge. None if no pair has two votes.
    """
    rows = []
    for pair, votes in pair_votes.items():
        total = sum(votes.values())
        rows += [
            (pair.concept, vote, (total - vote) / (len(votes) - 1))
            for vote in votes.values()
            if len(votes) > 1
        ]
    return _agreement("person", "one person", rows, rounds=rounds, seed=seed) if rows else None


def _agreement(
    source: EvaluatorSource,
    name: str,
    rows: list[tuple[str, float, float]],
    *,
    rounds: int,
    seed: int,
) -> MajorityAgreement:
    index = {concept: k for k, concept in enumerate(sorted({concept for concept, _, _ in rows}))}
    tables = np.zeros((len(index), _OUTCOMES, _OUTCOMES))
    for concept, mine, theirs in rows:
        tables[index[concept], _outcome_index(mine), _outcome_index(theirs)] += 1
    total = tables.sum(0)
    ties = bool(total[1].any() or total[:, 1].any())
    weights = estimates.resamples(len(index), seed=seed, rounds=rounds)
    resampled = np.einsum("rc,cij->rij", weights, tables)
    values, draws = _measures(total[None], ties=ties)[0], _measures(resampled, ties=ties)
    accuracy, kappa, ac1 = (_interval(float(values[k]), draws[:, k], len(index)) for k in range(3))
    return MajorityAgreement(
        source=source, name=name, compared=len(rows), accuracy=accuracy, kappa=kappa, ac1=ac1
    )


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


def _interval(value: float, draws: Float[np.ndarray, " draws"], concepts: int) -> Interval:
    tail, defined = estimates.tail_quantile(concepts), draws[~np.isnan(draws)]
    if math.isnan(value) or math.isnan(tail) or not len(defined):
        return Interval(value=value, low=math.nan, high=math.nan)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))
