"""Requests that are met: how closely, how far, and how often they fail."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import binomtest

Shares = Float[np.ndarray, "concepts strengths"]
"""Shares of the requested change that were obtained: 0 for none of it, 1 for all of it."""
NINE_OF_TEN = 0.9


def obtained_shares(
    values: Float[np.ndarray, "concepts strengths"],
    unsteered: Float[np.ndarray, " concepts"],
    target: Float[np.ndarray, " concepts"],
) -> Shares:
    """The part of the way from `unsteered` to `target` that each value is; above 1 is beyond it.

    Raises:
        ValueError: if a target is the unsteered value, so that nothing is requested.
    """
    way = target - unsteered
    if not way.all():
        raise ValueError("a target is the unsteered value")
    return np.asarray((values - unsteered[:, None]) / way[:, None])


def request_errors(shares: Shares, requested: Sequence[float]) -> Float[np.ndarray, " concepts"]:
    """Mean distance of obtained from requested shares over the requests, at least 0."""
    return np.asarray(np.abs(shares - np.asarray(requested)).mean(1))


def reachable_share(shares: Shares) -> float:
    """The largest share that nine of ten concepts reach at one of the strengths, at least 0.

    A concept reaches every share up to its largest, since what is obtained changes continuously
    with the strength. NaN without concepts.
    """
    if not len(shares):
        return math.nan
    largest = np.sort(shares.max(1))[::-1]
    return max(0.0, float(largest[math.ceil(NINE_OF_TEN * len(largest)) - 1]))


def failure_bound(failures: int, trials: int) -> float:
    """Clopper and Pearson's upper 95 % bound of a rate of failures; NaN without trials.

    In at most 5 % of samples of independent trials the rate is above it.

    References:
        Clopper, Pearson. The Use of Confidence or Fiducial Limits Illustrated in the Case of the
        Binomial. 1934. https://doi.org/10.1093/biomet/26.4.404
    """
    if not trials:
        return math.nan
    test = binomtest(failures, trials, alternative="less")
    return float(test.proportion_ci(0.95, method="exact").high)
