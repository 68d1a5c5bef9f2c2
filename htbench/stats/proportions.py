"""Proportions with their intervals."""

import math
from dataclasses import dataclass

from scipy.stats import binomtest


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """So many of so many, with a 95 % interval."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """NaN of nothing."""
        return self.count / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's.

        References:
            Wilson. Probable Inference, the Law of Succession, and Statistical Inference. 1927. https://doi.org/10.1080/01621459.1927.10502953
        """
        if not self.of:
            return math.nan, math.nan
        found = binomtest(self.count, self.of).proportion_ci(method="wilson")
        return float(found.low), float(found.high)
