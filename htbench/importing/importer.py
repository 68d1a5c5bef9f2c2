"""Imports pictures: from the rows of a source to a run that has everything but scores.

Importing again adds what is new, replaces what has changed, and takes nothing out. The register is
written before the run, so that a second import completes one that was killed.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from htbench.core.display import Display
from htbench.core.errors import HtbenchError, Missing, UnknownName, UsageError
from htbench.core.types import UNSTEERED
from htbench.importing import picture_files
from htbench.importing.concept_names import Concepts, NamedConcepts, WordedConcepts
from htbench.importing.grid import MAX_NAMED, Grid
from htbench.importing.register import FileRecord, Intake, Register
from htbench.importing.rows import PictureRow
from htbench.run import plan as plans
from htbench.run import sessions
from htbench.run.concept_source import OWN_SET
from htbench.run.fact_table import Facts
from htbench.run.store import Store, image_file, read_image

MODEL = "imported"
"""Name of the generator where none is given."""
_CHUNK = 32
"""Number of pictures per transaction."""


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """Settings of an import, which the run keeps for the next one."""

    root: Path
    """The folder that all pictures lie in."""
    source: str
    """The table, folder or card, as the user named it."""
    model: str = ""
    """Name of the generator; empty: what the run has."""
    concept_set: str = ""
    """The set of the concepts; empty: what the run has, else their words make one."""
    notes: tuple[str, ...] = ()
    """Sentences for the report on how the pictures were made."""
    link: bool = False
    """Give plain PNG files a second name in the run in place of a copy."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The outcome of an import."""

    cells: int
    """Number of cells of the run."""
    added: int
    """Number of cells whose pictures are new or have changed."""
    sizes: dict[str, int]
    """Numbers of files by size."""
    problems: list[str]
    """A line for each of the first pictures that are left out."""
    left_out: int
    """Number of pictures that are left out."""
    converted: int
    """Number of files that are kept as PNG of their pixels, not as they were."""

    def __str__(self) -> str:
        sizes = [f"{number:,} of {size}" for size, number in islice(self.sizes.items(), 3)]
        more = f" and {len(self.sizes) - 3} other sizes" if len(self.sizes) > 3 else ""
        noun = "cell" if self.added == 1 else "cells"
        text = f"{self.added:,} {noun} added, {self.cells:,} in all"
        converted = f"; {self.converted:,} converted to PNG" if self.converted else ""
        return f"{text}; files: {', '.join(sizes)}{more}{converted}" if sizes else text


def import_rows(
    rows: Iterable[PictureRow],
    folder: Path,
    settings: ImportSettings,
    *,
    display: Display | None = None,
    is_live: bool = False,
) -> Imported:
    """Import the pictures of these rows into the run in `folder`, which is made if there is none.

    Args:
        is_live: the pictures are still being made: one that is too large is left out like a broken
            one, and a source without a picture is no mistake.

    Raises:
        UsageError: for a wrong row, a picture that is too large, or a run whose pictures htbench
            made; nothing was written then.
    """
    display = display or Display()
    before = _facts(folder)
    concepts = _concepts(before, folder, settings)
    with Intake.of(_with_ids(rows, concepts)) as intake:
        if not is_live:
            _check_files(intake, folder, settings)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with Store.open(folder) as store, Register.open(folder) as register:
            concepts.save(folder)
            register.add(intake)
            return _complete(store, register, concepts, settings, display)


def _facts(folder: Path) -> Facts | None:
    """The facts of the run in `folder`; None where there is none, or it has none yet."""
    if not (folder / "run.sqlite").is_file():
        return None
    with suppress(Missing), Store.read(folder) as store:
        facts = Facts.read(store)
        if facts.stored.get("model") and not facts.is_imported:
            raise UsageError(
                f"run {str(folder)[:300]!r} has pictures of its own",
                remedy="Choose another --name.",
            )
        return facts if facts.is_imported else None
    return None


def _concepts(before: Facts | None, folder: Path, settings: ImportSettings) -> Concepts:
    stored = before.plan.concept_set if before else ""
    wanted = settings.concept_set or stored or OWN_SET
    if stored and wanted != stored:
        given = "by words" if stored == OWN_SET else f"of {stored!r}"
        raise UsageError(
            f"the concepts of run {str(folder)[:300]!r} are {given}, not of {wanted!r}",
            remedy="Choose another --name.",
        )
    return WordedConcepts.of(folder) if wanted == OWN_SET else NamedConcepts(set_name=wanted)


def _with_ids(rows: Iterable[PictureRow], concepts: Concepts) -> Iterator[tuple[PictureRow, str]]:
    for row in rows:
        try:
            is_unsteered = row.method == UNSTEERED
            id_ = "" if is_unsteered or not row.concept else concepts.id_of(row.concept)
        except UnknownName as error:
            raise UsageError(f"{row.location}: {error}", remedy=error.remedy) from None
        yield row, id_


def _check_files(intake: Intake, folder: Path, settings: ImportSettings) -> None:
    """Refuse pictures beyond the limits, and a source that has no picture at all."""
    if not intake.count():
        raise UsageError(
            f"{settings.source[:300]!r} has no picture of a method",
            remedy="See docs/import.md for the columns and the pattern.",
        )
    known = Register.open(folder) if (folder / Register.schema.file).is_file() else None
    try:
        is_any_there = False
        for path, location in intake.files():
            if known and _is_current(known.record(path), path):
                is_any_there = True
                continue
            picture_files.check_limits(Path(path), location=location)
            is_any_there = is_any_there or os.path.isfile(path)  # noqa: PTH113
    finally:
        if known:
            known.close()
    if not is_any_there:
        raise UsageError(
            f"none of the pictures of {settings.source[:200]!r} is in {str(settings.root)[:200]!r}",
            remedy="Name the folder that paths begin in: --root FOLDER",
        )


def _complete(
    store: Store,
    register: Register,
    concepts: Concepts,
    settings: ImportSettings,
    display: Display,
) -> Imported:
    """Read files that are new or have changed, and make the run of all that could be read."""
    _forget_damaged(store, register)
    _read_files(store, register, settings, display)
    concept_set = concepts.concept_set
    by_id = {each.id: each for split in concept_set.splits.values() for each in split}
    grid = Grid(register=register, concepts={id_: each.digest for id_, each in by_id.items()})
    grid.prepare()
    facts = Facts.read(store)
    digest, added = grid.digest(), 0
    if facts.grid != digest or store.pending_count():
        store.start_session(
            command=sessions.command_line(),
            environment={**sessions.machine(), "device": "another program"},
        )
        store.plan_cells(
            (
                (cell.method, cell.concept, cell.prompt, cell.seed, cell.strength, cell.key)
                for cell in grid.cells()
            ),
            grid="",  # until the pictures are there, so that the next import sees what is missing
        )
        added = _place_pictures(store, grid)
        store.set_facts(grid=digest)
    problems = list(islice(grid.problems(), MAX_NAMED))
    left_out = len(problems) if len(problems) < MAX_NAMED else sum(1 for _ in grid.problems())
    imported = {
        "source": settings.source,
        "notes": list(settings.notes),
        "left_out": left_out,
        "problems": problems,
        "unpaired": grid.unpaired,
        "paired": grid.paired > 0,
        "sizes": grid.sizes,
    }
    plan = {
        **plans.build(grid.shape).model_dump(mode="json"),
        "model": settings.model or facts.model.name or MODEL,
        "concept_set": concepts.set_name,
        "concepts": f"{len(grid.concept_ids):,} of the pictures",
        "scorers": facts.plan.stored.get("scorers", []),
    }
    chosen = [by_id[id_] for id_ in grid.concept_ids]
    store.set_facts(
        imported=imported,
        plan=plan,
        model={"name": plan["model"], "revision": ""},
        concept_set={
            "name": "words of the pictures" if concepts.set_name == OWN_SET else concept_set.name,
            "version": concept_set.version,
            "licence": concept_set.licence,
            "about": concept_set.about,
            "test": len(concept_set.splits["test"]),
        },
        concepts={
            each.id: {
                "kind": each.kind,
                "text": each.text,
                "split": next(name for name, those in concept_set.splits.items() if each in those),
                "digest": each.digest,
                "families": list(each.families),
            }
            for each in chosen
        },
        methods={
            name: {
                "summary": _summary(name),
                "kind": "none" if name == UNSTEERED else "",
                "cost": "",
            }
            for name in (UNSTEERED, *grid.methods)
        },
    )
    return Imported(
        cells=store.count(),
        added=added,
        sizes=grid.sizes,
        problems=problems,
        left_out=left_out,
        converted=grid.converted,
    )


def _summary(method: str) -> str:
    return "Unsteered pictures." if method == UNSTEERED else "Imported pictures."


def _forget_damaged(store: Store, register: Register) -> None:
    """Have pictures read again that scoring found damaged in the folder of the run."""
    query = "SELECT EXISTS (SELECT 1 FROM failures WHERE kind = 'damaged')"
    if store.select(query) == [(0,)]:
        return
    damaged = []
    for (name,) in register.select("SELECT DISTINCT image FROM files WHERE image IS NOT NULL"):
        path = store.image_path(name)
        with suppress(HtbenchError):
            if image_file(read_image(path)) == name:
                continue
        path.unlink(missing_ok=True)
        damaged.append(name)
    register.forget(damaged)


def _read_files(
    store: Store, register: Register, settings: ImportSettings, display: Display
) -> None:
    images = store.folder / "images"

    def is_stale(path: str) -> bool:
        record = register.record(path)
        is_kept = record is not None and record.image and store.image_path(record.image).is_file()
        if is_kept and not os.path.exists(path):  # noqa: PTH110
            return False
        return not (_is_current(record, path) and (is_kept or not (record and record.image)))

    stale = (path for path in register.paths() if is_stale(path))
    while paths := list(islice(stale, _CHUNK)):
        records = [_read(Path(path), settings, images) for path in paths]
        register.save(records)
        kinds = Counter("whole" if record.image else "broken" for record in records)
        display.info(f"pictures read: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}")


def _is_current(record: FileRecord | None, path: str) -> bool:
    return record is not None and (record.size, record.modified) == _state(path)


def _state(path: str) -> tuple[int | None, int | None]:
    """Size and time of change of a file; None for one that is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None, None
    return found.st_size, found.st_mtime_ns


def _read(path: Path, settings: ImportSettings, images: Path) -> FileRecord:
    size, modified = _state(str(path))
    record: Callable[..., FileRecord] = FileRecord
    try:
        if size is None:
            raise UsageError("there is no such file")
        picture = picture_files.check(path, root=settings.root)
    except UsageError as error:
        shown = repr(os.path.relpath(path, settings.root)[:200])
        text = str(error).replace(repr(str(path)[:300]), shown)
        problem = text if shown in text else f"{shown}: {text}"
        return record(path=str(path), size=size, modified=modified, problem=problem)
    picture_files.write(picture, images, link=path if settings.link else None)
    return record(
        path=str(path),
        size=size,
        modified=modified,
        image=picture.file,
        pixels=picture.pixels,
        flaw=picture.flaw,
        width=picture.width,
        height=picture.height,
        copied=int(picture.is_copy),
    )


def _place_pictures(store: Store, grid: Grid) -> int:
    """Give the planned images their files; returns the number of cells that had none."""
    ((added,),) = store.select(
        "SELECT count(*) FROM cells JOIN images ON key = image WHERE file IS NULL"
    )
    with store.writing() as (write, session):
        write.executemany(
            """UPDATE images SET file = ?1, flaw = ?2, seconds = ?3, session = ?4
               WHERE key = ?5 AND (file IS NULL OR seconds IS NOT ?3)""",
            ((cell.file, cell.flaw, cell.seconds, session, cell.key) for cell in grid.cells()),
        )
        write.execute(
            "DELETE FROM failures WHERE key IN (SELECT key FROM images WHERE file IS NOT NULL)"
        )
    return int(added)
