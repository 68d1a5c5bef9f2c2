"""The claim on strength: whether gain rises with every step from 0 to 1."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from htbench.report import commands, format
from htbench.report.sections import strength_ranges, strength_scales
from htbench.report.sections import strengths as strengths_section
from htbench.report.sections.claims.verdict import (
    Evidence,
    RuleResult,
    Target,
    all_of,
    circular,
    estimate_text,
    not_tested,
    too_few,
)
from htbench.run.study_result import IntervalRecord
from htbench.run.summary import Summary
from htbench.stats import dose_response, estimates
from htbench.stats.dose_response import Curves, DoseResponse
from htbench.stats.durations import Interval
from htbench.stats.families import FamiliesByConcept

_FLAT_CORRELATION, _FLAT_BACKSTEP = 0.0, 0.5
"""A flat curve counts as one that falls as much as it rises."""


def check_strength(evidence: Evidence) -> RuleResult:
    """Rank correlation of gain with strength, and the share of all movement that goes back."""
    summary, own = evidence.summary, evidence.rankable_method
    if own is None:
        return circular(evidence)
    scaled = set(scale.strengths if (scale := summary.facts.strength_scales.get(own)) else ())
    # strengths of the scale alone are nearer to each other, and steps between them are noise
    scaled -= set(summary.facts.plan.strengths or ())
    within = [
        value
        for value in strengths_section.strengths(summary, own)
        if 0 <= value <= 1 and value not in scaled
    ]
    needed = int(evidence.numbers["strengths"])
    command = commands.with_strengths(summary, *np.linspace(0, 1, needed))
    if len(within) < needed:
        return not_tested(
            f"The run has {len(within)} strengths from 0 to 1, and the rule needs {needed}.",
            command=command,
        )
    curves = strengths_section.gain_curves(summary, own, within)
    failed = _failed_curves(summary, own, within)
    correlation, backstep = (
        _mean(curves, statistic, flat=flat, families=summary.families, within=ends)
        for statistic, flat, ends in (
            (dose_response.spearman, _FLAT_CORRELATION, (-1.0, 1.0)),
            (dose_response.backstep, _FLAT_BACKSTEP, (0.0, 1.0)),
        )
    )
    if correlation is None or backstep is None:
        return not_tested("No picture is scored at all of these strengths yet.")
    rises = Target(least=evidence.numbers["correlation"])
    holds = Target(most=evidence.numbers["backstep"])
    people = _people(evidence, own)
    verdict = all_of(
        [rises.verdict(correlation), holds.verdict(backstep), *(each.verdict for each in people)]
    )
    if verdict == "not tested":
        return too_few(correlation)
    shown = ", ".join(map(format.strength, within))
    response = strengths_section.dose_response(summary, own, within)
    return RuleResult(
        verdict=verdict,
        reason=f"Over strengths {shown}, the rank correlation of gain with strength is "
        f"{estimate_text(correlation)}, "
        f"{rises.position(correlation)}; the share of all movement that goes back is "
        f"{estimate_text(backstep)}, {holds.position(backstep)}."
        + "".join(f" {each.reason}" for each in people),
        findings=[
            _counts(curves, failed),
            *(_shape(response) if response else []),
            *_interpretation(summary, own, is_judged=bool(people)),
        ],
    )


def _people(evidence: Evidence, method: str) -> list[RuleResult]:
    """The difference of strength that people notice, as each study found it, if its rules of
    exclusion are those declared beforehand and it has an interval.
    """
    noticed = Target(most=evidence.numbers["noticeable"])
    found = [
        (study.study, own.noticeable, own.right_order)
        for study in evidence.people.studies
        if not study.rules_changed
        for own in study.noticed
        if own.method == method
    ]
    intervals = [(name, _opened(each), order) for name, each, order in found]
    return [
        RuleResult(
            verdict=noticed.verdict(each),
            reason=f"In study {name}, people notice a difference of strength of "
            f"{' '.join(_text(each))} in three of four cases, "
            f"{noticed.position(each)}; {format.percent(order.value)} of {order.of:,} answers have "
            "the right order.",
        )
        for name, each, order in intervals
        if noticed.verdict(each) != "not tested"
    ]


def _opened(noticeable: IntervalRecord) -> Interval:
    """The interval of a difference: what its file cannot hold, beside a lower end, is infinite."""
    is_open = not math.isnan(noticeable.low)
    value, high = (
        math.inf if is_open and math.isnan(end) else end
        for end in (noticeable.value, noticeable.high)
    )
    return Interval(value=value, low=noticeable.low, high=high)


def _text(noticeable: Interval) -> list[str]:
    """The difference and its interval, each as text."""
    value, high = (
        "no limit" if math.isinf(each) else format.score(each)
        for each in (noticeable.value, noticeable.high)
    )
    return [value, f"[{format.score(noticeable.low)}, {high}]"]


def _interpretation(summary: Summary, method: str, *, is_judged: bool) -> list[str]:
    """Sentences on what a strength means, in a run with a perceptual scale of the method."""
    scales = strength_scales.collect(summary)
    ranges = strength_ranges.collect(summary) if scales else None
    sentences = [
        f"useful range: noticeable from {row.onset}, ends at {row.end} ({row.reason})"
        for row in (ranges.rows if ranges else ())
        if row.method == method
    ]
    sentences += [
        "steps on the perceptual scale more even than plain ones: "
        f"{row.verdict}, evenness {estimate_text(row.comparison.before)} before and "
        f"{estimate_text(row.comparison.after)} after"
        for row in (scales.rows if scales else ())
        if row.method == method and row.comparison
    ]
    unasked = "people were not asked which of two strengths is stronger: htbench study export"
    return sentences if is_judged else [*sentences, f"{unasked} --task strength does"]


def _failed_curves(summary: Summary, method: str, at: Sequence[float]) -> Counter[str]:
    """Numbers of curves with a failed picture at any of these strengths, by concept."""
    query = """SELECT DISTINCT concept, prompt, seed, strength
               FROM cells JOIN images ON images.key = image JOIN failures ON failures.key = image
               WHERE method = ? AND file IS NULL"""
    rows = summary.store.select(query, method)
    failed = {(concept, prompt, seed) for concept, prompt, seed, value in rows if value in at}
    return Counter(concept for concept, _, _ in failed)


def _mean(
    curves: Mapping[str, Curves],
    statistic: Callable[[Curves], Float[np.ndarray, " curves"]],
    *,
    flat: float,
    families: FamiliesByConcept,
    within: tuple[float, float],
) -> estimates.Estimate | None:
    """Mean over concepts of a statistic of complete curves, whose values lie `within` a range."""
    values = {}
    for concept, of_concept in curves.items():
        complete = of_concept[~np.isnan(of_concept).any(1)]
        moves = np.ptp(complete, axis=1) > dose_response.FLAT_BELOW
        values[concept] = [float(each) for each in np.where(moves, statistic(complete), flat)]
    return estimates.over_concepts(values, families, within=within)


def _counts(curves: Mapping[str, Curves], failed: Counter[str]) -> str:
    every = np.concatenate(list(curves.values()))
    complete = every[~np.isnan(every).any(1)]
    flat = int((np.ptp(complete, axis=1) <= dose_response.FLAT_BELOW).sum())
    lacking = len(every) - len(complete)
    return (
        f"{len(every):,} curves, one per picture: {flat:,} flat, {failed.total():,} with a failed "
        f"picture, {lacking:,} incomplete and left out"
    )


def _shape(response: DoseResponse) -> list[str]:
    """Figures of the curves that move."""
    figures = {
        "R² of a straight line": response.linearity,
        "share of all movement in the largest step": response.largest_step,
    }
    return [
        f"{title}: {estimate_text(value)}, without flat curves"
        for title, value in figures.items()
        if value
    ]
