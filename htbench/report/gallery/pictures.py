"""Pictures of a run in pages: whole files where there is room, else small WebP."""

import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from shutil import copyfile

from PIL import Image

from htbench.core import content

KEEP_UP_TO = 128
"""Largest side in pixels of a picture that is kept as it is."""
MAX_SIDE, WEBP_QUALITY = 256, 90
"""Largest side in pixels, and the quality, of the WebP that larger pictures become."""
_HEAD = 24  # bytes of a PNG file up to the end of its width and height
_SAMPLE = 64

BytesOrReason = bytes | str
"""Bytes of a picture, or the reason why there are none."""


def read_whole(path: Path) -> BytesOrReason:
    """The file as it is, if it can be read."""
    return _read_or_reason(path, lambda file: _read_checked(file.read_bytes()))


def shrink(path: Path) -> BytesOrReason:
    """The picture as WebP, scaled down where it is large."""
    return _read_or_reason(path, _webp)


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


def save_into(path: Path, folder: Path) -> str:
    """Save the picture in `folder` and return its name there.

    A small picture is linked or copied, a larger one becomes WebP, and a lost one is not saved.

    Raises:
        OSError: if the folder cannot be written.
    """
    if not path.is_file():
        return path.name
    if _longest_side(path) > KEEP_UP_TO:
        name = f"{path.stem}.webp"
        data = shrink(path) if not (folder / name).exists() else b""
        if isinstance(data, bytes):
            if not (folder / name).exists():
                content.write_whole(folder / name, data)
            return name
    if not (folder / path.name).exists():
        with content.replacing(folder / path.name) as fresh:
            _link(path, fresh)
    return path.name


def _link(path: Path, fresh: Path) -> None:
    try:
        os.link(path, fresh)
    except OSError:  # another disk, or one without links
        copyfile(path, fresh)


def _longest_side(path: Path) -> int:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return max(int.from_bytes(head[16:20]), int.from_bytes(head[20:24]))


def _read_or_reason(path: Path, work: Callable[[Path], bytes]) -> BytesOrReason:
    try:
        return work(path)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow raises SyntaxError for some broken PNG files
        return f"image {path.name} cannot be read: {type(error).__name__}"


def _read_checked(data: bytes) -> bytes:
    with Image.open(BytesIO(data)) as file:
        file.load()
    return data


def _webp(path: Path) -> bytes:
    buffer = BytesIO()
    with Image.open(path) as file:
        picture = file.convert("RGB")
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    picture.save(buffer, "WEBP", quality=WEBP_QUALITY, method=2)
    return buffer.getvalue()
