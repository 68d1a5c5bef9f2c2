"""Means over concepts of methods that were fitted with several seeds, whose spread counts too."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from htbench.stats import estimates
from htbench.stats.estimates import Estimate
from htbench.stats.families import MIN_CLUSTERS, Contrast, Families, FamiliesByConcept


def over_concepts(
    values: Mapping[str, Sequence[float]],
    families: FamiliesByConcept | None = None,
    *,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate | None:
    r"""Mean of concepts' means over fit seeds, with its 95 % interval; None without values.

    Concepts and seeds are crossed: :math:`y_{ck} = \mu + a_c + s_k + e_{ck}`. Each side of the
    interval is :math:`\sqrt{h_a^2 + h_s^2}`: :math:`h_a` is that of `estimates.over_concepts` for
    the concepts' means, and :math:`h_s = t_{K-1} \hat\sigma_s / \sqrt K` that of `K` seeds, where
    :math:`\hat\sigma_s^2` is the variance of the seeds' means less what :math:`e` explains of it.
    See `benchmarks/coverage.py --only seed_coverage`; a single `t` with Satterthwaite's degrees of
    freedom would cover .92 where three seeds bring most of the variance.

    Args:
        values: each concept's value at each seed, in the same order of seeds for all.
        families: see `estimates.over_concepts`.
        within: range of the values, which the interval does not leave.

    Raises:
        ValueError: if concepts have different numbers of seeds.

    References:
        Howe. Approximate Confidence Limits on the Mean of X + Y Where X and Y Are Two Tabled
        Independent Random Variables. 1974.
    """
    if not values:
        return None
    table = np.array(list(values.values()), float)
    concepts = Families.of(list(values), families).mean
    mean = estimates.estimate(table.mean(1).tolist(), concepts)
    seeds, reach = table.shape[1], math.nan
    if seeds == 1:
        return estimates.kept_within(mean, within)
    if concepts.clusters >= MIN_CLUSTERS:
        common = _common_variance(table, concepts)
        reach = float(stdtrit(seeds - 1, 0.975)) * math.sqrt(common / seeds)
    both = replace(
        mean,
        low=mean.mean - math.hypot(mean.mean - mean.low, reach),
        high=mean.mean + math.hypot(mean.high - mean.mean, reach),
        p=math.nan,
        fit_seeds=seeds,
        seed_sd=float(table.mean(0).std(ddof=1)),
    )
    return estimates.kept_within(both, within)


def _common_variance(table: Float[np.ndarray, "concepts seeds"], concepts: Contrast) -> float:
    """Variance of the effect that a seed has on all concepts alike; 0 where noise explains all."""
    seeds, own = table.shape[1], table - table.mean(1, keepdims=True)
    noise = np.mean(concepts.error(own.T) ** 2) * seeds / (seeds - 1)
    return max(0.0, float(table.mean(0).var(ddof=1) - noise))
