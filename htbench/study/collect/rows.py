"""Rows of the files that platforms export, one at a time, each with its number."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TextIO

from htbench.core import reading
from htbench.core.errors import UsageError
from htbench.study import csv_rows
from htbench.study.collect import potato, sessions

Row = dict[str, str]
_CHUNK = 1 << 16
_MAX_OBJECT_CHARS = 1 << 24
"""Maximum length of a JSON object; no person's answer is longer."""


@dataclass(frozen=True, kw_only=True)
class RowFile:
    """A file of rows: CSV or TSV with a header, or JSON objects."""

    path: Path
    delimiter: str = ""
    """Empty: the one that the file's first rows show."""
    header_rows: int = 1
    """The first names the columns, further ones are skipped."""
    unpack: tuple[str, ...] = ()
    """Columns that hold JSON, which are replaced by columns `Answer.…` with its parts."""
    is_needed: Callable[[str], bool] = lambda name: False
    """True for a column that must not be there twice; of others the last is taken."""

    @property
    def is_json(self) -> bool:
        """True if the file's name is that of JSON."""
        return self.path.suffix.lower() in (".json", ".jsonl", ".ndjson")

    @property
    def has_varying_columns(self) -> bool:
        """True if rows may differ in their columns."""
        return self.is_json or bool(self.unpack) or self._is_potato

    @cached_property
    def _is_potato(self) -> bool:
        """True if columns of a CSV file have the names of Potato's labels."""
        header = csv_rows.header(self.path, delimiter=self.delimiter)
        return any(potato.MARK in name for name in header)

    def error(self, number: int, message: str, *, remedy: str = "") -> UsageError:
        """The error for a row."""
        return csv_rows.row_error(self.path, number, message, remedy=remedy)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Each row with its number, the header being row 1; in a JSON file, each object.

        Raises:
            UsageError: for a row that cannot be read, with its number; the rest as in
                `reading.open_text`.
        """
        if self.is_json:
            with csv_rows.open_text(self.path) as file:
                yield from self._json_rows(file)
        else:
            yield from self._csv_rows()

    def _csv_rows(self) -> Iterator[tuple[int, Row]]:
        header: list[str] = []
        is_potato = False
        for number, cells in csv_rows.read(self.path, delimiter=self.delimiter):
            if not header:
                header = self._header(number, cells)
                is_potato = any(potato.MARK in name for name in header)
            elif number > self.header_rows:
                if len(cells) != len(header):
                    raise self.error(
                        number,
                        f"{len(cells)} cells under {len(header)} columns",
                        remedy="Is the delimiter right, and every quote closed?",
                    )
                row = dict(zip(header, cells, strict=True))
                if not is_potato:
                    yield number, self._unpack_json(number, row)
                elif labelled := potato.merged(row):
                    yield number, self._unpack_json(number, labelled)
        if not header:
            raise self.error(1, "the file is empty")

    def _header(self, number: int, cells: list[str]) -> list[str]:
        names = [cell.strip() for cell in cells]
        doubled = [name for name, times in Counter(names).items() if times > 1 and name]
        if needed := [name for name in doubled if self.is_needed(name)]:
            raise self.error(
                number,
                f"{names.count(needed[0])} columns are named {needed[0][:80]!r}",
                remedy="Rename all but one.",
            )
        return names

    def _json_rows(self, file: TextIO) -> Iterator[tuple[int, Row]]:
        for number, value in enumerate(_json_values(file, self), start=1):
            if not isinstance(value, dict):
                raise self.error(number, f"{json.dumps(value)[:40]} is no object")
            try:
                for flat in _flatten(value):
                    self._check_text(number, flat)
                    yield number, self._unpack_json(number, flat)
            except (AttributeError, KeyError, TypeError, ValueError):
                raise self.error(
                    number, f"annotations are not as {_platform(value)} has them"
                ) from None
            except RecursionError:
                raise self.error(number, "too many lists or objects within each other") from None

    def _unpack_json(self, number: int, row: Row) -> Row:
        for column in self.unpack:
            if text := row.pop(column, ""):
                try:
                    packed = reading.parse_json(text)
                except reading.Malformed as error:
                    raise self.error(number, f"{column} holds no JSON: {error}") from None
                for part in packed if isinstance(packed, list) else [packed]:
                    values = part.items() if isinstance(part, dict) else ()
                    row.update({f"Answer.{name}": _cell_text(value) for name, value in values})
        return row

    def _check_text(self, number: int, row: Row) -> None:
        for text in (*row, *row.values()):
            if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
                raise self.error(
                    number,
                    f"{text[:40]!a} is not UTF-8",
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
    """An object as a row of text; a Label Studio task as one row per annotation, a session of
    `htbench study serve` as one per answer.
    """
    if sessions.is_session(value):
        for answer in sessions.rows(value):
            yield {name: _cell_text(part) for name, part in answer.items()}
        return
    if potato.is_native(value):
        yield from potato.rows(value)
        return
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


def _platform(value: dict[str, object]) -> str:
    """The platform whose export an object is like."""
    if sessions.is_session(value):
        return "htbench study serve"
    return "Potato" if potato.is_native(value) else "Label Studio"


def _cell_text(value: object) -> str:
    """A JSON value as the text of a cell.

    A list of one option becomes the option, as does the label of a crowd classifier; a mapping of
    options to true or false becomes those that are true.
    """
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case [option] | {"selected": option} | {"choices": [option]} | {"label": str(option)}:
            return _cell_text(option)
        case dict() if value and all(isinstance(part, bool) for part in value.values()):
            return " ".join(str(name) for name, part in value.items() if part)
    return json.dumps(value, sort_keys=True)
