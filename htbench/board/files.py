"""The figures of a board as CSV and JSON, beside the page that shows them."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from htbench.board.entry import Entry
from htbench.board.row import Recorded, parse_number
from htbench.board.tables import Board, Table
from htbench.core import csv_files
from htbench.scorers.metric_table import METRIC_TABLE

_TEXTS = re.compile(r"method|unranked|trained_on|ranked_by|matched_note|.*_(?:fit|rule)")
"""Columns of `leaderboard.csv` that hold texts; all others hold numbers, or True and False."""
_LOGICAL = {"True": True, "False": False}
Value = str | float | int | bool | None


@dataclass(frozen=True, kw_only=True)
class DataTable:
    """A table for programs."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]

    @property
    def csv(self) -> str:
        """The table as CSV: no text is taken for a formula, and what is not known is empty."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(map(_cells, self.rows))
        return text.getvalue()

    @property
    def json(self) -> str:
        """The table as JSON: the names of columns, and a list for each row."""
        record = {"columns": list(self.columns), "rows": [list(row) for row in self.rows]}
        return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


_ENTRY = (
    *("model", "concept_set", "concept_set_version", "scorer", "terms"),
    *("bundle", "file", "made", "htbench", "verification", "signer"),
)


def figures(boards: Iterable[Board], *, method: str | None = None) -> DataTable:
    """Every figure of every bundle at every strength, or those of a method, the latest first."""
    chosen = [
        (values, row)
        for board in boards
        for entry in board.entries
        for values in [_entry_values(entry)]
        for row in entry.recorded
        if method is None or row["method"] == method
    ]
    columns = list(dict.fromkeys(name for _, row in chosen for name in row))
    return DataTable(
        columns=[*_ENTRY, *columns],
        rows=[[*values, *(_value(name, row) for name in columns)] for values, row in chosen],
    )


def concept_figures(tables: Iterable[Table], concept: str) -> DataTable:
    """The means of a concept by bundle and method, at the strength of the bundle's leaderboard."""
    metrics = [metric.name for metric in METRIC_TABLE]
    return DataTable(
        columns=[*_ENTRY, "method", "strength", *metrics],
        rows=[
            [*values, row.method, row.strength, *means]
            for table in tables
            for entry in table.entries
            for values in [_entry_values(entry)]
            for row in entry.rows
            if (means := entry.concept_means[row.method].get(concept))
        ],
    )


def bundles(entries: Iterable[Entry]) -> DataTable:
    """All bundles, the latest first."""
    return DataTable(
        columns=[*_ENTRY, "revision", "cells", "methods", "holds", "differs", "unchecked"],
        rows=[
            [
                *_entry_values(entry),
                entry.terms.revision,
                entry.cells,
                len(entry.rows),
                *(
                    entry.mark.record.count(kind) if entry.mark.record else None
                    for kind in ("holds", "differs", "unchecked")
                ),
            ]
            for entry in entries
        ],
    )


def _entry_values(entry: Entry) -> list[Value]:
    terms = entry.terms
    return [
        *(terms.model, terms.concept_set, terms.set_version, terms.scorer, terms.digest),
        *(entry.sha256, entry.name, entry.made, entry.htbench),
        *(entry.mark.verdict, entry.mark.signer),
    ]


def _value(column: str, row: Recorded) -> Value:
    text = row.get(column, "")
    if _TEXTS.fullmatch(column):
        return text
    if text in _LOGICAL:
        return _LOGICAL[text]
    number = parse_number(text)
    if math.isnan(number):
        return None
    return int(text) if text.isdecimal() else number


def _cells(row: Sequence[Value]) -> list[Value]:
    return [_cell(value) if isinstance(value, str) else value for value in row]


@lru_cache(maxsize=1 << 14)
def _cell(text: str) -> str:
    """The text as a cell: the same few texts come in hundreds of thousands of rows."""
    return csv_files.cell(text)
