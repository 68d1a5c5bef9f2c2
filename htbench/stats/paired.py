"""Methods compared concept by concept: differences with intervals and tests, all of a family together."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from htbench.core.errors import UnknownName
from htbench.stats import estimates

Scores = Float[np.ndarray, " concepts"]


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """How much higher one method scores than another on the concepts that both have."""

    first: str
    second: str
    difference: estimates.Estimate
    """First minus second."""
    win_rate: float
    """Share of concepts where the first is higher; equal counts half."""
    p: float
    """Sign-flip test over concepts, adjusted for all comparisons of the family."""
    equivalence: estimates.Equivalence | None
    """Against the stated margin; None without one, and for a single concept."""

    @property
    def conclusion(self) -> str:
        """`higher`, `lower`, `equivalent`, or `undecided`. A difference can be real and yet within the margin; then `equivalent`."""
        if self.equivalence and self.equivalence.holds:
            return "equivalent"
        if self.p < 0.05:
            return "higher" if self.difference.mean > 0 else "lower"
        return "undecided"


def compare(
    scores: Mapping[str, Mapping[str, float]],
    *,
    reference: str | None = None,
    margin: float | None = None,
    seed: int = 0,
    rounds: int = 10_000,
) -> list[PairedComparison]:
    """All pairs of methods, or all against a `reference`, which is a smaller family and so the sharper test; in the order of `scores`.

    `scores` are concepts' means by method and concept. Pairs without a common concept are left out.

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
    known = [
        (first, second, found)
        for first, second in pairs
        if (found := _differences(scores[first], scores[second]))
    ]
    ps = estimates.holm(
        [
            estimates.sign_flip(list(found.values()), seed=seed, rounds=rounds)
            for _, _, found in known
        ]
    )
    return [
        PairedComparison(
            first=first,
            second=second,
            difference=_mean(found, seed=seed, rounds=rounds),
            win_rate=float(np.mean(np.sign(list(found.values())) / 2 + 0.5)),
            p=p,
            equivalence=_equivalence(found, margin),
        )
        for (first, second, found), p in zip(known, ps, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class ScoreAgreement:
    """Whether two ways to steer towards the same concepts, such as by words and by pictures, do the same."""

    concordance: float
    """Lin's coefficient: 1 where each concept scores the same both ways, lower for scatter and for a shift; NaN where neither varies."""
    low: float
    high: float
    """95 % interval that resamples concepts."""
    correlation: float
    """Spearman's, which a shift leaves alone; NaN where one does not vary."""
    difference: estimates.Estimate
    """First minus second."""
    equivalence: estimates.Equivalence | None


def score_agreement(
    first: Mapping[str, float],
    second: Mapping[str, float],
    *,
    margin: float | None = None,
    seed: int = 0,
    rounds: int = 2000,
) -> ScoreAgreement | None:
    """Of concepts' scores by either way, over those that both have; None for fewer than three.

    References:
        Lin. A Concordance Correlation Coefficient to Evaluate Reproducibility. 1989. https://doi.org/10.2307/2532051
    """
    found = _differences(first, second)
    if len(found) < 3:
        return None
    scores = np.array([[way[concept] for concept in found] for way in (first, second)])
    drawn = _concordance(estimates.resamples(len(found), seed=seed, rounds=rounds), *scores)
    level = estimates.tail_quantile(len(found))
    low, high = (
        np.quantile(drawn[np.isfinite(drawn)], [level, 1 - level])
        if np.isfinite(drawn).any()
        else (np.nan, np.nan)
    )
    return ScoreAgreement(
        concordance=float(_concordance(np.ones((1, len(found))), *scores)[0]),
        low=float(low),
        high=float(high),
        correlation=float(spearmanr(*scores).statistic) if scores.std(1).all() else np.nan,
        difference=_mean(found, seed=seed, rounds=rounds),
        equivalence=_equivalence(found, margin),
    )


def _differences(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {concept: first[concept] - second[concept] for concept in first if concept in second}


def _mean(differences: Mapping[str, float], *, seed: int, rounds: int) -> estimates.Estimate:
    found = estimates.over_concepts(
        {concept: [value] for concept, value in differences.items()}, seed=seed, rounds=rounds
    )
    assert found, "no comparison is made without a common concept"
    return found


def _equivalence(
    differences: Mapping[str, float], margin: float | None
) -> estimates.Equivalence | None:
    return (
        None if margin is None else estimates.equivalence(list(differences.values()), margin=margin)
    )


def _concordance(
    weights: Float[np.ndarray, "draws concepts"],
    x: Float[np.ndarray, " concepts"],
    y: Float[np.ndarray, " concepts"],
) -> Float[np.ndarray, " draws"]:
    """Lin's coefficient of each weighting of the concepts."""
    share = weights / weights.sum(1, keepdims=True)
    one, other = share @ x, share @ y
    spread = share @ x**2 - one**2 + share @ y**2 - other**2 + (one - other) ** 2
    with np.errstate(invalid="ignore"):
        return np.asarray(
            2 * (share @ (x * y) - one * other) / np.where(spread > 1e-15, spread, np.nan)
        )
