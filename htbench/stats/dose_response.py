"""Dose response: statistics of curves of gain over strengths, one per concept, prompt and seed."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from htbench.stats import durations, estimates
from htbench.stats.families import Families, FamiliesByConcept

Curves = Float[np.ndarray, "curves strengths"]
"""Gains at ascending strengths."""
Strengths = Float[np.ndarray, " strengths"]
PerCurve = Float[np.ndarray, " curves"]
FLAT_BELOW = 1e-6
"""A curve whose gains differ by less is flat: its differences are rounding, not an effect."""


@dataclass(frozen=True, kw_only=True)
class DoseResponse:
    """The response of gain to strength, over concepts.

    Flat and incomplete curves are counted, and left out of everything else.
    """

    kendall: estimates.Estimate | None
    spearman: estimates.Estimate | None
    backstep: estimates.Estimate | None
    largest_step: estimates.Estimate | None
    linearity: estimates.Estimate | None
    chord_deviation: estimates.Estimate | None
    isotonic: estimates.Estimate | None
    concept_sd: tuple[durations.Interval, ...]
    """At each strength, the standard deviation over concepts of their mean gain: 0 where a strength
    has the same effect on all."""
    curves: int
    flat: int
    incomplete: int
    """Number of curves with a missing gain."""


def measure_dose_response(
    gains: Mapping[str, Curves],
    strengths: Strengths,
    families: FamiliesByConcept | None = None,
    *,
    seed: int = 0,
    rounds: int = 2000,
) -> DoseResponse:
    """The dose response of each concept's curves; strengths ascend, a missing gain is NaN.

    Raises:
        ValueError: for fewer than three strengths, or where they do not ascend.
    """
    if len(strengths) < 3 or not (np.diff(strengths) > 0).all():
        raise ValueError(
            f"a curve needs three strengths or more, ascending, not {[float(s) for s in strengths]}"
        )
    every = np.concatenate([np.empty((0, len(strengths))), *gains.values()])
    concept = np.repeat(np.arange(len(gains)), [len(curves) for curves in gains.values()])
    is_complete = ~np.isnan(every).any(1)
    is_moving = is_complete & (np.ptp(every, axis=1) > FLAT_BELOW)
    moving, concept_of_moving = every[is_moving], concept[is_moving]

    def estimate(statistic: Callable[[Curves], PerCurve]) -> estimates.Estimate | None:
        values = statistic(moving)
        is_finite = np.isfinite(values)
        finite, owners = values[is_finite], concept_of_moving[is_finite]
        return estimates.over_concepts(
            {name: finite[owners == k].tolist() for k, name in enumerate(gains)}, families
        )

    means = {
        name: every[own].mean(0)
        for k, name in enumerate(gains)
        if (own := is_complete & (concept == k)).any()
    }
    return DoseResponse(
        kendall=estimate(kendall),
        spearman=estimate(spearman),
        backstep=estimate(backstep),
        largest_step=estimate(largest_step),
        linearity=estimate(lambda curves: linearity(curves, strengths)),
        chord_deviation=estimate(lambda curves: chord_deviation(curves, strengths)),
        isotonic=estimate(isotonic),
        concept_sd=_concept_sd(means, families, len(strengths), seed=seed, rounds=rounds),
        curves=len(every),
        flat=int(is_complete.sum() - is_moving.sum()),
        incomplete=int((~is_complete).sum()),
    )


@dataclass(frozen=True, kw_only=True)
class EffectiveRange:
    """The range of strengths in which an effect happens."""

    start: float
    """Strength at which a tenth of the largest gain is reached."""
    saturation: float
    """Strength at which nine tenths of it are reached."""
    collapse: float | None
    """Strength at which preservation falls below the floor; None where it stays above."""

    @property
    def width(self) -> float:
        """Length of the usable range: from the start to saturation or, if earlier, collapse."""
        end = self.saturation if self.collapse is None else min(self.saturation, self.collapse)
        return max(0.0, end - self.start)


def effective_range(
    strengths: Strengths, gain: Strengths, preservation: Strengths, *, floor: float
) -> EffectiveRange | None:
    """The range of one curve, interpolated linearly between its points.

    None where the gain never rises above that of the lowest strength.
    """
    rise = gain - gain[0]
    if rise.max() <= FLAT_BELOW:
        return None
    start, saturation = (_crossing(strengths, rise, share * rise.max()) for share in (0.1, 0.9))
    assert start is not None, "the largest gain is reached"
    assert saturation is not None, "the largest gain is reached"
    return EffectiveRange(
        start=start, saturation=saturation, collapse=_crossing(strengths, -preservation, -floor)
    )


def kendall(curves: Curves) -> PerCurve:
    """Kendall's tau-b of gain with strength, -1 to 1; NaN for a flat curve."""
    lower, higher = np.triu_indices(curves.shape[1], 1)
    signs = np.sign(curves[:, higher] - curves[:, lower])
    return _ratio(signs.sum(1), np.sqrt(len(lower) * np.abs(signs).sum(1)))


def spearman(curves: Curves) -> PerCurve:
    """Spearman's rank correlation of gain with strength, -1 to 1; NaN for a flat curve."""
    # ranks less their mean, equal values sharing one
    ranks = np.sign(curves[:, :, None] - curves[:, None, :]).sum(2) / 2
    positions = np.arange(curves.shape[1]) - (curves.shape[1] - 1) / 2
    return _ratio(ranks @ positions, np.sqrt((ranks**2).sum(1) * (positions**2).sum()))


def backstep(curves: Curves) -> PerCurve:
    r"""Share of all movement that is backwards, :math:`\sum \max(0, -\Delta) / \sum |\Delta|`.

    0 for a rising curve, 1 for a falling one, NaN for a flat one.
    """
    steps = np.diff(curves, axis=1)
    return _ratio(np.maximum(0, -steps).sum(1), np.abs(steps).sum(1))


def largest_step(curves: Curves) -> PerCurve:
    """Largest share of all movement in one step.

    1 / steps for an even curve, 1 for a switch, NaN for a flat curve.
    """
    steps = np.abs(np.diff(curves, axis=1))
    return _ratio(steps.max(1), steps.sum(1))


def linearity(curves: Curves, strengths: Float[np.ndarray, " strengths"]) -> PerCurve:
    """R² of a straight line, 0 to 1; NaN for a flat curve."""
    across = strengths - strengths.mean()
    centred = curves - curves.mean(1, keepdims=True)
    return _ratio((centred @ across) ** 2, (centred**2).sum(1) * (across**2).sum())


def chord_deviation(curves: Curves, strengths: Float[np.ndarray, " strengths"]) -> PerCurve:
    """Largest distance from the straight line between the ends, over the distance of the ends.

    NaN where the ends are level.
    """
    share = (strengths - strengths[0]) / (strengths[-1] - strengths[0])
    rise = curves[:, -1:] - curves[:, :1]
    return _ratio(np.abs(curves - curves[:, :1] - rise * share).max(1), np.abs(rise[:, 0]))


def isotonic(curves: Curves) -> PerCurve:
    """R² of the best rising curve.

    1 where the gain never falls, 0 where it falls everywhere, NaN for a flat curve.
    """
    residual = ((curves - rising(curves)) ** 2).sum(1)
    return 1 - _ratio(residual, ((curves - curves.mean(1, keepdims=True)) ** 2).sum(1))


def rising(curves: Curves) -> Curves:
    """The nearest curves that never fall, by least squares (isotonic regression).

    At each strength it is the largest, over all starts before it, of the smallest mean from that
    start to any end after it.

    References:
        Barlow, Bartholomew, Bremner, Brunk. Statistical Inference Under Order Restrictions. 1972.
    """
    sums = np.cumsum(np.pad(curves, ((0, 0), (1, 0))), axis=1)
    nearest = np.full(curves.shape, -np.inf)
    count = curves.shape[1]
    for start in range(count):
        means = (sums[:, start + 1 :] - sums[:, start, None]) / np.arange(1, count - start + 1)
        smallest = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        np.maximum(nearest[:, start:], smallest, out=nearest[:, start:])
    return nearest


def _ratio(part: PerCurve, whole: PerCurve) -> PerCurve:
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0))


def _crossing(strengths: Strengths, values: Strengths, level: float) -> float | None:
    """The first strength at which the line through the values is at or above the level."""
    above = values >= level
    if not above.any():
        return None
    k = int(above.argmax())
    if k == 0:
        return float(strengths[0])
    share = (level - values[k - 1]) / (values[k] - values[k - 1])
    return float(strengths[k - 1] + share * (strengths[k] - strengths[k - 1]))


def _concept_sd(
    means: Mapping[str, Strengths],
    families: FamiliesByConcept | None,
    count: int,
    *,
    seed: int,
    rounds: int,
) -> tuple[durations.Interval, ...]:
    if len(means) < 2:
        return (durations.Interval(value=np.nan, low=np.nan, high=np.nan),) * count
    rows, related = np.array(list(means.values())), Families.of(list(means), families)
    values, lows, highs = rows.std(0, ddof=1), np.full(count, np.nan), np.full(count, np.nan)
    if not math.isnan(related.tail):
        draws = related.resamples(seed=seed, rounds=rounds)
        weights = draws / draws.sum(1, keepdims=True)
        correction = len(rows) / (len(rows) - 1)
        drawn = np.sqrt(np.maximum(0, weights @ rows**2 - (weights @ rows) ** 2) * correction)
        lows, highs = np.quantile(drawn, [related.tail, 1 - related.tail], axis=0)
    return tuple(
        durations.Interval(value=float(value), low=float(low), high=float(high))
        for value, low, high in zip(values, lows, highs, strict=True)
    )
