"""The claim that the paper's method matches the strongest per-concept method."""

import math
from collections.abc import Mapping
from dataclasses import replace

from htbench.report import commands, format
from htbench.report.rival import Rival, find_rival, steerable_kinds
from htbench.report.sections.claims.verdict import (
    Evidence,
    RuleResult,
    Target,
    circular,
    estimate_text,
    not_tested,
    preservation,
    too_few,
)
from htbench.stats import estimates
from htbench.stats.paired import PairedComparison, compare
from htbench.stats.relative import RelativeMatch, relative_match

_NOT_BELOW = Target(least=0.0)


def check_match(evidence: Evidence) -> RuleResult:
    """Concept gain, paired with that of the rival, on the concepts that the rival can steer."""
    summary, own, at = evidence.summary, evidence.rankable_method, evidence.summary.full_strength
    if own is None:
        return circular(evidence)
    rival = find_rival(summary, evidence.roles)
    if rival is None:
        return not_tested(
            "No per-concept method is scored here.",
            command=commands.with_methods(summary, "linear-act", "lineas"),
        )
    seen = set(summary.facts.methods[own].leaked)
    gains = {
        concept: gain for concept, gain in summary.means(own, at).items() if concept not in seen
    }
    rivals = summary.means(rival.method, at)
    kinds = steerable_kinds(summary, rival.method, floor=evidence.numbers["floor"])
    steerable = _of_kinds(evidence, rivals, kinds)
    match = relative_match(gains, steerable, summary.families, margin=evidence.numbers["margin"])
    if match is None:
        return not_tested(_no_concept(own, rival, at))
    verdict = _NOT_BELOW.verdict(match.above_lower)
    if verdict == "not tested":
        return too_few(match.above_lower)
    if not _is_above_zero(evidence, steerable):
        return not_tested(f"{rival.method} has no clear gain that could be matched.")
    return RuleResult(
        verdict=verdict,
        reason=_reason(own, rival, match, at),
        findings=[
            _which_concepts(rival, kinds, match, len(rivals.keys() & gains.keys())),
            *([f"{len(seen):,} concepts that {own} was trained on are left out"] if seen else []),
            _equivalence(own, rival, match),
            _sensitivity(rival, match),
            *_differences(evidence, own),
            *preservation(summary, dict.fromkeys((own, rival.method), at)),
            *_by_novelty(evidence, own),
            *_at_tuned_strengths(evidence, own, rival),
        ],
    )


def _of_kinds(
    evidence: Evidence, scores: Mapping[str, float], kinds: frozenset[str] | None
) -> dict[str, float]:
    concepts = evidence.summary.facts.concepts
    return {
        concept: score
        for concept, score in scores.items()
        if kinds is None or (concept in concepts and concepts[concept].kind in kinds)
    }


def _is_above_zero(evidence: Evidence, scores: Mapping[str, float]) -> bool:
    mean = estimates.over_concepts(
        {concept: [score] for concept, score in scores.items()}, evidence.summary.families
    )
    return mean is not None and mean.low > 0


def _no_concept(own: str, rival: Rival, at: float) -> str:
    return (
        f"{own} is scored at strength {format.strength(at)} on no concept that it has not seen "
        f"and that {rival.method} can steer."
    )


def _reason(own: str, rival: Rival, match: RelativeMatch, at: float) -> str:
    lower, share = match.above_lower, format.strength(round(1 - match.margin, 6))
    where = f"over {lower.n:,} concepts at strength {format.strength(at)}"
    return (
        f"{own} reaches {format.percent(match.ratio)} of the concept gain of {rival.method}, "
        f"{where}. Its gain minus {share} times that of {rival.method} is "
        f"{estimate_text(lower, signed=True)}, {_NOT_BELOW.position(lower)}. "
        f"{rival.method} is the per-concept method with the highest gain on {rival.chosen_on}."
    )


def _which_concepts(
    rival: Rival, kinds: frozenset[str] | None, match: RelativeMatch, concepts: int
) -> str:
    if kinds is None:
        return (
            f"all {concepts:,} concepts count, since no dev results show which kinds of concept "
            f"{rival.method} can steer"
        )
    return (
        f"{match.above_lower.n:,} of {concepts:,} concepts count, of the kinds that "
        f"{rival.method} steers on dev concepts: {format.join_names(sorted(kinds))}"
    )


def _equivalence(own: str, rival: Rival, match: RelativeMatch) -> str:
    upper, share = match.below_upper, format.strength(round(1 + match.margin, 6))
    shown = "shown" if match.equivalent else "not shown"
    return (
        f"the other side: {share} times the gain of {rival.method} minus that of {own} is "
        f"{estimate_text(upper, signed=True)}; equivalence within "
        f"{format.percent(match.margin)} on both sides is {shown}"
    )


def _sensitivity(rival: Rival, match: RelativeMatch) -> str:
    worse = format.strength(round(1 - 2 * match.margin, 6))
    chance = "over 99 %" if match.power > 0.99 else format.percent(match.power)
    return (
        f"power: with the spread seen here, a method with {worse} times the gain of "
        f"{rival.method} would contradict the claim in {chance} of runs, and a method with equal "
        "gain would support it as often"
    )


def _differences(evidence: Evidence, own: str) -> list[str]:
    """Differences from all per-concept methods, without a test."""
    summary = evidence.summary
    scores = {
        method: means
        for method in (*evidence.roles.per_concept, own)
        if method not in evidence.roles.circular
        and (means := summary.means(method, summary.full_strength))
    }
    return [
        f"{own} minus {pair.first}, on all concepts: {_difference_text(pair)}"
        for pair in sorted(
            compare(scores, evidence.summary.families, reference=own),
            key=lambda pair: -pair.difference.mean,
        )
    ]


def _by_novelty(evidence: Evidence, own: str) -> list[str]:
    """Difference from the rival on concepts in known words and on the others."""
    row = next((row for row in evidence.novelty if row.method == own), None)
    if row is None:
        return []
    parts = {"in words of its training": row.known, "with a new word": row.novel}
    texts = [
        f"on {part.score.n:,} concepts {sort} {estimate_text(part.difference, signed=True)}"
        for sort, part in parts.items()
        if part and part.difference
    ]
    return [f"{own} minus {row.reference}: {'; '.join(texts)}"] if texts else []


def _at_tuned_strengths(evidence: Evidence, own: str, rival: Rival) -> list[str]:
    """Difference from the rival, each at its strength chosen on dev concepts.

    At these strengths their image preservation differs less.
    """
    summary = evidence.summary
    strengths = {
        method: choice.strength
        for method in (own, rival.method)
        if (choice := summary.facts.tuned.get(method)) and math.isfinite(choice.strength)
    }
    scores = {method: summary.means(method, at) for method, at in strengths.items()}
    if len(strengths) < 2 or not all(scores.values()):
        return []
    mine, other = (f"{method} ({format.strength(at)})" for method, at in strengths.items())
    return [
        f"at the strengths chosen on dev concepts, {mine} minus {other}: {_difference_text(pair)}"
        for pair in compare(scores, evidence.summary.families, reference=own)
    ] + preservation(summary, strengths)


def _difference_text(pair: PairedComparison) -> str:
    """The difference with its sign turned: the reference less the other method."""
    own = pair.difference
    turned = replace(own, mean=-own.mean, low=-own.high, high=-own.low)
    return estimate_text(turned, signed=True)
