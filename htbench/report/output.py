"""Output of a report: one file, or a folder where one file could not hold every picture."""

import errno
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree

from htbench.core import content, locks
from htbench.core.errors import UsageError, no_space
from htbench.report import html, judgement_page, leaderboard_files, runs_index
from htbench.report.gallery import grid, pictures
from htbench.report.gallery.grid import GalleryData, PromptShard
from htbench.report.page import render
from htbench.run.store import Store
from htbench.run.summary import Summary

MAX_BYTES = 15_000_000
"""Largest size of a report in one file."""
_HEADROOM = 0.95  # an estimate from a sample must leave some room
_LOCK, _WAIT = ".report.lock", 600.0
_LOSSY_NOTE = (
    "Pictures on this page are compressed, which may change small details; "
    "the run’s folder holds the originals."
)


@dataclass(frozen=True, kw_only=True)
class _PictureSource:
    """Addresses at which the script of the page finds pictures."""

    pictures: str = ""
    """Prefix of the names of pictures."""
    originals: str = ""
    """Prefix of the names of the run's own files, which may be larger; empty: there are none."""
    note: str = ""

    def to_html(self) -> str:
        return html.json_script("gallery-source", asdict(self))


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A rendered page that is not yet written as one file or as a folder."""

    summary: Summary
    gallery: GalleryData
    text: str
    """The page without pictures and policy."""
    judgements: str = ""
    """The page of judgements, which is written beside the run's pictures; empty: there is none."""

    def as_one_file(self) -> str | None:
        """The page with all pictures in it; None if that would be too long."""
        store = self.summary.store
        paths = {
            name: store.image_path(name) for shard in self.gallery.shards for name in shard.images
        }
        room = MAX_BYTES - len(_bytes(self._inline({}, _PictureSource(note=_LOSSY_NOTE))))
        if (
            sum(path.stat().st_size for path in paths.values() if path.is_file()) * 4 / 3
            <= room * _HEADROOM
        ):
            work, source = pictures.read_whole, _PictureSource()
        elif pictures.estimate_bytes(list(paths.values())) * 4 / 3 <= room * _HEADROOM:
            work, source = pictures.shrink, _PictureSource(note=_LOSSY_NOTE)
        else:
            return None
        text = self._inline(
            dict(zip(paths, pictures.map_pictures(work, list(paths.values())), strict=True)), source
        )
        return text if len(_bytes(text)) <= MAX_BYTES else None

    def write_folder(self, folder: Path, switch: str) -> Path:
        """Write the page, its data and its pictures into `folder`.

        Files of earlier reports are kept where they are the same.
        """
        store, picture_folder, data_folder = (
            self.summary.store,
            folder / "pictures",
            folder / "data",
        )
        for part in (picture_folder, data_folder):
            part.mkdir(parents=True, exist_ok=True)
        names = sorted({name for shard in self.gallery.shards for name in shard.images})
        paths = [store.image_path(name) for name in names]
        with ThreadPoolExecutor() as pool:
            saved = pool.map(lambda path: pictures.save_into(path, picture_folder), paths)
            saved_names = dict(zip(names, saved, strict=True))
        scripts = {
            data_folder / f"{k}.js": _script(k, shard, saved_names)
            for k, shard in enumerate(self.gallery.shards)
        }
        for path, data in scripts.items():
            content.write_whole(path, data)
        current = {*scripts, *(picture_folder / name for name in saved_names.values())}
        for path in {*picture_folder.iterdir(), *data_folder.iterdir()} - current:
            path.unlink()
        has_smaller = any(name != file for name, file in saved_names.items())
        has_originals = has_smaller and (folder.parent / "images").is_dir()
        source = _PictureSource(
            pictures="pictures/", originals="../images/" if has_originals else ""
        )
        text = html.fill_marks(
            self.text,
            html.FOLDER,
            data=source.to_html(),
            switch=switch,
            judgements=self._link("../"),
        )
        content.write_whole(folder / "index.html", _bytes(text))
        return folder / "index.html"

    def _inline(self, held: Mapping[str, pictures.BytesOrReason], source: _PictureSource) -> str:
        texts = []
        for k, shard in enumerate(self.gallery.shards):
            answers = [held.get(name, "") for name in shard.images]
            images = [
                pictures.data_uri(answer) if isinstance(answer, bytes) else "" for answer in answers
            ]
            broken = {
                number: answer
                for number, answer in enumerate(answers)
                if isinstance(answer, str) and answer
            }
            data = {**asdict(shard), "images": images, "broken": broken}
            texts.append(html.json_script(f"shard-{k}", data))
        return html.fill_marks(
            self.text,
            html.FILE,
            data=source.to_html() + "".join(texts),
            judgements=self._link(),
        )

    def write_judgements(self, folder: Path) -> None:
        """Write the page of judgements into the run's folder, or remove an earlier one."""
        page = folder / judgement_page.PAGE
        if self.judgements:
            content.write_whole(page, _bytes(self.judgements))
        elif _is_own(self.summary, folder):
            page.unlink(missing_ok=True)

    def _link(self, up: str = "") -> str:
        return judgement_page.link(up) if self.judgements else ""


def write(folder: Path) -> Path:
    """Render the run in `folder` to `folder/report.html` and return the path of the page.

    `leaderboard.csv`, `.json` and `.md` are written beside it. Where one file could not hold every
    picture, the page is `folder/report/index.html` instead, with data and pictures beside it.

    Raises:
        Missing: if there is no run.
        UsageError: if the folder cannot be written.
    """
    with open_run(folder) as summary:
        return write_summary(summary, folder)


def write_folder(folder: Path) -> Path:
    """Render the run in `folder` to `folder/report/index.html`, whatever one file could hold."""
    with open_run(folder) as summary:
        return write_summary_folder(summary, folder)


def write_summary(summary: Summary, folder: Path) -> Path:
    """`write` for an open run."""
    draft = _draft(summary, folder)
    text = draft.as_one_file()
    with writing(folder):
        if text is None:
            return _write_folder(draft, folder)
        leaderboard_files.write(summary, folder)
        draft.write_judgements(folder)
        page = folder / "report.html"
        content.write_whole(page, _bytes(text))
        remove_folder_report(folder / "report")
        _note(summary, folder, page)
        return page


def write_summary_folder(summary: Summary, folder: Path) -> Path:
    """`write_folder` for an open run."""
    draft = _draft(summary, folder)
    with writing(folder):
        return _write_folder(draft, folder)


def write_linked_page(summary: Summary, folder: Path, *, switch: str) -> None:
    """Write the page as a folder with a switch to other pages, and the leaderboard's files."""
    _draft(summary).write_folder(folder, switch)
    leaderboard_files.write(summary, folder)


def render_live(folder: Path) -> dict[str, bytes]:
    """The page and its data as the run is now, by path on a server; pictures are the run's own."""
    with open_run(folder) as summary:
        draft = _draft(summary, folder)
        page = html.fill_marks(
            draft.text,
            html.SERVED,
            data=_PictureSource(pictures="images/").to_html(),
            judgements=draft.judgements and judgement_page.link(),
        )
        return {
            "": _bytes(page),
            **({judgement_page.PAGE: _bytes(draft.judgements)} if draft.judgements else {}),
            **{
                f"data/{k}.js": _script(k, shard, {})
                for k, shard in enumerate(draft.gallery.shards)
            },
        }


@contextmanager
def open_run(folder: Path) -> Iterator[Summary]:
    """The summary of the run in `folder`, read at one moment though the run may go on."""
    with Store.read(folder) as store:
        store.select("BEGIN")
        yield Summary(store)


def _draft(summary: Summary, folder: Path | None = None) -> _Draft:
    """The report of a run; judgements are shown only in its own folder, where its pictures are."""
    gallery, is_own = grid.collect(summary), folder is not None and _is_own(summary, folder)
    return _Draft(
        summary=summary,
        gallery=gallery,
        text=render(summary, gallery),
        judgements=judgement_page.render(summary) if is_own else "",
    )


def _is_own(summary: Summary, folder: Path) -> bool:
    return summary.store.folder.resolve() == folder.resolve()


def _write_folder(draft: _Draft, folder: Path) -> Path:
    path = draft.write_folder(folder / "report", "")
    leaderboard_files.write(draft.summary, folder)
    draft.write_judgements(folder)
    (folder / "report.html").unlink(missing_ok=True)
    _note(draft.summary, folder, path)
    return path


def _note(summary: Summary, folder: Path, page: Path) -> None:
    """Note a run's report for the start page of its folder; not that of several runs."""
    if _is_own(summary, folder):
        runs_index.note(summary, folder, page)


def remove_folder_report(folder: Path) -> None:
    """Remove an earlier report that was a folder, so that one report is left."""
    if (folder / "index.html").is_file():
        for part in ("pictures", "data"):
            rmtree(folder / part, ignore_errors=True)
        (folder / "index.html").unlink()
        with suppress(OSError):  # somebody else's files are left
            folder.rmdir()


def _script(number: int, shard: PromptShard, names: Mapping[str, str]) -> bytes:
    images = [names.get(name, name) for name in shard.images]
    data = json.dumps({**asdict(shard), "images": images}, ensure_ascii=False)
    return _bytes(f"htbench({number}, {data});\n")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # text from JSON may hold half a surrogate pair


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the lock of the report in `folder`, and turn errors of the disk into usage errors.

    Several reports of one run are written one after another.

    Raises:
        UsageError: if the folder cannot be written.
        Missing: if the disk is full.
    """
    try:
        lock = locks.acquire(
            folder / _LOCK, noun=f"the report of {str(folder)!r}", activity="written", wait=_WAIT
        )
        try:
            yield
        finally:
            lock.release()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space() from None
        raise UsageError(f"cannot write report {str(folder)!r}: {error.strerror}") from None
