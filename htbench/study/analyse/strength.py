"""Results of the task `strength`: just noticeable differences, and strengths in the right order."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from htbench.core.types import method_and_strength
from htbench.run.study_result import IntervalRecord, NoticedRecord, ShareRecord, TableRecord
from htbench.stats import noticeable, psychometric
from htbench.stats.durations import Interval
from htbench.stats.families import FamiliesByConcept
from htbench.stats.noticeable import Level, MethodStrength, StrengthAnswer
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
                f"{level.right:,g}",
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
                int(level.right),
                level.right / level.answers,
                _at(each.curve, level),
            )
            for each in methods
            for level in each.levels
        ),
    )


def _noticed(own: MethodStrength) -> NoticedRecord:
    """The record of a method; its interval is left out where one difference alone was shown."""
    difference = own.noticeable
    if own.reach == "one":
        difference = Interval(value=math.nan, low=math.nan, high=math.nan)
    return NoticedRecord(
        method=own.method,
        noticeable=IntervalRecord.model_validate(difference),
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
    return noticeable.measure(name, list(map(_answer, votes)), families, rounds=rounds, seed=seed)


def _by_method(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """The decided votes on each method."""
    own: dict[str, list[Answer]] = defaultdict(list)
    for each in votes_of(answers, ("left", "right")):
        own[method_and_strength(each.left)[0]].append(each)
    return dict(sorted(own.items()))


def _answer(vote: Answer) -> StrengthAnswer:
    left, right = (method_and_strength(each)[1] for each in (vote.left, vote.right))
    chose_left = vote.choice == "left"
    return StrengthAnswer(
        difference=abs(left - right),
        right=float((left > right) == chose_left),
        concept=vote.concept,
        rater=vote.rater,
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
            {"difference": level.difference, "answers": level.answers, "right": int(level.right)}
            for level in each.levels
        ],
    }  # fmt: skip
