"""Tables of pictures, CSV or JSON lines, read row by row so that their length costs no memory."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from htbench.core import csv_files, reading
from htbench.core.errors import UnknownName, UsageError
from htbench.importing.rows import COLUMNS, PictureRow, RowReader, fail

_MAX_LINE = 1 << 18
"""The most characters of a line."""
_JSON = (".jsonl", ".ndjson")


def is_table(path: Path) -> bool:
    """True for the name of a CSV or of JSON lines."""
    return path.suffix.lower() in (".csv", ".tsv", *_JSON)


def read(path: Path, reader: RowReader) -> Iterator[PictureRow]:
    """The rows of a table; the first line of a CSV names its columns, see `COLUMNS`.

    Raises:
        UsageError: if there is no such table, and for the first wrong row, with its number.
    """
    rows = _json_rows if path.suffix.lower() in _JSON else _csv_rows
    with reading.open_text(path, noun="table of pictures") as file:
        for number, values in rows(file, path):
            yield reader.read(f"{path.name} row {number}", values)


def _csv_rows(file: TextIO, path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    lines = _lines(file, path)
    head = next(lines, "")
    separator = max(",;\t", key=head.count)
    table = csv.reader(_chain(head, lines), delimiter=separator, strict=True)
    try:
        names = [name.strip().lower() for name in next(table, [])]
        _check_columns(path.name, names)
        for cells in table:
            number = table.line_num
            if len(cells) > len(names):
                fail(
                    f"{path.name} row {number}",
                    f"has more than {len(names)} fields",
                    remedy=f"Put texts with {separator!r} in them in double quotes.",
                )
            if any(cells):
                yield number, dict(zip(names, map(csv_files.original, cells), strict=False))
    except csv.Error as error:
        raise UsageError(f"{path.name} row {table.line_num} is no CSV: {error}") from None


def _json_rows(file: TextIO, path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(_lines(file, path), start=1):
        if not line.strip():
            continue
        location = f"{path.name} row {number}"
        try:
            values = reading.parse_json(line)
        except reading.Malformed as error:
            fail(location, f"is no JSON: {error}")
        if not isinstance(values, dict):
            fail(location, "is not a JSON object", remedy='Write it as {"file": "a.png", …}')
        _check_columns(location, list(values), is_head=False)
        yield number, values


def _check_columns(where: str, names: list[str], *, is_head: bool = True) -> None:
    if is_head and "file" not in names:
        raise UsageError(
            f"{where!r} has no column 'file'",
            remedy=f"Its first line names the columns, of which there can be: {', '.join(COLUMNS)}",
        )
    for name in names:
        if name not in COLUMNS:
            raise UnknownName(
                f"column of {where}", name, COLUMNS, remedy="Rename it, or leave it out."
            )
        if names.count(name) > 1:
            raise UsageError(f"{where!r} has two columns {name!r}")


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    while line := file.readline(_MAX_LINE + 1):
        if len(line) > _MAX_LINE:
            raise UsageError(f"{path.name!r} has a line of more than {_MAX_LINE:,} characters")
        yield line


def _chain(head: str, lines: Iterator[str]) -> Iterator[str]:
    yield head
    yield from lines
