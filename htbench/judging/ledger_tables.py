"""The tables of a ledger, and what ledgers of earlier versions lack."""

import re
import sqlite3
from collections.abc import Iterator, MutableMapping

TABLES = """
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE tournaments (id TEXT PRIMARY KEY, about TEXT NOT NULL, began TEXT NOT NULL) STRICT;
CREATE TABLE matches (
    tournament TEXT NOT NULL REFERENCES tournaments, place INTEGER NOT NULL,
    round INTEGER NOT NULL, control TEXT NOT NULL, criterion TEXT NOT NULL,
    concept TEXT NOT NULL, prompt TEXT NOT NULL, seed INTEGER NOT NULL,
    one TEXT NOT NULL, two TEXT NOT NULL, other TEXT NOT NULL,
    first TEXT, second TEXT, forth TEXT, back TEXT,
    PRIMARY KEY (tournament, place)) STRICT, WITHOUT ROWID;
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL,
    how TEXT NOT NULL, failure TEXT, message TEXT NOT NULL, body TEXT NOT NULL,
    asked INTEGER NOT NULL, cached INTEGER NOT NULL, replied INTEGER NOT NULL,
    seconds REAL NOT NULL, at TEXT NOT NULL, batch TEXT NOT NULL,
    requests INTEGER NOT NULL DEFAULT 1) STRICT;
CREATE INDEX calls_by_key ON calls (key);
CREATE TABLE verdicts (
    key TEXT PRIMARY KEY, call INTEGER NOT NULL REFERENCES calls, parser TEXT NOT NULL,
    outcome TEXT NOT NULL, choice TEXT, first REAL, covered REAL,
    reason TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE batches (id TEXT PRIMARY KEY, tournament TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, state TEXT NOT NULL,
    asked INTEGER NOT NULL DEFAULT 0, replied INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE waiting (key TEXT PRIMARY KEY, batch TEXT NOT NULL REFERENCES batches)
    STRICT, WITHOUT ROWID;
"""
_ADDED_COLUMNS = {
    "calls": ("requests INTEGER NOT NULL DEFAULT 1",),
    "batches": ("asked INTEGER NOT NULL DEFAULT 0", "replied INTEGER NOT NULL DEFAULT 0"),
}
"""Columns that ledgers of version 1 lack, by table."""
_LOGIN = re.compile(r"//[^\s/@'\"<>]+@")
IS_CHARGED = "coalesce(body <> '' OR failure = 'timeout', 0)"
"""SQL that is 1 for a call that may have been charged, else 0."""


class Notes(MutableMapping[str, str]):
    """Facts in the table of notes, by name."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __getitem__(self, name: str) -> str:
        row = self._database.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise KeyError(name)
        return str(row[0])

    def __setitem__(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def __delitem__(self, name: str) -> None:
        self._database.execute("DELETE FROM notes WHERE name = ?", (name,))

    def __iter__(self) -> Iterator[str]:
        rows = self._database.execute("SELECT name FROM notes ORDER BY name").fetchall()
        return (name for (name,) in rows)

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM notes").fetchone()[0])


def migrate(write: sqlite3.Connection) -> None:
    """Add the columns that a ledger of version 1 lacks, and take passwords out of it."""
    for table, columns in _ADDED_COLUMNS.items():
        for column in columns:
            write.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    write.execute(f"UPDATE calls SET requests = {IS_CHARGED}")
    for table, column in (
        ("calls", "endpoint"),
        ("calls", "message"),
        ("tournaments", "about"),
        ("notes", "name"),
    ):
        query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} LIKE '%://%@%'"
        for (text,) in write.execute(query).fetchall():
            write.execute(
                f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {column} = ?",
                (_without_login(text), text),
            )


def _without_login(text: str) -> str:
    """The text, whose addresses have user and password no more."""
    return _LOGIN.sub("//", text)
