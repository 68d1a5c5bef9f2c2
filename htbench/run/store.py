"""What a run leaves on disk: one folder with a SQLite file, images and maps, written by one process at a time."""

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from htbench.core.database import Database, Schema
from htbench.core.errors import Missing, UsageError
from htbench.core.types import Digest

VERSION = 3
_FILES = ("run.sqlite", "run.sqlite-wal", "run.sqlite-shm", "lock")
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE images (key TEXT PRIMARY KEY, file TEXT, flaw TEXT, seconds REAL, batch INTEGER) STRICT, WITHOUT ROWID;
CREATE TABLE failures (key TEXT PRIMARY KEY REFERENCES images, kind TEXT NOT NULL, message TEXT NOT NULL, trace TEXT NOT NULL) STRICT;
CREATE TABLE cells (
    id INTEGER PRIMARY KEY, method TEXT NOT NULL, concept TEXT NOT NULL, prompt TEXT NOT NULL, seed INTEGER NOT NULL,
    strength REAL NOT NULL, image TEXT NOT NULL REFERENCES images, place INTEGER NOT NULL, UNIQUE (image, concept, method)) STRICT;
CREATE TABLE scores (
    cell INTEGER NOT NULL REFERENCES cells, metric TEXT NOT NULL, encoder TEXT NOT NULL, value REAL,
    PRIMARY KEY (cell, metric, encoder)) STRICT, WITHOUT ROWID;
CREATE TABLE timings (
    id INTEGER PRIMARY KEY, phase TEXT NOT NULL, method TEXT NOT NULL, concept TEXT NOT NULL, seconds REAL NOT NULL,
    device TEXT NOT NULL, UNIQUE (phase, method, concept, device)) STRICT;
CREATE TABLE samples (
    id INTEGER PRIMARY KEY, session TEXT NOT NULL, method TEXT NOT NULL, work TEXT NOT NULL, phase TEXT NOT NULL, concept TEXT NOT NULL,
    round INTEGER NOT NULL, seconds REAL NOT NULL, device_seconds REAL, memory INTEGER,
    UNIQUE (session, method, work, phase, round)) STRICT;
"""
_SELECT_CELLS = """SELECT cells.id, method, concept, prompt, seed, strength, image, file, flaw, kind, message
            FROM cells JOIN images ON images.key = cells.image LEFT JOIN failures ON failures.key = cells.image"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CellRow:
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
    blank: str | None
    """What is wrong with the picture: `black` or `constant`."""
    failure_kind: str | None
    """Of the failure, if the latest try failed."""
    failure_message: str | None
    """Why it failed, in words."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an image could not be made or read."""

    kind: str
    """`learn`, `generate`, `memory`, `nan` or `damaged`."""
    message: str
    trace: str = ""


@dataclass(frozen=True, kw_only=True)
class GeneratedImage:
    """An image that was made."""

    key: Digest
    png: bytes
    blank: str | None = None

    @property
    def file(self) -> str:
        """Its name, which is a digest of its bytes: a damaged file gives itself away."""
        return f"{sha256(self.png).hexdigest()[:32]}.png"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One measurement of `htbench time`."""

    method: str
    """Empty: the model alone."""
    work: str
    """What was measured: `load`, `learn` for all concepts together, `concept` for a new one, `again` for the same once more, `image`."""
    phase: str
    """Empty: all of the work."""
    concept: str
    round: int
    """0: warming up, which holds peak memory; its times do not count."""
    seconds: float
    device_seconds: float | None = None
    memory: int | None = None
    """Peak bytes."""


class Store(Database):
    """A run's folder; `open` makes it or continues it, `read` only looks at it."""

    layout = Schema(
        file="run.sqlite", lock="lock", version=VERSION, tables=_TABLES, name="run", activity="written", alternative=", or choose another --name"
    )  # fmt: skip

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
                raise UsageError(
                    f"folder {str(folder)!r} holds something that is not a run",
                    remedy="Choose another --out or --name.",
                )
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "run.sqlite").touch()  # first, so that a run killed here is known for one
            for part in ("images", "maps"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            return cls._open_for_writing(folder)
        except OSError as error:
            raise UsageError(
                f"cannot write run folder {str(folder)[:300]!r}: {error.strerror}",
                remedy="Choose another --out.",
            ) from None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open for reading alone, also on a medium that cannot be written.

        Raises:
            Missing: if there is no run.
            Refused: if another version of htbench made it or it is damaged.
        """
        if not (folder / "run.sqlite").is_file():
            raise Missing(f"no run in {str(folder)!r}", remedy="See: htbench list runs")
        return cls._open_read_only(folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        nothing = error is not None and self._lock is not None and self._is_empty()
        try:
            super().__exit__(kind, error, trace)
        finally:
            if nothing:
                self._remove()

    def _is_empty(self) -> bool:
        """Whether nothing was ever written: a run whose weights are missing leaves no folder."""
        with suppress(sqlite3.DatabaseError):
            if self.select(
                "SELECT EXISTS (SELECT 1 FROM facts) + EXISTS (SELECT 1 FROM samples)"
            ) == [(0,)]:
                return {path.name for path in self.folder.rglob("*")} <= {*_FILES, "images", "maps"}
        return False

    def _remove(self) -> None:
        with suppress(OSError):
            for name in _FILES:
                (self.folder / name).unlink(missing_ok=True)
            for folder in (self.folder / "images", self.folder / "maps", self.folder):
                folder.rmdir()

    def image_path(self, file: str) -> Path:
        """Where the picture of that name is."""
        return self.folder / "images" / file

    def facts(self) -> dict[str, Any]:
        """What is known of the run as a whole: plan, environment, model, methods, concepts."""
        try:
            return {
                name: json.loads(value)
                for name, value in self.select("SELECT name, value FROM facts")
            }
        except (ValueError, RecursionError) as error:
            raise self._damage_error(error) from None

    def set_facts(self, **facts: object) -> None:
        """Write facts over earlier ones of the same name."""
        with self._transaction() as write:
            _set_facts(write, facts)

    def plan_cells(
        self, rows: Iterable[tuple[str, str, str, int, float, Digest]], *, grid: str = ""
    ) -> None:
        """Make exactly these cells the planned grid: (method, concept, prompt, seed, strength, image key) each.

        `grid` stands for all of them: `facts()["grid"]` says which one is planned, so that an equal one need not be planned again.
        """
        with self._transaction() as write:
            write.execute(
                "CREATE TEMP TABLE wanted (place INTEGER PRIMARY KEY, method, concept, prompt, seed, strength, image)"
            )
            write.executemany(
                "INSERT INTO wanted (method, concept, prompt, seed, strength, image) VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            write.execute(
                "INSERT OR IGNORE INTO images (key) SELECT image FROM wanted ORDER BY image"
            )
            if write.execute("SELECT 1 FROM cells LIMIT 1").fetchone():
                # `NOT IN` of several columns would compare every cell with every wanted one
                write.execute(
                    """CREATE TEMP TABLE stale AS SELECT id FROM cells
                       EXCEPT SELECT cells.id FROM wanted CROSS JOIN cells USING (image, concept, method)"""
                )
                write.execute("DELETE FROM scores WHERE cell IN stale")
                write.execute("DELETE FROM cells WHERE id IN stale")
                write.execute("DROP TABLE stale")
            write.execute(
                """INSERT INTO cells (method, concept, prompt, seed, strength, image, place)
                   SELECT method, concept, prompt, seed, strength, image, place FROM wanted WHERE true ORDER BY place
                   ON CONFLICT (image, concept, method) DO UPDATE SET place = excluded.place"""
            )
            write.execute("DROP TABLE wanted")
            _set_facts(write, {"grid": grid})

    def rows(self) -> list[CellRow]:
        """All planned cells, in the order of the plan."""
        return self._rows(f"{_SELECT_CELLS} ORDER BY place")

    def cells(self, ids: Sequence[int]) -> list[CellRow]:
        """The cells with these ids, in the order of the plan."""
        return self._rows(
            f"{_SELECT_CELLS} WHERE cells.id IN ({','.join(map(str, ids))}) ORDER BY place"
        )

    def count(self) -> int:
        """Number of planned cells."""
        (number,) = self.select("SELECT count(*) FROM cells")[0]
        return int(number)

    def pending(self) -> list[int]:
        """Ids of the cells whose images are still to be made, in the order of the plan; one for each image."""
        query = """SELECT id, min(place) AS first FROM cells JOIN images ON images.key = cells.image
                   WHERE file IS NULL GROUP BY image ORDER BY first"""
        return [cell for cell, _ in self.select(query)]

    def unscored(self, encoder: str, metrics: int) -> list[int]:
        """Ids of the cells that have an image but not yet `metrics` scores by `encoder`, in the order of the plan."""
        query = """SELECT id FROM cells JOIN images ON key = image WHERE file IS NOT NULL
                   AND (SELECT count(*) FROM scores WHERE cell = cells.id AND encoder = ?) < ? ORDER BY place"""
        return [cell for (cell,) in self.select(query, encoder, metrics)]

    def add_images(self, images: Sequence[GeneratedImage], *, seconds: float, batch: int) -> None:
        """Write pictures of one batch, with the seconds that one of them took and the size of the batch."""
        for picture in images:
            fresh = self.folder / "images" / f".{picture.file}"
            fresh.write_bytes(picture.png)
            fresh.replace(self.folder / "images" / picture.file)
        with self._transaction() as write:
            write.executemany(
                "UPDATE images SET file = ?, flaw = ?, seconds = ?, batch = ? WHERE key = ?",
                [(picture.file, picture.blank, seconds, batch, picture.key) for picture in images],
            )
            write.executemany(
                "DELETE FROM failures WHERE key = ?", [(picture.key,) for picture in images]
            )

    def add_failure(self, keys: Sequence[Digest], failure: Failure) -> None:
        """Write that images could not be made; they stay pending."""
        with self._transaction() as write:
            write.executemany(
                "UPDATE images SET file = NULL, flaw = NULL WHERE key = ?", [(key,) for key in keys]
            )
            write.executemany(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)",
                [(key, failure.kind, failure.message, failure.trace) for key in keys],
            )

    def drop_missing_images(self) -> int:
        """Take images whose file is gone for not made, with their scores; gives how many."""
        there = {entry.name for entry in os.scandir(self.folder / "images")}
        lost = [
            (key,)
            for key, file in self.select("SELECT key, file FROM images WHERE file IS NOT NULL")
            if file not in there
        ]
        if lost:
            with self._transaction() as write:
                write.execute("CREATE TEMP TABLE lost (key TEXT PRIMARY KEY)")
                write.executemany("INSERT INTO lost VALUES (?)", lost)
                write.execute(
                    "DELETE FROM scores WHERE cell IN (SELECT id FROM cells WHERE image IN lost)"
                )
                write.execute("UPDATE images SET file = NULL, flaw = NULL WHERE key IN lost")
                write.execute("DROP TABLE lost")
        return len(lost)

    def drop_scores(self, concepts: Iterable[str]) -> None:
        """Drop the scores of concepts whose words have changed."""
        with self._transaction() as write:
            write.executemany(
                "DELETE FROM scores WHERE cell IN (SELECT id FROM cells WHERE concept = ?)",
                [(concept,) for concept in concepts],
            )

    def image_seconds(self) -> list[float]:
        """Seconds an image, of each image made."""
        return [
            seconds
            for (seconds,) in self.select(
                "SELECT seconds FROM images WHERE seconds IS NOT NULL AND file IS NOT NULL"
            )
        ]

    def scores(self) -> list[tuple[int, str, str, float | None]]:
        """All scores: (cell, metric, encoder, value); a value that is not defined is None."""
        return self.select("SELECT cell, metric, encoder, value FROM scores")

    def add_scores(self, rows: Iterable[tuple[int, str, str, float | None]]) -> None:
        """Write scores: (cell, metric, encoder, value) each."""
        with self._transaction() as write:
            write.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", rows)

    def timings(self) -> list[tuple[str, str, str, float, str]]:
        """All timings: (phase, method, concept, seconds, device)."""
        return self.select(
            "SELECT phase, method, concept, seconds, device FROM timings ORDER BY id"
        )

    def add_timing(
        self, phase: str, method: str, concept: str, seconds: float, device: str
    ) -> None:
        """Write one timing over an earlier one of the same work on the same device."""
        with self._transaction() as write:
            write.execute(
                "INSERT OR REPLACE INTO timings (phase, method, concept, seconds, device) VALUES (?, ?, ?, ?, ?)",
                (phase, method, concept, seconds, device),
            )

    def samples(self, session: str) -> list[Sample]:
        """What `htbench time` measured in one session."""
        names = (
            "method",
            "work",
            "phase",
            "concept",
            "round",
            "seconds",
            "device_seconds",
            "memory",
        )
        rows = self.select(
            f"SELECT {', '.join(names)} FROM samples WHERE session = ? ORDER BY id", session
        )
        return [Sample(**dict(zip(names, row, strict=True))) for row in rows]

    def add_samples(self, session: str, samples: Iterable[Sample]) -> None:
        """Write measurements of a session."""
        rows = [
            (
                session,
                s.method,
                s.work,
                s.phase,
                s.concept,
                s.round,
                s.seconds,
                s.device_seconds,
                s.memory,
            )
            for s in samples
        ]
        with self._transaction() as write:
            write.executemany(
                """INSERT INTO samples (session, method, work, phase, concept, round, seconds, device_seconds, memory)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                rows,
            )

    def _rows(self, query: str) -> list[CellRow]:
        names = (
            "id",
            "method",
            "concept",
            "prompt",
            "seed",
            "strength",
            "image",
            "file",
            "blank",
            "failure_kind",
            "failure_message",
        )
        return [CellRow(**dict(zip(names, row, strict=True))) for row in self.select(query)]


def _set_facts(write: sqlite3.Connection, facts: dict[str, object]) -> None:
    rows = [(name, json.dumps(value)) for name, value in facts.items()]
    write.executemany(
        "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", rows
    )
