"""Unpacking: a bundle into the folder of a run, whole or not at all."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from htbench.bundles import tables
from htbench.bundles.archive import LEADERBOARD, PART, Archive
from htbench.core.errors import HtbenchError, Refused, UsageError
from htbench.judging.ledger import LEDGER_FILE, Ledger
from htbench.run import study_result
from htbench.run.concept_source import OWN_SET
from htbench.run.store import Store

_IMAGE = re.compile(r"[0-9a-f]{32}\.png")


def unpack(bundle: Path, folder: Path) -> None:
    """Write the run of a bundle into `folder`, where there must be nothing yet.

    Raises:
        UsageError: if there is something, or it cannot be written; if `bundle` is no bundle.
        Refused: if the bundle is not as it was packed; then nothing is written.
    """
    if os.path.lexists(folder):
        raise UsageError(
            f"{str(folder)[:300]!r} exists", remedy="Choose another --name or --runs-dir."
        )
    with Archive.open(bundle) as archive, placing(archive, folder):
        pass


@contextmanager
def placing(archive: Archive, folder: Path) -> Iterator[Path]:
    """The run of an open bundle in a folder that becomes the new `folder` if nothing fails.

    Raises:
        UsageError: if it cannot be written.
        Refused: if the bundle is not as it was packed; then nothing is written.
    """
    archive.manifest  # noqa: B018 - refuses one that does not list what is there
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as temporary:
            run = Path(temporary) / "run"
            write(archive, run)
            yield run
            run.rename(folder)
    except OSError as error:
        raise UsageError(
            f"cannot write {str(folder)[:300]!r}: {error.strerror}",
            remedy="Choose another --runs-dir.",
        ) from None


@contextmanager
def unpacked(bundle: Path) -> Iterator[Path]:
    """The run of a bundle in a temporary folder, which is deleted afterwards.

    Raises:
        UsageError, Refused: as in `unpack`.
    """
    with (
        Archive.open(bundle) as archive,
        tempfile.TemporaryDirectory(prefix="htbench-") as temporary,
    ):
        run = Path(temporary) / (bundle.name.partition(".")[0] or "run")
        write(archive, run)
        yield run


def write(archive: Archive, run: Path) -> None:
    """Write the run of an open bundle into a new folder.

    Raises:
        Refused: for the first thing in the bundle that is not as it was packed.
    """
    prefixes = {found[0] for name in archive.names if (found := re.match(PART + "/", name))}
    if "run/" not in prefixes:
        raise archive.refuse("there is no run in it")
    (run / "images").mkdir(parents=True)
    for prefix in sorted(prefixes):
        _write_part(archive, prefix, run / prefix.removeprefix("run/"))
    if LEADERBOARD not in archive.names:
        raise archive.refuse(f"it has no {LEADERBOARD}")
    _write_file(archive, LEADERBOARD, run / LEADERBOARD)
    if f"run/{OWN_SET}" in archive.names:
        _write_file(archive, f"run/{OWN_SET}", run / OWN_SET)
    for name in archive.names:
        folder, _, file = name.rpartition("/")
        if folder == f"run/{study_result.FOLDER}":
            _write_file(archive, name, run / study_result.FOLDER / file)
    _write_images(archive, run, [run / prefix.removeprefix("run/") for prefix in sorted(prefixes)])


def _write_part(archive: Archive, prefix: str, folder: Path) -> None:
    for name in ("images", "maps"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    try:
        _restore(archive, f"{prefix}tables", folder / Store.schema.file, Store)
        if any(name.startswith(f"{prefix}judge/") for name in archive.names):
            _restore(archive, f"{prefix}judge", folder / LEDGER_FILE, Ledger)
        with Store.read(folder) as store:
            if store.problems:
                raise Refused(store.problems[0])
    except HtbenchError as error:
        if str(archive.path) in str(error):
            raise
        raise archive.refuse(f"{prefix}: {error}") from None
    for name in archive.names:
        if name.startswith(f"{prefix}maps/"):
            _write_file(archive, name, folder / "maps" / name.rpartition("/")[2])


def _restore(archive: Archive, folder: str, path: Path, kind: type[Store] | type[Ledger]) -> None:
    files = {table: f"{folder}/{table}.jsonl" for table in tables.names(kind.schema)}
    for name in files.values():
        if name not in archive.manifest.files:
            raise archive.refuse(f"it has no {name}")
    lines = {table: archive.lines(name) for table, name in files.items()}
    tables.restore(path, kind.schema, lines)


def _write_images(archive: Archive, run: Path, folders: list[Path]) -> None:
    """Write the images into the folders of the runs whose cells have them.

    Raises:
        Refused: for an image that no cell has, or that is not in a bundle with pictures.
    """
    packed = {name.removeprefix("images/") for name in archive.names if name.startswith("images/")}
    wanted: dict[str, list[Path]] = {}
    for folder in folders:
        with Store.read(folder) as store:
            for (file,) in store.select("SELECT DISTINCT file FROM images WHERE file IS NOT NULL"):
                if not _IMAGE.fullmatch(file):
                    raise archive.refuse(f"{file[:200]!r} is no name of an image")
                wanted.setdefault(file, []).append(folder / "images" / file)
    if unknown := packed - wanted.keys():
        raise archive.refuse(f"image {min(unknown)} is one that no cell of the run has")
    if archive.manifest.pictures and (lost := wanted.keys() - packed):
        raise archive.refuse(f"image {min(lost)} is not in the bundle")
    if not archive.manifest.pictures and packed:
        raise archive.refuse("it has images, and its manifest says that it has none")
    for file in sorted(packed):
        if archive.manifest.files[f"images/{file}"][:32] != file.removesuffix(".png"):
            raise archive.refuse(f"image {file} has the bytes of another image")
        first, *others = wanted[file]
        _write_file(archive, f"images/{file}", first)
        for other in others:
            _link(first, other)


def _write_file(archive: Archive, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(archive.pieces(name))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
