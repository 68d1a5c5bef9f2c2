"""Proportions with their intervals."""

import math
from dataclasses import dataclass

from scipy.special import stdtrit


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """A count out of a total, with a 95 % interval of the share."""

    count: int
    of: int
    trials: float | None = None
    """Number of independent trials that would tell as much; None: all are independent.

    NaN where too few clusters of trials are independent for an interval.
    """
    df: float = math.inf
    """Degrees of freedom of `trials`."""

    @property
    def value(self) -> float:
        """The share; NaN for a total of 0."""
        return self.count / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval for as many independent trials as tell as much; NaN for a total of 0.

        References:
            Wilson. Probable Inference, the Law of Succession, and Statistical Inference. 1927.
            https://doi.org/10.1080/01621459.1927.10502953
            Franco, Little, Louis, Slud. Comparative Study of Confidence Intervals for Proportions
            in Complex Sample Surveys. 2019. https://doi.org/10.1093/jssam/smy019
        """
        n = self.of if self.trials is None else self.trials
        if not n or math.isnan(n):
            return math.nan, math.nan
        share, t = self.value, float(stdtrit(self.df, 0.975))
        centre = share + t * t / (2 * n)
        reach = t * math.sqrt(share * (1 - share) / n + (t / (2 * n)) ** 2)
        scale = 1 + t * t / n
        return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)
