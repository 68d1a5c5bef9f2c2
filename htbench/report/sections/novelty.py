"""Trained methods on concepts in words of their training, and on concepts with a new word.

Concepts of either sort differ in difficulty. So each method is also compared with the best method
that fits every concept by itself, and for which no concept is new.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from htbench.report.rival import find_rival
from htbench.report.roles import Roles
from htbench.run.summary import HEADLINE, Summary
from htbench.scorers.metric_table import RANGES
from htbench.stats import estimates
from htbench.stats.estimates import Estimate
from htbench.stats.families import FamiliesByConcept


@dataclass(frozen=True, kw_only=True)
class NoveltyScore:
    """A method on the concepts of one sort, at full strength."""

    score: Estimate
    reference: Estimate | None
    """Score of the per-concept method."""
    difference: Estimate | None
    """The method less the per-concept one, concept by concept."""


@dataclass(frozen=True, kw_only=True)
class Novelty:
    """A method on concepts of both sorts."""

    method: str
    trained_on: int
    """Training concepts."""
    reference: str | None
    """The per-concept method beside it; None if there is none."""
    known: NoveltyScore | None
    """Score on concepts whose words are all words of training concepts."""
    novel: NoveltyScore | None
    """Score on concepts with a word that no training concept has."""
    loss: Estimate | None
    """The difference from the per-concept method on known words less that on new words."""


def collect(
    summary: Summary, roles: Roles, *, metric: str = HEADLINE, reference: str | None = None
) -> list[Novelty]:
    """Every method whose training words are known and that the scorer can judge.

    It stands beside `reference`, or beside the rival of `report/rival.py` if none is named.
    """
    if reference is None and (rival := find_rival(summary, roles)):
        reference = rival.method
    at = summary.full_strength
    worded = [concept for concept, fact in summary.facts.concepts.items() if fact.text]
    rows = []
    for method, card in summary.facts.methods.items():
        novel, scores = card.audit.novel, summary.means(method, at, metric)
        if novel is None or method in roles.circular or not scores:
            continue
        names = [method, reference] if reference else [method]
        shared = summary.paired_means(dict.fromkeys(names, at), metric).means
        own, against = shared[method], shared[reference] if reference else {}
        known, new = (
            {
                concept: scores[concept]
                for concept in worded
                if concept in scores and (concept in novel) is is_new
            }
            for is_new in (False, True)
        )
        on_known, on_new = (
            {concept: own[concept] - against[concept] for concept in sort if concept in against}
            for sort in (known, new)
        )
        rows.append(
            Novelty(
                method=method,
                trained_on=card.audit.trained_on,
                reference=reference,
                known=_score(known, own, against, summary.families, RANGES[metric]),
                novel=_score(new, own, against, summary.families, RANGES[metric]),
                # failures on known words would lower the loss
                loss=None
                if summary.leaderboard_row(method, at).unranked
                else estimates.contrast(on_known, on_new, summary.families),
            )
        )
    return rows


def _score(
    scores: Mapping[str, float],
    own: Mapping[str, float],
    against: Mapping[str, float],
    families: FamiliesByConcept,
    within: tuple[float, float],
) -> NoveltyScore | None:
    score = estimates.over_concepts(
        {concept: [value] for concept, value in scores.items()}, families, within=within
    )
    if score is None:
        return None
    both = [concept for concept in scores if concept in against]
    return NoveltyScore(
        score=score,
        reference=estimates.over_concepts(
            {concept: [against[concept]] for concept in both}, families, within=within
        ),
        difference=estimates.over_concepts(
            {concept: [own[concept] - against[concept]] for concept in both}, families
        ),
    )
