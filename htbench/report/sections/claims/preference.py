"""The claims on judges and on people: how often they prefer the paper's method to prompting."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from htbench.report import commands, format
from htbench.report.sections.claims.verdict import (
    Evidence,
    RuleResult,
    Target,
    Verdict,
    not_tested,
)
from htbench.report.sections.judges import JudgedCriterion, JudgeResult
from htbench.run.study_result import CriterionRecord, IntervalRecord, StudyRecord
from htbench.stats.durations import Interval

_CRITERION = "overall"


@dataclass(frozen=True, kw_only=True)
class Preference:
    """The preference of one judge, or of the people of one study, by one criterion."""

    source: str
    criterion: str
    rate: Interval
    """The rate at which the paper's method is preferred to prompting, with ties as half."""
    excluded: str
    """The reason why it decides nothing; empty if it counts."""
    votes: str = ""
    """Number of votes, as text."""

    @property
    def ratio(self) -> Interval:
        """The odds of the rate: how often one is preferred over how often the other is.

        Odds rise with the rate, so the interval's ends are the odds of its ends. A rate of 0 gives
        a ratio of 0 and a rate of 1 an infinite one, which leaves that side without a bound.
        """
        value, low, high = (
            math.inf if rate == 1 else rate / (1 - rate)
            for rate in (self.rate.value, self.rate.low, self.rate.high)
        )
        return Interval(value=value, low=low, high=high)

    @property
    def has_interval(self) -> bool:
        """False also for an interval without width at 0 or 1.

        There all votes agree and resamples cannot differ, which shows no precision.
        """
        low, high = self.rate.low, self.rate.high
        return not (math.isnan(low) or math.isnan(high) or low == high in (0, 1))


def check_judges(evidence: Evidence) -> RuleResult:
    """Preference over prompting, by every calibrated vision-language judge without a flag."""
    return _result(
        evidence,
        list(_by_judges(evidence)),
        unrated=list(_failed_calibrations(evidence)),
        missing="No judge has compared it with prompting.",
        command=_command(evidence, "judge", "--judge", "openai"),
    )


def check_people(evidence: Evidence) -> RuleResult:
    """Preference over prompting, by the people of every study that kept its declared rules."""
    return _result(
        evidence,
        list(_by_people(evidence)),
        missing="No study with people has compared it with prompting.",
        command=_command(evidence, "study export"),
    )


def _command(evidence: Evidence, command: str, *options: str) -> str:
    prompt = evidence.roles.prompt or "prompt"
    question = ("--criterion", _CRITERION, "--against", prompt)
    return commands.for_run(evidence.summary, command, *options, *question)


def _by_judges(evidence: Evidence) -> Iterator[Preference]:
    own, prompt = evidence.paper_method, evidence.roles.prompt
    for judgement in evidence.judged.results:
        for block in judgement.criteria:
            rate = block.criterion.preference_rate(own, prompt) if own and prompt else None
            if rate is not None:
                yield Preference(
                    source=judgement.name,
                    criterion=block.criterion.name,
                    rate=rate,
                    excluded=_judge_excluded(evidence, judgement, block),
                )


def _failed_calibrations(evidence: Evidence) -> Iterator[str]:
    """A line for each criterion by which a judge has no ratings, since its calibration failed."""
    for judgement in evidence.judged.results:
        for block in judgement.criteria:
            calibration = block.criterion.calibration
            if calibration and calibration.status == "failed":
                name = f"{judgement.name}, {block.criterion.name}"
                yield f"{name}: does not count, since it failed its calibration, {calibration}"


def _judge_excluded(evidence: Evidence, judgement: JudgeResult, block: JudgedCriterion) -> str:
    if not judgement.is_vlm:
        return "it is no vision-language model"
    if block.criterion.name != _CRITERION:
        return _OTHER_CRITERION
    if block.criterion.calibration is None:
        return "it was not calibrated"
    if block.criterion.calibration.status == "incomplete":
        return "its calibration is not complete"
    if block.audit.flags:
        return f"its audit flags {format.join_names(block.audit.flags)}"
    strength = judgement.design["strength"]
    return "" if strength == evidence.summary.full_strength else _strength_excluded(strength)


def _by_people(evidence: Evidence) -> Iterator[Preference]:
    own, prompt = evidence.paper_method, evidence.roles.prompt
    for study in evidence.people.studies:
        for criterion in study.criteria:
            for pair in criterion.preferences:
                if {pair.one, pair.two} == {own, prompt}:
                    yield Preference(
                        source=study.study,
                        criterion=criterion.name,
                        rate=_rate(pair.forced, turned=pair.one == prompt),
                        excluded=_study_excluded(evidence, study, criterion),
                        votes=f", {pair.votes:,} votes",
                    )


def _rate(rate: IntervalRecord, *, turned: bool) -> Interval:
    return (
        Interval(value=1 - rate.value, low=1 - rate.high, high=1 - rate.low)
        if turned
        else Interval(value=rate.value, low=rate.low, high=rate.high)
    )


def _study_excluded(evidence: Evidence, study: StudyRecord, criterion: CriterionRecord) -> str:
    if criterion.name != _CRITERION:
        return _OTHER_CRITERION
    if study.rules_changed:
        return "its rules of exclusion were changed after the first import"
    strength = study.strength
    return (
        "" if strength in (None, evidence.summary.full_strength) else _strength_excluded(strength)
    )


_OTHER_CRITERION = f"only the criterion {_CRITERION} does"


def _strength_excluded(strength: float | None) -> str:
    at = "the strengths chosen on dev concepts"
    if strength is not None:
        at = f"strength {format.strength(strength)}"
    return f"it compared pictures at {at}"


def _result(
    evidence: Evidence,
    preferences: Sequence[Preference],
    *,
    missing: str,
    command: str,
    unrated: Sequence[str] = (),
) -> RuleResult:
    """The verdict of all preferences that count: theirs if they agree, else `mixed`.

    `unrated` are lines on those who compared the pictures and have no preference that could count.
    """
    target = Target(least=evidence.numbers["least"], most=evidence.numbers["most"])
    verdicts: list[Verdict] = []
    findings, reasons = [*unrated], []
    for preference in preferences:
        excluded = preference.excluded or ("" if preference.has_interval else "it has no interval")
        text = _finding(preference)
        if excluded:
            findings.append(f"{text}: does not count, since {excluded}")
            continue
        verdicts.append(target.verdict(preference.ratio))
        findings.append(f"{text}: {verdicts[-1]}")
        reasons.append(_reason(evidence, preference, target))
    if not verdicts:
        why = "None of the comparisons with prompting counts." if findings else missing
        return not_tested(why, findings=findings, command=command)
    agreed = len(set(verdicts)) == 1
    return RuleResult(
        verdict=verdicts[0] if agreed else "mixed", reason=" ".join(reasons), findings=findings
    )


def _finding(preference: Preference) -> str:
    percent = partial(format.percent, decimals=1)
    share = f"preferred in {percent(preference.rate.value)}{_around(preference.rate, percent)}"
    ratio = f"{_often(preference.ratio)}{_around(preference.ratio, _times)}"
    name = f"{preference.source}, {preference.criterion}"
    return f"{name}: {share}, {ratio}{preference.votes}"


def _reason(evidence: Evidence, preference: Preference, target: Target) -> str:
    own, prompt, ratio = evidence.paper_method, evidence.roles.prompt, preference.ratio
    return (
        f"By {preference.source}, {own} is preferred {_often(ratio)} as {prompt}"
        f"{_around(ratio, _times)}, {target.position(ratio)}."
    )


def _often(ratio: Interval) -> str:
    return f"{_times(ratio.value)} times as often"


def _around(interval: Interval, number: Callable[[float], str]) -> str:
    has_interval = not (math.isnan(interval.low) or math.isnan(interval.high))
    return f" {format.interval(interval.low, interval.high, number)}" if has_interval else ""


def _times(ratio: float) -> str:
    return "∞" if math.isinf(ratio) else f"{ratio:.2f}"
