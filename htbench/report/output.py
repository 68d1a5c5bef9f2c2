"""What a report is written to: one file, or a folder with its pictures where one file could not hold them all."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree

from htbench.core.errors import UsageError
from htbench.report import files as run_files
from htbench.report import html
from htbench.report.gallery import grid, pictures
from htbench.report.gallery.grid import GalleryData, PromptShard
from htbench.report.page import render
from htbench.run.store import Store
from htbench.run.summary import Summary

MAX_BYTES = 15_000_000
"""Bytes of a report in one file."""
_HEADROOM = 0.95  # what a sample says will fit must leave some room
_LOSSY_NOTE = "Pictures on this page are compressed, which may change small details; the run’s folder holds the originals."


@dataclass(frozen=True, kw_only=True)
class _PictureSource:
    """Where the page's script finds pictures."""

    pictures: str = ""
    """Put before their names."""
    originals: str = ""
    """Put before the names of the run's files, where pictures may be smaller than they; empty: there are none."""
    note: str = ""

    def to_html(self) -> str:
        return html.json_script("gallery-source", asdict(self))


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A report that can still become one file or a folder."""

    summary: Summary
    gallery: GalleryData
    text: str
    """The page without pictures and policy."""

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
        """Write the page, its data and its pictures into `folder`; files of earlier reports are kept where they are the same."""
        store = self.summary.store
        there, names = (
            folder / "pictures",
            sorted({name for shard in self.gallery.shards for name in shard.images}),
        )
        for part in (there, folder / "data"):
            part.mkdir(parents=True, exist_ok=True)
        paths = [store.image_path(name) for name in names]
        with ThreadPoolExecutor() as pool:
            placed = dict(
                zip(
                    names,
                    pool.map(lambda path: pictures.save_into(path, there), paths),
                    strict=True,
                )
            )
        files = {
            folder / "data" / f"{k}.js": _script(k, shard, placed)
            for k, shard in enumerate(self.gallery.shards)
        }
        for path, data in files.items():
            write_whole(path, data)
        for path in {*there.iterdir(), *(folder / "data").iterdir()} - {
            *files,
            *(there / name for name in placed.values()),
        }:
            path.unlink()
        smaller = (
            placed != dict(zip(names, names, strict=True)) and (folder.parent / "images").is_dir()
        )
        source = _PictureSource(pictures="pictures/", originals="../images/" if smaller else "")
        write_whole(
            folder / "index.html",
            _bytes(html.fill_marks(self.text, html.FOLDER, data=source.to_html(), switch=switch)),
        )
        return folder / "index.html"

    def _inline(self, held: Mapping[str, pictures.BytesOrReason], source: _PictureSource) -> str:
        texts = []
        for k, shard in enumerate(self.gallery.shards):
            found = [held.get(name, "") for name in shard.images]
            images = [
                pictures.data_uri(picture) if isinstance(picture, bytes) else ""
                for picture in found
            ]
            broken = {
                number: picture
                for number, picture in enumerate(found)
                if isinstance(picture, str) and picture
            }
            texts.append(
                html.json_script(
                    f"shard-{k}", {**asdict(shard), "images": images, "broken": broken}
                )
            )
        return html.fill_marks(self.text, html.FILE, data=source.to_html() + "".join(texts))


def write(folder: Path) -> Path:
    """Render the run in `folder` to `folder/report.html`, with `leaderboard.csv`, `.json` and `.md` beside it, and return the page's path.

    Where one file could not hold every picture it is `folder/report/index.html` instead, with data and pictures beside it.

    Raises:
        Missing: if there is no run.
        UsageError: if the folder cannot be written.
    """
    with open_run(folder) as summary:
        return write_summary(summary, folder)


def write_folder(folder: Path) -> Path:
    """The same as a folder, whatever one file could hold."""
    with open_run(folder) as summary:
        return write_summary_folder(summary, folder)


def write_summary(summary: Summary, folder: Path) -> Path:
    """`write` of figures that were read already."""
    with disk_errors(folder):
        draft = _draft(summary)
        text = draft.as_one_file()
        if text is None:
            return _write_folder(draft, folder)
        run_files.write(summary, folder)
        write_whole(folder / "report.html", _bytes(text))
        _remove_folder_report(folder / "report")
        return folder / "report.html"


def write_summary_folder(summary: Summary, folder: Path) -> Path:
    """`write_folder` of figures that were read already."""
    with disk_errors(folder):
        return _write_folder(_draft(summary), folder)


def write_linked_page(summary: Summary, folder: Path, *, switch: str) -> None:
    """Write the page as a folder of its own, with a switch to other pages, and the leaderboard's files beside it."""
    _draft(summary).write_folder(folder, switch)
    run_files.write(summary, folder)


def render_live(folder: Path) -> dict[str, bytes]:
    """The page and its data as the run is now, by the paths that a server gives them; pictures are the run's own."""
    with open_run(folder) as summary:
        draft = _draft(summary)
        page = html.fill_marks(
            draft.text, html.SERVED, data=_PictureSource(pictures="images/").to_html()
        )
        return {
            "": _bytes(page),
            **{
                f"data/{k}.js": _script(k, shard, {})
                for k, shard in enumerate(draft.gallery.shards)
            },
        }


@contextmanager
def open_run(folder: Path) -> Iterator[Summary]:
    """What the run in `folder` found, all of one moment though the run may go on."""
    with Store.read(folder) as store:
        store.select("BEGIN")
        yield Summary(store)


def _draft(summary: Summary) -> _Draft:
    found = grid.collect(summary)
    return _Draft(summary=summary, gallery=found, text=render(summary, found))


def _write_folder(draft: _Draft, folder: Path) -> Path:
    path = draft.write_folder(folder / "report", "")
    run_files.write(draft.summary, folder)
    (folder / "report.html").unlink(missing_ok=True)
    return path


def _remove_folder_report(folder: Path) -> None:
    """Take away an earlier report that was a folder, so that there is one report alone."""
    if (folder / "index.html").is_file():
        for part in ("pictures", "data"):
            rmtree(folder / part, ignore_errors=True)
        (folder / "index.html").unlink()
        with suppress(OSError):  # somebody else's files are left
            folder.rmdir()


def _script(number: int, shard: PromptShard, names: Mapping[str, str]) -> bytes:
    images = [names.get(name, name) for name in shard.images]
    return _bytes(
        f"htbench({number}, {json.dumps({**asdict(shard), 'images': images}, ensure_ascii=False)});\n"
    )


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is whole or not there at all."""
    fresh = path.with_name(f".{path.name}")
    fresh.write_bytes(data)
    fresh.replace(path)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # text from JSON may hold half a surrogate pair


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """What the disk refuses is said in one line."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write report {str(folder)!r}: {error.strerror}") from None
