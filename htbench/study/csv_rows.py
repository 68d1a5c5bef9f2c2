"""Rows of CSV files, as spreadsheets and platforms write them, one at a time with their numbers.

They are read with the csv module rather than pandas: it needs no more memory for a million rows
than for one, changes no cell, and knows the row in which a file is broken.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TextIO

from htbench.core import csv_files, reading
from htbench.core.errors import UsageError

DELIMITERS = ",;\t|"
"""Delimiters that are told from each other where a file's own is not known."""
_MAX_CHARS = 1 << 24
"""The most characters of a line, and of a cell."""
_SAMPLE_CHARS, _SAMPLE_ROWS = 1 << 16, 20
_UNREADABLE = re.compile("[\ud800-\udfff\x00]")


class _BadLine(ValueError):
    """A line that is no text."""


def read(path: Path, *, noun: str = "file", delimiter: str = "") -> Iterator[tuple[int, list[str]]]:
    """Each row of a CSV file with its number, the header being row 1; empty rows are left out.

    Without a `delimiter` the one is taken that gives the first rows as many cells as the header.

    Raises:
        UsageError: if there is no such file, or a row cannot be read, with its number; the rest as
            in `reading.open_text`.
    """
    csv.field_size_limit(_MAX_CHARS)
    number = 0
    with open_text(path, noun=noun) as file:
        try:
            told = _skip_told_delimiter(file)
            mark = delimiter or told or _detect_delimiter(file)
            for number, cells in enumerate(
                csv.reader(_lines(file), delimiter=mark, strict=True), start=1
            ):
                if cells:
                    yield number, cells
        except _BadLine as error:
            raise row_error(
                path, number + 1, str(error), noun=noun, remedy="Save the file as UTF-8."
            ) from None
        except csv.Error as error:
            raise row_error(
                path, number + 1, str(error), noun=noun, remedy="Is every quote closed?"
            ) from None


def read_own(path: Path, columns: Sequence[str], *, noun: str) -> Iterator[tuple[int, list[str]]]:
    """Cells of these columns in each row of a file that htbench wrote, with the row's number.

    Raises:
        UsageError: if a column is missing, or a row has too few or too many cells.
    """
    header: list[str] = []
    places: list[int] = []
    for number, cells in read(path, noun=noun):
        if not header:
            header = [cell.strip() for cell in cells]
            if missing := [name for name in columns if name not in header]:
                raise row_error(path, number, f"no column {missing[0]!r}", noun=noun)
            if doubled := [name for name in columns if header.count(name) > 1]:
                raise row_error(path, number, f"two columns {doubled[0]!r}", noun=noun)
            places = [header.index(name) for name in columns]
        elif len(cells) != len(header):
            raise row_error(
                path, number, f"{len(cells)} cells under {len(header)} columns", noun=noun
            )
        else:
            own = [cells[place] for place in places]
            yield number, [csv_files.original(cell) if cell[:1] == "'" else cell for cell in own]
    if not header:
        raise row_error(path, 1, "the file is empty", noun=noun)


def header(path: Path, *, noun: str = "file", delimiter: str = "") -> list[str]:
    """The cells of the first row; none for an empty file."""
    return next((cells for _, cells in read(path, noun=noun, delimiter=delimiter)), [])


def detect_delimiter(path: Path) -> str:
    """The delimiter of a file's first rows; a comma where there is none."""
    with open_text(path) as file:
        return _skip_told_delimiter(file) or _detect_delimiter(file)


@contextmanager
def open_text(path: Path, *, noun: str = "file") -> Iterator[TextIO]:
    """A file of text of any size, as `reading.open_text` opens it.

    Raises:
        UnreadableFile: also if its encoding breaks off, or the system refuses to read on.
    """
    with reading.open_text(path, noun=noun) as file:
        try:
            yield file
        except (UnicodeError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise reading.UnreadableFile(
                f"{noun} {str(path)[:300]!r} cannot be read: {reason}",
                remedy="Save it as UTF-8.",
            ) from None


def row_error(
    path: Path, number: int, message: str, *, noun: str = "file", remedy: str = ""
) -> UsageError:
    """The error for a row."""
    place = "" if noun == "file" else f"{noun} "
    return UsageError(f"row {number} of {place}{str(path)[:300]!r}: {message}", remedy=remedy)


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_MAX_CHARS):
        if len(line) == _MAX_CHARS and line[-1] not in "\r\n":
            raise _BadLine(f"a line has more than {_MAX_CHARS:,} characters")
        if match := (None if line.isascii() and "\x00" not in line else _UNREADABLE.search(line)):
            start = max(0, match.start() - 20)
            shown = line[start : match.end() + 20].encode("utf-8", "surrogateescape")
            raise _BadLine(f"{shown!r} is not UTF-8")
        yield line


def _skip_told_delimiter(file: TextIO) -> str:
    """The delimiter that a line such as `sep=;` before the header tells Excel, which is read over.

    Empty, and the file as it was, without such a line.
    """
    start = file.tell()
    line = file.readline(_MAX_CHARS).rstrip("\r\n").strip('"')
    if line[:4].lower() == "sep=" and line[4:] in tuple(DELIMITERS):
        return line[4:]
    file.seek(start)
    return ""


def _detect_delimiter(file: TextIO) -> str:
    """The delimiter that gives the most rows as many cells as the header; the file is rewound."""
    start = file.tell()
    sample = file.read(_SAMPLE_CHARS)
    is_whole = len(sample) < _SAMPLE_CHARS
    file.seek(start)
    return max(DELIMITERS, key=lambda mark: _fit(sample, mark, is_whole=is_whole))


def _fit(sample: str, delimiter: str, *, is_whole: bool) -> tuple[float, int]:
    """The share of rows with as many cells as the header, and their number; 0 for one column."""
    rows: list[list[str]] = []
    try:
        for cells in csv.reader(StringIO(sample, newline=""), delimiter=delimiter, strict=True):
            rows += [cells] if cells else []
            if len(rows) > _SAMPLE_ROWS:
                break
    except csv.Error:
        pass
    if len(rows) > 1 and len(rows) <= _SAMPLE_ROWS and not is_whole:
        rows.pop()  # it may be cut
    columns = len(rows[0]) if rows else 0
    if columns < 2:
        return 0.0, 0
    return sum(len(cells) == columns for cells in rows) / len(rows), columns
