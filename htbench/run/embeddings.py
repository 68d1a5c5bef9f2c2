"""The embeddings of a run's pictures, kept for scorers of sets: `RUN/embeddings.sqlite`.

A picture's file is named by its content, so that an embedding never goes with another picture. The
file is a cache: what it lacks is embedded anew, it is in no bundle, and it can be deleted.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
from jaxtyping import Float

from htbench.core.types import Digest

FILE = "embeddings.sqlite"
Vectors = dict[str, Float[np.ndarray, " features"]]
"""Embeddings by the name of the picture's file."""
_TABLE = """CREATE TABLE IF NOT EXISTS embeddings (
              encoder TEXT, file TEXT, vector BLOB, PRIMARY KEY (encoder, file)
            ) WITHOUT ROWID"""
_MOST_NAMES = 500


class Embeddings:
    """Embeddings by one encoder, in the folder of a run that is open for writing."""

    def __init__(self, folder: Path, encoder: Digest | str) -> None:
        self._path, self._encoder = folder / FILE, encoder

    def read(self, files: Iterable[str]) -> Vectors:
        """Those of `files` that are kept; none from a damaged file, which is removed."""
        wanted = list(files)
        try:
            return dict(self._rows(wanted)) if wanted and self._path.is_file() else {}
        except (sqlite3.DatabaseError, ValueError):
            self._path.unlink(missing_ok=True)
            return {}

    def add(self, vectors: Mapping[str, Float[np.ndarray, " features"]]) -> None:
        """Keep embeddings; without room for them on the disk they are not kept."""
        rows = [
            (self._encoder, file, vector.astype("<f4").tobytes())
            for file, vector in vectors.items()
        ]
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(self._path)) as database:
            database.execute("PRAGMA synchronous = OFF")
            with database:
                database.execute(_TABLE)
                database.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)

    def _rows(self, files: list[str]) -> Iterator[tuple[str, Float[np.ndarray, " features"]]]:
        with closing(sqlite3.connect(self._path)) as database:
            for start in range(0, len(files), _MOST_NAMES):
                part = files[start : start + _MOST_NAMES]
                marks = ", ".join("?" * len(part))
                query = f"""SELECT file, vector FROM embeddings
                            WHERE encoder = ? AND file IN ({marks})"""
                for file, vector in database.execute(query, (self._encoder, *part)):
                    yield file, np.frombuffer(vector, "<f4")
