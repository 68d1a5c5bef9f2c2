"""Proportions with their intervals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from htbench.stats.families import MIN_CLUSTERS, Families, FamiliesByConcept


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

    def facts(self) -> dict[str, object]:
        """The share as a value for JSON."""
        return {
            "count": self.count,
            "of": self.of,
            "value": self.value,
            "interval": list(self.interval),
        }


def share_over_concepts(
    counts: Mapping[str, tuple[int, int]], families: FamiliesByConcept | None = None
) -> Proportion:
    """The share of all trials that count, from each concept's number of those and of trials.

    The trials of a concept, and of concepts of one family, may vary together: the interval is that
    of as many independent trials as have the standard error of the concepts' mean share. A share
    that is the same for every concept rests on one trial for each independent cluster.
    """
    concepts = {name: count for name, count in counts.items() if count[1]}
    count, of = (sum(each[k] for each in concepts.values()) for k in (0, 1))
    mean = Families.of(list(concepts), families).mean
    if not concepts or mean.clusters < MIN_CLUSTERS:
        return Proportion(count=count, of=of, trials=math.nan)
    shares = np.array([flagged / trials for flagged, trials in concepts.values()])
    error, value = float(mean.error(shares)), count / of
    # fewer trials than clusters, or more than there are, is chance
    trials = value * (1 - value) / error**2 if error else mean.clusters
    trials = min(max(trials, mean.clusters), float(of))
    return Proportion(count=count, of=of, trials=trials, df=mean.degrees_of_freedom)
