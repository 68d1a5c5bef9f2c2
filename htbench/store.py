"""What a run leaves on disk: one folder with a SQLite file, images and maps, written by one process at a time."""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from htbench.errors import Missing, Refused, UsageError
from htbench.types import Digest

VERSION = 1
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE images (
    key TEXT PRIMARY KEY, file TEXT, problem TEXT, seconds REAL);
CREATE TABLE cells (
    id INTEGER PRIMARY KEY, method TEXT NOT NULL, concept TEXT NOT NULL, prompt TEXT NOT NULL, seed TEXT NOT NULL,
    strength REAL NOT NULL, image TEXT NOT NULL, place INTEGER NOT NULL,
    UNIQUE (method, concept, prompt, seed, strength));
CREATE TABLE scores (
    cell INTEGER NOT NULL REFERENCES cells, metric TEXT NOT NULL, encoder TEXT NOT NULL, value REAL,
    PRIMARY KEY (cell, metric, encoder)) WITHOUT ROWID;
CREATE TABLE timings (
    id INTEGER PRIMARY KEY, phase TEXT NOT NULL, method TEXT NOT NULL, concept TEXT NOT NULL, seconds REAL NOT NULL,
    device TEXT NOT NULL, UNIQUE (phase, method, concept, device));
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell as the store knows it."""

    id: int
    method: str
    concept: str
    prompt: str
    seed: int
    strength: float
    image: Digest
    file: str | None
    """Name of the picture in `images/`; None while it is missing."""
    problem: str | None
    """Why it is missing; None while it is pending."""


class Store:
    """A run's folder; `open` makes it or continues it, `read` only looks at it."""

    def __init__(self, folder: Path, database: sqlite3.Connection, lock: int | None) -> None:
        self.folder, self._database, self._lock = folder, database, lock

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open for writing, made if it does not exist.

        Raises:
            UsageError: if the folder cannot be written, holds something else, or another process writes it.
            Refused: if another version of htbench made it or it is damaged.
        """
        try:
            fresh = not (folder / "run.sqlite").exists()
            if fresh and folder.exists() and any(folder.iterdir()):
                raise UsageError(f"folder {str(folder)!r} holds something that is not a run", remedy="Choose another --out or --name.")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "run.sqlite").touch()  # first, so that a run killed here is known for one
            for part in ("images", "maps"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise UsageError(f"cannot write run folder {str(folder)!r}: {error.strerror}", remedy="Choose another --out.") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise UsageError(f"run {str(folder)!r} is being written by another process", remedy="Wait for it, or choose another --name.") from None
        store = cls(folder, _connect(folder / "run.sqlite"), lock)
        try:
            if store._is_empty():
                store._database.execute("PRAGMA journal_mode = WAL")
                store._database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
            store._check_version()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open for reading alone.

        Raises:
            Missing: if there is no run.
            Refused: if another version of htbench made it or it is damaged.
        """
        if not (folder / "run.sqlite").is_file():
            raise Missing(f"no run in {str(folder)!r}", remedy="See: htbench list runs")
        store = cls(folder, _connect(folder / "run.sqlite"), None)
        store._database.execute("PRAGMA query_only = ON")
        store._check_version()
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database and of the lock."""
        self._database.close()
        if self._lock is not None:
            os.close(self._lock)

    def facts(self) -> dict[str, Any]:
        """What is known of the run as a whole: plan, environment, model, methods, concepts."""
        return {name: json.loads(value) for name, value in self._database.execute("SELECT name, value FROM facts")}

    def set_facts(self, **facts: object) -> None:
        """Write facts over earlier ones of the same name."""
        rows = [(name, json.dumps(value)) for name, value in facts.items()]
        with self._transaction() as write:
            write.executemany("INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", rows)

    def plan_cells(self, rows: Iterable[tuple[str, str, str, int, float, Digest]]) -> None:
        """Make exactly these cells the planned grid: (method, concept, prompt, seed, strength, image key) each."""
        with self._transaction() as write:
            write.execute("CREATE TEMP TABLE wanted AS SELECT method, concept, prompt, seed, strength, image FROM cells WHERE 0")
            write.executemany(
                "INSERT INTO wanted (method, concept, prompt, seed, strength, image) VALUES (?, ?, ?, ?, ?, ?)",
                ((method, concept, prompt, str(seed), strength, image) for method, concept, prompt, seed, strength, image in rows),
            )
            columns = "method, concept, prompt, seed, strength, image"
            stale = f"SELECT id FROM cells WHERE ({columns}) NOT IN (SELECT {columns} FROM wanted)"
            write.execute(f"DELETE FROM scores WHERE cell IN ({stale})")
            write.execute(f"DELETE FROM cells WHERE id IN ({stale})")
            write.execute(
                f"""INSERT INTO cells ({columns}, place) SELECT {columns}, rowid FROM wanted WHERE true ORDER BY rowid
                    ON CONFLICT (method, concept, prompt, seed, strength) DO UPDATE SET place = excluded.place"""
            )
            write.execute("INSERT OR IGNORE INTO images (key) SELECT image FROM wanted")
            write.execute("DROP TABLE wanted")

    def rows(self) -> list[Row]:
        """All planned cells, in the order of the plan."""
        query = """SELECT cells.id, method, concept, prompt, seed, strength, image, file, problem
                   FROM cells JOIN images ON images.key = cells.image ORDER BY place"""
        names = ("id", "method", "concept", "prompt", "seed", "strength", "image", "file", "problem")
        rows = (dict(zip(names, row, strict=True)) for row in self._database.execute(query))
        return [Row(**{**row, "seed": int(row["seed"])}) for row in rows]

    def add_images(self, images: Sequence[tuple[Digest, bytes | None, str | None]], *, seconds: float) -> None:
        """Write a batch: (key, PNG or None, why it is missing or None) each, and the seconds that one image took."""
        written = []
        for key, png, problem in images:
            name = None
            if png is not None:
                name = f"{key}.png"
                fresh = self.folder / "images" / f".{name}"
                fresh.write_bytes(png)
                fresh.replace(self.folder / "images" / name)
            written.append((name, problem, seconds, key))
        with self._transaction() as write:
            write.executemany("UPDATE images SET file = ?, problem = ?, seconds = ? WHERE key = ?", written)

    def image_seconds(self) -> list[float]:
        """Seconds an image, of each image made."""
        return [seconds for (seconds,) in self._database.execute("SELECT seconds FROM images WHERE seconds IS NOT NULL AND file IS NOT NULL")]

    def scores(self) -> list[tuple[int, str, str, float | None]]:
        """All scores: (cell, metric, encoder, value); a value that is not defined is None."""
        return self._database.execute("SELECT cell, metric, encoder, value FROM scores").fetchall()

    def add_scores(self, rows: Iterable[tuple[int, str, str, float | None]]) -> None:
        """Write scores: (cell, metric, encoder, value) each."""
        with self._transaction() as write:
            write.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", rows)

    def timings(self) -> list[tuple[str, str, str, float, str]]:
        """All timings: (phase, method, concept, seconds, device)."""
        return self._database.execute("SELECT phase, method, concept, seconds, device FROM timings ORDER BY id").fetchall()

    def add_timing(self, phase: str, method: str, concept: str, seconds: float, device: str) -> None:
        """Write one timing over an earlier one of the same work on the same device."""
        with self._transaction() as write:
            write.execute(
                "INSERT OR REPLACE INTO timings (phase, method, concept, seconds, device) VALUES (?, ?, ?, ?, ?)", (phase, method, concept, seconds, device)
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _is_empty(self) -> bool:
        try:
            return bool(self._database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,))
        except sqlite3.DatabaseError:
            return False

    def _check_version(self) -> None:
        try:
            (found,) = self._database.execute("PRAGMA user_version").fetchone()
        except sqlite3.DatabaseError as error:
            raise Refused(f"{str(self.folder / 'run.sqlite')!r} is damaged: {error}", remedy="Restore it, or choose another --name.") from None
        if found != VERSION:
            raise Refused(
                f"run {str(self.folder)!r} has store version {found}, this htbench reads {VERSION}",
                remedy="Use the htbench that made it, or choose another --name.",
            )


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=10)
