"""The folder of a board: written anew beside the old one, which it replaces once it is whole."""

import errno
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from htbench.board import collection, pictures, tables
from htbench.board.collection import Collection, Problem
from htbench.board.pages import Pages
from htbench.core.display import Display
from htbench.core.errors import UsageError, no_space

_INDEX = "index.html"
_MARK = '<main id="board">'
"""Text by which a page of a board is known."""
_PARTS = frozenset(
    {
        *(_INDEX, "index.json", "bundles.html", "bundles.csv", "bundles.json"),
        *("leaderboard.csv", "leaderboard.json", "boards", "methods", "concepts"),
        pictures.FOLDER,
    }
)
"""Files and folders of a board."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A board that was built."""

    page: Path
    bundles: int
    boards: int
    methods: int
    concepts: int
    files: int
    problems: tuple[Problem, ...]
    """Bundles and files that are not on it."""


def build(
    folder: Path, out: Path, *, signers: Path | None = None, display: Display | None = None
) -> Built:
    """Write the board of the bundles in `folder` as the folder `out`.

    Equal bundles under equal names, with equal signatures and verifications, give equal bytes.

    Raises:
        UsageError: if no bundle can be read, or `out` cannot be written or holds something that is
            no board.
        Missing: if the disk is full.
    """
    _check(out)
    with _collector_paused():
        read = collection.collect(folder, signers=signers, display=display)
        return _write(read, out)


def _write(read: Collection, out: Path) -> Built:
    boards = tables.boards(read.entries)
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.absolute().parent, prefix=".board-") as temporary:
            fresh = Path(temporary) / "fresh"
            fresh.mkdir()
            written = pictures.write(boards, fresh)
            pages = Pages(collection=read, boards=boards, pictures=written)
            number = len(set(written.addresses.values()))
            for name, text in pages.all():
                path = fresh / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode("utf-8", "replace"))
                number += 1
            _replace(out, fresh, Path(temporary) / "former")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space() from None
        raise UsageError(
            f"cannot write board {str(out)[:300]!r}: {error.strerror}",
            remedy="Choose another folder with --out.",
        ) from None
    return Built(
        page=out / _INDEX,
        bundles=len(read.entries),
        boards=len(boards),
        methods=len(pages.methods),
        concepts=len(pages.concepts),
        files=number,
        problems=(*read.problems, *written.problems),
    )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """A block without Python's search for cycles.

    The rows of a bundle start it again and again over all that was read before: a bundle of 5,018
    cells took 0.34 s of processor with it and 0.18 s without.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _check(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier board, which would be lost."""
    if not os.path.lexists(out):
        return
    remedy = "Choose another folder with --out."
    if not out.is_dir() or out.is_symlink():
        raise UsageError(f"{str(out)[:300]!r} is not a folder", remedy=remedy)
    names = {path.name for path in out.iterdir()}
    try:
        is_board = _MARK in (out / _INDEX).read_text(encoding="utf-8")
    except (OSError, ValueError):
        is_board = False
    others = sorted(names if not is_board else names - _PARTS)
    if others:
        raise UsageError(
            f"folder {str(out)[:300]!r} holds {others[0][:80]!r}, which is not of a board",
            remedy=remedy,
        )


def _replace(out: Path, fresh: Path, former: Path) -> None:
    """Put the folder `fresh` in the place of `out`; the earlier board stays if that fails."""
    if not out.exists():
        fresh.rename(out)
        return
    out.rename(former)
    try:
        fresh.rename(out)
    except BaseException:
        former.rename(out)
        raise
    rmtree(former, ignore_errors=True)
