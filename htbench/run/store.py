"""The folder of a run: a SQLite file, images and maps, written by one process at a time."""

import errno
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from htbench.core import content, pictures, reading, secrets
from htbench.core.database import Database, Schema
from htbench.core.errors import Missing, UsageError, no_space
from htbench.core.types import Digest
from htbench.run import sessions
from htbench.run.sessions import Session

VERSION = 5
_WITHOUT_SESSIONS = 3
"""The version whose runs have one command and one environment, among their facts."""
_ADD_TOGETHER = "ALTER TABLE timings ADD COLUMN together INTEGER NOT NULL DEFAULT 1"
"""Statement for a run before version 5, which fitted every concept by itself."""
_FILES = ("run.sqlite", "run.sqlite-wal", "run.sqlite-shm", "lock")
ImageSeed = tuple[str, int]
"""Prompt and seed: the images of one such pair differ by steering alone."""
_TABLES = f"""{sessions.TABLE}
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE images (key TEXT PRIMARY KEY, file TEXT, flaw TEXT, seconds REAL, batch INTEGER,
    session INTEGER REFERENCES sessions) STRICT, WITHOUT ROWID;
CREATE TABLE failures (key TEXT PRIMARY KEY REFERENCES images, kind TEXT NOT NULL,
    message TEXT NOT NULL, trace TEXT NOT NULL) STRICT;
CREATE TABLE cells (
    id INTEGER PRIMARY KEY, method TEXT NOT NULL, concept TEXT NOT NULL, prompt TEXT NOT NULL,
    seed INTEGER NOT NULL, strength REAL NOT NULL, image TEXT NOT NULL REFERENCES images,
    place INTEGER NOT NULL, UNIQUE (image, concept, method)) STRICT;
CREATE TABLE scores (
    cell INTEGER NOT NULL REFERENCES cells, metric TEXT NOT NULL, encoder TEXT NOT NULL, value REAL,
    PRIMARY KEY (cell, metric, encoder)) STRICT, WITHOUT ROWID;
CREATE TABLE timings (
    id INTEGER PRIMARY KEY, phase TEXT NOT NULL, method TEXT NOT NULL, concept TEXT NOT NULL,
    seconds REAL NOT NULL, device TEXT NOT NULL, session INTEGER REFERENCES sessions,
    together INTEGER NOT NULL DEFAULT 1, UNIQUE (phase, method, concept, device)) STRICT;
CREATE TABLE samples (
    id INTEGER PRIMARY KEY, session TEXT NOT NULL, method TEXT NOT NULL, work TEXT NOT NULL,
    phase TEXT NOT NULL, concept TEXT NOT NULL, round INTEGER NOT NULL, seconds REAL NOT NULL,
    device_seconds REAL, memory INTEGER, UNIQUE (session, method, work, phase, round)) STRICT;
"""
"""A stored run whose statements differ by more than white space is refused as damaged."""
_SELECT_CELLS = """
SELECT cells.id, method, concept, prompt, seed, strength, image, file, flaw, kind, message
FROM cells JOIN images ON images.key = cells.image
LEFT JOIN failures ON failures.key = cells.image"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CellRow:
    """A cell of the planned grid, with the file of its image or the failure of the last try."""

    id: int
    method: str
    concept: str
    prompt: str
    seed: int
    strength: float
    image: Digest
    file: str | None
    """Name of the image file in `images/`; None while it is missing."""
    blank: str | None
    """`black` or `constant` if the image shows nothing."""
    failure_kind: str | None
    """Kind of the failure, if the last try failed."""
    failure_message: str | None
    """Message of the failure."""

    @property
    def is_steered(self) -> bool:
        """True if the strength is other than 0; at 0 every method leaves the image as it is."""
        return self.strength != 0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The reason why an image could not be generated or read."""

    kind: str
    """`learn`, `generate`, `memory`, `nan` or `damaged`."""
    message: str
    trace: str = ""


@dataclass(frozen=True, kw_only=True)
class GeneratedImage:
    """An image that was generated, as a PNG file."""

    key: Digest
    png: bytes
    blank: str | None = None

    @cached_property
    def file(self) -> str:
        """Name of the file."""
        return image_file(self.png)


def image_file(png: bytes) -> str:
    """Name of an image's file, a digest of its bytes, by which a damaged file is recognised."""
    return f"{sha256(png).hexdigest()[:32]}.png"


def read_image(path: Path) -> bytes:
    """The bytes of an image file of a run; the errors as in `Store.image_bytes`."""
    return reading.read_bytes(path, noun="image", within=path.parent, most=pictures.MAX_BYTES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One measurement of `htbench time`."""

    method: str
    """Empty: the model alone."""
    work: str
    """The work that was measured: `load`, `learn`, `concept`, `again`, `together` or `image`.

    `learn` is the training for all concepts together, `concept` a new concept, `again` the same
    concept a second time, `together` several concepts fitted side by side, of which `concept` names
    the first.
    """
    phase: str
    """Empty: all of the work."""
    concept: str
    round: int
    """0 is the warm-up, which has the peak memory; its times do not count."""
    seconds: float
    device_seconds: float | None = None
    memory: int | None = None
    """Peak bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitTiming:
    """The time from a concept to its intervention."""

    method: str
    concept: str
    seconds: float
    """Seconds per concept: those of a batch of concepts, divided by their number."""
    together: int
    """Number of concepts that were fitted side by side in the batch; 1: this one alone."""


_NOT_FINITE = re.compile(r"([\[,:]\s*)(?:NaN|-?Infinity)(?=\s*[\],}])")
"""Numbers that are not finite, which runs of version 0.1.0 hold where JSON has null."""
_FORMER_METRICS = {"identity": "class_probability"}
"""Present names of scores by those of version 0.1.0, which are read for one release."""
_POSSIBLE = {
    "scores": "value IS NULL OR abs(value) <= 1e9",
    "cells": "abs(strength) <= 1e3 AND image IN (SELECT key FROM images)",
    "timings": "seconds BETWEEN 0 AND 1e9",
    "samples": "seconds BETWEEN 0 AND 1e9",
}
"""By table, the condition on rows that a run may have written."""
_CELL_ROW = tuple(field.name for field in fields(CellRow))
"""Fields in the order of `_SELECT_CELLS`."""
_FIT_TIMING = tuple(field.name for field in fields(FitTiming))
"""Columns of the table `timings` with the names of the fields."""
_SAMPLE = tuple(field.name for field in fields(Sample))
"""Columns of the table `samples`, which have the names of the fields."""


class Store(Database):
    """A run's folder; `open` creates or continues it, `read` is read-only."""

    schema = Schema(
        file="run.sqlite",
        lock="lock",
        version=VERSION,
        tables=_TABLES,
        name="run",
        activity="written",
        alternative=", or choose another --name",
        oldest=_WITHOUT_SESSIONS,
    )
    _session: Session | None = None
    """The session that makes what is written; None where none was started."""

    @cached_property
    def problems(self) -> list[str]:
        """Rows that were left out when the store was opened for reading, in words."""
        return []

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open for writing; the folder is created if it does not exist.

        Raises:
            UsageError: if the folder cannot be written, holds something else, or is written by
                another process.
            Refused: if another version of htbench made it or it is damaged.
        """
        try:
            fresh = not (folder / "run.sqlite").exists()
            if fresh and folder.exists() and any(folder.iterdir()):
                raise UsageError(
                    f"folder {str(folder)!r} holds something that is not a run",
                    remedy="Choose another --runs-dir or --name.",
                )
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "run.sqlite").touch()  # first, so that a run killed here is known for one
            for part in ("images", "maps"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            store = cls._open_for_writing(folder)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise no_space() from None
            raise UsageError(
                f"cannot write run folder {str(folder)[:300]!r}: {error.strerror}",
                remedy="Choose another --runs-dir.",
            ) from None
        with store._closing_on_error():
            store._rename_metrics()
        return store

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open for reading, also on a read-only medium.

        Raises:
            Missing: if there is no run.
            Refused: if another version of htbench made it or it is damaged.
        """
        if not (folder / "run.sqlite").is_file():
            raise Missing(f"no run in {str(folder)!r}", remedy="See: htbench list runs")
        store = cls._open_read_only(folder)
        with store._closing_on_error():
            store._show_possible_rows()
        return store

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

    def _has_former_metrics(self) -> bool:
        """True if scores have names of version 0.1.0; the scores of a cell are written together."""
        first = "SELECT 1 FROM scores WHERE cell = (SELECT min(cell) FROM scores) AND metric = ?"
        return any(self.select(first, metric) for metric in _FORMER_METRICS)

    def _rename_metrics(self) -> None:
        """Give the scores of a run of version 0.1.0 their present names."""
        if self._has_former_metrics():
            with self._transaction() as write:
                rename = "UPDATE scores SET metric = ? WHERE metric = ?"
                write.executemany(rename, [(new, old) for old, new in _FORMER_METRICS.items()])

    def _show_possible_rows(self) -> None:
        """Views in place of tables that hold former names or impossible values.

        So a run that is only read shows the present names, and what a damaged disk or a hand put
        there is left out and counted in `problems`.
        """
        views = {}
        if self._is_older:
            views["timings"] = "SELECT *, 1 AS together FROM main.timings"
        if self.version <= _WITHOUT_SESSIONS:
            views.update(sessions.OLDER_VIEWS)
        for table, is_possible in _POSSIBLE.items():
            ((number,),) = self.select(f"SELECT count(*) FROM {table} WHERE NOT ({is_possible})")
            if number:
                every = views.get(table, f"SELECT * FROM main.{table}")
                views[table] = f"{every} WHERE {is_possible}"
                self.problems.append(f"{number:,} rows of {table} with impossible values")
        if self._has_former_metrics():
            is_possible = _POSSIBLE["scores"]
            cases = " ".join(f"WHEN '{old}' THEN '{new}'" for old, new in _FORMER_METRICS.items())
            views["scores"] = f"""SELECT cell, CASE metric {cases} ELSE metric END AS metric,
                                         encoder, value FROM main.scores WHERE {is_possible}"""
        if views:
            self._database.execute("PRAGMA temp_store = MEMORY")
            self._database.execute("PRAGMA query_only = OFF")
            for table, query in views.items():
                self._database.execute(f"CREATE TEMP VIEW {table} AS {query}")
            self._database.execute("PRAGMA query_only = ON")

    def _is_empty(self) -> bool:
        """True if nothing was ever written: a run whose weights are missing leaves no folder."""
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
        """Path of the image file of that name; a name with a folder is not followed."""
        return self.folder / "images" / Path(file).name

    def image_bytes(self, file: str) -> bytes:
        """The bytes of the image file of that name, which is in the folder and no link out of it.

        Raises:
            UnreadableFile: if it is something else, or larger than pictures may be.
            UnknownName, Missing: if there is none.
        """
        return read_image(self.image_path(file))

    def facts(self) -> dict[str, Any]:
        """Facts about the run as a whole: plan, environment, model, methods, concepts."""
        return {
            name: self._json(f"fact {name!r}", value)
            for name, value in self.select("SELECT name, value FROM facts")
        }

    def set_facts(self, **facts: object) -> None:
        """Write facts; they replace earlier ones of the same name.

        Nothing is written where they are what is stored already.
        """
        rows = {name: json.dumps(content.without_nan(value)) for name, value in facts.items()}
        if not rows.items() <= dict(self.select("SELECT name, value FROM facts")).items():
            with self._transaction() as write:
                _set_facts(write, facts)

    def start_session(self, *, command: str, environment: dict[str, object]) -> None:
        """Make a new session that of all images and timings that are written from here on.

        The first session of a run is stored at once, a later one with the first that it makes.
        """
        self._session = Session(id=self._next_session(), command=command, environment=environment)
        if not self.sessions():
            with self.writing():
                pass

    def sessions(self) -> list[Session]:
        """The sessions of the run, in order."""
        if self.version <= _WITHOUT_SESSIONS:
            return sessions.from_facts(self.facts())
        query = f"SELECT {', '.join(sessions.COLUMNS)} FROM sessions ORDER BY id"
        rows = [dict(zip(sessions.COLUMNS, row, strict=True)) for row in self.select(query)]
        return [
            Session(**{**row, "environment": self._json("session", row["environment"])})
            for row in rows
        ]

    def plan_cells(
        self, rows: Iterable[tuple[str, str, str, int, float, Digest]], *, grid: str = ""
    ) -> None:
        """Make exactly these cells the planned grid.

        Each row is (method, concept, prompt, seed, strength, image key). `grid` is a digest of all
        rows: `facts()["grid"]` is that of the current grid, so that an equal one need not be
        planned again.
        """
        with self._transaction() as write:
            write.execute(
                """CREATE TEMP TABLE wanted (
                   place INTEGER PRIMARY KEY, method, concept, prompt, seed, strength, image)"""
            )
            write.executemany(
                """INSERT INTO wanted (method, concept, prompt, seed, strength, image)
                   VALUES (?, ?, ?, ?, ?, ?)""",
                rows,
            )
            write.execute(
                "INSERT OR IGNORE INTO images (key) SELECT image FROM wanted ORDER BY image"
            )
            if write.execute("SELECT 1 FROM cells LIMIT 1").fetchone():
                # `NOT IN` of several columns would compare every cell with every wanted one
                write.execute(
                    """CREATE TEMP TABLE stale AS SELECT id FROM cells EXCEPT SELECT cells.id
                       FROM wanted CROSS JOIN cells USING (image, concept, method)"""
                )
                write.execute("DELETE FROM scores WHERE cell IN stale")
                write.execute("DELETE FROM cells WHERE id IN stale")
                write.execute("DROP TABLE stale")
            write.execute(
                """INSERT INTO cells (method, concept, prompt, seed, strength, image, place)
                   SELECT method, concept, prompt, seed, strength, image, place FROM wanted
                   WHERE true ORDER BY place
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

    def pending(self, *, without: Sequence[str] = ()) -> list[int]:
        """Ids of cells whose images are still to be generated, one per image.

        They are in the order of the plan, `without` those of some methods.
        """
        query = f"""SELECT id, min(place) AS first FROM cells JOIN images ON key = image
                    WHERE file IS NULL AND {_not_of(without)} GROUP BY image ORDER BY first"""
        return [cell for cell, _ in self.select(query, *without)]

    def unscored(
        self,
        encoder: str,
        metrics: int,
        *,
        without: Sequence[str] = (),
        order: Literal["plan", "image"] = "plan",
    ) -> list[int]:
        """Ids of the cells that have an image but not yet `metrics` scores by `encoder`.

        They are in the order of the plan, or next to those that ask the same of the same unsteered
        image; `without` those of some methods.
        """
        by = "place" if order == "plan" else "prompt, seed, concept, place"
        query = f"""SELECT id FROM cells JOIN images ON key = image WHERE file IS NOT NULL
                    AND (SELECT count(*) FROM scores WHERE cell = cells.id AND encoder = ?) < ?
                    AND {_not_of(without)} ORDER BY {by}"""
        return [cell for (cell,) in self.select(query, encoder, metrics, *without)]

    def pending_keys(self, *, without: Sequence[str] = ()) -> list[Digest]:
        """Keys of images that are still to be generated, `without` those of some methods."""
        query = f"""SELECT key FROM images WHERE file IS NULL
                    AND key IN (SELECT image FROM cells WHERE {_not_of(without)})"""
        return [key for (key,) in self.select(query, *without)]

    def pending_count(self, *, without: Sequence[str] = ()) -> int:
        """Number of images that are still to be generated, `without` those of some methods."""
        query = f"""SELECT count(*) FROM images WHERE file IS NULL
                    AND key IN (SELECT image FROM cells WHERE {_not_of(without)})"""
        ((number,),) = self.select(query, *without)
        return int(number)

    def unscored_count(self, encoder: str, metrics: int, *, without: Sequence[str] = ()) -> int:
        """Number of cells that have not yet `metrics` scores by `encoder`.

        It is `without` the cells of some methods.
        """
        query = f"""SELECT count(*) FROM cells LEFT JOIN (
                      SELECT cell, count(*) AS number FROM scores WHERE encoder = ? GROUP BY cell
                    ) ON cell = id WHERE coalesce(number, 0) < ? AND {_not_of(without)}"""
        ((number,),) = self.select(query, encoder, metrics, *without)
        return int(number)

    def has_all_image_files(self) -> bool:
        """True if no image file that the store names is gone."""
        files = {entry.name for entry in os.scandir(self.folder / "images")}
        named = self.iterate("SELECT DISTINCT file FROM images WHERE file IS NOT NULL")
        return all(name in files for (name,) in named)

    def unsteered_images(self) -> dict[ImageSeed, tuple[Digest, str]]:
        """Key and file of each unsteered image, by prompt and seed, in the order of the plan.

        Those that are missing are left out.
        """
        query = """SELECT prompt, seed, image, file FROM cells JOIN images ON key = image
                   WHERE strength = 0 AND file IS NOT NULL ORDER BY place"""
        return {(prompt, seed): (key, file) for prompt, seed, key, file in self.select(query)}

    def unpaired(self) -> set[ImageSeed]:
        """Prompts and seeds without an unsteered cell, which imported pictures alone have."""
        query = """SELECT DISTINCT prompt, seed FROM cells WHERE strength != 0
                   EXCEPT SELECT prompt, seed FROM cells WHERE strength = 0"""
        return {(prompt, seed) for prompt, seed in self.select(query)}

    @contextmanager
    def writing(self) -> Iterator[tuple[sqlite3.Connection, int | None]]:
        """A transaction in which something is made, and the number of the session that makes it."""
        with self._transaction() as write:
            if self._session:
                replace(self._session, ended=sessions.now()).write(write)
            yield write, self._session.id if self._session else None

    def add_session(self, write: sqlite3.Connection, session: Session) -> int:
        """The number here of a session of another run, which is added if it is new."""
        for known in self.sessions():
            if replace(known, id=session.id) == session:
                return known.id
        number = self._next_session()
        replace(session, id=number).write(write)
        return number

    def add_images(self, images: Sequence[GeneratedImage], *, seconds: float, batch: int) -> None:
        """Write images of one batch, with the seconds per image and the size of the batch."""
        self.write_image_files(images)
        self.add_image_rows(images, seconds=seconds, batch=batch)

    def write_image_files(self, images: Sequence[GeneratedImage]) -> None:
        """Write the files of images, on any thread; `add_image_rows` makes them part of the run."""
        for image in images:
            content.write_whole(self.image_path(image.file), image.png)

    def add_image_rows(
        self, images: Sequence[GeneratedImage], *, seconds: float, batch: int
    ) -> None:
        """Write the rows of images of one batch whose files are written."""
        with self.writing() as (write, session):
            write.executemany(
                """UPDATE images SET file = ?, flaw = ?, seconds = ?, batch = ?, session = ?
                   WHERE key = ?""",
                [(image.file, image.blank, seconds, batch, session, image.key) for image in images],
            )
            write.executemany(
                "DELETE FROM failures WHERE key = ?", [(image.key,) for image in images]
            )

    def add_failure(self, keys: Sequence[Digest], failure: Failure) -> None:
        """Write the failure of images, which stay pending; no secret is kept of it."""
        message, trace = secrets.scrub(failure.message), secrets.scrub(failure.trace)
        with self._transaction() as write:
            write.executemany(
                "UPDATE images SET file = NULL, flaw = NULL WHERE key = ?", [(key,) for key in keys]
            )
            write.executemany(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)",
                [(key, failure.kind, message, trace) for key in keys],
            )

    def drop_missing_images(self) -> int:
        """Make images whose file is gone pending again, drop their scores, return their number."""
        files = {entry.name for entry in os.scandir(self.folder / "images")}
        lost = [
            (key,)
            for key, file in self.select("SELECT key, file FROM images WHERE file IS NOT NULL")
            if file not in files
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

    def image_seconds(self, *, without: Iterable[int] = ()) -> list[float]:
        """Seconds that each image took, `without` those of some sessions."""
        query = f"""SELECT seconds FROM images WHERE seconds BETWEEN 0 AND 1e9
                    AND file IS NOT NULL
                    AND coalesce(session, 0) NOT IN ({",".join(map(str, without))})"""
        return [seconds for (seconds,) in self.select(query)]

    def scores(self) -> list[tuple[int, str, str, float | None]]:
        """All scores: (cell, metric, encoder, value); an undefined value is None."""
        return self.select("SELECT cell, metric, encoder, value FROM scores")

    def add_scores(self, rows: Iterable[tuple[int, str, str, float | None]]) -> None:
        """Write scores, each (cell, metric, encoder, value)."""
        rows = list(rows)
        if not rows:
            return
        with self.writing() as (write, _):
            write.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", rows)

    def timings(self) -> list[tuple[str, str, str, float, str]]:
        """All timings: (phase, method, concept, seconds, device)."""
        return self.select(
            "SELECT phase, method, concept, seconds, device FROM timings ORDER BY id"
        )

    def fit_timings(self) -> list[FitTiming]:
        """The seconds from each concept to its intervention, in the order of their writing."""
        query = f"SELECT {', '.join(_FIT_TIMING)} FROM timings WHERE phase = 'towards' ORDER BY id"
        return [FitTiming(**dict(zip(_FIT_TIMING, row, strict=True))) for row in self.select(query)]

    def add_timing(
        self,
        phase: str,
        method: str,
        concept: str,
        seconds: float,
        device: str,
        *,
        together: int = 1,
    ) -> None:
        """Write a timing; it replaces an earlier one of the same work on the same device.

        `together` concepts were fitted side by side, and `seconds` are those of one of them.
        """
        with self.writing() as (write, session):
            write.execute(
                """INSERT OR REPLACE INTO timings
                   (phase, method, concept, seconds, device, session, together)
                   VALUES (?, ?, ?, ?, ?, ?, ?)""",
                (phase, method, concept, seconds, device, session, together),
            )

    def samples(self, session: str) -> list[Sample]:
        """The measurements of one session of `htbench time`."""
        query = f"SELECT {', '.join(_SAMPLE)} FROM samples WHERE session = ? ORDER BY id"
        rows = self.select(query, session)
        return [Sample(**dict(zip(_SAMPLE, row, strict=True))) for row in rows]

    def add_samples(self, session: str, samples: Iterable[Sample]) -> None:
        """Write measurements of a session."""
        rows = [(session, *(getattr(sample, name) for name in _SAMPLE)) for sample in samples]
        marks = ", ".join("?" * (1 + len(_SAMPLE)))
        with self._transaction() as write:
            write.executemany(
                f"INSERT INTO samples (session, {', '.join(_SAMPLE)}) VALUES ({marks})", rows
            )

    def _next_session(self) -> int:
        """The smallest number above those of all sessions, also of one that made nothing yet."""
        ((last,),) = self.select("SELECT coalesce(max(id), 0) FROM sessions")
        return 1 + max(int(last), self._session.id if self._session else 0)

    def _migrate(self, version: int) -> None:
        """Make the command and the environment among a run's facts its first session, and every
        fit one of a single concept.
        """
        has_sessions = version > _WITHOUT_SESSIONS
        before = [] if has_sessions else sessions.from_facts(self.facts())
        with self._transaction() as write:
            for statement in () if has_sessions else sessions.ADD_TO_OLDER:
                write.execute(statement)
            write.execute(_ADD_TOGETHER)
            for session in before:
                session.write(write)
            write.execute(f"PRAGMA user_version = {VERSION}")

    def _json(self, noun: str, text: str) -> Any:
        try:
            return reading.parse_json(_NOT_FINITE.sub(r"\1null", text))
        except reading.Malformed as error:
            raise self._damage_error(f"{noun}: {error}") from None

    def _rows(self, query: str) -> list[CellRow]:
        return [CellRow(**dict(zip(_CELL_ROW, row, strict=True))) for row in self.select(query)]


def _not_of(methods: Sequence[str]) -> str:
    """The condition on a cell that it is of none of these methods, which are the values."""
    return f"method NOT IN ({', '.join('?' * len(methods))})"


def _set_facts(write: sqlite3.Connection, facts: dict[str, object]) -> None:
    rows = [(name, json.dumps(content.without_nan(value))) for name, value in facts.items()]
    write.executemany(
        "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", rows
    )
