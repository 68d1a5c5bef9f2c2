"""How an effect answers to the strength: statistics of curves of gain over strengths, one a concept, prompt and seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression
from scipy.stats import rankdata

from htbench.stats import durations, estimates

Curves = Float[np.ndarray, "curves strengths"]
"""Gains at ascending strengths."""
Strengths = Float[np.ndarray, " strengths"]
PerCurve = Float[np.ndarray, " curves"]
FLAT_BELOW = 1e-6
"""A curve whose gains differ by less is flat: no effect, but rounding."""


@dataclass(frozen=True, kw_only=True)
class DoseResponse:
    """How gain answers to strength, over concepts; flat and broken curves are counted and otherwise left out."""

    kendall: estimates.Estimate | None
    spearman: estimates.Estimate | None
    backstep: estimates.Estimate | None
    largest_step: estimates.Estimate | None
    linearity: estimates.Estimate | None
    chord_deviation: estimates.Estimate | None
    isotonic: estimates.Estimate | None
    concept_sd: tuple[durations.Interval, ...]
    """Standard deviation over concepts of their mean gain at each strength: 0 where one strength does the same to all."""
    curves: int
    flat: int
    incomplete: int
    """With a gain missing."""


def measure_dose_response(
    gains: Mapping[str, Curves], strengths: Strengths, *, seed: int = 0, rounds: int = 10_000
) -> DoseResponse:
    """Of each concept's curves; strengths ascend, a missing gain is NaN.

    Raises:
        ValueError: for fewer than three strengths, or where they do not ascend.
    """
    if len(strengths) < 3 or not (np.diff(strengths) > 0).all():
        raise ValueError(
            f"a curve needs three strengths or more, ascending, not {[float(s) for s in strengths]}"
        )
    whole = {concept: curves[~np.isnan(curves).any(1)] for concept, curves in gains.items()}
    moving = {
        concept: curves[np.ptp(curves, axis=1) > FLAT_BELOW] for concept, curves in whole.items()
    }

    def over(statistic: Callable[[Curves], PerCurve]) -> estimates.Estimate | None:
        values = {concept: statistic(curves) for concept, curves in moving.items()}
        return estimates.over_concepts(
            {
                concept: [float(x) for x in found[np.isfinite(found)]]
                for concept, found in values.items()
            },
            seed=seed,
            rounds=rounds,
        )

    return DoseResponse(
        kendall=over(kendall),
        spearman=over(spearman),
        backstep=over(backstep),
        largest_step=over(largest_step),
        linearity=over(lambda curves: linearity(curves, strengths)),
        chord_deviation=over(lambda curves: chord_deviation(curves, strengths)),
        isotonic=over(isotonic),
        concept_sd=_concept_sd(
            [curves.mean(0) for curves in whole.values() if len(curves)],
            len(strengths),
            seed=seed,
            rounds=rounds,
        ),
        curves=sum(map(len, gains.values())),
        flat=sum(map(len, whole.values())) - sum(map(len, moving.values())),
        incomplete=sum(map(len, gains.values())) - sum(map(len, whole.values())),
    )


@dataclass(frozen=True, kw_only=True)
class EffectiveRange:
    """Where along the strengths an effect happens."""

    start: float
    """Strength at which a tenth of the largest gain is reached."""
    saturation: float
    """Strength at which nine tenths are."""
    collapse: float | None
    """Strength at which preservation falls below the floor; None where it stays above."""

    @property
    def width(self) -> float:
        """How much of the strengths can be used: from the start to saturation or collapse, whichever is first."""
        end = self.saturation if self.collapse is None else min(self.saturation, self.collapse)
        return max(0.0, end - self.start)


def effective_range(
    strengths: Strengths, gain: Strengths, preservation: Strengths, *, floor: float
) -> EffectiveRange | None:
    """Of one curve, straight between its points; None where the gain never rises above that of the lowest strength."""
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
    one, other = np.triu_indices(curves.shape[1], 1)
    signs = np.sign(curves[:, other] - curves[:, one])
    return _ratio(signs.sum(1), np.sqrt(len(one) * np.abs(signs).sum(1)))


def spearman(curves: Curves) -> PerCurve:
    """Spearman's rank correlation of gain with strength, -1 to 1; NaN for a flat curve."""
    ranks = rankdata(curves, axis=1) - (curves.shape[1] + 1) / 2
    places = np.arange(curves.shape[1]) - (curves.shape[1] - 1) / 2
    return _ratio(ranks @ places, np.sqrt((ranks**2).sum(1) * (places**2).sum()))


def backstep(curves: Curves) -> PerCurve:
    r"""Share of all movement that goes back, :math:`\sum \max(0, -\Delta) / \sum |\Delta|`: 0 for a rising curve, 1 for a falling one; NaN for a flat one."""
    steps = np.diff(curves, axis=1)
    return _ratio(np.maximum(0, -steps).sum(1), np.abs(steps).sum(1))


def largest_step(curves: Curves) -> PerCurve:
    """Largest share of all movement in one step: 1 / steps for an even curve, 1 for a switch; NaN for a flat one."""
    steps = np.abs(np.diff(curves, axis=1))
    return _ratio(steps.max(1), steps.sum(1))


def linearity(curves: Curves, strengths: Float[np.ndarray, " strengths"]) -> PerCurve:
    """R² of a straight line, 0 to 1; NaN for a flat curve."""
    across = strengths - strengths.mean()
    centred = curves - curves.mean(1, keepdims=True)
    return _ratio((centred @ across) ** 2, (centred**2).sum(1) * (across**2).sum())


def chord_deviation(curves: Curves, strengths: Float[np.ndarray, " strengths"]) -> PerCurve:
    """Largest distance from the straight line between the ends, over the distance of the ends; NaN where these are level."""
    share = (strengths - strengths[0]) / (strengths[-1] - strengths[0])
    rise = curves[:, -1:] - curves[:, :1]
    return _ratio(np.abs(curves - curves[:, :1] - rise * share).max(1), np.abs(rise[:, 0]))


def isotonic(curves: Curves) -> PerCurve:
    """R² of the best rising curve: 1 where the gain never falls, 0 where it only does; NaN for a flat curve."""
    left = np.array([((curve - isotonic_regression(curve).x) ** 2).sum() for curve in curves])
    return 1 - _ratio(left, ((curves - curves.mean(1, keepdims=True)) ** 2).sum(1))


def _ratio(part: PerCurve, whole: PerCurve) -> PerCurve:
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0))


def _crossing(strengths: Strengths, values: Strengths, level: float) -> float | None:
    """The first strength at which the line through the values is at the level or above."""
    above = values >= level
    if not above.any():
        return None
    k = int(above.argmax())
    if k == 0:
        return float(strengths[0])
    share = (level - values[k - 1]) / (values[k] - values[k - 1])
    return float(strengths[k - 1] + share * (strengths[k] - strengths[k - 1]))


def _concept_sd(
    means: list[Strengths], count: int, *, seed: int, rounds: int
) -> tuple[durations.Interval, ...]:
    if len(means) < 2:
        return (durations.Interval(value=np.nan, low=np.nan, high=np.nan),) * count
    rows = np.array(means)
    weights = estimates.resamples(len(rows), seed=seed, rounds=rounds) / len(rows)
    correction = len(rows) / (len(rows) - 1)
    drawn = np.sqrt(np.maximum(0, weights @ rows**2 - (weights @ rows) ** 2) * correction)
    level = estimates.tail_quantile(len(rows))
    low, high = np.quantile(drawn, [level, 1 - level], axis=0)
    return tuple(
        durations.Interval(value=float(v), low=float(a), high=float(b))
        for v, a, b in zip(rows.std(0, ddof=1), low, high, strict=True)
    )
