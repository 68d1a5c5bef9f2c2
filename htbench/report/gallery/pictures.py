"""Pictures of a run as pages hold them: whole files where there is room, else small WebP."""

import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from shutil import copyfile

from PIL import Image

KEEP_UP_TO, MAX_SIDE, WEBP_QUALITY = 128, 256, 90
"""Pixels of a side up to which a picture is kept as it is; pixels and quality of what others become."""
_HEAD = 24  # bytes of a PNG file up to the end of its width and height
_SAMPLE = 64

BytesOrReason = bytes | str
"""A picture's bytes, or why there are none."""


def read_whole(path: Path) -> BytesOrReason:
    """The file as it is, if it can be read."""
    return _read_or_reason(path, lambda file: _read_checked(file.read_bytes()))


def shrink(path: Path) -> BytesOrReason:
    """The picture as WebP, scaled down where it is large."""
    return _read_or_reason(path, _webp)


def map_pictures(
    work: Callable[[Path], BytesOrReason], paths: Sequence[Path]
) -> Iterator[BytesOrReason]:
    """`work` on every path, on all cores: decoding and encoding let go of Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(work, paths)


def estimate_bytes(paths: Sequence[Path]) -> float:
    """Bytes of all pictures made small, from a sample of them."""
    sample = paths[:: max(1, len(paths) // _SAMPLE)]
    return (
        sum(len(held) for held in map_pictures(shrink, sample)) / max(1, len(sample)) * len(paths)
    )


def data_uri(picture: bytes) -> str:
    """The picture as an address that holds all of it."""
    kind = "png" if picture.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64,{b64encode(picture).decode()}"


def save_into(path: Path, folder: Path) -> str:
    """The name in `folder` of what stands there for the picture: a link to it or its copy if it is small, else WebP; nothing if it is gone.

    Raises:
        OSError: if the folder cannot be written.
    """
    if not path.is_file():
        return path.name
    if _longest_side(path) > KEEP_UP_TO:
        name = f"{path.stem}.webp"
        held = shrink(path) if not (folder / name).exists() else b""
        if isinstance(held, bytes):
            _write_once(folder / name, lambda fresh: fresh.write_bytes(held))
            return name
    _write_once(folder / path.name, lambda fresh: _link(path, fresh))
    return path.name


def _write_once(path: Path, write: Callable[[Path], object]) -> None:
    """Names come from contents, so what is there already is right."""
    if not path.exists():
        fresh = path.with_name(f".{path.name}")
        fresh.unlink(missing_ok=True)
        write(fresh)
        fresh.replace(path)


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
    except (
        OSError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:  # Pillow says of some broken PNG files that they are a SyntaxError
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
