"""The pictures on a board: a few small ones of each method, taken once all bundles are read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from htbench.board.collection import Problem
from htbench.board.entry import Entry
from htbench.board.samples import Sample
from htbench.board.tables import Board, Line, Table
from htbench.bundles.archive import Archive
from htbench.core import content, pictures
from htbench.core.errors import HtbenchError
from htbench.core.types import UNSTEERED
from htbench.report.gallery.pictures import to_webp

FOLDER = "pictures"
_SIDE = 128
"""Largest side in pixels."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The pictures of a method in a table."""

    line: Line
    """The bundle that they are from: of those with pictures, the first by the table's order."""
    unsteered: Sequence[Sample]
    steered: Sequence[Sample]


@dataclass(frozen=True, kw_only=True)
class PictureFiles:
    """The pictures that were written."""

    addresses: dict[tuple[str, str], str] = field(default_factory=dict)
    """Path of each below the board, by the digest of the bundle and the name of the image."""
    problems: list[Problem] = field(default_factory=list)

    def address(self, line: Line, sample: Sample) -> str:
        """The path of a picture; empty where it could not be read."""
        return self.addresses.get((line.entry.sha256, sample.file), "")


def choose(table: Table) -> dict[str, Shown]:
    """The pictures of a table by method: from one bundle each."""
    shown: dict[str, Shown] = {}
    for line in table.lines:
        samples = line.entry.samples
        if samples.get(line.row.method) and line.row.method not in shown:
            shown[line.row.method] = Shown(
                line=line,
                unsteered=samples.get(UNSTEERED, ()),
                steered=samples[line.row.method],
            )
    return shown


def write(boards: Iterable[Board], folder: Path) -> PictureFiles:
    """Write the pictures of all tables into `folder`, each bundle opened once."""
    wanted: dict[str, tuple[Entry, dict[str, None]]] = {}
    for board in boards:
        for table in board.tables:
            for shown in choose(table).values():
                _, files = wanted.setdefault(
                    shown.line.entry.sha256, (shown.line.entry, dict[str, None]())
                )
                files |= {sample.file: None for sample in (*shown.unsteered, *shown.steered)}
    written = PictureFiles()
    for entry, files in wanted.values():
        try:
            with Archive.open(entry.path) as archive:
                for file in files:
                    _write_one(archive, file, entry, folder, written)
        except HtbenchError as error:
            written.problems.append(Problem(file=entry.name, reason=str(error)))
    return written


def _write_one(
    archive: Archive, file: str, entry: Entry, folder: Path, written: PictureFiles
) -> None:
    try:
        data = _read(archive, f"images/{file}")
        webp = to_webp(data, name=file, max_side=_SIDE)
    except HtbenchError as error:
        written.problems.append(Problem(file=entry.name, reason=str(error)))
        return
    name = f"{sha256(webp).hexdigest()[:32]}.webp"
    (folder / FOLDER).mkdir(exist_ok=True)
    content.write_whole(folder / FOLDER / name, webp)
    written.addresses[entry.sha256, file] = f"{FOLDER}/{name}"


def _read(archive: Archive, name: str) -> bytes:
    """The bytes of an image.

    Raises:
        Refused: if it is not there, too large, or not what was packed.
    """
    if name not in archive.manifest.files:
        raise archive.refuse(f"{name[:200]} is not in the bundle")
    if archive.file.getinfo(name).file_size > pictures.MAX_BYTES:
        raise archive.refuse(f"{name} is larger than a picture may be")
    return b"".join(archive.pieces(name))
