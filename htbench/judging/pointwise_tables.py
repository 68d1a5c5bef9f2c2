"""Tables of pointwise scores for the terminal, and their files: a row per picture."""

from collections.abc import Iterator
from pathlib import Path

from htbench.core.csv_files import cell
from htbench.core.display import printable
from htbench.core.tables import TextTable, print_paragraph
from htbench.judging import tables
from htbench.judging.pointwise import MEANING, PointwiseCriterion, PointwiseResult

_COLUMNS = ("criterion", "method", "concept", "prompt", "seed", "yes", "missing")
_CIRCULAR = "°"


def show(result: PointwiseResult) -> None:
    """Print the scores of each method by each criterion."""
    judge, model = (printable(result.metadata[name]) for name in ("judge", "model"))
    print_paragraph(
        f"Judge {judge}, {model}: probability of yes to a question on each image alone."
    )
    tables.show_calibrations([each.calibration for each in result.criteria if each.calibration])
    for criterion in result.criteria:
        print()
        TextTable(
            title=criterion.name,
            columns=("Method", "P(yes)", "Images", "Answered"),
            rows=[
                (
                    printable(row.method, max_length=200) + (_CIRCULAR if row.circular else ""),
                    tables.estimate_text(row.score) if row.score else "-",
                    f"{row.pictures:,}",
                    f"{row.answered:,}",
                )
                for row in criterion.methods
            ],
        ).print()
        for line in _notes(criterion, result):
            print_paragraph(line)
    outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in result.outcomes.items())
    calls = f"Calls: {result.calls - result.pending:,}/{result.calls:,} have a verdict"
    print_paragraph(f"{calls} ({outcomes})" if outcomes else calls)


def _notes(criterion: PointwiseCriterion, result: PointwiseResult) -> Iterator[str]:
    flags = criterion.audit.flags
    if flags:
        named = ", ".join(f"{flag} ({MEANING[flag]})" for flag in flags)
        yield f"FLAGGED, do not rely on these scores: {named}."
    else:
        yield "The audit of the judge raises no flags."
    if criterion.weighted.of and criterion.weighted.value < 1:
        count = criterion.weighted.of - criterion.weighted.count
        yield (
            f"{count:,} of {criterion.weighted.of:,} answers have no token probabilities and count "
            "as 0, .5 or 1."
        )
    if any(row.circular for row in criterion.methods):
        encoders = ", ".join(result.metadata["encoders"])
        yield f"{_CIRCULAR} reads concepts with {encoders}, by which this judge sees: listed last"


def write(result: PointwiseResult, folder: Path) -> list[Path]:
    """Write the scores as a JSON file by method and a CSV file by picture; gives their paths."""
    rows: list[tuple[object, ...]] = []
    for criterion in result.criteria:
        for each in criterion.pictures:
            names = map(cell, (criterion.name, each.method, each.concept, each.prompt))
            yes = "" if each.yes is None else each.yes
            rows.append((*names, each.seed, yes, cell(each.missing)))
    return tables.write_files("pointwise", result, folder, columns=_COLUMNS, rows=rows)
