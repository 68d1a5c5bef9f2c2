"""Pictures of a run in pages: whole files where there is room, else small WebP."""

import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from PIL import Image

from htbench.core import content
from htbench.core import pictures as core_pictures
from htbench.core.errors import UsageError
from htbench.run.store import read_image

KEEP_UP_TO = 128
"""Largest side in pixels of a picture that is kept as it is."""
MAX_SIDE, WEBP_QUALITY = 256, 90
"""Largest side in pixels, and the quality, of the WebP that larger pictures become."""
_SAMPLE = 64

BytesOrReason = bytes | str
"""Bytes of a picture, or the reason why there are none."""


def read_whole(path: Path) -> BytesOrReason:
    """The file as it is, if it can be read."""
    return _read_or_reason(path, _read_checked)


def shrink(path: Path) -> BytesOrReason:
    """The picture as WebP, scaled down where it is large."""
    return _read_or_reason(path, _webp)


def read_small(path: Path) -> BytesOrReason:
    """The file as it is where it is small, else `shrink`."""
    data = read_whole(path)
    return shrink(path) if isinstance(data, bytes) and _longest_side(data) > KEEP_UP_TO else data


def to_webp(data: bytes, *, name: str, max_side: int = MAX_SIDE) -> bytes:
    """The picture in a file's bytes as WebP, of at most `max_side` pixels a side.

    Raises:
        UnreadablePicture: if it is none.
    """
    buffer = BytesIO()
    picture = core_pictures.open_picture(data, name=name).convert("RGB")
    picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    picture.save(buffer, "WEBP", quality=WEBP_QUALITY, method=2)
    return buffer.getvalue()


def map_pictures(
    work: Callable[[Path], BytesOrReason], paths: Sequence[Path]
) -> Iterator[BytesOrReason]:
    """Do `work` on every path with threads: decoding and encoding release Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(work, paths)


def estimate_bytes(paths: Sequence[Path]) -> float:
    """Total size of all pictures made small, estimated from a sample."""
    sample = paths[:: max(1, len(paths) // _SAMPLE)]
    size = sum(len(data) for data in map_pictures(shrink, sample))
    return size / max(1, len(sample)) * len(paths)


def data_uri(picture: bytes) -> str:
    """The picture as a `data:` address."""
    kind = "png" if picture.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64,{b64encode(picture).decode()}"


def small_address(path: Path) -> str:
    """The `data:` address of a picture, small if it is large; empty if it cannot be read."""
    data = read_small(path)
    return data_uri(data) if isinstance(data, bytes) else ""


def save_into(path: Path, folder: Path) -> str:
    """Save the picture in `folder` and return its name there.

    A small picture is copied as it is, a larger one becomes WebP, and one that is lost or cannot
    be read is not saved.

    Raises:
        OSError: if the folder cannot be written.
    """
    names = path.name, f"{path.stem}.webp"
    for name in names:
        if (folder / name).exists() and path.exists():
            return name
    data = _read_or_reason(path, read_image)
    if isinstance(data, str):
        return path.name
    name = path.name
    if _longest_side(data) > KEEP_UP_TO:
        smaller = shrink(path)
        if isinstance(smaller, bytes):
            name, data = names[1], smaller
    with content.replacing(folder / name) as fresh:
        if name != path.name or not _can_link(path, fresh):
            fresh.write_bytes(data)
    return name


def _can_link(path: Path, fresh: Path) -> bool:
    """Link `fresh` to the same bytes on the disk; False where that cannot be."""
    if path.is_symlink():
        return False
    try:
        os.link(path, fresh)
    except OSError:  # another disk, or one without links
        return False
    return True


def _longest_side(png: bytes) -> int:
    return max(int.from_bytes(png[16:20]), int.from_bytes(png[20:24]))


def _read_or_reason(path: Path, work: Callable[[Path], bytes]) -> BytesOrReason:
    try:
        return work(path)
    except UsageError as error:
        return f"image {path.name} cannot be read: {type(error).__name__}"


def _read_checked(path: Path) -> bytes:
    data = read_image(path)
    core_pictures.open_picture(data, name=path.name)
    return data


def _webp(path: Path) -> bytes:
    return to_webp(read_image(path), name=path.name)
