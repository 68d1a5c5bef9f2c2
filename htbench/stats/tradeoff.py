"""What an effect costs: gain against preservation over the strengths of one method."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from htbench.stats import durations, estimates

Points = Float[np.ndarray, " strengths"]


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """What counts as 0 and 1, the same for every method, so that one method's figures do not depend on which others are there."""

    gain: float
    """Of plain prompting, which is 1; the unsteered image's is 0."""
    preservation: float = 1.0
    """Of the unsteered image, which is 1; none at all is 0."""


@dataclass(frozen=True, kw_only=True)
class MatchedGain:
    """The gain where preservation is at a level."""

    gain: durations.Interval
    reached_share: float
    """Share of resamples whose curve passes the level, which the interval is of."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a method does at the strength that a rule gives it."""

    name: Literal["full", "tuned", "floor"]
    """Strength 1; chosen on dev concepts; the best that keeps preservation above the floor, for each concept chosen on all others."""
    strength: float
    """For `floor`, the one that all concepts together choose."""
    gain: estimates.Estimate
    preservation: estimates.Estimate
    keeps_floor: bool
    """Whether preservation is above the floor at that strength."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TradeOff:
    """Concepts' mean gain and preservation at each strength, which ascend; concepts with something missing are not in it.

    Raises:
        ValueError: if shapes do not fit, strengths do not ascend, or there is no concept or a value that is not finite.
    """

    strengths: tuple[float, ...]
    gain: Float[np.ndarray, "concepts strengths"]
    preservation: Float[np.ndarray, "concepts strengths"]
    seed: int = 0
    rounds: int = 2000

    def __post_init__(self) -> None:
        shape = (len(self.gain), len(self.strengths))
        if not self.gain.shape == self.preservation.shape == shape or not self.gain.size:
            raise ValueError(
                f"gains {self.gain.shape} and preservations {self.preservation.shape} are not one a concept and strength of {self.strengths}"
            )
        if (
            not (np.diff(self.strengths) > 0).all()
            or not (np.isfinite(self.gain) & np.isfinite(self.preservation)).all()
        ):
            raise ValueError("strengths ascend, and gains and preservations are finite")

    def hypervolume(self, anchors: Anchors) -> durations.Interval:
        """Area that the points of all strengths dominate above no gain and no preservation; 1 would be prompting's gain on an untouched image."""
        return self._interval(
            lambda gain, kept: hypervolume(
                np.stack([kept / anchors.preservation, gain / anchors.gain], 1)
            )
        )

    def matched_gain(self, level: float) -> MatchedGain | None:
        """The gain at a level of preservation; None if it is not reached within the measured strengths."""
        value = matched_gain(self.gain.mean(0), self.preservation.mean(0), level)
        if value is None:
            return None
        drawn = np.array(
            [
                np.nan if (found := matched_gain(gain, kept, level)) is None else found
                for gain, kept in self._resampled_curves
            ]
        )
        return MatchedGain(
            gain=self._quantiles(value, drawn), reached_share=float(np.isfinite(drawn).mean())
        )

    def policies(self, *, floor: float, dev: "TradeOff | None" = None) -> list[Policy]:
        """The method at strength 1, at the strength that dev concepts choose, and at the best above the floor; those that are known."""
        found = []
        if 1.0 in self.strengths:
            found.append(
                self._policy(
                    "full",
                    np.full(len(self.gain), self.strengths.index(1.0)),
                    self.strengths.index(1.0),
                    floor,
                )
            )
        if dev is not None:
            strength = dev.strengths[
                choose_strength(dev.gain.mean(0), dev.preservation.mean(0), floor=floor)
            ]
            if strength in self.strengths:
                found.append(
                    self._policy(
                        "tuned",
                        np.full(len(self.gain), self.strengths.index(strength)),
                        self.strengths.index(strength),
                        floor,
                    )
                )
        together = choose_strength(self.gain.mean(0), self.preservation.mean(0), floor=floor)
        found.append(self._policy("floor", self._leave_one_out_choice(floor), together, floor))
        return found

    def _leave_one_out_choice(self, floor: float) -> Int[np.ndarray, " concepts"]:
        """For each concept, the strength's index that the other concepts choose: choosing and measuring on the same would flatter."""
        n = len(self.gain)
        if n == 1:
            return np.array([choose_strength(self.gain[0], self.preservation[0], floor=floor)])
        gain, kept = (
            (values.sum(0) - values) / (n - 1) for values in (self.gain, self.preservation)
        )
        return np.array(
            [
                choose_strength(one, other, floor=floor)
                for one, other in zip(gain, kept, strict=True)
            ]
        )

    def _policy(
        self,
        name: Literal["full", "tuned", "floor"],
        chosen: Int[np.ndarray, " concepts"],
        at: int,
        floor: float,
    ) -> Policy:
        rows = np.arange(len(self.gain))
        gain, kept = (
            self._estimate(values[rows, chosen]) for values in (self.gain, self.preservation)
        )
        return Policy(
            name=name,
            strength=self.strengths[at],
            gain=gain,
            preservation=kept,
            keeps_floor=kept.mean >= floor,
        )

    def _estimate(self, values: Float[np.ndarray, " concepts"]) -> estimates.Estimate:
        found = estimates.over_concepts(
            {str(k): [float(value)] for k, value in enumerate(values)}, seed=self.seed
        )
        assert found, "there is a concept"
        return found

    def _interval(self, statistic: Callable[[Points, Points], float]) -> durations.Interval:
        value = statistic(self.gain.mean(0), self.preservation.mean(0))
        return self._quantiles(
            value, np.array([statistic(gain, kept) for gain, kept in self._resampled_curves])
        )

    def _quantiles(self, value: float, drawn: Float[np.ndarray, " rounds"]) -> durations.Interval:
        if len(self.gain) < 2:
            return durations.Interval(value=value, low=np.nan, high=np.nan)
        level = estimates.tail_quantile(len(self.gain))
        low, high = np.quantile(drawn[np.isfinite(drawn)], [level, 1 - level])
        return durations.Interval(value=value, low=float(low), high=float(high))

    @cached_property
    def _resampled_curves(self) -> list[tuple[Points, Points]]:
        """Mean curves of resampled concepts."""
        shares = estimates.resamples(len(self.gain), seed=self.seed, rounds=self.rounds) / len(
            self.gain
        )
        return list(zip(shares @ self.gain, shares @ self.preservation, strict=True))


def hypervolume(points: Float[np.ndarray, "points 2"]) -> float:
    """Area between the origin and points of which more is better in both; what lies below 0 adds none.

    References:
        Zitzler, Thiele. Multiobjective Evolutionary Algorithms: A Comparative Case Study and the Strength Pareto Approach. 1999. https://doi.org/10.1109/4235.797969
    """
    area = height = 0.0
    for x, y in sorted(((float(x), float(y)) for x, y in points if x > 0), reverse=True):
        area, height = area + x * max(0.0, y - height), max(height, y)
    return area


def matched_gain(gain: Points, preservation: Points, level: float) -> float | None:
    """The highest gain at which the line through neighbouring strengths has that preservation; None where it never has."""
    found = [float(one) for one, kept in zip(gain, preservation, strict=True) if kept == level]
    for k in range(len(gain) - 1):
        before, after = preservation[k] - level, preservation[k + 1] - level
        if before * after < 0:
            found.append(float(gain[k] + (gain[k + 1] - gain[k]) * before / (before - after)))
    return max(found, default=None)


def choose_strength(gain: Points, preservation: Points, *, floor: float) -> int:
    """Index of the highest gain among points that keep at least the floor, or else of the best kept; the first of equals."""
    good = np.flatnonzero(preservation >= floor)
    return int(good[np.argmax(gain[good])]) if len(good) else int(np.argmax(preservation))
