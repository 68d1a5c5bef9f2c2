"""Votes with a known truth: strengths of contenders, and effects of concepts and raters."""

import numpy as np

from htbench.stats.ranking.bradley_terry import fit
from htbench.stats.ranking.votes import Votes

NAMES = ("a", "b", "c")
STRENGTHS = np.array([0.6, 0.0, -0.6])


def planted(
    random: np.random.Generator,
    *,
    concepts: int,
    each: int,
    raters: int = 0,
    concept_sd: float = 1.0,
    rater_sd: float = 0.7,
) -> Votes:
    """Votes with effects of concepts and raters, `each` votes per concept.

    The standard deviations are of the effect on the difference of two contenders, in logits.
    """
    concept = np.repeat(np.arange(concepts), each)
    first = random.integers(0, 3, len(concept))
    second = (first + random.integers(1, 3, len(concept))) % 3
    favour = random.normal(0, concept_sd / np.sqrt(2), (concepts, 3))
    gap = STRENGTHS[first] - STRENGTHS[second] + favour[concept, first] - favour[concept, second]
    rater = random.integers(0, raters, len(concept)) if raters else None
    if rater is not None:
        taste = random.normal(0, rater_sd / np.sqrt(2), (raters, 3))
        gap = gap + taste[rater, first] - taste[rater, second]
    return Votes(
        names=NAMES,
        first=first,
        second=second,
        outcome=(random.random(len(concept)) < 1 / (1 + np.exp(-gap))).astype(float),
        concepts=tuple(f"c{k}" for k in range(concepts)),
        concept=concept,
        raters=tuple(f"r{k}" for k in range(raters)),
        rater=rater,
    )


def truth(sd: float) -> np.ndarray:
    """The ratings in the limit of many concepts and raters, by Gauss-Hermite quadrature.

    `sd` is the standard deviation of their effects together.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    first, second = np.nonzero(~np.eye(3, dtype=bool))
    gap = (STRENGTHS[first] - STRENGTHS[second])[:, None] + sd * nodes
    probability = (1 / (1 + np.exp(-gap))) @ weights / weights.sum()
    votes = Votes(
        names=NAMES,
        first=first,
        second=second,
        outcome=np.ones(6),
        concepts=("c",),
        concept=np.zeros(6, int),
        weight=1e6 * probability,
    )
    return fit(votes).ratings
