"""The section on trust: warnings of leaks, circular scores, blank images and smaller batches."""

from dataclasses import dataclass, field

import numpy as np

from htbench.core.types import encoder_name
from htbench.report import format
from htbench.run.costs import differing_surroundings
from htbench.run.fact_table import AuditFacts
from htbench.run.summary import METRICS, Summary


@dataclass(frozen=True, kw_only=True)
class LeakageRow:
    """A leakage audit and the methods that share it."""

    methods: list[str]
    audit: AuditFacts


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Numbers of cells of one method at all strengths, of those that were planned."""

    method: str
    planned: int
    made: int
    """Cells with an image."""
    scored: int
    """Cells with all scores of the headline's scorer."""
    failed: dict[str, int] = field(default_factory=dict)
    """Cells without an image after a try, by the kind of failure."""

    @property
    def pending(self) -> int:
        """Cells that were not tried yet."""
        return self.planned - self.made - sum(self.failed.values())


def warnings(summary: Summary) -> list[str]:
    """Sentences for the top of a report, missing cells left out."""
    return [
        *_imported(summary),
        *_circular(summary),
        *_leaks(summary),
        *_blank_images(summary),
        *_reduced_batches(summary),
        *_strength(summary),
        *_mixed_environments(summary),
    ]


def leakage_audits(summary: Summary) -> list[LeakageRow]:
    """The audits of the methods that were trained on concepts."""
    rows: list[LeakageRow] = []
    for method, card in summary.facts.methods.items():
        if not card.audit.stored:
            continue
        same = next((row for row in rows if _is_same_audit(row.audit, card.audit)), None)
        if same:
            same.methods.append(method)
        else:
            rows.append(LeakageRow(methods=[method], audit=card.audit))
    return rows


def coverage(summary: Summary) -> list[Coverage]:
    """The coverage of every method, in the order of the plan."""
    failed: dict[str, dict[str, int]] = {method: {} for method in summary.methods}
    query = """SELECT method, kind, count(*)
               FROM cells JOIN images ON key = image JOIN failures USING (key)
               WHERE file IS NULL GROUP BY 1, 2 ORDER BY 1, 2"""
    for method, kind, cells in summary.store.select(query):
        failed[method][kind] = cells
    table = summary.table
    measured = [name in summary.metrics for name in METRICS]
    scored = table.made & ~np.isnan(summary.table_scores[:, measured]).any(1)
    return [
        Coverage(
            method=method,
            planned=len(cells),
            made=int(table.made[cells].sum()),
            scored=int(scored[cells].sum()),
            failed=failed[method],
        )
        for method in summary.methods
        if len(cells := table.method_cells(method))
    ]


def _is_same_audit(one: AuditFacts, other: AuditFacts) -> bool:
    """True if two audits read the same in the table, which does not list novel concepts."""
    return {**one.stored, "novel": None} == {**other.stored, "novel": None}


def _imported(summary: Summary) -> list[str]:
    """Sentences on what imported pictures lack, and which of them could not be read."""
    imported = summary.facts.imported
    if not imported.stored:
        return []
    sentences = [" ".join(["Other programs made these pictures.", *imported.lacks])]
    if imported.left_out:
        shown = "; ".join(imported.problems[:12])
        more = f"; and {imported.left_out - 12:,} more" if imported.left_out > 12 else ""
        number = f"{imported.left_out:,} picture{'s' if imported.left_out != 1 else ''}"
        sentences.append(f"{number} could not be used and left out: {shown}{more}.")
    return sentences


def _circular(summary: Summary) -> list[str]:
    scorer = encoder_name(summary.scorer)
    text = (
        "{} reads concepts with {}, the encoder that scores here: its scores are circular "
        "and say little about what people see, so it is not ranked."
    )
    return [text.format(method, scorer) for method in summary.circular_methods(summary.scorer)]


def _leaks(summary: Summary) -> list[str]:
    text = "LEAK ALLOWED: {} was trained on {} of the concepts that it is evaluated on: {}."
    return [
        text.format(method, len(leaked), ", ".join(leaked[:12]) + (", …" if leaked[12:] else ""))
        for method, card in summary.facts.methods.items()
        if (leaked := card.leaked)
    ]


def _blank_images(summary: Summary) -> list[str]:
    kinds = {"nan": "NaN in {}", "black": "{} black", "constant": "{} of one colour"}
    text = (
        "Some images of {} are blank: {}. "
        "Blank images that could be written are scored like all others."
    )
    sentences = []
    for method, flaws in summary.blank_images.items():
        counts = [
            kinds[flaw].format(f"{number:,}")
            for flaw, number in flaws.items()
            if number and flaw in kinds
        ]
        if counts:
            sentences.append(text.format(method, ", ".join(counts)))
    return sentences


def _reduced_batches(summary: Summary) -> list[str]:
    planned = summary.facts.plan.batch
    ((smaller, least),) = summary.store.select(
        "SELECT count(*), min(batch) FROM images WHERE batch < ? AND file IS NOT NULL", planned
    )
    if not smaller:
        return []
    batches = f"batches of down to {least}, not {planned}"
    why = "because memory ran out: their last digits may differ"
    return [f"{smaller:,} images were made in {batches}, {why}."]


def _strength(summary: Summary) -> list[str]:
    if not summary.strengths or 1.0 in summary.strengths:
        return []
    strength = format.strength(summary.full_strength)
    text = "The plan has no strength 1: the leaderboard is at strength {}, the largest of the run."
    return [text.format(strength)]


def _mixed_environments(summary: Summary) -> list[str]:
    differing = differing_surroundings(summary.store, summary.facts)
    text = (
        "Methods were timed in different environments ({} differ): "
        "no speed-up is computed from these times."
    )
    return [text.format(", ".join(differing))] if differing else []
