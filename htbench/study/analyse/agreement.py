"""How far judges and metrics agree with the majority of people, beside how far one person does: the ceiling."""

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
"""What each rater said of each pair of pictures: 1 for the method that comes first in the alphabet, 0 for the other, 0.5 for a tie."""
_OUTCOMES = 3
"""Won, tied, lost."""


@dataclass(frozen=True, kw_only=True)
class MajorityAgreement:
    """Of somebody with the majority of people; NaN where it is not defined. Intervals resample concepts."""

    source: EvaluatorSource
    name: str
    compared: int
    """Pairs of pictures that both have a verdict on; of a person, votes."""
    accuracy: Interval
    """Share of them alike, where both decide."""
    kappa: Interval
    """Cohen's, over won, tied and lost.

    Cohen. A Coefficient of Agreement for Nominal Scales. 1960. https://doi.org/10.1177/001316446002000104
    """
    ac1: Interval
    """Gwet's, which a strong preference of all does not push down.

    Gwet. Computing Inter-rater Reliability and Its Variance in the Presence of High Agreement. 2008. https://doi.org/10.1348/000711006X126600
    """


def collect_pair_votes(answers: Iterable[Answer]) -> PairVotes:
    """Of votes; repeats and checks are none, and who would not say said nothing."""
    found: dict[Pair, dict[str, float]] = {}
    for answer in answers:
        if answer.kind == "vote" and answer.value is not None:
            found.setdefault(answer.pair, {})[answer.rater] = (
                answer.value if answer.left < answer.right else 1 - answer.value
            )
    return found


def majority_agreement(
    source: EvaluatorSource,
    name: str,
    verdicts: Mapping[Pair, float],
    pair_votes: PairVotes,
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> MajorityAgreement | None:
    """Of one verdict a pair of pictures with the mean of people's votes on it; None without a pair in common."""
    rows = [
        (pair.concept, verdicts[pair], float(np.mean(list(votes.values()))))
        for pair, votes in pair_votes.items()
        if pair in verdicts
    ]
    return _agreement(source, name, rows, rounds=rounds, seed=seed) if rows else None


def ceiling(
    pair_votes: PairVotes, *, rounds: int = 1000, seed: int = 0
) -> MajorityAgreement | None:
    """Of each vote with the majority of the other people on the same pair of pictures: what can be asked of a judge; None if no pair has two votes."""
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
    place = {concept: k for k, concept in enumerate(sorted({concept for concept, _, _ in rows}))}
    tables = np.zeros((len(place), _OUTCOMES, _OUTCOMES))
    for concept, mine, theirs in rows:
        tables[place[concept], _outcome_index(mine), _outcome_index(theirs)] += 1
    whole = tables.sum(0)
    ties = bool(whole[1].any() or whole[:, 1].any())
    drawn = np.einsum(
        "rc,cij->rij", estimates.resamples(len(place), seed=seed, rounds=rounds), tables
    )
    values, draws = _measures(whole[None], ties=ties)[0], _measures(drawn, ties=ties)
    accuracy, kappa, ac1 = (_interval(float(values[k]), draws[:, k], len(place)) for k in range(3))
    return MajorityAgreement(
        source=source, name=name, compared=len(rows), accuracy=accuracy, kappa=kappa, ac1=ac1
    )


def _outcome_index(value: float) -> int:
    return 1 - int(np.sign(round(value - 0.5, 9)))


def _measures(
    tables: Float[np.ndarray, "draws sides sides"], *, ties: bool
) -> Float[np.ndarray, "draws measures"]:
    """Accuracy, kappa and AC1 of each table of counts; `ties`: whether a tie is a category of theirs."""
    total, same = tables.sum((1, 2)), np.trace(tables, axis1=1, axis2=2)
    decided = tables[:, ::2, ::2]
    mine, theirs = tables.sum(2) / total[:, None], tables.sum(1) / total[:, None]
    shares = (mine + theirs) / 2
    by_kappa, by_ac1 = (mine * theirs).sum(1), (shares * (1 - shares)).sum(1) / (2 if ties else 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = same / total
        accuracy = np.trace(decided, axis1=1, axis2=2) / decided.sum((1, 2))
        found = np.stack(
            [accuracy, (alike - by_kappa) / (1 - by_kappa), (alike - by_ac1) / (1 - by_ac1)], axis=1
        )
    return np.where(np.isfinite(found), found, np.nan)


def _interval(value: float, draws: Float[np.ndarray, " draws"], concepts: int) -> Interval:
    tail, known = estimates.tail_quantile(concepts), draws[~np.isnan(draws)]
    if math.isnan(value) or math.isnan(tail) or not len(known):
        return Interval(value=value, low=math.nan, high=math.nan)
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))
