"""Pictures of other programs as a run keeps them: whole, upright, RGB, without metadata."""

import errno
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from htbench.core import content, pictures, reading
from htbench.core.errors import UsageError, no_space
from htbench.run.store import image_file

_PLAIN_CHUNKS = {b"IHDR", b"IDAT", b"IEND"}
_RGB_8_BITS = (8, 2)
"""Bit depth and colour type of a PNG."""


@dataclass(frozen=True, kw_only=True)
class CheckedPicture:
    """A picture that was read whole."""

    png: bytes
    pixels: str
    """Digest of the size and the pixels: equal pictures have equal ones, whatever their format."""
    width: int
    """In pixels; likewise `height`."""
    height: int
    flaw: str | None
    """`black` or `constant` if it shows nothing."""
    is_copy: bool
    """True if `png` is the file as it was."""

    @property
    def file(self) -> str:
        """Name of its file in a run."""
        return image_file(self.png)


def check(path: Path, *, root: Path) -> CheckedPicture:
    """The picture in a file below `root`.

    Raises:
        UsageError: if there is no such file, or it is not a whole picture within the limits; one
            line.
    """
    data = reading.read_bytes(path, noun="picture", within=root, most=pictures.MAX_BYTES)
    picture = pictures.on_background(pictures.open_picture(data, name=str(path)))
    is_copy = _is_plain(data)
    return CheckedPicture(
        png=data if is_copy else pictures.encode_png(picture),
        pixels=sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()[:32],
        width=picture.width,
        height=picture.height,
        flaw=pictures.blank_kind(picture),
        is_copy=is_copy,
    )


def check_limits(path: Path, *, location: str) -> None:
    """Refuse a picture that is larger than pictures may be, by its header alone.

    A file that is missing or no picture passes: `check` says what is wrong with it.

    Raises:
        UsageError: if it is too large, with the location of its row.
    """
    import warnings

    from PIL import Image

    if not path.is_file():
        return
    try:
        size = path.stat().st_size
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=pictures.FORMATS) as file:
                pixels = file.width * file.height
    except Image.DecompressionBombError:
        size, pixels = 0, pictures.MAX_PIXELS + 1
    except Exception:  # decoders raise whatever they like on broken data
        return
    shown = str(path)[:300]
    if size > pictures.MAX_BYTES:
        raise UsageError(f"{location}: {shown!r} has more than {pictures.MAX_BYTES >> 20} MiB")
    if pixels > pictures.MAX_PIXELS:
        raise UsageError(f"{location}: {shown!r} has more than {pictures.MAX_PIXELS:,} pixels")


def write(picture: CheckedPicture, folder: Path, *, link: Path | None = None) -> None:
    """Write a picture into the folder of a run's images, unless it is there.

    Args:
        link: its file; where that needed no change it gets a second name in place of a copy.

    Raises:
        UsageError: if the file cannot be linked, since it lies on another disk.
        Missing: if the disk is full.
    """
    target = folder / picture.file
    if target.exists():
        return
    if link is None or not picture.is_copy:
        content.write_whole(target, picture.png)
        return
    try:
        with content.replacing(target) as fresh:
            os.link(link, fresh)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space() from None
        raise UsageError(
            f"{str(link)[:300]!r} cannot be linked into {str(folder)[:200]!r}: {error.strerror}",
            remedy="Leave --link out: pictures are copied.",
        ) from None


def _is_plain(data: bytes) -> bool:
    """True for a PNG of 8-bit RGB that holds nothing but pixels."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or tuple(data[24:26]) != _RGB_8_BITS:
        return False
    place, names = 8, set[bytes]()
    while place + 8 <= len(data) and b"IEND" not in names:
        names.add(data[place + 4 : place + 8])
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    return names == _PLAIN_CHUNKS and place == len(data)
