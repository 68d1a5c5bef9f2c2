"""Tables of comparisons of strengths for the terminal, and their files: a row per difference."""

from collections.abc import Iterator
from pathlib import Path

from htbench.core.csv_files import cell
from htbench.core.display import printable
from htbench.core.tables import TextTable, print_paragraph
from htbench.judging import tables
from htbench.judging.audit import MEANING
from htbench.judging.strengths import StrengthCriterion, StrengthResult

_COLUMNS = ("criterion", "method", "difference", "answers", "right", "share")


def show(result: StrengthResult) -> None:
    """Print, by method, the difference of strength that the judge notices."""
    judge, model = (printable(result.metadata[name]) for name in ("judge", "model"))
    print_paragraph(f"Judge {judge}, {model}: which of two strengths of a method is stronger.")
    tables.show_calibrations([each.calibration for each in result.criteria if each.calibration])
    for criterion in result.criteria:
        print()
        TextTable(
            title=criterion.name,
            columns=("Method", "Noticeable difference", "Right order", "Pairs", "Lapses"),
            rows=[
                (
                    printable(row.method, max_length=200),
                    row.noticeable_text,
                    row.order_text,
                    f"{row.order.of:,}",
                    f"{row.curve.lapses:.3f}",
                )
                for row in criterion.methods
            ],
        ).print()
        for line in _notes(criterion, result):
            print_paragraph(line)
    outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in result.outcomes.items())
    calls = f"Calls: {result.calls - result.pending:,}/{result.calls:,} have a verdict"
    print_paragraph(f"{calls} ({outcomes})" if outcomes else calls)


def _notes(criterion: StrengthCriterion, result: StrengthResult) -> Iterator[str]:
    flags = criterion.audit.flags
    if flags:
        named = ", ".join(f"{flag} ({MEANING[flag]})" for flag in flags)
        yield f"FLAGGED, do not rely on these figures: {named}."
    else:
        yield "The audit of the judge raises no flags."
    yield (
        f"{criterion.undecided:,} pairs are ties or contradictions, which count as half right; "
        f"{criterion.missing:,} have no verdict."
    )
    if criterion.circular:
        encoders = ", ".join(result.metadata["encoders"])
        yield f"{', '.join(criterion.circular)}: concepts are read with {encoders}, as by the judge"


def write(result: StrengthResult, folder: Path) -> list[Path]:
    """Write figures as a JSON file by method and a CSV file by difference; gives the paths."""
    rows: list[tuple[object, ...]] = []
    for criterion in result.criteria:
        for each in criterion.methods:
            for level in each.levels:
                names = map(cell, (criterion.name, each.method))
                share = level.right / level.answers
                rows.append((*names, level.difference, level.answers, level.right, share))
    return tables.write_files("strength", result, folder, columns=_COLUMNS, rows=rows)
