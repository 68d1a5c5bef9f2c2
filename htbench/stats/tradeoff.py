"""Trade-off of gain and preservation over the strengths of one method."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from htbench.stats import durations, estimates
from htbench.stats.families import Families

Points = Float[np.ndarray, " strengths"]
Curves = Float[np.ndarray, "*draws strengths"]

PolicyName = Literal["full", "tuned", "floor"]
"""Strength 1; the strength selected on dev concepts; the best strength with preservation above the
floor, selected for each concept on all others."""


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """The values that count as 1, the same for every method.

    So the hypervolume of one method does not depend on which other methods a run has.
    """

    gain: float
    """Gain of plain prompting; that of the unsteered image, 0, counts as 0."""
    preservation: float = 1.0
    """Preservation of the unsteered image."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchedGain:
    """The gain at a level of preservation."""

    gain: estimates.Estimate
    strength: float
    """The strength at which it lies, between two that were measured."""
    reached_share: float
    """Share of resamples of concepts whose curve passes the level."""
    contributions: Float[np.ndarray, " concepts"]
    """Each concept's part in the gain, which is their mean."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A method's gain and preservation at the strength that a rule selects."""

    name: PolicyName
    strength: float
    """For `floor`, the strength that all concepts together select."""
    gain: estimates.Estimate
    preservation: estimates.Estimate
    keeps_floor: bool
    """True if preservation is above the floor at that strength."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TradeOff:
    """Concepts' mean gain and preservation at each strength; strengths ascend.

    Concepts with missing values are left out before.

    Raises:
        ValueError: if shapes do not fit, strengths do not ascend, there is no concept, or a value
            is not finite.
    """

    strengths: tuple[float, ...]
    gain: Float[np.ndarray, "concepts strengths"]
    preservation: Float[np.ndarray, "concepts strengths"]
    families: Families | None = None
    """Families of the concepts, in their order; None: all are independent."""
    seed: int = 0
    rounds: int = 2000

    def __post_init__(self) -> None:
        shape = (len(self.gain), len(self.strengths))
        if not self.gain.shape == self.preservation.shape == shape or not self.gain.size:
            raise ValueError(
                f"gains {self.gain.shape} and preservations {self.preservation.shape} are not one "
                f"a concept and strength of {self.strengths}"
            )
        if (
            not (np.diff(self.strengths) > 0).all()
            or not (np.isfinite(self.gain) & np.isfinite(self.preservation)).all()
        ):
            raise ValueError("strengths ascend, and gains and preservations are finite")

    def hypervolume(self, anchors: Anchors) -> durations.Interval:
        """Area that the points of all strengths dominate above no gain and no preservation.

        1 would be the gain of prompting on an untouched image.
        """

        whole = float(_area(self.gain.mean(0), self.preservation.mean(0), anchors))
        return self._quantiles(whole, _area(*self._resampled_curves, anchors))

    def hypervolume_contributions(self, anchors: Anchors) -> Float[np.ndarray, " concepts"]:
        """Each concept's part in the hypervolume: its jackknife pseudo-value.

        Their mean is the hypervolume, less its bias to first order.

        References:
            Miller. The Jackknife: A Review. 1974. https://doi.org/10.1093/biomet/61.1.1
        """
        n = len(self.gain)
        whole = _area(self.gain.mean(0), self.preservation.mean(0), anchors)
        if n == 1:
            return np.asarray(whole)[None]
        without_one = _area(*self._leave_one_out_means, anchors)
        return np.asarray(n * whole - (n - 1) * without_one)

    def matched_gain(self, level: float) -> MatchedGain | None:
        r"""The gain at a level of preservation; None if the measured strengths do not reach it.

        On the line from one strength to the next, at share :math:`t`, a concept contributes
        :math:`g_i(t) - b\,(p_i(t) - l)`, with gain :math:`g`, preservation :math:`p`, the level
        :math:`l` and the slope :math:`b` of mean gain over mean preservation. So the interval
        allows for the uncertainty of the share, to first order.
        """
        gain, kept = self.gain.mean(0), self.preservation.mean(0)
        gains = _on_level(gain, kept, level)
        if np.isnan(gains).all():
            return None
        k = int(np.nanargmax(gains))
        share = (kept[k] - level) / (kept[k] - kept[k + 1])
        slope = (gain[k + 1] - gain[k]) / (kept[k + 1] - kept[k])
        own_gain, own_kept = (
            values[:, k] + share * (values[:, k + 1] - values[:, k])
            for values in (self.gain, self.preservation)
        )
        contributions = own_gain - slope * (own_kept - level)
        reached = np.isfinite(matched_gain(*self._resampled_curves, level))
        return MatchedGain(
            gain=estimates.estimate(contributions.tolist(), self._related.mean),
            strength=float(np.interp(k + share, range(len(gain)), self.strengths)),
            reached_share=float(reached.mean()),
            contributions=contributions,
        )

    def gain_at(self, strength: float) -> estimates.Estimate:
        """The mean gain at a measured strength."""
        column = self.gain[:, self.strengths.index(strength)]
        return estimates.estimate(column.tolist(), self._related.mean)

    def regret(self, strength: float, *, floor: float) -> durations.Interval | None:
        """Gain at a strength less the best gain at any that keeps the floor.

        It is below 0 where another strength would have been better, and may be above 0 where this
        one does not keep the floor. The best is selected on the concepts that it is measured on,
        which makes it look better than it is. None if `strength` was not measured or no strength
        keeps the floor.
        """
        if strength not in self.strengths or (self.preservation.mean(0) < floor).all():
            return None
        column = self.strengths.index(strength)

        def less_best(gain: Curves, kept: Curves) -> Float[np.ndarray, "*draws"]:
            best = np.where(kept >= floor, gain, -np.inf).max(-1)
            return np.asarray(gain[..., column] - best)

        value = float(less_best(self.gain.mean(0), self.preservation.mean(0)))
        return self._quantiles(value, less_best(*self._resampled_curves))

    def policies(self, *, floor: float, dev: "TradeOff | None" = None) -> list[Policy]:
        """The method at strength 1, at the strength selected on dev concepts, and at the best one
        above the floor; as far as these strengths were measured.
        """
        strengths: list[tuple[PolicyName, float]] = [("full", 1.0)]
        if dev is not None:
            best = choose_strength(dev.gain.mean(0), dev.preservation.mean(0), floor=floor)
            strengths.append(("tuned", dev.strengths[best]))
        policies = []
        for name, strength in strengths:
            if strength in self.strengths:
                k = self.strengths.index(strength)
                policies.append(self._policy(name, np.full(len(self.gain), k), strength, floor))
        together = choose_strength(self.gain.mean(0), self.preservation.mean(0), floor=floor)
        left_out, strength = self._leave_one_out_choice(floor), self.strengths[together]
        return [*policies, self._policy("floor", left_out, strength, floor)]

    def _leave_one_out_choice(self, floor: float) -> Int[np.ndarray, " concepts"]:
        """For each concept, the index of the strength that the other concepts select.

        To select and to measure on the same concepts would be biased upwards.
        """
        if len(self.gain) == 1:
            return np.array([choose_strength(self.gain[0], self.preservation[0], floor=floor)])
        return np.array(
            [
                choose_strength(gain, preservation, floor=floor)
                for gain, preservation in zip(*self._leave_one_out_means, strict=True)
            ]
        )

    def _policy(
        self,
        name: PolicyName,
        columns: Int[np.ndarray, " concepts"],
        strength: float,
        floor: float,
    ) -> Policy:
        rows = np.arange(len(self.gain))
        gain, kept = (
            estimates.estimate(values[rows, columns], self._related.mean)
            for values in (self.gain, self.preservation)
        )
        return Policy(
            name=name,
            strength=strength,
            gain=gain,
            preservation=kept,
            keeps_floor=kept.mean >= floor,
        )

    @property
    def _related(self) -> Families:
        return self.families or Families.independent(len(self.gain))

    def _quantiles(
        self, value: float, resampled: Float[np.ndarray, " rounds"]
    ) -> durations.Interval:
        tail, resampled = self._related.tail, resampled[np.isfinite(resampled)]
        if math.isnan(tail) or not len(resampled):
            return durations.Interval(value=value, low=np.nan, high=np.nan)
        low, high = np.quantile(resampled, [tail, 1 - tail])
        return durations.Interval(value=value, low=float(low), high=float(high))

    @property
    def _leave_one_out_means(self) -> tuple[Curves, Curves]:
        """Mean gains and preservations of all concepts but one."""
        gain, kept = (
            (values.sum(0) - values) / (len(values) - 1)
            for values in (self.gain, self.preservation)
        )
        return gain, kept

    @cached_property
    def _resampled_curves(self) -> tuple[Curves, Curves]:
        """Mean gains and preservations of resampled concepts."""
        counts = self._related.resamples(seed=self.seed, rounds=self.rounds)
        shares = counts / counts.sum(1, keepdims=True)
        return shares @ self.gain, shares @ self.preservation


def _area(gain: Curves, kept: Curves, anchors: Anchors) -> Float[np.ndarray, "*draws"]:
    """The hypervolume of each draw, with the anchors as 1."""
    return hypervolume(np.stack([kept / anchors.preservation, gain / anchors.gain], -1))


def hypervolume(points: Float[np.ndarray, "*draws points 2"]) -> Float[np.ndarray, "*draws"]:
    """Area that the points of each draw dominate above the origin; more is better in both
    coordinates.

    Raises:
        ValueError: if a point is not finite.

    References:
        Zitzler, Thiele. Multiobjective Evolutionary Algorithms: A Comparative Case Study and the
        Strength Pareto Approach. 1999. https://doi.org/10.1109/4235.797969
    """
    if not np.isfinite(points).all():
        raise ValueError("a point is not finite")
    outward = np.maximum(points, 0)
    order = np.argsort(-outward[..., 0], axis=-1, kind="stable")
    widths, heights = np.moveaxis(np.take_along_axis(outward, order[..., None], axis=-2), -1, 0)
    reached = np.maximum.accumulate(heights, axis=-1)
    return np.asarray((widths * np.diff(reached, axis=-1, prepend=0)).sum(-1))


def matched_gain(gain: Curves, preservation: Curves, level: float) -> Float[np.ndarray, "*draws"]:
    """The highest gain at which the line through the points has that preservation; NaN if none."""
    return np.asarray(np.fmax.reduce(_on_level(gain, preservation, level), axis=-1, initial=np.nan))


def _on_level(
    values: Curves, preservation: Curves, level: float
) -> Float[np.ndarray, "*draws lines"]:
    """`values` where the line from each point to the next has that preservation; NaN if nowhere."""
    before, after = preservation[..., :-1] - level, preservation[..., 1:] - level
    crossed = (before * after <= 0) & (before != after)
    share = np.divide(before, before - after, out=np.full(before.shape, np.nan), where=crossed)
    return np.asarray(values[..., :-1] + np.diff(values) * share)


def choose_strength(gain: Points, preservation: Points, *, floor: float) -> int:
    """Index of the highest gain among points with preservation at or above the floor.

    Without such a point, that of the highest preservation; the first of equals.
    """
    good = np.flatnonzero(preservation >= floor)
    return int(good[np.argmax(gain[good])]) if len(good) else int(np.argmax(preservation))
