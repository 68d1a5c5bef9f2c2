"""Flawed pictures of a run: shares of blank, washed-out, burnt-out, noisy and blurred ones.

Thresholds are fixed on the unsteered pictures of the run itself: a picture has a flaw if it is
beyond nearly all of these. So a model that draws soft pictures is not blamed for them, and no
threshold depends on which methods are in the run.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from htbench.core.types import UNSTEERED
from htbench.run import cell_table
from htbench.run.cell_table import CellTable
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.stats.proportions import Proportion, share_over_concepts

TAIL = 0.01
"""Largest share of the unsteered pictures that are beyond a threshold."""
MIN_UNSTEERED = 20
"""Number of unsteered pictures below which there is no threshold."""


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """Something that is wrong with a picture."""

    name: str
    """Name in files."""
    title: str
    scorer: str = ""
    """The scorer whose values tell it; empty: it is told without one."""
    is_low: bool = True
    """True where a value below the threshold is a flaw, False where one above it is."""


BLANK = Flaw(name="blank", title="Blank")
"""Black, or of one colour throughout, within 4 of 255 levels."""
FLAWS = (
    Flaw(name="washed_out", title="Washed out", scorer="contrast"),
    Flaw(name="burnt_out", title="Burnt out", scorer="clipping", is_low=False),
    Flaw(name="noisy", title="Noisy", scorer="noise", is_low=False),
    Flaw(name="blurred", title="Blurred", scorer="sharpness"),
)
"""The flaws that scorers tell."""
ANY = Flaw(name="any", title="Any flaw")
"""One of the flaws that the run has scores for, or blank."""


@dataclass(frozen=True, kw_only=True)
class FlawThreshold:
    """The value beyond which a picture of this run has a flaw."""

    flaw: Flaw
    value: float
    """NaN for fewer than `MIN_UNSTEERED` unsteered pictures."""
    unsteered: int
    """Number of unsteered pictures that it is fixed on: those that are not blank."""
    beyond: int
    """Number of them that are beyond it."""

    def flags(self, values: Float[np.ndarray, " cells"]) -> Bool[np.ndarray, " cells"]:
        """True for values beyond the threshold; NaN is not."""
        return values < self.value if self.flaw.is_low else values > self.value


@dataclass(frozen=True, kw_only=True)
class FlawRow:
    """The shares of flawed pictures of one method at one strength."""

    method: str
    strength: float
    shares: Mapping[str, Proportion]
    """By name of the flaw, `blank` and `any` included; failed cells count as flawed."""
    failed: int
    """Number of cells without an image after a try."""
    worst: Mapping[str, int]
    """Id of the cell whose picture is furthest beyond the threshold, by name of the flaw; flaws
    that no picture has are left out."""


@dataclass(frozen=True, kw_only=True)
class FlawTable:
    """All flaws of a run."""

    thresholds: list[FlawThreshold]
    """One per flaw that the run has scores for."""
    rows: list[FlawRow]
    """Methods in the order of the plan, each at its strengths, ascending."""

    @property
    def flaws(self) -> list[Flaw]:
        """The columns: blank, those that have a threshold, and any of these."""
        known = [each.flaw for each in self.thresholds if not math.isnan(each.value)]
        return [BLANK, *known, *([ANY] if known else [])]

    def row(self, method: str, strength: float) -> FlawRow | None:
        """The row of a method at a strength; None if there are no such cells."""
        return next((r for r in self.rows if (r.method, r.strength) == (method, strength)), None)


def flaw_table(summary: Summary) -> FlawTable:
    """The shares of flawed pictures of every method at every strength, at the first fit seed.

    At strength 0 all methods have the same pictures: those of `none`, where the run has it.
    """
    summary = summary.of_first_fit_seed
    table, flags = summary.table, _flags(summary)
    groups, numbers = table.group.names, table.group.numbers
    counts = {name: _counts(numbers, len(groups), *each) for name, each in flags.flagged.items()}
    rows: dict[tuple[str, float], dict[str, int]] = {}
    order = {method: k for k, method in enumerate(summary.methods)}
    for k, (method, strength, concept) in enumerate(groups):
        if strength or method == UNSTEERED or UNSTEERED not in order:
            rows.setdefault((method, strength), {})[concept] = k
    failed = np.bincount(numbers, table.failed, minlength=len(groups))
    return FlawTable(
        thresholds=flags.thresholds,
        rows=[
            FlawRow(
                method=method,
                strength=strength,
                shares={
                    name: share_over_concepts(
                        {concept: each[k] for concept, k in concepts.items()}, summary.families
                    )
                    for name, each in counts.items()
                },
                failed=int(failed[list(concepts.values())].sum()),
                worst=_worst(table, flags.excess, method, strength),
            )
            for (method, strength), concepts in sorted(
                rows.items(), key=lambda row: (order[row[0][0]], row[0][1])
            )
        ],
    )


def flawed_cells(
    summary: Summary,
) -> tuple[Flaw, Bool[np.ndarray, " cells"], Bool[np.ndarray, " cells"]]:
    """The widest flaw that the run can tell, the cells that have it, and those where it is known.

    It is `ANY`, or `BLANK` in a run without scores of flaws. Cells are in the order of the table of
    the first fit seed, which `summary` is to be of.
    """
    flagged = _flags(summary).flagged
    flaw = ANY if ANY.name in flagged else BLANK
    return flaw, *flagged[flaw.name]


@dataclass(frozen=True, kw_only=True)
class _Flags:
    """Flaws of the cells in the order of a table."""

    thresholds: list[FlawThreshold]
    flagged: dict[str, tuple[Bool[np.ndarray, " cells"], Bool[np.ndarray, " cells"]]]
    """By flaw: the cells that have it, and the cells of which it is known."""
    excess: dict[str, Float[np.ndarray, " cells"]]
    """By flaw: how far each cell's picture is beyond the threshold; NaN for one that is not."""


def _flags(summary: Summary) -> _Flags:
    table, blank = summary.table, _blank(summary.store, summary.table)
    tried = table.made | table.failed
    thresholds, excess = [], {}
    flagged = {BLANK.name: (blank | table.failed, tried)}
    any_flaw, known = flagged[BLANK.name]
    for flaw in FLAWS:
        ids = [gauge.id for gauge in summary.facts.gauges if gauge.name == flaw.scorer]
        if not ids:
            continue
        values = cell_table.read_values(summary.store, table, ids[-1])
        thresholds.append(_threshold(flaw, table, values, blank))
        if math.isnan(thresholds[-1].value):
            continue
        is_beyond = thresholds[-1].flags(values) & table.made
        distance = np.abs(values - thresholds[-1].value)
        excess[flaw.name] = np.where(is_beyond, distance, np.nan)
        has_flaw = is_beyond | table.failed
        is_known = (table.made & ~np.isnan(values)) | table.failed
        flagged[flaw.name] = has_flaw, is_known
        any_flaw, known = any_flaw | has_flaw, known & is_known
        flagged[ANY.name] = any_flaw, known
    return _Flags(thresholds=thresholds, flagged=flagged, excess=excess)


def _worst(
    table: CellTable,
    excess: Mapping[str, Float[np.ndarray, " cells"]],
    method: str,
    strength: float,
) -> dict[str, int]:
    cells = table.method_cells(method)
    cells = cells[table.strength[cells] == strength]
    return {
        name: int(table.ids[cells[np.nanargmax(values[cells])]])
        for name, values in excess.items()
        if not np.isnan(values[cells]).all()
    }


def _threshold(
    flaw: Flaw,
    table: CellTable,
    values: Float[np.ndarray, " cells"],
    blank: Bool[np.ndarray, " cells"],
) -> FlawThreshold:
    """The threshold with at most `TAIL` of the unsteered pictures beyond it."""
    usable = (table.strength == 0) & table.made & ~blank & ~np.isnan(values)
    _, first = np.unique(table.image.numbers[usable], return_index=True)
    own = np.sort(values[usable][first])
    beyond = int(TAIL * len(own))
    enough = len(own) >= MIN_UNSTEERED
    value = float(own[beyond] if flaw.is_low else own[-1 - beyond]) if enough else math.nan
    number = int((own < value).sum() if flaw.is_low else (own > value).sum())
    return FlawThreshold(flaw=flaw, value=value, unsteered=len(own), beyond=number)


def _counts(
    groups: np.ndarray, number: int, flagged: np.ndarray, known: np.ndarray
) -> list[tuple[int, int]]:
    """Numbers of flagged and of known cells in each group."""
    has, of = (np.bincount(groups, each, minlength=number) for each in (flagged & known, known))
    return [(int(one), int(all_)) for one, all_ in zip(has, of, strict=True)]


def _blank(store: Store, table: CellTable) -> Bool[np.ndarray, " cells"]:
    query = "SELECT cells.id FROM cells JOIN images ON key = image WHERE flaw IS NOT NULL"
    return np.isin(table.ids, [id_ for (id_,) in store.select(query)])
