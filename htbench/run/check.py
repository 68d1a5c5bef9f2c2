"""Check of a run's folder: complete, undamaged, and of cards and concepts that have not changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from htbench.core.errors import HtbenchError, UsageError
from htbench.run import wording_runs
from htbench.run.concept_source import load_set
from htbench.run.store import Store, image_file, read_image
from htbench.run.summary import Summary
from htbench.steering import baseline


@dataclass(frozen=True, kw_only=True)
class RunIssue:
    """A problem of a run's folder."""

    kind: str
    """`damaged`, `stale` or `left over`."""
    what: str


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """Progress and problems of a run."""

    planned: int
    done: int
    failed: int
    pending: int
    """Cells without an image that have not failed."""
    unscored: int
    images: int
    """Number of files that were checked."""
    findings: tuple[RunIssue, ...]
    wordings: Mapping[str, "RunStatus"] = field(default_factory=dict)
    """The status of each wording other than the canonical one; of one that was not begun, all of
    its cells are pending."""

    @property
    def is_damaged(self) -> bool:
        """True if any file differs from what the run wrote."""
        return any(finding.kind == "damaged" for finding in self.findings) or any(
            status.is_damaged for status in self.wordings.values()
        )

    @property
    def is_complete(self) -> bool:
        """True if all cells are done, in every wording."""
        return self.done == self.planned and all(
            status.is_complete for status in self.wordings.values()
        )


def check(folder: Path, *, hashes: bool = True, images: bool = True) -> RunStatus:
    """The status of the run in `folder`.

    Args:
        folder: the folder of a run, or of one that was unpacked.
        hashes: read the images; without it only their sizes are checked.
        images: expect images; without it the run is one that was packed without them.

    Raises:
        Missing: if there is no run.
        Refused: if its database cannot be read at all.
    """
    with Store.read(folder) as store:
        summary = Summary(store)
        files = {
            name
            for (name,) in store.select("SELECT DISTINCT file FROM images WHERE file IS NOT NULL")
        }
        ((made,),) = store.select("SELECT count(file) FROM cells JOIN images ON key = image")
        failed = sum(problem.cells for problem in summary.failures)
        return RunStatus(
            planned=summary.planned,
            done=summary.done,
            failed=failed,
            pending=summary.planned - made - failed,
            unscored=made - summary.done,
            images=len(files) if images else 0,
            findings=(
                *_database(store),
                *_rows(store),
                *_images(folder / "images", files if images else set(), hashes=hashes),
                *_stale(summary),
                *_orphans(store),
            ),
            wordings=_wordings(summary, hashes=hashes, images=images),
        )


def _wordings(summary: Summary, *, hashes: bool, images: bool) -> dict[str, RunStatus]:
    folders = {
        wording: store.folder
        for wording, store in wording_runs.further_runs(summary.store, summary.facts)
    }
    return {
        wording: check(folders[wording], hashes=hashes, images=images)
        if wording in folders
        else RunStatus(
            planned=cells.planned,
            done=0,
            failed=0,
            pending=cells.planned,
            unscored=0,
            images=0,
            findings=(),
        )
        for wording, cells in summary.wording_cells.items()
    }


def _database(store: Store) -> Iterator[RunIssue]:
    for (answer,) in store.select("PRAGMA quick_check(10)"):
        if answer != "ok":
            yield RunIssue(kind="damaged", what=f"database: {answer}")
    ((loose,),) = store.select(
        "SELECT count(*) FROM main.cells LEFT JOIN images ON key = image WHERE key IS NULL"
    )
    if loose:
        yield RunIssue(kind="damaged", what=f"database: {loose} cells without their image's row")


def _rows(store: Store) -> Iterator[RunIssue]:
    for problem in store.problems:
        yield RunIssue(kind="damaged", what=f"database: {problem}")


def _images(folder: Path, files: set[str], *, hashes: bool) -> Iterator[RunIssue]:
    paths = {path.name: path for path in folder.glob("[!.]*")} if folder.is_dir() else {}
    for name in sorted(files - paths.keys()):
        yield RunIssue(kind="damaged", what=f"image {name} is gone")
    for name in sorted(files & paths.keys()):
        if not paths[name].lstat().st_size:
            yield RunIssue(kind="damaged", what=f"image {name} is empty")
        elif hashes and not _is_whole(paths[name]):
            yield RunIssue(kind="damaged", what=f"image {name} is not what was written")


def _is_whole(path: Path) -> bool:
    try:
        return image_file(read_image(path)) == path.name
    except UsageError:
        return False


def _stale(summary: Summary) -> Iterator[RunIssue]:
    """Cards and concepts that have changed since; only a run can tell if weights have."""
    methods = {} if summary.facts.is_imported else summary.facts.methods
    for method, card in methods.items():
        if summary.facts.bundle_of(method):
            continue  # its cells are those of a bundle, whatever its card is here
        try:
            now = baseline.load_card(card.given or method).digest
        except HtbenchError as error:
            yield RunIssue(kind="stale", what=f"method {method}: {error}")
        else:
            if now != card.card:
                yield RunIssue(kind="stale", what=f"method {method}: its card has changed since")
    set_name = summary.facts.plan.concept_set
    if not set_name:
        return
    try:
        known = {
            each.id: each.digest
            for split in load_set(summary.facts, summary.store.folder).splits.values()
            for each in split
        }
    except HtbenchError as error:
        yield RunIssue(kind="stale", what=str(error))
        return
    changed = [
        id_ for id_, fact in summary.facts.concepts.items() if known.get(id_, "") != fact.digest
    ]
    if changed:
        yield RunIssue(
            kind="stale", what=f"{len(changed)} concepts have changed since, such as {changed[0]}"
        )


def _orphans(store: Store) -> Iterator[RunIssue]:
    ((count,),) = store.select(
        """SELECT count(*) FROM images
           WHERE file IS NOT NULL AND key NOT IN (SELECT image FROM cells)"""
    )
    if count:
        yield RunIssue(kind="left over", what=f"{count} images of earlier plans")
