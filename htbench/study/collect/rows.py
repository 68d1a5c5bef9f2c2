"""Rows of the files that platforms export, one at a time, each with its number.

They are read with the csv module rather than pandas: it needs no more memory for a million rows
than for one, changes no cell, and knows the row in which a file is broken.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from htbench.core.errors import Missing, UnknownName, UsageError

Row = dict[str, str]
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_CHUNK = 1 << 16
_MAX_OBJECT_CHARS = 1 << 24
"""Maximum length of a JSON object; no person's answer is longer."""


@dataclass(frozen=True, kw_only=True)
class RowFile:
    """A file of rows: CSV or TSV with a header, or JSON objects."""

    path: Path
    delimiter: str = ","
    header_rows: int = 1
    """The first names the columns, further ones are skipped."""
    unpack: tuple[str, ...] = ()
    """Columns that hold JSON, which are replaced by columns `Answer.…` with its parts."""

    @property
    def is_json(self) -> bool:
        """True if the file's name is that of JSON."""
        return self.path.suffix.lower() in (".json", ".jsonl", ".ndjson")

    @property
    def has_varying_columns(self) -> bool:
        """True if rows may differ in their columns."""
        return self.is_json or bool(self.unpack)

    def error(self, number: int, message: str, *, remedy: str = "") -> UsageError:
        """The error for a row."""
        return UsageError(f"row {number} of {str(self.path)[:300]!r}: {message}", remedy=remedy)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Each row with its number, the header being row 1; in a JSON file, each object.

        Raises:
            Missing: if there is no such file.
            UnknownName: if there is no such file, but others in its folder.
            UsageError: for a row that cannot be read, with its number.
        """
        try:
            encoding = self._encoding()
            with self.path.open(newline="", encoding=encoding, errors="surrogateescape") as file:
                yield from self._json_rows(file) if self.is_json else self._csv_rows(file)
        except FileNotFoundError:
            folder = self.path.parent
            paths = folder.iterdir() if folder.is_dir() else ()
            if names := [path.name for path in paths if path.is_file()]:
                raise UnknownName("file", self.path.name, names) from None
            raise Missing(f"no file {str(self.path)[:300]!r}") from None
        except UnicodeError as error:
            raise UsageError(
                f"{str(self.path)[:300]!r} cannot be read: {error}", remedy="Save it as UTF-8."
            ) from None

    def _encoding(self) -> str:
        with self.path.open("rb") as file:
            return _BOMS.get(file.read(2), "utf-8-sig")

    def _csv_rows(self, file: TextIO) -> Iterator[tuple[int, Row]]:
        number = 0
        try:
            lines = csv.reader(file, delimiter=self.delimiter, strict=True)
            header: list[str] = []
            for number, cells in enumerate(lines, start=1):
                self._check_utf8(number, cells)
                if number == 1:
                    header = self._header(cells)
                elif number > self.header_rows and cells:
                    if len(cells) != len(header):
                        raise self.error(
                            number,
                            f"{len(cells)} cells under {len(header)} columns",
                            remedy="Is the delimiter right, and every quote closed?",
                        )
                    yield number, self._unpack_json(number, dict(zip(header, cells, strict=True)))
            if not header:
                raise self.error(1, "the file is empty")
        except csv.Error as error:
            raise self.error(number + 1, str(error), remedy="Is every quote closed?") from None

    def _header(self, cells: list[str]) -> list[str]:
        names = [cell.strip() for cell in cells]
        doubled = [name for name, times in Counter(names).items() if times > 1 and name]
        if doubled:
            raise self.error(
                1,
                f"{names.count(doubled[0])} columns are named {doubled[0][:80]!r}",
                remedy="Rename all but one.",
            )
        return names

    def _json_rows(self, file: TextIO) -> Iterator[tuple[int, Row]]:
        for number, value in enumerate(_json_values(file, self), start=1):
            if not isinstance(value, dict):
                raise self.error(number, f"{json.dumps(value)[:40]} is no object")
            for flat in _flatten(value):
                self._check_utf8(number, flat.values())
                yield number, self._unpack_json(number, flat)

    def _unpack_json(self, number: int, row: Row) -> Row:
        for column in self.unpack:
            if text := row.pop(column, ""):
                try:
                    packed = json.loads(text)
                except ValueError as error:
                    raise self.error(number, f"{column} holds no JSON: {error}") from None
                for part in packed if isinstance(packed, list) else [packed]:
                    values = part.items() if isinstance(part, dict) else ()
                    row.update({f"Answer.{name}": _cell_text(value) for name, value in values})
        return row

    def _check_utf8(self, number: int, cells: Iterable[str]) -> None:
        for cell in cells:
            if not cell.isascii() and any("\ud800" <= char <= "\udfff" for char in cell):
                raise self.error(
                    number,
                    f"{cell[:40].encode('utf-8', 'surrogateescape')!r} is not UTF-8",
                    remedy="Save the file as UTF-8.",
                )


def _json_values(file: TextIO, row_file: RowFile) -> Iterator[object]:
    """Members of an array, or a sequence of objects, with only one of them in memory."""
    decoder, text, done, number = json.JSONDecoder(), "", False, 0
    while True:
        text = text.lstrip(" \t\r\n,[]")
        if text:
            try:
                value, end = decoder.raw_decode(text)
            except (ValueError, RecursionError) as error:
                if done or len(text) > _MAX_OBJECT_CHARS:
                    raise row_file.error(number + 1, f"no JSON: {error}") from None
            else:
                if end < len(text) or done:
                    text, number = text[end:], number + 1
                    yield value
                    continue
        elif done:
            return
        chunk = file.read(max(_CHUNK, len(text)))
        text, done = text + chunk, not chunk


def _flatten(value: dict[str, object]) -> Iterator[Row]:
    """An object as a row of text; a Label Studio task as one row per annotation."""
    annotations, data = value.get("annotations"), value.get("data")
    if not (isinstance(annotations, list) and isinstance(data, dict)):
        yield {name: _cell_text(part) for name, part in value.items()}
        return
    for annotation in annotations:
        names = ("was_cancelled", "ground_truth", "lead_time", "created_at")
        row = {**data, **{name: annotation.get(name, "") for name in names}}
        by = annotation.get("completed_by")
        row["annotator"] = (by.get("email") or by.get("id")) if isinstance(by, dict) else by
        for result in annotation.get("result", ()):
            row[result.get("from_name", "")] = result.get("value", {})
        yield {name: _cell_text(part) for name, part in row.items()}


def _cell_text(value: object) -> str:
    """A JSON value as the text of a cell.

    A list of one option becomes the option, a mapping of options to true or false those that are
    true.
    """
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case [option] | {"selected": option} | {"choices": [option]}:
            return _cell_text(option)
        case dict() if value and all(isinstance(part, bool) for part in value.values()):
            return " ".join(str(name) for name, part in value.items() if part)
    return json.dumps(value, sort_keys=True)
