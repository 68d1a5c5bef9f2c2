"""Watches a folder that another program fills, and imports its pictures as they come."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from htbench.core.display import Display
from htbench.core.interrupts import Interrupted
from htbench.importing.folders import PictureFolder
from htbench.importing.importer import Imported, ImportSettings, import_rows
from htbench.importing.rows import PictureRow

State = tuple[int, int]
"""Size of a file in bytes and the time of its last change in nanoseconds."""


@dataclass(kw_only=True)
class FolderWatch:
    """The pictures of a folder that have not changed between two looks.

    A file that is still being written changes, so that it is left for the next look.
    """

    pictures: PictureFolder
    _seen: dict[str, State] = field(default_factory=dict)
    _imported: dict[str, State] = field(default_factory=dict)

    def look(self, *, is_last: bool = False) -> list[PictureRow]:
        """The rows of pictures that are new since the last look; the last one takes all."""
        root, before = self.pictures.reader.root, self._seen
        self._seen = dict(_states(root, self.pictures.names()))
        fresh = {
            name: state
            for name, state in self._seen.items()
            if self._imported.get(name) != state and (is_last or before.get(name) == state)
        }
        self._imported |= fresh
        return [row for row in self.pictures.rows() if row.location in fresh] if fresh else []


def watch(
    pictures: PictureFolder,
    folder: Path,
    settings: ImportSettings,
    *,
    every: float,
    after: Callable[[Imported], None],
    display: Display,
) -> Imported | None:
    """Import pictures into the run in `folder` as they come, until a signal ends it.

    Args:
        every: seconds between two looks.
        after: called after each import that added pictures.

    Returns:
        The last import; None where no picture came.
    """
    found, last = FolderWatch(pictures=pictures), None
    try:
        while True:
            if rows := found.look():
                last = import_rows(rows, folder, settings, display=display, is_live=True)
                if last.added:
                    after(last)
            time.sleep(every)
    except Interrupted:
        display.note("stopped watching; the same command goes on")
    if rows := found.look(is_last=True):
        last = import_rows(rows, folder, settings, display=display, is_live=True)
    return last


def _states(root: Path, names: Iterator[str]) -> Iterator[tuple[str, State]]:
    for name in names:
        try:
            found = (root / name).stat()
        except OSError:
            continue  # it was taken away meanwhile
        yield name, (found.st_size, found.st_mtime_ns)
