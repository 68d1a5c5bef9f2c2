"""The section on concept gain by kind of concept."""

from dataclasses import dataclass, replace

from htbench.core.types import UNSTEERED
from htbench.report.gallery import grid
from htbench.run.summary import HEADLINE, Summary
from htbench.stats import estimates


@dataclass(frozen=True, kw_only=True)
class KindGains:
    """Concept gain of every method on one kind of concept at the leaderboard's strength."""

    name: str
    concepts: int
    gains: dict[str, estimates.Estimate | None]
    scored: int
    planned: int
    """Numbers of cells."""
    failed: int = 0
    """Number of cells that failed, which count as the worst gain."""


def collect(summary: Summary) -> list[KindGains]:
    """The gains of every kind, sorted by name."""
    kinds = {name: label.kind for name, label in grid.concept_labels(summary).items()}
    rows: dict[str, KindGains] = {}
    for (method, strength, concept), planned in summary.planned_cells.items():
        if method == UNSTEERED or strength != summary.full_strength:
            continue
        name = kinds[concept]
        kind = rows.get(name, KindGains(name=name, concepts=0, gains={}, scored=0, planned=0))
        done = summary.done_cells.get((method, strength, concept), 0)
        failed = summary.failed_cells.get((method, strength, concept), 0)
        rows[name] = replace(
            kind,
            scored=kind.scored + done,
            planned=kind.planned + planned,
            failed=kind.failed + failed,
        )
    for name, kind in rows.items():
        concepts = {concept for concept, its in kinds.items() if its == name}
        gains = {
            method: estimates.over_concepts(
                {
                    concept: value
                    for concept, value in summary.values(
                        method, summary.full_strength, HEADLINE
                    ).items()
                    if concept in concepts
                },
                summary.families,
            )
            for method in summary.methods
            if method != UNSTEERED
        }
        rows[name] = replace(kind, concepts=len(concepts), gains=gains)
    return sorted(rows.values(), key=lambda kind: kind.name)
