"""Packing: a run's folder into a bundle, without absolute paths and secrets."""

import hashlib
import json
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from htbench.bundles import archive, redaction, tables
from htbench.core import content, reading
from htbench.core.errors import Missing, Refused, UsageError
from htbench.judging.ledger import LEDGER_FILE, Ledger
from htbench.report import leaderboard_files
from htbench.run import study_result
from htbench.run.concept_source import OWN_SET
from htbench.run.store import Store, image_file, read_image
from htbench.run.summary import Summary

_MAP = re.compile(r"[0-9a-f]{16}\.safetensors|steering-[0-9a-f]{16}")
_STUDY = re.compile(r"[\w-]{1,90}\.json")
_UNUSED = (
    "DELETE FROM failures WHERE key NOT IN (SELECT image FROM cells)",
    "DELETE FROM images WHERE key NOT IN (SELECT image FROM cells)",
)
"""Statements that leave out what earlier plans of the run made."""
_BLOCK = 1 << 20
Entries = dict[str, Iterable[bytes]]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A bundle that was written."""

    path: Path
    files: int
    bytes: int
    sha256: str
    """Digest of the file, as `sha256sum` prints it."""


def pack(run: Path, path: Path, *, with_pictures: bool = True) -> Packed:
    """Write the run in the folder `run` as the bundle `path`; equal runs give equal bytes.

    Packed are the tables of the run and of its judges, its images (unless `with_pictures` is
    False), interventions, trained methods, the results of its studies, and `leaderboard.csv`. What
    earlier plans of the run made and no cell has is left out, and so are the answers of people.

    Raises:
        UsageError: if `path` exists, or cannot be written.
        Missing: if there is no run, or nothing in it.
        Refused: if the run is damaged.
    """
    if path.exists():
        raise UsageError(f"{str(path)[:300]!r} exists", remedy="Name another file with --out.")
    with tempfile.TemporaryDirectory(prefix="htbench-") as temporary:
        copy = Path(temporary)
        entries: Entries = {}
        for part in parts(run):
            _copy_part(run / part, copy / part)
            entries |= _part_entries(run / part, copy / part, _prefix(part))
        if with_pictures:
            entries |= _image_entries(run, copy)
        entries |= _study_entries(run)
        if (run / OWN_SET).is_file():
            text = reading.read_bytes(run / OWN_SET, noun="concept set", within=run)
            entries[f"run/{OWN_SET}"] = [text]
        entries[archive.LEADERBOARD] = [leaderboard(copy)]
        with content.replacing(path) as fresh:
            archive.write(fresh, entries, pictures=with_pictures)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Packed(path=path, files=len(entries) + 1, bytes=path.stat().st_size, sha256=digest)


def parts(run: Path) -> list[Path]:
    """The folders of a run and of the runs within it: on dev concepts, of further fit seeds and of
    further wordings.

    They are relative to the run's folder, which is the first.
    """
    inner = [
        *run.glob("tuning/run.sqlite"),
        *run.glob("fit-seeds/*/run.sqlite"),
        *run.glob("wordings/*/run.sqlite"),
    ]
    return [Path(), *sorted(path.parent.relative_to(run) for path in inner)]


def leaderboard(run: Path) -> bytes:
    """The table `leaderboard.csv` of the run in a folder."""
    with Store.read(run) as store:
        text = leaderboard_files.csv_text(leaderboard_files.rows(Summary(store)))
        return text.encode("utf-8", "replace")


def _copy_part(source: Path, copy: Path) -> None:
    """Copy the databases of a run at one moment, up to date, redacted and without what is unused.

    Raises:
        Refused: if a row is damaged, which would be left out.
    """
    copy.mkdir(parents=True, exist_ok=True)
    with Store.read(source) as store:
        if store.problems:
            raise Refused(
                f"run {str(source)[:300]!r} is damaged: {store.problems[0]}",
                remedy=f"See: htbench check {source}",
            )
        if not store.count():
            raise Missing(f"run {str(source)[:300]!r} has no cells yet", remedy="Run it first.")
    _copy_database(source / Store.schema.file, copy / Store.schema.file)
    with Store.open(copy) as store, store.writing() as (write, _):
        for statement in _UNUSED:
            write.execute(statement)
        redaction.redact_database(write, "run")
    if (source / LEDGER_FILE).is_file():
        _copy_database(source / LEDGER_FILE, copy / LEDGER_FILE)
        with Ledger.open(copy):
            pass  # a ledger of an older version is brought up to date
        with _connected(copy / LEDGER_FILE) as write:
            redaction.redact_database(write, "ledger")


def _copy_database(source: Path, target: Path) -> None:
    address = f"{source.absolute().as_uri()}?mode=ro"
    here, there = sqlite3.connect(address, uri=True), sqlite3.connect(target)
    try:
        here.backup(there)
    except sqlite3.Error as error:
        raise Refused(f"{str(source)[:300]!r} cannot be copied: {error}") from None
    finally:
        here.close()
        there.close()


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(path)
    try:
        with database:
            yield database
    finally:
        database.close()


def _part_entries(run: Path, copy: Path, prefix: str) -> Entries:
    entries: Entries = {
        f"{prefix}/tables/{table}.jsonl": _dumped(copy / Store.schema.file, table)
        for table in tables.names(Store.schema)
    }
    if (copy / LEDGER_FILE).is_file():
        for table in tables.names(Ledger.schema):
            entries[f"{prefix}/judge/{table}.jsonl"] = _dumped(copy / LEDGER_FILE, table)
    maps = run / "maps"
    for path in maps.iterdir() if maps.is_dir() else ():
        if _MAP.fullmatch(path.name):
            reading.find_file(path, noun="intervention", within=maps)
            entries[f"{prefix}/maps/{path.name}"] = _blocks(path)
    return entries


def _dumped(path: Path, table: str) -> Iterator[bytes]:
    with _connected(path) as database:
        yield from tables.dump(database, table)


def _image_entries(run: Path, copy: Path) -> Entries:
    """The images of all parts, each once, since a file's name is that of its bytes."""
    entries: Entries = {}
    for part in parts(copy):
        with Store.read(copy / part) as store:
            query = "SELECT DISTINCT file FROM images WHERE file IS NOT NULL"
            for (file,) in store.select(query):
                entries.setdefault(f"images/{file}", _image(run / part, file))
    return entries


def _image(run: Path, file: str) -> Iterator[bytes]:
    try:
        png = read_image(run / "images" / Path(file).name)
    except UsageError as error:
        raise Missing(
            f"{error}",
            remedy="Issue the command of the run again, or pack it with --no-pictures.",
        ) from None
    if image_file(png) != file:
        raise Refused(
            f"image {file} of run {str(run)[:300]!r} is not what was written",
            remedy=f"See: htbench check {run}",
        )
    yield png


def _study_entries(run: Path) -> Entries:
    """The results of studies, in which there are no answers and no people."""
    folder, entries = run / study_result.FOLDER, Entries()
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        if _STUDY.fullmatch(path.name):
            value = redaction.redact_value(reading.read_json(path, noun="result of a study"))
            text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
            entries[f"run/{study_result.FOLDER}/{path.name}"] = [text.encode("utf-8", "replace")]
    return entries


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _prefix(part: Path) -> str:
    return (Path("run") / part).as_posix()
