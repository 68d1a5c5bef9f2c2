"""The register of a run's imported pictures: what each row says, and what was read of each file.

The run itself is made from it, so that an import that was killed is completed by the next.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from htbench.core.database import Database, Schema
from htbench.core.errors import UsageError
from htbench.core.types import UNSTEERED
from htbench.importing.rows import PictureRow

_ROWS = """
CREATE TABLE {name} (
    place INTEGER PRIMARY KEY, method TEXT NOT NULL, step INTEGER NOT NULL, concept TEXT NOT NULL,
    prompt TEXT NOT NULL, seed INTEGER NOT NULL, strength REAL NOT NULL, file TEXT NOT NULL,
    seconds REAL, location TEXT NOT NULL,
    UNIQUE (method, step, concept, prompt, seed, strength)) STRICT;"""
_PLAIN = """
CREATE TABLE {name} (
    place INTEGER PRIMARY KEY, prompt TEXT NOT NULL, seed INTEGER NOT NULL, file TEXT NOT NULL,
    location TEXT NOT NULL, UNIQUE (prompt, seed, file)) STRICT;"""
_TABLES = f"""{_ROWS.format(name="rows")}{_PLAIN.format(name="plain")}
CREATE TABLE files (
    path TEXT PRIMARY KEY, size INTEGER, modified INTEGER, image TEXT, pixels TEXT, flaw TEXT,
    width INTEGER, height INTEGER, copied INTEGER, problem TEXT) STRICT, WITHOUT ROWID;
"""
"""`rows` has the steered pictures, `plain` the unsteered ones by prompt and seed, `files` what was
read of each file, or the reason why it could not be read."""
_IDENTITY = ("method", "step", "concept", "prompt", "seed", "strength")
_COLUMNS = (*_IDENTITY, "file", "seconds", "location")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRecord:
    """The facts that were read of a file."""

    path: str
    size: int | None
    """In bytes; None for a file that is not there."""
    modified: int | None
    """Time of its last change, in nanoseconds."""
    image: str | None = None
    """Name of its picture in the folder of the run's images; None where it could not be read."""
    pixels: str | None = None
    flaw: str | None = None
    width: int | None = None
    height: int | None = None
    copied: int | None = None
    """1 where the file is kept as it was."""
    problem: str | None = None


_FILE_COLUMNS = tuple(field.name for field in fields(FileRecord))


class Intake:
    """Rows on their way into a register, in a temporary file, so that no number is too large."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(f"{_ROWS.format(name='rows')}{_PLAIN.format(name='plain')}")

    @classmethod
    @contextmanager
    def of(cls, rows: Iterable[tuple[PictureRow, str]]) -> Iterator[Self]:
        """The rows of a source, each with the id of its concept.

        Raises:
            UsageError: for two rows of one picture that name different files.
        """
        intake = cls()
        with closing(intake._database):
            intake._database.execute("BEGIN")
            for row, concept in rows:
                intake._add(row, concept)
            intake._database.execute("COMMIT")
            yield intake

    def _add(self, row: PictureRow, concept: str) -> None:
        add = self._database.execute
        plain = [row.unsteered] if row.unsteered else []
        plain += [] if row.strength else [row.file]
        for file in plain:
            add(
                "INSERT OR IGNORE INTO plain (prompt, seed, file, location) VALUES (?, ?, ?, ?)",
                (row.prompt, row.seed, file, row.location),
            )
        if row.method == UNSTEERED or not concept:
            return
        identity = (row.method, row.step, concept, row.prompt, row.seed, row.strength)
        where = " AND ".join(f"{name} = ?" for name in _IDENTITY)
        known = add(f"SELECT file, location FROM rows WHERE {where}", identity).fetchone()
        if known is None:
            marks = ", ".join("?" * len(_COLUMNS))
            values = (*identity, row.file, row.seconds, row.location)
            add(f"INSERT INTO rows ({', '.join(_COLUMNS)}) VALUES ({marks})", values)
        elif known[0] != row.file:
            raise UsageError(
                f"{row.location}: {row.method} has a picture of this concept, prompt, seed and "
                f"strength already: {known[1]}",
                remedy="Give each picture of a prompt a seed of its own.",
            )

    def count(self) -> int:
        """Number of steered pictures."""
        ((number,),) = self._database.execute("SELECT count(*) FROM rows")
        return int(number)

    def files(self) -> Iterator[tuple[str, str]]:
        """Each file with the location of the first row that names it."""
        query = """SELECT file, location FROM (SELECT file, location, place, 0 AS part FROM rows
                     UNION ALL SELECT file, location, place, 1 FROM plain)
                   GROUP BY file ORDER BY min(part), min(place)"""
        return iter(self._database.execute(query))

    def rows(self) -> Iterator[tuple[object, ...]]:
        """The steered pictures, in the order of the source."""
        return iter(
            self._database.execute(f"SELECT {', '.join(_COLUMNS)} FROM rows ORDER BY place")
        )

    def plain(self) -> Iterator[tuple[object, ...]]:
        """The unsteered pictures, in the order of the source."""
        query = "SELECT prompt, seed, file, location FROM plain ORDER BY place"
        return iter(self._database.execute(query))


class Register(Database):
    """The register of a run, beside its store."""

    schema = Schema(
        file="pictures.sqlite",
        lock="pictures.lock",
        version=1,
        tables=_TABLES,
        name="register of pictures",
        activity="written",
        alternative=", or choose another --name",
    )

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open for writing the register of the run in `folder`.

        Raises:
            UsageError: if it cannot be written, or another process writes it.
            Refused: if it is damaged.
        """
        try:
            return cls._open_for_writing(folder)
        except OSError as error:
            raise UsageError(
                f"cannot write run folder {str(folder)[:300]!r}: {error.strerror}",
                remedy="Choose another --runs-dir.",
            ) from None

    def add(self, intake: Intake) -> None:
        """Add new rows, and replace the files and times of those that are there."""
        updates = ", ".join(f"{name} = excluded.{name}" for name in ("file", "seconds", "location"))
        with self._transaction() as write:
            write.executemany(
                f"""INSERT INTO rows ({", ".join(_COLUMNS)})
                    VALUES ({", ".join("?" * len(_COLUMNS))})
                    ON CONFLICT ({", ".join(_IDENTITY)}) DO UPDATE SET {updates}
                    WHERE file != excluded.file OR seconds IS NOT excluded.seconds
                       OR location != excluded.location""",
                intake.rows(),
            )
            write.executemany(
                """INSERT INTO plain (prompt, seed, file, location) VALUES (?, ?, ?, ?)
                   ON CONFLICT DO UPDATE SET location = excluded.location
                   WHERE location != excluded.location""",
                intake.plain(),
            )

    def paths(self) -> Iterator[str]:
        """The files of all rows, each once."""
        query = "SELECT file FROM rows UNION SELECT file FROM plain"
        return (path for (path,) in self.iterate(query))

    def record(self, path: str) -> FileRecord | None:
        """The facts that were read of a file; None if it was not read yet."""
        rows = self.select(f"SELECT {', '.join(_FILE_COLUMNS)} FROM files WHERE path = ?", path)
        return FileRecord(**dict(zip(_FILE_COLUMNS, rows[0], strict=True))) if rows else None

    def save(self, records: Sequence[FileRecord]) -> None:
        """Write what was read of files."""
        marks = ", ".join("?" * len(_FILE_COLUMNS))
        rows = [tuple(getattr(each, name) for name in _FILE_COLUMNS) for each in records]
        with self._transaction() as write:
            write.executemany(f"INSERT OR REPLACE INTO files VALUES ({marks})", rows)

    def forget(self, images: Iterable[str]) -> None:
        """Have the files of pictures that are damaged or gone read again."""
        with self._transaction() as write:
            write.executemany("DELETE FROM files WHERE image = ?", [(name,) for name in images])

    def prepare(self, script: str) -> None:
        """Make temporary tables, which are of this connection alone."""
        self._database.executescript(f"BEGIN; {script} COMMIT;")
