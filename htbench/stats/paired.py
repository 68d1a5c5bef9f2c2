"""Paired comparisons of methods by concept: differences, intervals, and tests of a family."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from htbench.core.errors import UnknownName
from htbench.stats import estimates
from htbench.stats.families import Families, FamiliesByConcept

Scores = Float[np.ndarray, " concepts"]


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """The difference of two methods' scores on the concepts that both have."""

    first: str
    second: str
    difference: estimates.Estimate
    """First minus second."""
    win_rate: float
    """Share of concepts on which the first is higher; ties count half."""
    p: float
    """p of no difference, adjusted for all comparisons (Holm); NaN for too few concepts."""
    equivalence: estimates.Equivalence | None
    """Test of equivalence within the stated margin, its p adjusted for all comparisons (Holm); None
    without a margin, and for too few concepts."""

    @property
    def conclusion(self) -> str:
        """`higher`, `lower`, `equivalent`, or `undecided`; `equivalent` also for a significant
        difference that is within the margin.
        """
        if self.equivalence and self.equivalence.holds:
            return "equivalent"
        if self.p < 0.05:
            return "higher" if self.difference.mean > 0 else "lower"
        return "undecided"


def compare(
    scores: Mapping[str, Mapping[str, float]],
    families: FamiliesByConcept | None = None,
    *,
    reference: str | None = None,
    margin: float | None = None,
) -> list[PairedComparison]:
    """Compare all pairs of methods, or all methods with a `reference`; in the order of `scores`.

    A reference makes fewer comparisons, and so a test of higher power. `scores` are means by method
    and concept, `families` those of the concepts. Pairs without a common concept are left out.

    Raises:
        UnknownName: if the reference has no scores.
    """
    if reference is not None and reference not in scores:
        raise UnknownName("method", reference, scores)
    pairs = (
        list(combinations(scores, 2))
        if reference is None
        else [(method, reference) for method in scores if method != reference]
    )
    compared = [
        (first, second, differences)
        for first, second in pairs
        if (differences := _differences(scores[first], scores[second]))
    ]
    means = [_mean(differences, families) for _, _, differences in compared]
    tests = [_equivalence(differences, families, margin) for _, _, differences in compared]
    ps = estimates.holm([mean.p for mean in means])
    equivalence_ps = estimates.holm([test.p if test else math.nan for test in tests])
    return [
        PairedComparison(
            first=first,
            second=second,
            difference=mean,
            win_rate=float(np.mean(np.sign(list(differences.values())) / 2 + 0.5)),
            p=p,
            equivalence=test and replace(test, p=equivalence_p),
        )
        for (first, second, differences), mean, p, test, equivalence_p in zip(
            compared, means, ps, tests, equivalence_ps, strict=True
        )
    ]


@dataclass(frozen=True, kw_only=True)
class ScoreAgreement:
    """Agreement of two ways to steer towards the same concepts, such as words and pictures."""

    concordance: float
    """Lin's coefficient: 1 where each concept scores the same both ways, lower for scatter and for
    a shift; NaN where neither score varies."""
    low: float
    high: float
    """95 % interval that resamples families of concepts."""
    correlation: float
    """Spearman's correlation, which a shift does not change; NaN where one score does not vary."""
    difference: estimates.Estimate
    """First minus second."""
    equivalence: estimates.Equivalence | None


def score_agreement(
    first: Mapping[str, float],
    second: Mapping[str, float],
    families: FamiliesByConcept | None = None,
    *,
    margin: float | None = None,
    seed: int = 0,
    rounds: int = 2000,
) -> ScoreAgreement | None:
    """Agreement of two scores over the concepts that both have; None for fewer than three concepts.

    References:
        Lin. A Concordance Correlation Coefficient to Evaluate Reproducibility. 1989.
        https://doi.org/10.2307/2532051
    """
    differences = _differences(first, second)
    n = len(differences)
    if n < 3:
        return None
    scores = np.array([[way[concept] for concept in differences] for way in (first, second)])
    related = Families.of(list(differences), families)
    resampled = _concordance(related.resamples(seed=seed, rounds=rounds), *scores)
    resampled, low, high = resampled[np.isfinite(resampled)], np.nan, np.nan
    if len(resampled) and not math.isnan(related.tail):
        low, high = np.quantile(resampled, [related.tail, 1 - related.tail])
    return ScoreAgreement(
        concordance=float(_concordance(np.ones((1, n)), *scores)[0]),
        low=float(low),
        high=float(high),
        correlation=_spearman(*scores) if scores.std(1).all() else np.nan,
        difference=_mean(differences, families),
        equivalence=_equivalence(differences, families, margin),
    )


def _differences(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {concept: first[concept] - second[concept] for concept in first if concept in second}


def _mean(
    differences: Mapping[str, float], families: FamiliesByConcept | None
) -> estimates.Estimate:
    estimate = estimates.over_concepts(
        {concept: [value] for concept, value in differences.items()}, families
    )
    assert estimate, "no comparison is made without a common concept"
    return estimate


def _equivalence(
    differences: Mapping[str, float], families: FamiliesByConcept | None, margin: float | None
) -> estimates.Equivalence | None:
    return None if margin is None else estimates.equivalence(differences, families, margin=margin)


def _spearman(
    first: Float[np.ndarray, " concepts"], second: Float[np.ndarray, " concepts"]
) -> float:
    ranks = [np.sign(values[:, None] - values).sum(1) for values in (first, second)]
    return float(np.corrcoef(ranks)[0, 1])


def _concordance(
    weights: Float[np.ndarray, "draws concepts"],
    x: Float[np.ndarray, " concepts"],
    y: Float[np.ndarray, " concepts"],
) -> Float[np.ndarray, " draws"]:
    """Lin's coefficient for each weighting of the concepts."""
    share = weights / weights.sum(1, keepdims=True)
    mean_x, mean_y = share @ x, share @ y
    covariance = share @ (x * y) - mean_x * mean_y
    spread = share @ x**2 - mean_x**2 + share @ y**2 - mean_y**2 + (mean_x - mean_y) ** 2
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * covariance / np.where(spread > 1e-15, spread, np.nan))
