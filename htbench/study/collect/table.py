"""The canonical table of a study: the answers of all files without duplicates, in a fixed order.

Only a few answers are in memory at a time.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Self

from htbench.core.errors import Missing, no_space
from htbench.study.answer import COLUMNS, Answer, cells_of, write_rows

TEXT_COLUMNS = ("study", "criterion", "concept", "prompt", "left", "right", "expected", "time")
"""Columns whose texts come from the imported files and the key."""
_INTEGER_COLUMNS = ("seed", "rt_ms", "position", "source_row")
_BATCH_ROWS = 2000


class Table:
    """Answers in a temporary SQLite file; equal ones are kept once, so that imports can repeat."""

    def __init__(self) -> None:
        columns = ", ".join(
            f"{name} {'INTEGER' if name in _INTEGER_COLUMNS else 'TEXT'}" for name in COLUMNS
        )
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            f"""PRAGMA journal_mode = OFF;
                PRAGMA synchronous = OFF;
                CREATE TABLE answers ({columns}, digest BLOB PRIMARY KEY) WITHOUT ROWID"""
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
        if isinstance(error, sqlite3.OperationalError):
            if "full" in str(error):
                raise no_space() from None
            raise Missing(
                f"no temporary file for the table: {error}",
                remedy="Set TMPDIR to a folder that can be written.",
            ) from None

    def add(self, answers: Iterable[Answer]) -> tuple[int, int]:
        """Add answers; gives the number of all of them, and of those that were new."""
        before, number = len(self), 0
        self._database.execute("BEGIN")
        batch: list[tuple[object, ...]] = []
        for answer in answers:
            values = cells_of(answer)
            batch.append((*values, blake2b(repr(values[:-1]).encode(), digest_size=16).digest()))
            number += 1
            if len(batch) >= _BATCH_ROWS:
                self._insert(batch)
        self._insert(batch)
        self._database.execute("COMMIT")
        return number, len(self) - before

    def __len__(self) -> int:
        (number,) = self._database.execute("SELECT count(*) FROM answers").fetchone()
        return int(number)

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        """Rows in the order of rater, position and time."""
        columns = ", ".join(COLUMNS)
        yield from self._database.execute(
            f"""SELECT {columns} FROM answers ORDER BY rater, position, time,
                criterion, concept, prompt, seed, left, right, choice, digest"""
        )

    def count_raters(self) -> int:
        """Number of people."""
        (number,) = self._database.execute("SELECT count(DISTINCT rater) FROM answers").fetchone()
        return int(number)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Each column with texts from outside, with its distinct texts joined by line breaks."""
        for name in TEXT_COLUMNS:
            rows = self._database.execute(f"SELECT DISTINCT {name} FROM answers")
            yield name, "\n".join(text for (text,) in rows)

    def write(self, path: Path) -> None:
        """Write the table as CSV, replacing a file at once or not at all."""
        write_rows(path, COLUMNS, self)

    def _insert(self, batch: list[tuple[object, ...]]) -> None:
        marks = ", ".join("?" * (len(COLUMNS) + 1))
        self._database.executemany(f"INSERT OR IGNORE INTO answers VALUES ({marks})", batch)
        batch.clear()
