"""Reliability of people: their agreement with each other, and with themselves."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from htbench.stats import crossed
from htbench.stats.durations import Interval
from htbench.stats.proportions import Proportion
from htbench.study.analyse.agreement import PairVotes, collect_pair_votes, units_of
from htbench.study.answer import Answer
from htbench.study.exclusions import repeat_matches


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Reliability of one criterion's answers; NaN where no two people answered the same pair.

    Intervals are for new concepts and new raters; NaN below three of either.
    """

    alpha: Interval
    """Krippendorff's, nominal: won, lost, tied."""
    ac1: float
    """Gwet's, which is not lowered by a strong preference of all."""
    ceiling: Proportion
    """Agreement of two people who both decide on a pair: the ceiling for judges."""
    self_agreement: Proportion
    """Swapped repeats that were answered as the first time."""
    overlap: int
    """Number of pairs of pictures that two people or more answered."""
    alike: bool
    """True if there is one answer that all of these people gave."""
    answers_each: float
    """Mean number of answers per pair of pictures."""


def reliability(answers: Sequence[Answer], pair_votes: PairVotes | None = None) -> Reliability:
    """The reliability of the votes and swapped repeats of one criterion.

    `pair_votes` are those of the answers, if they are known already.
    """
    pair_votes = collect_pair_votes(answers) if pair_votes is None else pair_votes
    units = units_of(pair_votes)
    counts = _outcome_counts(pair_votes.values())
    return Reliability(
        alpha=alpha(units),
        ac1=gwet_ac1(counts),
        ceiling=crossed.pairwise_share(units),
        self_agreement=self_agreement(answers),
        overlap=int((counts.sum(1) > 1).sum()) if len(counts) else 0,
        alike=len({vote for _, votes in units if len(votes) > 1 for vote in votes.values()}) == 1,
        answers_each=float(counts.sum(1).mean()) if len(counts) else math.nan,
    )


def alpha(units: Collection[crossed.Unit], *, ordinal: bool = False) -> Interval:
    r"""Krippendorff's alpha with a 95 % interval; NaN if no unit has two answers.

    Each unit is a concept with answers by rater. Where all answers are alike alpha is 1. Two
    answers that differ do so by 1 (nominal) or, if their order counts (ordinal), by

    .. math:: \delta_{ck} = \sum_{g=c}^{k} n_g - \frac{n_c + n_k}{2}

    with the numbers of answers :math:`n_g`, so that 1 and 5 differ by more than 4 and 5.

    The interval is for new concepts and for as many new raters. Alpha of few raters is lower than
    that of many where raters differ in their shares of answers.

    References:
        Krippendorff. Content Analysis: An Introduction to Its Methodology. 2018. Chapter 12.
    """
    units = [unit for unit in units if len(unit[1]) > 1]
    if not units:
        return Interval(value=math.nan, low=math.nan, high=math.nan)
    answers = sorted({answer for _, votes in units for answer in votes.values()})
    sums = crossed.Sums.collect(units, _coincidences, outcomes=answers)
    estimates = crossed.estimate(sums, partial(_alpha, ordinal=ordinal))
    return estimates.coefficient(0, raters=float(np.mean([len(votes) for _, votes in units])))


def _coincidences(
    counts: Float[np.ndarray, "units answers"], _: np.ndarray
) -> Float[np.ndarray, "units sums"]:
    """Each unit's matrix of coincidences of two values, row by row."""
    n, values = counts.sum(1), counts.shape[1]
    pairs = counts[:, :, None] * (counts[:, None, :] - np.eye(values))
    return np.asarray(pairs / np.maximum(n - 1, 1)[:, None, None]).reshape(-1, values**2)


def _alpha(
    sums: Float[np.ndarray, "draws sums"], *, ordinal: bool
) -> Float[np.ndarray, "draws one"]:
    """1 - observed over expected disagreement; 1 where none is expected."""
    values = math.isqrt(sums.shape[1])
    pairs = sums.reshape(-1, values, values)
    counts = pairs.sum(2)
    n = counts.sum(1)
    distances = np.broadcast_to(1 - np.eye(values), pairs.shape)
    if ordinal:
        middles = counts.cumsum(1) - counts / 2
        distances = (middles[:, :, None] - middles[:, None, :]) ** 2
    observed = (pairs * distances).sum((1, 2))
    expected = np.einsum("dc,dk,dck->d", counts, counts, distances)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = 1 - (n - 1) * observed / expected
    return np.where(n > 0, np.where(expected > 0, value, 1), np.nan)[:, None]


def gwet_ac1(counts: np.ndarray) -> float:
    r"""Agreement of any number of raters beyond chance, from counts of shape (units, categories).

    .. math:: \frac{p_a - p_e}{1 - p_e}, \quad p_e = \frac{1}{q - 1} \sum_k \pi_k (1 - \pi_k)

    Units with one answer count only for the shares of categories. NaN if no unit has two answers.

    References:
        Gwet. Computing Inter-rater Reliability and Its Variance in the Presence of High Agreement.
        2008. https://doi.org/10.1348/000711006X126600
    """
    n = counts.sum(1) if len(counts) else np.zeros(0)
    several = n > 1
    if not several.any():
        return math.nan
    agreed = ((counts * (counts - 1)).sum(1)[several] / (n * (n - 1))[several]).mean()
    shares = (counts / n[:, None]).mean(0)
    chance = float((shares * (1 - shares)).sum() / (counts.shape[1] - 1))
    return float((agreed - chance) / (1 - chance))


def _outcome_counts(votes: Iterable[Mapping[str, float]]) -> np.ndarray:
    """Counts of shape (pairs of pictures, categories): won, lost and, if there are any, tied."""
    rows = [[list(own.values()).count(value) for value in (1.0, 0.0, 0.5)] for own in votes]
    counts = np.array(rows, float).reshape(-1, 3)
    return counts if counts[:, 2].any() else counts[:, :2]


def self_agreement(answers: Iterable[Answer]) -> Proportion:
    """The share of repeats that were answered as the first time."""
    by_session: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    repeats: set[tuple[str, str]] = set()
    for answer in answers:
        session = answer.concept, answer.rater
        by_session[session].append(answer)
        if answer.kind == "repeat":
            repeats.add(session)
    return crossed.share(
        [
            (concept, rater, same)
            for (concept, rater), own in by_session.items()
            if (concept, rater) in repeats
            for same in repeat_matches(own)
        ]
    )
