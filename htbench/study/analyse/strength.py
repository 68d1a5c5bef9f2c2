"""Results of the task `strength`: just noticeable differences, and strengths in the right order."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from htbench.run.study_result import IntervalRecord, NoticedRecord, ShareRecord, TableRecord
from htbench.stats import crossed, psychometric
from htbench.stats.answer_clusters import AnswerClusters
from htbench.stats.durations import Interval
from htbench.stats.families import FamiliesByConcept
from htbench.stats.power import DetectableEffect, detectable_effect
from htbench.stats.proportions import Proportion
from htbench.stats.psychometric import PsychometricCurve
from htbench.study.analyse.agreement import collect_pair_votes, units_of
from htbench.study.analyse.task_result import (
    TaskResult,
    agreement_notes,
    interval_facts,
    share,
    votes_of,
)
from htbench.study.answer import Answer
from htbench.study.exclusions import Flow
from htbench.study.task import method_and_strength

_DIGITS = 9
"""Decimals of a difference of strengths by which two are the same."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """The answers to one difference of strengths."""

    difference: float
    answers: int
    right: int


@dataclass(frozen=True, kw_only=True)
class MethodStrength:
    """The precision with which people tell the strengths of a method apart."""

    method: str
    noticeable: Interval
    """The just noticeable difference of strength: 75 % are right, but for lapses; infinite where no
    difference is noticed. Intervals resample concepts and people."""
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

    def _within_reach(self, difference: float) -> str:
        """A difference as text, or the shown one that it is below or above."""
        least, most = self.levels[0].difference, self.levels[-1].difference
        if difference < least:
            return f"below {least:g}"
        return f"{difference:.2f}" if difference <= most else f"above {most:g}"


def compute(
    flow: Flow, families: FamiliesByConcept | None = None, *, rounds: int = 1000, seed: int = 0
) -> TaskResult:
    """The result of a study of strengths, from its answers after exclusions."""
    methods = [
        of_method(name, own, families, rounds=rounds, seed=seed)
        for name, own in _by_method(flow.kept).items()
    ]
    everybody = {
        name: of_method(name, own, families, rounds=0)
        for name, own in _by_method(flow.unique).items()
    }
    skipped = sum(each.kind == "vote" and each.choice == "skip" for each in flow.kept)
    summary = TableRecord(
        title="Strength: the just noticeable difference, and strengths in the right order "
        "[95 % interval]",
        columns=[
            "Method",
            "Noticeable difference",
            "Right order",
            "Without exclusions",
            "Lapses",
            "Would show",
        ],
        rows=[
            [
                each.method,
                each.noticeable_text,
                share(each.order),
                everybody[each.method].noticeable_text,
                f"{each.curve.lapses:.3f}",
                "-" if math.isnan(each.power.least) else f"{each.power.least:.3f}",
            ]
            for each in methods
        ],
    )
    points = TableRecord(
        title="Strength: answers for the stronger picture, by the difference of strengths",
        columns=["Method", "Difference", "Answers", "Right", "Share", "Curve"],
        rows=[
            [
                each.method,
                f"{level.difference:g}",
                f"{level.answers:,}",
                f"{level.right:,}",
                f"{level.right / level.answers:.3f}",
                f"{_at(each.curve, level):.3f}",
            ]
            for each in methods
            for level in each.levels
        ],
    )
    notes = [
        "The curve is a probit of the difference of strengths through one half at 0, with lapses "
        f"of {psychometric.MAX_LAPSES:.0%} at most; the noticeable difference is that at which "
        "75 % are right but for lapses. It takes two differences of strengths or more. Intervals "
        "resample concepts, by family, and people.",
        "Would show: the share in the right order that four of five such studies would tell from a "
        "half.",
        f"Answered 'cannot say', and left out: {skipped:,}",
        *agreement_notes(flow.kept, units_of(collect_pair_votes(flow.kept))),
    ]
    return TaskResult(
        task="strength",
        criterion="strength",
        tables=(summary, points) if methods else (),
        notes=tuple(notes),
        facts={"methods": [_facts(each) for each in methods], "skipped": skipped},
        noticed=tuple(map(_noticed, methods)),
        columns=("method", "difference", "answers", "right", "share", "curve"),
        rows=tuple(
            (
                each.method,
                level.difference,
                level.answers,
                level.right,
                level.right / level.answers,
                _at(each.curve, level),
            )
            for each in methods
            for level in each.levels
        ),
    )


def _noticed(own: MethodStrength) -> NoticedRecord:
    """The record of a method; its interval is left out where one difference alone was shown."""
    noticeable = own.noticeable
    if own.reach == "one":
        noticeable = Interval(value=math.nan, low=math.nan, high=math.nan)
    return NoticedRecord(
        method=own.method,
        noticeable=IntervalRecord.model_validate(noticeable),
        right_order=ShareRecord.from_proportion(own.order),
    )


def of_method(
    name: str,
    votes: Sequence[Answer],
    families: FamiliesByConcept | None = None,
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> MethodStrength:
    """The result of one method from its decided votes; no interval for 0 rounds.

    Raises:
        ValueError: if there are none.
    """
    gaps, right = _gaps(votes)
    levels, level = np.unique(gaps, return_inverse=True)
    counts = np.bincount(level, minlength=len(levels)).astype(float)
    curve = _curve(votes)
    clusters = AnswerClusters.collect(
        [each.concept for each in votes], [each.rater for each in votes], families
    )
    slopes = []
    draws = clusters.draws(rounds=rounds, seed=seed) if rounds else ((), ())
    for by_concept, by_person in zip(*draws, strict=True):
        weight = clusters.weights(by_concept, by_person)
        drawn = np.bincount(level, weight, minlength=len(levels))
        if drawn.any():
            hits = np.bincount(level, weight * right, minlength=len(levels))
            slopes.append(psychometric.fit(levels, hits, drawn, start=curve).slope)
    factor = clusters.correction(psychometric.influence_on_slope(curve, gaps, right)[:, None])[0]
    resampled = curve.slope + factor * (np.array(slopes, float) - curve.slope)
    noticeable = clusters.interval(
        curve.noticeable, np.array([psychometric.threshold(slope) for slope in resampled])
    )
    by_concept_right: dict[str, list[float]] = defaultdict(list)
    for each, is_right in zip(votes, right, strict=True):
        by_concept_right[each.concept].append(float(is_right))
    hits = np.bincount(level, right, minlength=len(levels))
    return MethodStrength(
        method=name,
        noticeable=noticeable,
        order=crossed.share(
            [
                (each.concept, each.rater, bool(is_right))
                for each, is_right in zip(votes, right, strict=True)
            ]
        ),
        curve=curve,
        levels=tuple(
            Level(difference=float(gap), answers=int(number), right=int(hit))
            for gap, number, hit in zip(levels, counts, hits, strict=True)
        ),
        power=detectable_effect(name, name, by_concept_right),
    )


def _by_method(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """The decided votes on each method."""
    own: dict[str, list[Answer]] = defaultdict(list)
    for each in votes_of(answers, ("left", "right")):
        own[method_and_strength(each.left)[0]].append(each)
    return dict(sorted(own.items()))


def _gaps(votes: Sequence[Answer]) -> tuple[np.ndarray, np.ndarray]:
    """The difference of strengths of each vote, and 1 where the stronger picture was chosen."""
    left = np.array([method_and_strength(each.left)[1] for each in votes])
    right = np.array([method_and_strength(each.right)[1] for each in votes])
    chose_left = np.array([each.choice == "left" for each in votes])
    return np.abs(left - right).round(_DIGITS), ((left > right) == chose_left).astype(float)


def _curve(votes: Sequence[Answer]) -> PsychometricCurve:
    gaps, right = _gaps(votes)
    levels, level = np.unique(gaps, return_inverse=True)
    size = len(levels)
    return psychometric.fit(
        levels,
        np.bincount(level, right, minlength=size),
        np.bincount(level, minlength=size).astype(float),
    )


def _at(curve: PsychometricCurve, level: Level) -> float:
    return float(curve.probability(np.array([level.difference]))[0])


def _facts(each: MethodStrength) -> dict[str, object]:
    low, high = each.order.interval
    return {
        "method": each.method,
        "noticeable": interval_facts(each.noticeable),
        "reach": each.reach,
        "right_order": {
            "value": each.order.value, "low": low, "high": high, "of": each.order.of
        },
        "slope": each.curve.slope,
        "lapses": each.curve.lapses,
        "would_show": each.power.least,
        "levels": [
            {"difference": level.difference, "answers": level.answers, "right": level.right}
            for level in each.levels
        ],
    }  # fmt: skip
