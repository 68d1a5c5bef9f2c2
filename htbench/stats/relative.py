"""Comparison of one mean with a stated share of another, where both are estimates."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import ndtr

from htbench.stats import estimates
from htbench.stats.families import FamiliesByConcept

_QUANTILE = 1.96


@dataclass(frozen=True, kw_only=True)
class RelativeMatch:
    """The mean of a method held against limits that are shares of a rival's mean."""

    margin: float
    ratio: float
    """Mean of the method over mean of the rival; NaN unless the rival's mean is above 0."""
    above_lower: estimates.Estimate
    """Mean of own − (1 − margin) × rival: above 0 where the method is not worse."""
    below_upper: estimates.Estimate
    """Mean of (1 + margin) × rival − own: above 0 where the method is not better."""
    power: float
    """Chance of an interval of `above_lower` wholly below 0, for a method that falls short of the
    rival by twice the margin; also the chance of one wholly above 0, for an equal method.

    NaN where there is no interval.
    """

    @property
    def equivalent(self) -> bool:
        """True if the method is shown to lie within the margin on both sides.

        False too where the rival's mean is not above 0, so that a share of it is no limit.
        """
        shown = self.above_lower.low > 0 and self.below_upper.low > 0
        return shown and not math.isnan(self.ratio)


def relative_match(
    own: Mapping[str, float],
    rival: Mapping[str, float],
    families: FamiliesByConcept | None = None,
    *,
    margin: float,
) -> RelativeMatch | None:
    r"""Compare two methods by their scores on the concepts that both have; None without any.

    The limit :math:`(1 - m)\,\bar y` is itself an estimate. So the interval is that of the mean of
    :math:`x_i - (1 - m)\,y_i` over concepts, which is above 0 if and only if :math:`\bar x` is
    above the limit, and which holds the error of both means (Fieller's argument).

    `power` takes the interval as normal, with the width that it has here.

    References:
        Fieller. Some Problems in Interval Estimation. 1954.
        https://doi.org/10.1111/j.2517-6161.1954.tb00159.x
    """
    both = [concept for concept in own if concept in rival]
    above = estimates.over_concepts(
        {concept: [own[concept] - (1 - margin) * rival[concept]] for concept in both}, families
    )
    below = estimates.over_concepts(
        {concept: [(1 + margin) * rival[concept] - own[concept]] for concept in both}, families
    )
    if above is None or below is None:
        return None
    mine, theirs = (math.fsum(scores[concept] for concept in both) for scores in (own, rival))
    return RelativeMatch(
        margin=margin,
        ratio=mine / theirs if theirs > 0 else math.nan,
        above_lower=above,
        below_upper=below,
        power=_power(margin * theirs / len(both), (above.high - above.low) / 2),
    )


def _power(shift: float, half_width: float) -> float:
    """Chance that an interval of this half width, around a mean `shift` above 0, is above 0."""
    if half_width == 0:
        return float(shift > 0)
    return float(ndtr(_QUANTILE * (shift / half_width - 1)))
