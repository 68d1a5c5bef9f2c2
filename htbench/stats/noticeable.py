"""The precision with which people or a judge tell the strengths of a method apart."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from htbench.stats import crossed, psychometric
from htbench.stats.answer_clusters import AnswerClusters
from htbench.stats.durations import Interval
from htbench.stats.families import FamiliesByConcept
from htbench.stats.power import DetectableEffect, detectable_effect
from htbench.stats.proportions import Proportion
from htbench.stats.psychometric import PsychometricCurve

_DIGITS = 9
"""Decimals of a difference of strengths by which two are the same."""


@dataclass(frozen=True, kw_only=True)
class StrengthAnswer:
    """An answer to the question which of two strengths of a method is stronger."""

    difference: float
    """The higher strength less the lower one, above 0."""
    right: float
    """1 for the picture of the higher strength, 0 for the other one, .5 for a tie."""
    concept: str
    rater: str = ""
    """The person; empty for a judge."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """The answers to one difference of strengths."""

    difference: float
    answers: int
    right: float
    """Their number in the right order; a tie is half of one."""


@dataclass(frozen=True, kw_only=True)
class MethodStrength:
    """The precision with which the strengths of a method are told apart."""

    method: str
    noticeable: Interval
    """The just noticeable difference of strength: 75 % are right, but for lapses; infinite where no
    difference is noticed. Intervals resample concepts and
    people."""
    order: Proportion
    """Answers that took the picture of the higher strength for the stronger one."""
    curve: PsychometricCurve
    levels: tuple[Level, ...]
    power: DetectableEffect
    """The share in the right order that such a study would tell from a half."""

    @property
    def reach(self) -> str:
        """`within` the differences shown, `below` or `above` all of them, or `one` if there is one
        difference only, where the form of the curve alone would give the answer.
        """
        if len(self.levels) < 2:
            return "one"
        if not self.noticeable.value <= self.levels[-1].difference:
            return "above"
        return "below" if self.noticeable.value < self.levels[0].difference else "within"

    @property
    def noticeable_text(self) -> str:
        """The just noticeable difference with its interval, as far as differences were shown."""
        if self.reach == "one":
            return "-"
        text = self._within_reach(self.noticeable.value)
        if math.isnan(self.noticeable.low):
            return text
        low, high = map(self._within_reach, (self.noticeable.low, self.noticeable.high))
        return f"{text} [{low}, {high}]" if low != high else text

    @property
    def order_text(self) -> str:
        """The share in the right order with its interval."""
        low, high = self.order.interval
        interval = "" if math.isnan(low) else f" [{low:.3f}, {high:.3f}]"
        return f"{self.order.value:.3f}{interval}"

    def _within_reach(self, difference: float) -> str:
        """A difference as text, or the shown one that it is below or above."""
        least, most = self.levels[0].difference, self.levels[-1].difference
        if difference < least:
            return f"below {least:g}"
        return f"{difference:.2f}" if difference <= most else f"above {most:g}"


def measure(
    method: str,
    answers: Sequence[StrengthAnswer],
    families: FamiliesByConcept | None = None,
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> MethodStrength:
    """The result of one method; no interval for 0 rounds.

    Raises:
        ValueError: if there are no answers.
    """
    gaps = np.array([each.difference for each in answers]).round(_DIGITS)
    right = np.array([each.right for each in answers])
    levels, level = np.unique(gaps, return_inverse=True)
    counts = np.bincount(level, minlength=len(levels)).astype(float)
    hits = np.bincount(level, right, minlength=len(levels))
    curve = psychometric.fit(levels, hits, counts)
    clusters = AnswerClusters.collect(
        [each.concept for each in answers], [each.rater for each in answers], families
    )
    slopes = []
    draws = clusters.draws(rounds=rounds, seed=seed) if rounds else ((), ())
    for by_concept, by_person in zip(*draws, strict=True):
        weight = clusters.weights(by_concept, by_person)
        drawn = np.bincount(level, weight, minlength=len(levels))
        if drawn.any():
            drawn_hits = np.bincount(level, weight * right, minlength=len(levels))
            slopes.append(psychometric.fit(levels, drawn_hits, drawn, start=curve).slope)
    factor = clusters.correction(psychometric.influence_on_slope(curve, gaps, right)[:, None])[0]
    resampled = curve.slope + factor * (np.array(slopes, float) - curve.slope)
    noticeable = clusters.interval(
        curve.noticeable, np.array([psychometric.threshold(slope) for slope in resampled])
    )
    by_concept_right: dict[str, list[float]] = defaultdict(list)
    for each in answers:
        by_concept_right[each.concept].append(each.right)
    return MethodStrength(
        method=method,
        noticeable=noticeable,
        order=crossed.share([(each.concept, each.rater, each.right) for each in answers]),
        curve=curve,
        levels=tuple(
            Level(difference=float(gap), answers=int(number), right=float(hit))
            for gap, number, hit in zip(levels, counts, hits, strict=True)
        ),
        power=detectable_effect(method, method, by_concept_right),
    )
