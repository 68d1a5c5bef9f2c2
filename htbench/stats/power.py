"""Power analysis: the votes that an effect needs, and the effects that votes can show."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, norm


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """The number of votes that tell a preference from a coin."""

    preference: float
    independent: int
    """Number of decisive votes, if all were independent."""
    design_effect: float
    """Factor for votes on the same concept, which are correlated: 1 + (m - 1) ICC."""
    votes: int
    """Number of decisive votes on a pair of methods."""
    pairs: int
    """Number of pairs of pictures, including those without a decisive vote."""
    calls: int
    """Number of a judge's calls, in both orders, for all comparisons together."""


def sample_size(
    preference: float,
    *,
    per_concept: int = 1,
    icc: float = 0.0,
    undecided: float = 0.0,
    comparisons: int = 1,
    orders: int = 2,
    alpha: float = 0.05,
    power: float = 0.8,
) -> SampleSize:
    """Votes for a two-sided binomial test of `preference` against one half.

    `alpha` is shared by all comparisons (Bonferroni, the first step of Holm). `icc` is the
    correlation of two votes on one concept, `undecided` the share of pairs without a decisive vote.

    Raises:
        ValueError: if the preference is one half, which no number of votes can show.

    References:
        Kish. Survey Sampling. 1965. Section 5.4 (design effect).
    """
    if preference == 0.5:
        raise ValueError("a preference of one half is no effect")
    independent = decisive_votes(
        max(preference, 1 - preference), alpha=alpha / comparisons, power=power
    )
    effect = 1 + (per_concept - 1) * icc
    votes = math.ceil(independent * effect)
    pairs = math.ceil(votes / (1 - undecided))
    return SampleSize(
        preference=preference,
        independent=independent,
        design_effect=effect,
        votes=votes,
        pairs=pairs,
        calls=pairs * orders * comparisons,
    )


def decisive_votes(preference: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """The number of independent votes from which on an exact two-sided binomial test has `power`.

    `preference` is above one half. Power rises in saw-teeth, because counts are whole: a smaller
    number may reach it too, but a slightly larger one then does not.
    """
    deviation = math.sqrt(preference * (1 - preference))
    reach = norm.isf(alpha / 2) * 0.5 + norm.isf(1 - power) * deviation
    last = int(1.2 * (reach / (preference - 0.5)) ** 2) + 40
    while binomial_power(last, preference, alpha=alpha) >= power and last > 1:
        last -= 1
    return last + 1


def binomial_power(n: int, preference: float, *, alpha: float = 0.05) -> float:
    """Power of the exact two-sided binomial test with n votes, each tail of at most alpha / 2."""
    low = int(binom.ppf(alpha / 2, n, 0.5))
    if binom.cdf(low, n, 0.5) > alpha / 2:
        low -= 1
    if low < 0:
        return 0.0
    return float(binom.cdf(low, n, preference) + binom.sf(n - low - 1, n, preference))


@dataclass(frozen=True, kw_only=True)
class DetectableEffect:
    """The effect that a run can show between two methods."""

    one: str
    two: str
    rate: float
    """Win rate of `one`, over concepts."""
    concepts: int
    votes: int
    icc: float
    """Correlation of two votes on one concept, by analysis of variance; NaN where no concept has
    two."""
    least: float
    """Win rate that would differ significantly from one half in `power` of such runs; NaN for one
    concept."""


def detectable_effect(
    one: str,
    two: str,
    values: Mapping[str, Sequence[float]],
    *,
    alpha: float = 0.05,
    power: float = 0.8,
) -> DetectableEffect:
    """The detectable effect, from preferences for `one`, 0 to 1, by concept.

    It is one half plus (z(alpha / 2) + z(power)) standard errors of the mean over concepts.
    """
    groups = [np.asarray(list(group), float) for group in values.values() if len(group)]
    means = np.array([group.mean() for group in groups])
    z = norm.isf(alpha / 2) + norm.isf(1 - power)
    reach = z * means.std(ddof=1) / math.sqrt(len(means)) if len(means) > 1 else math.nan
    return DetectableEffect(
        one=one,
        two=two,
        rate=float(means.mean()) if len(means) else math.nan,
        concepts=len(means),
        votes=sum(map(len, groups)),
        icc=_icc(groups),
        least=float(min(1.0, 0.5 + reach)) if not math.isnan(reach) else math.nan,
    )


def smallest_effect(n: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest preference that `n` independent votes show; NaN if they show none."""
    if binomial_power(n, 1.0, alpha=alpha) < power:
        return math.nan
    return float(
        brentq(lambda preference: binomial_power(n, preference, alpha=alpha) - power, 0.5, 1.0)
    )


def _icc(groups: Sequence[np.ndarray]) -> float:
    """Intraclass correlation by one-way random effects.

    References:
        Donner, Koval. The Estimation of Intraclass Correlation in the Analysis of Family Data.
        1980. https://doi.org/10.2307/2530491
    """
    sizes = np.array([len(group) for group in groups])
    total, k = int(sizes.sum()), len(groups)
    if k < 2 or total <= k:
        return math.nan
    grand = np.concatenate(list(groups)).mean()
    between = sum(len(group) * (group.mean() - grand) ** 2 for group in groups) / (k - 1)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (total - k)
    size = (total - (sizes**2).sum() / total) / (k - 1)
    bottom = between + (size - 1) * within
    return float((between - within) / bottom) if bottom > 0 else math.nan
