"""Whether a run's folder is what its run left: complete, undamaged, and still of the cards and concepts that exist now."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from htbench.core.errors import HtbenchError
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.steering import baseline, concept


@dataclass(frozen=True, kw_only=True)
class RunIssue:
    """One thing that is wrong."""

    kind: str
    """`damaged`, `stale` or `left over`."""
    what: str


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """The state of a run."""

    planned: int
    done: int
    failed: int
    pending: int
    """Without an image, and not failed."""
    unscored: int
    images: int
    """Files that were looked at."""
    findings: tuple[RunIssue, ...]

    @property
    def is_damaged(self) -> bool:
        """Whether anything is not what was written."""
        return any(finding.kind == "damaged" for finding in self.findings)


def check(folder: Path, *, hashes: bool = True) -> RunStatus:
    """The condition of the run in `folder`; without `hashes` only the sizes of image files are looked at.

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
            images=len(files),
            findings=(
                *_database(store),
                *_images(folder / "images", files, hashes=hashes),
                *_stale(summary),
                *_orphans(store),
            ),
        )


def _database(store: Store) -> Iterator[RunIssue]:
    for (answer,) in store.select("PRAGMA quick_check(10)"):
        if answer != "ok":
            yield RunIssue(kind="damaged", what=f"database: {answer}")
    ((loose,),) = store.select(
        "SELECT count(*) FROM cells LEFT JOIN images ON key = image WHERE key IS NULL"
    )
    if loose:
        yield RunIssue(kind="damaged", what=f"database: {loose} cells without their image's row")


def _images(folder: Path, files: set[str], *, hashes: bool) -> Iterator[RunIssue]:
    there = {path.name: path for path in folder.glob("[!.]*")} if folder.is_dir() else {}
    for name in sorted(files - there.keys()):
        yield RunIssue(kind="damaged", what=f"image {name} is gone")
    for name in sorted(files & there.keys()):
        if not there[name].stat().st_size:
            yield RunIssue(kind="damaged", what=f"image {name} is empty")
        elif hashes and f"{sha256(there[name].read_bytes()).hexdigest()[:32]}.png" != name:
            yield RunIssue(kind="damaged", what=f"image {name} is not what was written")


def _stale(summary: Summary) -> Iterator[RunIssue]:
    """Cards and concepts that have changed since; whether weights have is known only to a run."""
    for method, fact in _mapping(summary.facts.get("methods")).items():
        try:
            now = baseline.load_card(str(_mapping(fact).get("given") or method)).digest
        except HtbenchError as error:
            yield RunIssue(kind="stale", what=f"method {method}: {error}")
        else:
            if now != _mapping(fact).get("card"):
                yield RunIssue(kind="stale", what=f"method {method}: its card has changed since")
    set_name = str(_mapping(summary.facts.get("plan")).get("concept_set") or "")
    if not set_name:
        return
    try:
        known = {
            each.id: each.digest
            for split in concept.load(set_name).splits.values()
            for each in split
        }
    except HtbenchError as error:
        yield RunIssue(kind="stale", what=str(error))
        return
    changed = [
        id_
        for id_, fact in _mapping(summary.facts.get("concepts")).items()
        if known.get(id_) != _mapping(fact).get("digest")
    ]
    if changed:
        yield RunIssue(
            kind="stale", what=f"{len(changed)} concepts have changed since, such as {changed[0]}"
        )


def _orphans(store: Store) -> Iterator[RunIssue]:
    ((count,),) = store.select(
        "SELECT count(*) FROM images WHERE file IS NOT NULL AND key NOT IN (SELECT image FROM cells)"
    )
    if count:
        yield RunIssue(kind="left over", what=f"{count} images of earlier plans")


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
