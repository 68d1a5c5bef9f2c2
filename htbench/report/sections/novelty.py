"""What methods that learn from many concepts do with concepts in words that their training had, and with concepts that have a new word.

Concepts of either sort differ in how hard they are. So each is also compared with the best method that fits every concept by itself, and for
which none is new.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from htbench.report import format
from htbench.report.roles import Roles
from htbench.run.summary import HEADLINE, Summary
from htbench.stats import estimates
from htbench.stats.estimates import Estimate


@dataclass(frozen=True, kw_only=True)
class NoveltyScore:
    """A method on the concepts of one sort, at full strength."""

    score: Estimate
    reference: Estimate | None
    """Of the per-concept method."""
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
    """All words of these concepts are words of training concepts."""
    novel: NoveltyScore | None
    """These have a word that no training concept has."""
    loss: Estimate | None
    """By how much less the method has of the per-concept one's score where a word is new."""


def collect(
    summary: Summary, roles: Roles, *, metric: str = HEADLINE, reference: str | None = None
) -> list[Novelty]:
    """Of every method whose training is known word by word, and that the scorer can judge; beside another `reference` than the best if one is named."""
    reference = reference or _best_per_concept(summary, roles)
    against = summary.means(reference, summary.full_strength, metric) if reference else {}
    worded = [
        concept
        for concept, facts in format.as_mapping(summary.facts.get("concepts")).items()
        if format.as_mapping(facts).get("text")
    ]
    found = []
    for method, card in format.as_mapping(summary.facts.get("methods")).items():
        audit = format.as_mapping(format.as_mapping(card).get("audit"))
        novel, scores = audit.get("novel"), summary.means(method, summary.full_strength, metric)
        if not isinstance(novel, list) or method in roles.circular or not scores:
            continue
        known, new = (
            {
                concept: scores[concept]
                for concept in worded
                if concept in scores and (concept in novel) is sort
            }
            for sort in (False, True)
        )
        apart = [
            [sort[concept] - against[concept] for concept in sort if concept in against]
            for sort in (known, new)
        ]
        found.append(
            Novelty(
                method=method,
                trained_on=int(format.as_number(audit.get("trained_on"))),
                reference=reference,
                known=_score(known, against),
                novel=_score(new, against),
                loss=estimates.contrast(*apart),
            )
        )
    return found


def _best_per_concept(summary: Summary, roles: Roles) -> str | None:
    """The per-concept method with the highest mean of the headline."""
    return next(
        (
            line.method
            for line in summary.leaderboard
            if line.method in roles.per_concept and not line.circular and line.scores[HEADLINE]
        ),
        None,
    )


def _score(scores: Mapping[str, float], against: Mapping[str, float]) -> NoveltyScore | None:
    score = estimates.over_concepts({concept: [value] for concept, value in scores.items()})
    if score is None:
        return None
    both = [concept for concept in scores if concept in against]
    return NoveltyScore(
        score=score,
        reference=estimates.over_concepts({concept: [against[concept]] for concept in both}),
        difference=estimates.over_concepts(
            {concept: [scores[concept] - against[concept]] for concept in both}
        ),
    )
