"""The tables of a run's databases as JSON lines: one file per table, the same bytes each time.

The first line of a file has the names of the columns, each further one a row, in the order of the
row's number or of the primary key.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from htbench.core import reading
from htbench.core.database import Schema
from htbench.core.errors import Refused

_MAX_LINE = 1 << 24
"""The most bytes of a line: 16 MiB."""
_ROWS = 10_000
"""Number of rows that are written at once."""
_LINES = 1000
"""Number of lines that are parsed at once."""


def dump(database: sqlite3.Connection, table: str) -> Iterator[bytes]:
    """The lines of a table.

    Raises:
        Refused: if a number is not finite, which no run writes.
    """
    columns = _columns(database, table)
    yield _line(columns)
    (without_rowid,) = database.execute(
        "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (table,)
    ).fetchone()
    order = _keys(database, table) if without_rowid else "rowid"
    for row in database.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"):
        try:
            yield _line(row)
        except ValueError:
            raise Refused(f"table {table} of the run has a number that is not finite") from None


def restore(path: Path, schema: Schema, tables: Mapping[str, Iterable[bytes]]) -> None:
    """Write the database at `path` from the lines of all its tables.

    Raises:
        Refused: for the first line that is no row of its table, and for a row that refers to none.
    """
    database = sqlite3.connect(path, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(f"BEGIN; {schema.tables} PRAGMA user_version = {schema.version};")
        for table in names(schema):
            _restore_table(database, table, tables[table])
        database.execute("COMMIT")
        for table, row, parent, _ in database.execute("PRAGMA foreign_key_check"):
            raise Refused(f"row {row} of table {table} refers to no row of {parent}")
    finally:
        database.close()


def read(table: str, lines: Iterable[bytes]) -> Iterator[dict[str, object]]:
    """The rows of a table by column.

    Raises:
        Refused: for the first line that is no row.
    """
    values = rows(table, lines)
    columns = [str(name) for name in next(values, ())]
    for row in values:
        if len(row) != len(columns):
            raise Refused(f"table {table} has a row that no run has")
        yield dict(zip(columns, row, strict=True))


def names(schema: Schema) -> list[str]:
    """Names of the tables of a database."""
    database = sqlite3.connect(":memory:")
    try:
        database.executescript(schema.tables)
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        return sorted(name for (name,) in database.execute(query))
    finally:
        database.close()


def no_rows(schema: Schema, table: str) -> list[bytes]:
    """The lines of a table that has no rows: the names of its columns."""
    database = sqlite3.connect(":memory:")
    try:
        database.executescript(schema.tables)
        return [_line(_columns(database, table))]
    finally:
        database.close()


def _restore_table(database: sqlite3.Connection, table: str, lines: Iterable[bytes]) -> None:
    columns = _columns(database, table)
    values = rows(table, lines)
    if next(values, None) != columns:
        raise Refused(f"table {table} has other columns than {', '.join(columns)}")
    insert = f"""INSERT INTO {table} ({", ".join(columns)})
                 VALUES ({", ".join("?" * len(columns))})"""
    try:
        while part := list(islice(values, _ROWS)):
            database.executemany(insert, part)
    except (sqlite3.Error, OverflowError) as error:
        raise Refused(f"table {table} has a row that no run has: {error}") from None


def rows(table: str, lines: Iterable[bytes]) -> Iterator[list[Any]]:
    """The rows of a table from its lines, the names of the columns first.

    Raises:
        Refused: for the first line that is no row.
    """
    numbered = enumerate(lines, start=1)
    while part := list(islice(numbered, _LINES)):
        short = all(len(line) <= _MAX_LINE for _, line in part)
        parsed = reading.parse_flat_lists([line for _, line in part]) if short else None
        yield from parsed or (_row(table, number, line) for number, line in part)


def _row(table: str, number: int, line: bytes) -> list[Any]:
    if len(line) > _MAX_LINE:
        raise Refused(f"line {number} of table {table} is longer than {_MAX_LINE:,} bytes")
    try:
        row = reading.parse_json(line)
    except reading.Malformed as error:
        raise Refused(f"line {number} of table {table} is no JSON: {error}") from None
    if not isinstance(row, list):
        raise Refused(f"line {number} of table {table} is no list of values")
    return row


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    query = "SELECT name FROM pragma_table_info(?) ORDER BY cid"
    return [name for (name,) in database.execute(query, (table,))]


def _keys(database: sqlite3.Connection, table: str) -> str:
    query = "SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk"
    return ", ".join(name for (name,) in database.execute(query, (table,)))


def _line(row: Iterable[object]) -> bytes:
    text = json.dumps(list(row), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace") + b"\n"
