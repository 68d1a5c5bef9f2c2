"""Perceptual strength: a scale of strengths on which equal steps have equal effects."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from htbench.stats import estimates
from htbench.stats.dose_response import FLAT_BELOW, rising
from htbench.stats.families import FamiliesByConcept

_SAME = 1e-9
"""Shares of the effect that differ by less are one point of the scale."""


@dataclass(frozen=True, kw_only=True)
class StrengthScale:
    """A method's own strength as a rising function of the share of its effect.

    Points are joined by monotone cubic interpolation (PCHIP).

    References:
        Fritsch, Butland. A Method for Constructing Local Monotone Piecewise Cubic Interpolants.
        1984. https://doi.org/10.1137/0905021
    """

    shares: tuple[float, ...]
    """Shares of the largest effect, ascending from 0 to 1."""
    strengths: tuple[float, ...]
    """The method's own strength at each share, ascending from 0."""

    def at(self, requested: ArrayLike) -> Float[np.ndarray, " requests"]:
        """The method's own strengths for requested ones between 0 and 1.

        Raises:
            ValueError: for a request outside 0 to 1.
        """
        values = np.asarray(requested, float)
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"strengths of the scale are from 0 to 1, not {values.tolist()}")
        return np.asarray(PchipInterpolator(self.shares, self.strengths)(values))


def learn_scale(strengths: ArrayLike, effects: ArrayLike) -> StrengthScale | None:
    """The scale of mean `effects` at ascending `strengths` above 0; the effect at 0 is 0.

    The effects are replaced by the nearest curve that never falls and is never below 0. Where it is
    level, the scale has one point: the mean of these strengths, or, at the largest effect, the
    first of them. So a request of 1 is the smallest strength that has the largest effect.

    None where no effect is above 0.

    Raises:
        ValueError: where strengths do not ascend from above 0, or an effect is no number.
    """
    own, values = np.asarray(strengths, float), np.asarray(effects, float)
    if not len(own) or own[0] <= 0 or not (np.diff(own) > 0).all():
        raise ValueError(f"strengths of a scale ascend from above 0, not {own.tolist()}")
    if values.shape != own.shape or not np.isfinite(values).all():
        raise ValueError(f"each strength needs an effect that is a number, not {values.tolist()}")
    curve = np.maximum(rising(values[None])[0], 0)
    if curve[-1] <= FLAT_BELOW:
        return None
    shares = curve / curve[-1]
    blocks = np.split(np.arange(len(own)), np.flatnonzero(np.diff(shares) > _SAME) + 1)
    points = [
        (
            float(shares[block[-1]]),
            float(own[block[0]] if block is blocks[-1] else own[block].mean()),
        )
        for block in blocks
        if shares[block[-1]] > _SAME
    ]
    return StrengthScale(
        shares=(0.0, *(share for share, _ in points)),
        strengths=(0.0, *(strength for _, strength in points)),
    )


def evenness(
    gains: Float[np.ndarray, "curves steps"], requested: Float[np.ndarray, " steps"]
) -> Float[np.ndarray, " curves"]:
    r"""Evenness of the steps of curves from a gain of 0 at strength 0; higher is more even.

    With steps :math:`d_k` of the gain and shares :math:`r_k` of the way that is requested,

    .. math:: E = 1 - \frac{\sum_k \left| d_k / \sum_j |d_j| - r_k \right|}{2 (1 - \min_k r_k)}

    It is 1 where every step has the effect that is asked for, and 0 where all of the effect is in
    one step, of equal ones; a curve that goes back can be below 0, at least
    :math:`-\min r / (1 - \min r)`. NaN for a flat curve.

    Raises:
        ValueError: for fewer than two steps, or where `requested` does not ascend from above 0.
    """
    steps = np.diff(requested, prepend=0.0)
    if len(steps) < 2 or not (steps > 0).all():
        raise ValueError(
            f"evenness needs two strengths, ascending from above 0, not {requested.tolist()}"
        )
    asked = steps / steps.sum()
    moved = np.diff(gains, axis=1, prepend=0.0)
    total = np.abs(moved).sum(1, keepdims=True)
    shares = np.divide(moved, total, out=np.full(moved.shape, np.nan), where=total > FLAT_BELOW)
    return np.asarray(1 - np.abs(shares - asked).sum(1) / (2 * (1 - asked.min())))


@dataclass(frozen=True, kw_only=True)
class EvennessComparison:
    """The evenness of a method's steps on two scales of strength, over the same concepts."""

    before: estimates.Estimate
    """Mean over concepts of the evenness of each one's curve."""
    after: estimates.Estimate
    difference: estimates.Estimate
    """After minus before."""
    mean_before: float
    """Evenness of the mean curve of all concepts; NaN where it is flat."""
    mean_after: float
    flat: int
    """Number of concepts left out, whose curve is flat on either scale."""


def compare_evenness(
    before: Mapping[str, Float[np.ndarray, " steps"]],
    after: Mapping[str, Float[np.ndarray, " steps"]],
    requested: Float[np.ndarray, " steps"],
    families: FamiliesByConcept | None = None,
) -> EvennessComparison | None:
    """The evenness of curves of gain on two scales, at the same `requested` strengths above 0.

    Each concept has the mean curve of its pictures. None where no concept moves on both scales.
    """
    concepts = [name for name in before if name in after]
    if not concepts:
        return None
    curves = [np.stack([each[name] for name in concepts]) for each in (before, after)]
    first, second = (evenness(each, requested) for each in curves)
    is_moving = np.isfinite(first) & np.isfinite(second)
    kept = [name for name, moves in zip(concepts, is_moving, strict=True) if moves]
    one, two, change = (
        estimates.over_concepts(
            {name: [float(value)] for name, value in zip(kept, values[is_moving], strict=True)},
            families,
        )
        for values in (first, second, second - first)
    )
    if not (one and two and change):
        return None
    lowest = 1 - 1 / (1 - float(np.diff(requested, prepend=0.0).min() / requested[-1]))
    mean_before, mean_after = (
        float(evenness(each.mean(0, keepdims=True), requested)[0]) for each in curves
    )
    return EvennessComparison(
        before=estimates.kept_within(one, (lowest, 1)),
        after=estimates.kept_within(two, (lowest, 1)),
        difference=change,
        mean_before=mean_before,
        mean_after=mean_after,
        flat=len(concepts) - len(kept),
    )
