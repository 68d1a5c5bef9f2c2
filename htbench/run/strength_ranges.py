"""The useful range of strengths of each method, measured on the pictures of a run.

A picture is noticed if its concept's presence is above that of nearly all unsteered pictures. All
thresholds are fixed on the unsteered pictures of the run, so none depends on its methods.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from htbench.core.types import UNSTEERED
from htbench.run.cell_table import CellGroup
from htbench.run.flaws import MIN_UNSTEERED, flawed_cells
from htbench.run.summary import HEADLINE, METRICS, Summary
from htbench.stats.useful_range import UsefulRange, concept_ranges, measure_range

FALSE_ALARMS = 0.05
"""Share of the unsteered pictures whose presence is above the threshold of noticed pictures."""


@dataclass(frozen=True, kw_only=True)
class MethodRange:
    """The useful range of one method: over all concepts, and of each concept by itself."""

    method: str
    strengths: tuple[float, ...]
    """The strengths that were run, ascending from 0."""
    all_concepts: UsefulRange
    by_concept: Mapping[str, UsefulRange]
    """Each from the concept's own pictures, without intervals."""

    @property
    def useful_concepts(self) -> int:
        """Number of concepts that have a useful range of their own."""
        return sum(each.width > 0 for each in self.by_concept.values())

    def quartiles(self, end: str) -> tuple[float, float, float]:
        """First quartile, median and third quartile over concepts of an end of their ranges: a
        concept's value at the place, infinite where so many do not reach it.
        """
        values = [getattr(each, end).value for each in self.by_concept.values()]
        first, median, third = np.quantile(values, [0.25, 0.5, 0.75], method="higher")
        return float(first), float(median), float(third)


@dataclass(frozen=True, kw_only=True)
class RangeTable:
    """The useful ranges of all methods of a run."""

    threshold: float
    """Presence above which a picture is noticed."""
    unsteered: int
    """Number of unsteered cells, each a picture and a concept, that it is fixed on."""
    flaw: str
    """Name of the flaw by which collapse is told."""
    methods: list[MethodRange]


def range_table(summary: Summary) -> RangeTable | None:
    """The useful range of every method that was run at two strengths or more above 0.

    Scores are those of the first fit seed. A cell that failed is not noticed, is flawed, and has
    the worst gain. None for fewer than `MIN_UNSTEERED` unsteered cells with a presence, or where no
    method has a range.
    """
    summary = summary.of_first_fit_seed
    table = summary.table
    if HEADLINE not in summary.metrics or UNSTEERED not in table.method.names:
        return None
    presence = summary.table_scores[:, list(METRICS).index("presence")]
    unsteered = table.method_cells(UNSTEERED)
    own = presence[unsteered]
    own = own[np.isfinite(own)]
    if len(own) < MIN_UNSTEERED:
        return None
    threshold = float(np.quantile(own, 1 - FALSE_ALARMS, method="higher"))
    is_known = (table.made & np.isfinite(presence)) | table.failed
    noticed = _shares(summary, table.made & (presence > threshold), is_known)
    flaw, has_flaw, flaw_known = flawed_cells(summary)
    flawed = _shares(summary, has_flaw, flaw_known)
    ranges = (
        _method_range(summary, method, noticed, flawed)
        for method in summary.methods
        if method != UNSTEERED
    )
    methods = [each for each in ranges if each]
    if not methods:
        return None
    return RangeTable(threshold=threshold, unsteered=len(own), flaw=flaw.name, methods=methods)


def _shares(
    summary: Summary, chosen: Bool[np.ndarray, " cells"], known: Bool[np.ndarray, " cells"]
) -> dict[CellGroup, float]:
    """The share of chosen cells of each method, strength and concept, of those that are known."""
    group = summary.table.group
    size = len(group.names)
    has, of = (
        np.bincount(group.numbers, each, minlength=size).tolist()
        for each in (chosen & known, known)
    )
    return {name: has[k] / of[k] for k, name in enumerate(group.names) if of[k]}


def _method_range(
    summary: Summary,
    method: str,
    noticed: Mapping[CellGroup, float],
    flawed: Mapping[CellGroup, float],
) -> MethodRange | None:
    strengths = (
        0.0,
        *sorted(at for name, at in summary.planned_by_row if name == method and at > 0),
    )
    if len(strengths) < 3:
        return None
    gains = {at: summary.means(method, at, HEADLINE) for at in strengths[1:]}
    groups = {at: (method if at else UNSTEERED, at) for at in strengths}
    concepts = [
        concept
        for concept in gains[strengths[1]]
        if all(concept in each for each in gains.values())
        and all((*pair, concept) in each for pair in groups.values() for each in (noticed, flawed))
    ]
    if not concepts:
        return None
    rows = {
        "noticed": _rows(noticed, list(groups.values()), concepts),
        "gain": np.array([[0.0, *(gains[at][name] for at in strengths[1:])] for name in concepts]),
        "flawed": _rows(flawed, list(groups.values()), concepts),
    }
    return MethodRange(
        method=method,
        strengths=strengths,
        all_concepts=measure_range(strengths, **rows, concepts=concepts, families=summary.families),
        by_concept=concept_ranges(strengths, **rows, concepts=concepts),
    )


def _rows(
    shares: Mapping[CellGroup, float], pairs: Sequence[tuple[str, float]], concepts: Sequence[str]
) -> Float[np.ndarray, "concepts strengths"]:
    return np.array([[shares[*pair, concept] for pair in pairs] for concept in concepts])


def range_facts(found: UsefulRange) -> dict[str, object]:
    """A range as JSON-like values; null for a strength that is not reached."""
    return {
        **{
            end: {
                name: value if math.isfinite(value) else None
                for name, value in vars(getattr(found, end)).items()
            }
            for end in ("onset", "saturation", "collapse", "end")
        },
        "is_rising": found.is_rising,
        "concepts": found.concepts,
    }
