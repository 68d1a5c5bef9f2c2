"""The canonical table of a study: answers of any number of files, each once, in an order of its own; never more than a few of them in memory."""

import csv
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import astuple, fields
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Self

from htbench.study.answer import COLUMNS, Answer

TEXT_COLUMNS = ("study", "criterion", "concept", "prompt", "left", "right", "expected", "time")
"""Columns whose texts come from outside."""
_INTEGER_COLUMNS = tuple(
    item.name for item in fields(Answer) if item.name in ("seed", "rt_ms", "position", "source_row")
)
_BATCH_ROWS = 2000


class Table:
    """Answers in a temporary file of SQLite; equal ones are kept once, so importing twice changes nothing."""

    def __init__(self) -> None:
        columns = ", ".join(
            f"{name} {'INTEGER' if name in _INTEGER_COLUMNS else 'TEXT'}" for name in COLUMNS
        )
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE answers ({columns}, digest BLOB PRIMARY KEY) WITHOUT ROWID"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def add(self, answers: Iterable[Answer]) -> tuple[int, int]:
        """Put answers in; gives how many there were, and how many of them were new."""
        before, given = len(self), 0
        self._database.execute("BEGIN")
        batch: list[tuple[object, ...]] = []
        for answer in answers:
            values = astuple(answer)
            batch.append((*values, blake2b(repr(values[:-1]).encode(), digest_size=16).digest()))
            given += 1
            if len(batch) >= _BATCH_ROWS:
                self._insert(batch)
        self._insert(batch)
        self._database.execute("COMMIT")
        return given, len(self) - before

    def __len__(self) -> int:
        (number,) = self._database.execute("SELECT count(*) FROM answers").fetchone()
        return int(number)

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        """Rows by rater, position and time, whatever the order they came in."""
        order = (
            "rater, position, time, criterion, concept, prompt, seed, left, right, choice, digest"
        )
        yield from self._database.execute(
            f"SELECT {', '.join(COLUMNS)} FROM answers ORDER BY {order}"
        )

    def count_raters(self) -> int:
        """How many people there are."""
        (number,) = self._database.execute("SELECT count(DISTINCT rater) FROM answers").fetchone()
        return int(number)

    def texts(self) -> Iterator[bytes]:
        """Every text from outside, each once a column."""
        for name in TEXT_COLUMNS:
            yield "\n".join(
                str(text)
                for (text,) in self._database.execute(f"SELECT DISTINCT {name} FROM answers")
            ).encode()

    def write(self, path: Path) -> None:
        """As CSV; a table that is there is replaced at once or not at all."""
        fresh = path.with_name(f".{path.name}")
        with fresh.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            rows.writerows(self)
        fresh.replace(path)

    def _insert(self, batch: list[tuple[object, ...]]) -> None:
        marks = ", ".join("?" * (len(COLUMNS) + 1))
        self._database.executemany(f"INSERT OR IGNORE INTO answers VALUES ({marks})", batch)
        batch.clear()
