"""The start page of a folder of runs: every run with its headline and a link to its report."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from htbench.core import content, locks, reading
from htbench.core.errors import HtbenchError, Missing, UsageError
from htbench.core.types import UNSTEERED
from htbench.report import html
from htbench.report.current import PAGES
from htbench.report.sections import leaderboard
from htbench.run.store import Store
from htbench.run.summary import Summary

INDEX, ENTRY = "index.html", "index.json"
"""The page in the folder of runs, and the file that each run has for it."""
_MARK = '<main id="runs">'
"""Text by which a start page of ours is known."""
_WAIT = 60.0


class RunEntry(BaseModel):
    """A run's line of the start page, as of its last report."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    started: str
    command: str
    model: str
    concepts: int
    methods: list[str]
    done: int
    planned: int
    complete: bool
    headline: str
    """The conclusion of its leaderboard; empty where there is none."""
    report: str
    """Path of its report below the run's folder; empty where none was written."""

    @classmethod
    def of(cls, summary: Summary, *, headline: str = "", report: str = "") -> "RunEntry":
        """The entry of an open run."""
        facts = summary.facts
        return cls(
            started=str(facts.environment.stored.get("started") or ""),
            command=facts.command,
            model=str(facts.model.stored.get("name") or ""),
            concepts=summary.concepts,
            methods=[method for method in summary.methods if method != UNSTEERED],
            done=summary.done,
            planned=summary.planned,
            complete=summary.is_complete,
            headline=headline,
            report=report,
        )


def note(summary: Summary, run: Path, page: Path) -> None:
    """Note the report of a run for the start page, and write that anew.

    A folder has a start page if its name is `runs`, or `write` made it one. Where it may not be
    written, it stays as it is.

    Raises:
        OSError: if the folder of the run cannot be written.
    """
    entry = RunEntry.of(
        summary,
        headline=leaderboard.conclusion(summary),
        report=page.relative_to(run).as_posix(),
    )
    content.write_whole(run / ENTRY, entry.model_dump_json(indent=1) + "\n")
    runs = run.resolve().parent
    if runs.name == "runs" or _is_ours(runs / INDEX):
        try:
            write(runs)
        except (UsageError, Missing):
            return


def write(runs: Path) -> Path:
    """Write the start page of a folder of runs and return its path.

    Commands that do so at once wait for each other, and each reads all runs, so that none is lost.

    Raises:
        UsageError: if the folder cannot be written, or has a page of another origin.
        Missing: if there is no such folder.
    """
    page = runs / INDEX
    if not runs.is_dir():
        raise Missing(f"no folder of runs {str(runs)[:300]!r}", remedy="Make a run: htbench run")
    if page.exists() and not _is_ours(page):
        raise UsageError(
            f"{str(page)[:300]!r} is not a page of htbench", remedy="Move it to another place."
        )
    try:
        lock = locks.acquire(
            runs / ".index.lock",
            noun=f"the page of {str(runs)[:300]!r}",
            activity="written",
            wait=_WAIT,
        )
        try:
            content.write_whole(page, _render(runs).encode("utf-8", "replace"))
        finally:
            lock.release()
    except OSError as error:
        raise UsageError(f"cannot write {str(page)[:300]!r}: {error.strerror}") from None
    return page


def _render(runs: Path) -> str:
    entries = sorted(_entries(runs), key=lambda pair: (pair[1].started, pair[0]), reverse=True)
    rows = [(name, quote(f"{name}/{entry.report}"), entry) for name, entry in entries]
    text = (
        html.templates({}).get_template("runs.html").render(rows=rows, folder=runs.resolve().name)
    )
    return html.fill_marks(text, html.TEXT_ONLY)


def _entries(runs: Path) -> Iterator[tuple[str, RunEntry]]:
    """Each run's name with its entry; runs that cannot be read are left out."""
    for store in runs.glob("*/run.sqlite"):
        try:
            yield store.parent.name, _entry(store.parent)
        except HtbenchError:
            continue


def _entry(run: Path) -> RunEntry:
    """The entry that the last report left, else one without a headline."""
    try:
        return reading.read_record(run / ENTRY, RunEntry, noun="entry")
    except (UsageError, Missing):
        page = next((page for page in PAGES if (run / page).is_file()), "")
        with Store.read(run) as store:
            return RunEntry.of(Summary(store), report=page)


def _is_ours(page: Path) -> bool:
    try:
        return _MARK in page.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
