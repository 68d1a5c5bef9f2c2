"""The useful range of strengths: from just noticeable to saturation or collapse."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from htbench.stats import durations, estimates
from htbench.stats.families import Families, FamiliesByConcept

NOTICED = 0.5
"""Share of noticed pictures at which the effect of a strength counts as noticeable."""
SATURATED = 0.9
"""Share of the largest gain at which gain counts as saturated."""
COLLAPSED = 0.1
"""Rise of the share of flawed pictures above that of unsteered ones, which counts as collapse."""

Rows = Float[np.ndarray, "concepts strengths"]


@dataclass(frozen=True, kw_only=True)
class UsefulRange:
    """The strengths between which a method is of use; intervals resample families of concepts.

    A strength that is not reached is infinite: it lies above all strengths that were run.
    """

    onset: durations.Interval
    """First strength at which half of the pictures are noticed."""
    saturation: durations.Interval
    """First strength at which nine tenths of the largest gain are reached."""
    collapse: durations.Interval
    """First strength at which the share of flawed pictures is a tenth above that at strength 0."""
    end: durations.Interval
    """Saturation or collapse, whichever is first."""
    is_rising: bool
    """True if the gain still rises at the last step, by its interval: saturation is not reached."""
    concepts: int

    @property
    def width(self) -> float:
        """Length of the range; 0 where it ends before the effect is noticeable, infinite where its
        end is not reached.
        """
        return (
            max(0.0, self.end.value - self.onset.value) if math.isfinite(self.onset.value) else 0.0
        )


def measure_range(
    strengths: Sequence[float],
    *,
    noticed: Rows,
    gain: Rows,
    flawed: Rows,
    concepts: Sequence[str],
    families: FamiliesByConcept | None = None,
    seed: int = 0,
    rounds: int = 2000,
) -> UsefulRange:
    """The useful range of a method from its concepts' means at ascending strengths, 0 the first.

    Args:
        strengths: of the columns.
        noticed: share of a concept's pictures that are noticed.
        gain: mean concept gain.
        flawed: share of flawed pictures.
        concepts: of the rows.
        families: families of the concepts.
        seed: of the resamples.
        rounds: number of resamples.

    Between two strengths, shares and gains are taken to be linear.

    Raises:
        ValueError: for fewer than three strengths, or where they do not ascend from 0.
    """
    at = _checked(strengths)
    related = Families.of(list(concepts), families)
    weights = np.full((1, len(concepts)), 1 / len(concepts))
    tail = related.tail
    if not math.isnan(tail):
        draws = related.resamples(seed=seed, rounds=rounds)
        weights = np.vstack([weights, draws / draws.sum(1, keepdims=True)])
    is_rising = _is_rising(gain, concepts, families)
    onset, saturation, collapse = _ends(at, weights @ noticed, weights @ gain, weights @ flawed)
    if is_rising:
        saturation[0] = math.inf
    ends = np.minimum(saturation, collapse)
    return UsefulRange(
        onset=_interval(onset, tail),
        saturation=_interval(saturation, tail, is_open=is_rising),
        collapse=_interval(collapse, tail),
        end=_interval(ends, tail, is_open=is_rising and math.isinf(ends[0])),
        is_rising=is_rising,
        concepts=len(concepts),
    )


def concept_ranges(
    strengths: Sequence[float],
    *,
    noticed: Rows,
    gain: Rows,
    flawed: Rows,
    concepts: Sequence[str],
) -> dict[str, UsefulRange]:
    """The range of each concept by itself, without intervals; arguments as in `measure_range`.

    Without an interval, a gain that still rises counts as saturated where it is largest.

    Raises:
        ValueError: for fewer than three strengths, or where they do not ascend from 0.
    """
    ends = _ends(_checked(strengths), noticed, gain, flawed)
    return {
        name: UsefulRange(
            onset=_interval(onset[None], math.nan),
            saturation=_interval(saturation[None], math.nan),
            collapse=_interval(collapse[None], math.nan),
            end=_interval(np.minimum(saturation, collapse)[None], math.nan),
            is_rising=False,
            concepts=1,
        )
        for name, onset, saturation, collapse in zip(concepts, *ends, strict=True)
    }


def _checked(strengths: Sequence[float]) -> Float[np.ndarray, " strengths"]:
    at = np.array(strengths, float)
    if len(at) < 3 or at[0] != 0 or not (np.diff(at) > 0).all():
        raise ValueError(f"a range needs 0 and two strengths above it, not {at.tolist()}")
    return at


def _ends(
    strengths: Float[np.ndarray, " strengths"],
    noticed: Float[np.ndarray, "curves strengths"],
    gain: Float[np.ndarray, "curves strengths"],
    flawed: Float[np.ndarray, "curves strengths"],
) -> tuple[
    Float[np.ndarray, " curves"], Float[np.ndarray, " curves"], Float[np.ndarray, " curves"]
]:
    """Onset, saturation and collapse of each curve."""
    largest, ones = gain.max(1), np.ones(len(gain))
    saturation = _crossings(strengths, gain, SATURATED * largest)
    saturation[largest <= 0] = math.inf
    return (
        _crossings(strengths, noticed, NOTICED * ones),
        saturation,
        _crossings(strengths, flawed - flawed[:, :1], COLLAPSED * ones),
    )


def _is_rising(gain: Rows, concepts: Sequence[str], families: FamiliesByConcept | None) -> bool:
    """True if the mean gain rises with the last step, by its 95 % interval."""
    steps = (gain[:, -1] - gain[:, -2]).tolist()
    mean = estimates.over_concepts({k: [v] for k, v in zip(concepts, steps, strict=True)}, families)
    return mean is not None and mean.low > 0


def _crossings(
    strengths: Float[np.ndarray, " strengths"],
    curves: Float[np.ndarray, "curves strengths"],
    levels: Float[np.ndarray, " curves"],
) -> Float[np.ndarray, " curves"]:
    """The first strength at which each curve is at or above its level; infinite where it never is.

    Rounding does not keep a curve below its level.
    """
    above: Bool[np.ndarray, "curves strengths"] = curves >= levels[:, None] - 1e-12
    rows, last = np.arange(len(curves)), above.argmax(1)
    before = np.maximum(last - 1, 0)
    low, high = curves[rows, before], curves[rows, last]
    share = np.divide(levels - low, high - low, out=np.zeros(len(curves)), where=high > low)
    step = strengths[last] - strengths[before]
    found = strengths[before] + share.clip(0, 1) * step
    return np.where(above.any(1), found, math.inf)


def _interval(
    values: Float[np.ndarray, " draws"], tail: float, *, is_open: bool = False
) -> durations.Interval:
    """The first value, with the interval of the others; one that `is_open` has no upper end."""
    value = float(values[0])
    if len(values) == 1:
        return durations.Interval(value=value, low=math.nan, high=math.nan)
    # no mean of a number and infinity: the next value outwards
    low = float(np.quantile(values[1:], tail, method="lower"))
    high = float(np.quantile(values[1:], 1 - tail, method="higher"))
    return durations.Interval(value=value, low=low, high=math.inf if is_open else high)
