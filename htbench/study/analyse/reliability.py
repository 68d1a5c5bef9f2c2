"""Reliability of people: their agreement with each other, and with themselves."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import evalica
import numpy as np
import pandas as pd
from evalica import InsufficientRatingsError

from htbench.stats.durations import Interval
from htbench.stats.proportions import Proportion
from htbench.study.analyse.agreement import collect_pair_votes
from htbench.study.answer import Answer
from htbench.study.exclusions import by_rater, repeat_matches

BOOTSTRAP_ROUNDS = 2000


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Reliability of one criterion's answers; NaN where no two people answered the same pair."""

    alpha: Interval
    """Krippendorff's, nominal: won, lost, tied; its interval resamples pairs of pictures."""
    ac1: float
    """Gwet's, which is not lowered by a strong preference of all."""
    ceiling: Proportion
    """Agreement of two people who both decide on a pair: the ceiling for judges."""
    self_agreement: Proportion
    """Swapped repeats that were answered as the first time."""
    overlap: int
    """Number of pairs of pictures that two people or more answered."""
    answers_each: float
    """Mean number of answers per pair of pictures."""


def reliability(answers: Sequence[Answer], *, seed: int = 0) -> Reliability:
    """The reliability of the votes and swapped repeats of one criterion."""
    votes = collect_pair_votes(answers).values()
    counts = _outcome_counts(votes)
    same = [match for own in by_rater(answers).values() for match in repeat_matches(own)]
    return Reliability(
        alpha=alpha(votes, seed=seed),
        ac1=gwet_ac1(counts),
        ceiling=_ceiling(votes),
        self_agreement=Proportion(count=sum(same), of=len(same)),
        overlap=int((counts.sum(1) > 1).sum()) if len(counts) else 0,
        answers_each=float(counts.sum(1).mean()) if len(counts) else math.nan,
    )


def alpha(units: Collection[Mapping[str, float]], *, seed: int = 0) -> Interval:
    """Krippendorff's nominal alpha with a 95 % bootstrap interval; NaN if no unit has two answers.

    Each unit maps raters to their answers.

    References:
        Krippendorff. Content Analysis: An Introduction to Its Methodology. 2018. Chapter 12.
    """
    raters = sorted({rater for votes in units for rater in votes})
    rows = [[votes.get(rater, math.nan) for rater in raters] for votes in units]
    try:
        result = evalica.alpha_bootstrap(
            pd.DataFrame(rows).T, "nominal", n_resamples=BOOTSTRAP_ROUNDS, random_state=seed
        )
    except (InsufficientRatingsError, ValueError):
        return Interval(value=math.nan, low=math.nan, high=math.nan)
    return Interval(value=float(result.alpha), low=float(result.low), high=float(result.high))


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
    rows = [[Counter(own.values())[value] for value in (1.0, 0.0, 0.5)] for own in votes]
    counts = np.array(rows, float).reshape(-1, 3)
    return counts if counts[:, 2].any() else counts[:, :2]


def _ceiling(votes: Iterable[Mapping[str, float]]) -> Proportion:
    tallies = [Counter(own.values()) for own in votes]
    same = sum(math.comb(tally[1.0], 2) + math.comb(tally[0.0], 2) for tally in tallies)
    pairs = sum(math.comb(tally[1.0] + tally[0.0], 2) for tally in tallies)
    return Proportion(count=same, of=pairs)
