"""A SQLite file in a run's folder.

One process writes it at a time and any may read it; a file that is damaged or of another version is
refused.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from htbench.core import locks
from htbench.core.errors import HtbenchError, Missing, Refused, UsageError, no_space

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LEAST_ROOM = 1 << 16
"""Bytes: twice what SQLite takes for the index of a log."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The layout of a file, and the words for it in messages."""

    file: str
    lock: str
    version: int
    tables: str
    """SQL that creates the tables."""
    name: str
    """Noun for the contents: `run`, `ledger`."""
    activity: str
    """Participle for the work of a process that holds the lock: `written`."""
    alternative: str
    """End of a remedy's sentence: an alternative to waiting or restoring."""
    oldest: int | None = None
    """The oldest version that can be read still, and is migrated when written; None: no other."""


class Database:
    """An open file with the layout of its class."""

    schema: ClassVar[Schema]

    def __init__(
        self, folder: Path, database: sqlite3.Connection, lock: "BaseFileLock | None"
    ) -> None:
        self.folder, self._database, self._lock = folder, database, lock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if isinstance(error, sqlite3.DatabaseError):
            raise self._explain(error) from None

    def close(self) -> None:
        """Close the file and release the lock."""
        self._database.close()
        if self._lock is not None:
            self._lock.release()

    def select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a SQL query."""
        return self._database.execute(query, values).fetchall()

    def iterate(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """The rows of a SQL query one after another, so that they need no memory together."""
        return iter(self._database.execute(query, values))

    @classmethod
    def _open_for_writing(cls, folder: Path) -> Self:
        """Open for writing; tables are created if there are none.

        Raises:
            OSError: if the folder cannot be written.
            UsageError: if another process writes it.
            Refused: if another version of htbench made it or it is damaged.
        """
        layout = cls.schema
        lock = locks.acquire(
            folder / layout.lock,
            noun=f"run {str(folder)!r}",
            activity=layout.activity,
            otherwise=layout.alternative,
        )
        opened = cls(
            folder, sqlite3.connect(folder / layout.file, isolation_level=None, timeout=10), lock
        )
        with opened._closing_on_error():
            # what a power cut takes from the log is made again
            opened._database.execute("PRAGMA synchronous = NORMAL")
            if opened.select("SELECT count(*) FROM sqlite_master") == [(0,)]:
                opened._database.execute("PRAGMA journal_mode = WAL")
                opened._database.executescript(
                    f"BEGIN; {layout.tables} PRAGMA user_version = {layout.version}; COMMIT;"
                )
            if opened._is_older:
                opened._migrate(opened.version)
            opened._check()
        return opened

    @classmethod
    def _open_read_only(cls, folder: Path) -> Self:
        """Open for reading only, also on a full or read-only disk.

        SQLite writes beside a file that it reads. Where that is refused, the file is opened as one
        that nobody writes, unless a log beside it holds newer rows, which would then be missed.
        """
        log = folder / f"{cls.schema.file}-wal"
        can_be_frozen = not log.exists() or not log.stat().st_size
        if can_be_frozen and not os.access(folder, os.W_OK):
            return cls._connect(folder, "ro&immutable=1")
        try:
            return cls._connect(folder, "rw")
        except (UsageError, Missing, Refused) as error:
            if can_be_frozen and isinstance(error.__context__, sqlite3.OperationalError):
                return cls._connect(folder, "ro&immutable=1")
            raise

    @classmethod
    def _connect(cls, folder: Path, mode: str) -> Self:
        address = f"{(folder / cls.schema.file).absolute().as_uri()}?mode={mode}"
        try:
            database = sqlite3.connect(address, uri=True, isolation_level=None, timeout=10)
        except sqlite3.DatabaseError as error:
            raise cls._explain_in(folder, error) from None
        opened = cls(folder, database, None)
        with opened._closing_on_error():
            opened._database.execute("PRAGMA query_only = ON")
            opened._check()
        return opened

    @property
    def version(self) -> int:
        """The version of the file's layout."""
        ((version,),) = self.select("PRAGMA user_version")
        return int(version)

    @property
    def _is_older(self) -> bool:
        """True for a file of an older version that can be read still."""
        oldest = self.schema.oldest
        return oldest is not None and oldest <= self.version < self.schema.version

    def _migrate(self, version: int) -> None:
        """Bring a file of an older `version` up to date; only schemas with an `oldest` need it."""
        raise RuntimeError(f"{type(self).__name__} claims an oldest version that it cannot migrate")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
        except BaseException:
            if self._database.in_transaction:  # a full disk has rolled back already
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            self.close()
            raise self._explain(error) from None
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        layout, version = self.schema, self.version
        if not version and not _schema(self._database):
            raise Missing(
                f"{layout.name} {str(self.folder)!r} holds nothing yet",
                remedy="Issue its command again.",
            )
        if self._is_older:
            return
        if version != layout.version:
            raise Refused(
                f"{layout.name} {str(self.folder)!r} has store version {version}, "
                f"this htbench reads {layout.version}",
                remedy=f"Use the htbench that made it{layout.alternative}.",
            )
        if _schema(self._database) != _expected_schema(layout):
            raise self._damage_error(f"its tables are not those of a {layout.name}")

    def _explain(self, error: sqlite3.DatabaseError) -> HtbenchError:
        return self._explain_in(self.folder, error)

    @classmethod
    def _explain_in(cls, folder: Path, error: sqlite3.DatabaseError) -> HtbenchError:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return no_space()
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _is_full(folder):
            return no_space()
        alternative = cls.schema.alternative
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR) and (
            not os.access(folder, os.W_OK)
        ):
            return UsageError(
                f"folder {str(folder)[:300]!r} cannot be written: {error}",
                remedy=f"Make it writable{alternative}.",
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return UsageError(
                f"cannot use {str(folder / cls.schema.file)!r}: {error}",
                remedy=f"Wait for the process that writes it{alternative}.",
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            return UsageError(
                f"cannot use {str(folder / cls.schema.file)!r}: {error}",
                remedy=f"See who may read and write it{alternative}.",
            )
        return cls._damage_in(folder, error)

    def _damage_error(self, why: object) -> Refused:
        return self._damage_in(self.folder, why)

    @classmethod
    def _damage_in(cls, folder: Path, why: object) -> Refused:
        return Refused(
            f"{str(folder / cls.schema.file)!r} is damaged: {' '.join(str(why).split())[:300]}",
            remedy=f"Restore it{cls.schema.alternative}.",
        )


def _is_full(folder: Path) -> bool:
    """True if the disk has not the room that SQLite needs beside a file that it reads."""
    try:
        if not hasattr(os, "statvfs"):  # Windows, whose disks have no limit on the number of files
            return shutil.disk_usage(folder).free < _LEAST_ROOM
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _LEAST_ROOM or bool(disk.f_files and not disk.f_favail)


def _schema(database: sqlite3.Connection) -> dict[str, str]:
    """The statements that created a database's tables and indexes, by name."""
    query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%'"
    return {name: " ".join(str(text).split()) for name, text in database.execute(query)}


def _expected_schema(layout: Schema) -> dict[str, str]:
    database = sqlite3.connect(":memory:")
    database.executescript(layout.tables)
    statements = _schema(database)
    database.close()
    return statements
