"""The claim on pictures: whether a reference image brings the concept."""

import math

from htbench.report import commands, format
from htbench.report.sections import strengths as strengths_section
from htbench.report.sections.claims.verdict import (
    Evidence,
    RuleResult,
    Target,
    Verdict,
    circular,
    estimate_text,
    not_tested,
    too_few,
)
from htbench.report.sections.strengths import ModalityComparison
from htbench.run.summary import HEADLINE

_ABOVE_ZERO = Target(least=math.ulp(0.0))
"""A gain of exactly 0 does not satisfy the claim."""
_POSITION: dict[Verdict, str] = {
    "supported": "wholly above 0",
    "contradicted": "nowhere above 0",
    "inconclusive": "only partly above 0",
}


def check_pictures(evidence: Evidence) -> RuleResult:
    """Concept gain, steered by pictures, and how it compares with that by words."""
    summary, roles = evidence.summary, evidence.roles
    if not roles.by_pictures:
        return not_tested(
            "No method of this run reads pictures.",
            command=commands.with_methods(summary, "hypertransport-image"),
        )
    own = evidence.first_rankable(roles.by_pictures)
    if own is None:
        return circular(evidence)
    at = summary.full_strength
    gain = summary.leaderboard_row(own, at).scores[HEADLINE]
    if gain is None:
        return not_tested(f"{own} is not scored yet.")
    verdict = _ABOVE_ZERO.verdict(gain)
    if verdict == "not tested":
        return too_few(gain)
    by_words = evidence.first_rankable(roles.by_words)
    return RuleResult(
        verdict=verdict,
        reason=f"Steered by pictures at strength {format.strength(at)}, {own} has a concept gain "
        f"of {estimate_text(gain)}, {_POSITION[verdict]}.",
        findings=[
            text
            for pair in strengths_section.compare_modalities(summary, roles)
            if (pair.by_pictures, pair.by_words) == (own, by_words)
            for text in _comparison(pair)
        ],
    )


def _comparison(pair: ModalityComparison) -> list[str]:
    """The gain by pictures beside that by words."""
    agreement, match = pair.agreement, pair.match
    around = format.interval(agreement.low, agreement.high)
    texts = [
        f"difference from the gain by words: {estimate_text(agreement.difference, signed=True)}",
        f"agreement over concepts: {format.score(agreement.concordance)} {around} "
        "(Lin’s concordance)",
    ]
    if match and not math.isnan(match.ratio):
        shown = "shown" if match.equivalent else "not shown"
        texts.append(
            f"{format.percent(match.ratio)} of the gain by words; "
            f"equivalence within {format.percent(match.margin)} is {shown}"
        )
    return texts
