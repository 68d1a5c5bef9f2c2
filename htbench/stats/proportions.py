"""Proportions with their intervals."""

import math
from dataclasses import dataclass

from scipy.stats import binomtest


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """A count out of a total, with a 95 % interval of the share."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share; NaN for a total of 0."""
        return self.count / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval; NaN for a total of 0.

        References:
            Wilson. Probable Inference, the Law of Succession, and Statistical Inference. 1927.
            https://doi.org/10.1080/01621459.1927.10502953
        """
        if not self.of:
            return math.nan, math.nan
        interval = binomtest(self.count, self.of).proportion_ci(method="wilson")
        return float(interval.low), float(interval.high)
