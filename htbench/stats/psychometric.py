"""The psychometric curve: how often people choose the stronger of two pictures."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr, ndtri

NOTICED = 0.75
"""The share of right answers at the just noticeable difference."""
MAX_LAPSES = 0.1
"""The most lapses that are fitted; larger ones and a shallow curve cannot be told apart."""
_STEEPEST = 4.0
"""The slope times the smallest difference above which nothing is fitted: all are right there."""


@dataclass(frozen=True, kw_only=True)
class PsychometricCurve:
    r"""The probability of choosing the stronger of two pictures, by the difference of strengths.

    .. math:: P(d) = \frac\lambda2 + (1 - \lambda) \Phi(\beta d)

    References:
        Wichmann, Hill. The Psychometric Function: I. Fitting, Sampling, and Goodness of Fit. 2001.
        https://doi.org/10.3758/BF03194544
    """

    slope: float
    """:math:`\\beta`, per unit of strength; below 0 where people choose the weaker one."""
    lapses: float
    """:math:`\\lambda`, the share of answers that are guesses; 0 to `MAX_LAPSES`."""

    def probability(self, differences: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The share of right answers at differences of strength."""
        return np.asarray(
            self.lapses / 2 + (1 - self.lapses) * ndtr(self.slope * np.asarray(differences))
        )

    @property
    def noticeable(self) -> float:
        """The just noticeable difference: that at which 75 % are right but for lapses.

        Infinite where people are not right more often at larger differences.
        """
        return threshold(self.slope)


def threshold(slope: float) -> float:
    """The difference at which a curve without lapses reaches 75 %; infinite for a slope of 0 or
    less.
    """
    return float(ndtri(NOTICED)) / slope if slope > 0 else math.inf


def fit(
    differences: Float[np.ndarray, " levels"],
    right: Float[np.ndarray, " levels"],
    answers: Float[np.ndarray, " levels"],
    *,
    start: PsychometricCurve | None = None,
) -> PsychometricCurve:
    """The curve of maximum likelihood.

    Lapses are fitted where there are two levels of difference or more, else they are 0. Where all
    answers are right, the slope is the steepest that is fitted: 4 over the smallest difference.

    Args:
        differences: strengths of the stronger minus those of the weaker picture, above 0.
        right: number of answers for the stronger one at each difference; may be fractional.
        answers: number of all answers at each difference.
        start: where the search begins, such as the curve of all answers for a resample of them.

    Raises:
        ValueError: if there is no answer, or a difference is not above 0.
    """
    known = answers > 0
    gaps, right, answers = differences[known], right[known], answers[known]
    if not len(gaps) or not (gaps > 0).all():
        raise ValueError("there is no answer, or a difference that is not above 0")
    steepest = _STEEPEST / float(gaps.min())
    unit = steepest / _STEEPEST

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, lapses = parameters
        z = slope * unit * gaps
        p = lapses / 2 + (1 - lapses) * ndtr(z)
        q = lapses / 2 + (1 - lapses) * ndtr(-z)
        log_p = log_ndtr(z) if lapses == 0 else np.log(p)
        log_q = log_ndtr(-z) if lapses == 0 else np.log(q)
        wrong = answers - right
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        by_p = right / np.exp(log_p) - wrong / np.exp(log_q)
        by_slope = by_p * (1 - lapses) * density * unit * gaps
        by_lapses = by_p * (0.5 - ndtr(z))
        value = -(right * log_p + wrong * log_q).sum()
        return float(value), -np.array([by_slope.sum(), by_lapses.sum()])

    share = float(right.sum() / answers.sum())
    first = (
        (start.slope / unit, start.lapses)
        if start
        else (
            float(np.clip(ndtri(np.clip(share, 0.02, 0.98)), -2, 2)) / float(gaps.mean() * unit),
            0,
        )
    )
    most = MAX_LAPSES if len(gaps) > 1 else 0.0
    found = minimize(
        loss,
        np.clip(first, [-_STEEPEST, 0.0], [_STEEPEST, most]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_STEEPEST, _STEEPEST), (0.0, most)],
    )
    slope, lapses = found.x
    return PsychometricCurve(slope=float(slope * unit), lapses=float(lapses))


def influence_on_slope(
    curve: PsychometricCurve,
    difference: Float[np.ndarray, " answers"],
    right: Float[np.ndarray, " answers"],
) -> Float[np.ndarray, " answers"]:
    """First-order change of the slope by the weight of each answer, at the fitted lapses."""
    z = curve.slope * difference
    p = curve.probability(difference)
    rise = (1 - curve.lapses) * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * difference
    spread = np.maximum(p * (1 - p), 1e-12)
    information = float((rise**2 / spread).sum())
    score = (right - p) * rise / spread
    return np.asarray(score / information if information > 0 else np.zeros_like(score))
