"""The section on losses: what steering does to pictures beside adding the concept."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from htbench.core.display import print_json, printable
from htbench.core.tables import TextTable, print_paragraph
from htbench.core.types import strength_of
from htbench.report import format
from htbench.report.once import once
from htbench.run import flaws
from htbench.run.flaws import MIN_UNSTEERED, TAIL, FlawRow, FlawTable, FlawThreshold
from htbench.run.summary import Summary
from htbench.stats.proportions import Proportion


@dataclass(frozen=True, kw_only=True)
class LossSection:
    """What the pictures of every method lose."""

    flaws: FlawTable
    full: list[FlawRow]
    """Each method at full strength, in the order of the plan."""

    @property
    def notes(self) -> list[str]:
        """Sentences on the thresholds of this run."""
        return list(_notes(self.flaws))

    @property
    def other_rows(self) -> list[FlawRow]:
        """The rows at other strengths."""
        return [row for row in self.flaws.rows if row not in self.full]


@once
def collect(summary: Summary) -> LossSection | None:
    """The losses of a run; None where nothing was measured for them."""
    table = flaws.flaw_table(summary)
    if not table.thresholds:
        return None
    rows = {(row.method, row.strength): row for row in table.rows}
    full = [(method, strength_of(method, summary.full_strength)) for method in summary.methods]
    return LossSection(flaws=table, full=[rows[key] for key in full if key in rows])


def show(section: LossSection | None) -> None:
    """Print the rates at full strength to stdout."""
    if section is None:
        return
    print()
    columns = section.flaws.flaws
    TextTable(
        title="Flawed pictures, in percent: fewer are better",
        columns=("Method", "Strength", *(flaw.title for flaw in columns)),
        rows=[
            (
                printable(row.method, max_length=200),
                f"{row.strength:g}",
                *(share_text(row.shares[flaw.name]) for flaw in columns),
            )
            for row in section.full
        ],
    ).print()
    for note in section.notes:
        print_paragraph(note)


def print_lines(section: LossSection | None) -> None:
    """Print thresholds and rates as lines of JSON."""
    if section is None:
        return
    for threshold in section.flaws.thresholds:
        print_json(event="flaw_threshold", **_threshold_facts(threshold))
    for row in section.flaws.rows:
        shares = {name: _share_facts(share) for name, share in row.shares.items()}
        print_json(
            event="flaws",
            method=row.method,
            strength=row.strength,
            failed=row.failed,
            **shares,
        )


def csv_head() -> list[str]:
    """Columns of the CSV file of flaws."""
    return ["method", "strength", "flaw", "pictures", "flawed", "share", "share_low", "share_high"]


def csv_rows(section: LossSection) -> Iterator[list[str | float | int | None]]:
    """Rows of the CSV file of flaws, one per method, strength and flaw."""
    for row in section.flaws.rows:
        for name, share in row.shares.items():
            yield [row.method, row.strength, name, share.of, share.count, *_bounds(share)]


def share_text(share: Proportion) -> str:
    """A share in percent with its interval, such as `4.2 [1.1, 9.8]`."""
    if math.isnan(share.value):
        return "-"
    low, high = share.interval
    around = "" if math.isnan(low) else f" {format.interval(low, high, _percent)}"
    return _percent(share.value) + around


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share > 1e-12 else "0"


def _notes(table: FlawTable) -> Iterator[str]:
    parts = []
    for each in table.thresholds:
        if math.isnan(each.value):
            yield (
                f"{each.flaw.title}: no threshold, since it needs {MIN_UNSTEERED} unsteered "
                f"pictures that are not blank, and the run has {each.unsteered}."
            )
            continue
        side = "below" if each.flaw.is_low else "above"
        parts.append(
            f"{each.flaw.title.lower()} is {each.flaw.scorer} {side} "
            f"{format.quantity(each.value)} ({each.beyond} of {each.unsteered} unsteered pictures)"
        )
    if parts:
        yield (
            "Thresholds are fixed on this run’s unsteered pictures, of which at most "
            f"{TAIL:.0%} are beyond each: {'; '.join(parts)}. Cells that failed count as flawed."
        )


def _threshold_facts(threshold: FlawThreshold) -> Mapping[str, object]:
    return {
        "flaw": threshold.flaw.name,
        "scorer": threshold.flaw.scorer,
        "side": "below" if threshold.flaw.is_low else "above",
        "value": threshold.value,
        "unsteered": threshold.unsteered,
        "beyond": threshold.beyond,
    }


def _share_facts(share: Proportion) -> Mapping[str, object]:
    low, high = share.interval
    return {"flawed": share.count, "of": share.of, "share": share.value, "low": low, "high": high}


def _bounds(share: Proportion) -> tuple[float, float, float]:
    low, high = share.interval
    return share.value, low, high
