"""A SQLite file in a run's folder.

One process writes it at a time and any may read it; a file that is damaged or of another version is
refused.
"""

import os
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
        """Open for reading only.

        In a folder that cannot be written the file is opened as immutable, since SQLite would
        otherwise write beside it.
        """
        path = folder / cls.schema.file
        frozen = not os.access(folder, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
        address = f"{path.absolute().as_uri()}?mode={'ro&immutable=1' if frozen else 'rw'}"
        opened = cls(
            folder, sqlite3.connect(address, uri=True, isolation_level=None, timeout=10), None
        )
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
        """Bring a file of an older `version` to the version of the schema."""
        raise NotImplementedError

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
        if "full" in str(error):
            return no_space()
        if "locked" in str(error) or "readonly" in str(error) or "unable to open" in str(error):
            return UsageError(
                f"cannot use {str(self.folder / self.schema.file)!r}: {error}",
                remedy=f"Wait for the process that writes it{self.schema.alternative}.",
            )
        return self._damage_error(error)

    def _damage_error(self, why: object) -> Refused:
        return Refused(
            f"{str(self.folder / self.schema.file)!r} is damaged: {why}",
            remedy=f"Restore it{self.schema.alternative}.",
        )


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
