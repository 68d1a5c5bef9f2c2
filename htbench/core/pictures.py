"""The one way in for pictures, of few formats, within limits, as plain 8-bit pixels; and out."""

import math
import stat
import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, cast
from zipfile import ZipFile

from htbench.core import reading
from htbench.core.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that are read; none of them starts another program or holds text to be run."""
MAX_PIXELS = 1 << 26
"""The most pixels of a picture: 67 million, such as 8192 x 8192."""
MAX_BYTES = 1 << 27
"""The largest file of a picture, in bytes: 128 MiB."""
MAX_RATIO = 200
"""The most times that a file in an archive may be larger than packed; pictures hardly shrink."""
MAX_ARCHIVE_BYTES = 1 << 32
"""The most bytes of all files of an archive together: 4 GiB."""
_BLACK_LEVEL = 4
"""Levels of 255 up to which an image counts as black, and the range of a constant image.

What a decoder makes of an empty latent is rarely pure.
"""


class UnreadablePicture(UsageError):
    """A file that is no picture, or one beyond the limits; the text is one line."""


def open_picture(
    data: bytes, *, name: str = "picture", pixels: int = MAX_PIXELS, most: int = MAX_PIXELS
) -> "Image":
    """The picture in a file's bytes: RGB, or RGBA where it has transparent pixels.

    Upright by its EXIF orientation; more than 8 bits a channel are scaled to 8; of several frames
    the first; colour profile, text and all other metadata are dropped.

    Args:
        pixels: one with more pixels is reduced by a whole factor, by means over squares.
        most: one with more pixels is refused, before it is unpacked.

    Raises:
        UnreadablePicture: if it is none of `FORMATS`, larger than `most`, or broken.
    """
    import warnings

    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=FORMATS) as file:
                if file.width * file.height > most:
                    raise ValueError(
                        f"{file.width:,} x {file.height:,} pixels, and {most:,} is the limit"
                    )
                picture = _in_8_bits(ImageOps.exif_transpose(_reduced(file, pixels)))
                mode = "RGBA" if picture.has_transparency_data else "RGB"
                return _without_metadata(picture.convert(mode))
    except Exception as error:  # decoders raise whatever they like on broken data
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is none of {', '.join(FORMATS)}"
        raise UnreadablePicture(
            f"{name[:300]!r} cannot be read as a picture: {reason or type(error).__name__}",
            remedy="Give a PNG, JPEG or WebP file.",
        ) from None


def read_picture(path: Path, *, within: Path | None = None, pixels: int = MAX_PIXELS) -> "Image":
    """The picture in a file, as `open_picture` gives it; the file as `reading.read_bytes` does."""
    data = reading.read_bytes(path, noun="picture", within=within, most=MAX_BYTES)
    return open_picture(data, name=str(path), pixels=pixels)


def on_background(picture: "Image", colour: str = "white") -> "Image":
    """The picture as RGB, its transparent pixels over a background of one colour."""
    from PIL import Image

    if picture.mode != "RGBA":
        return picture.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", picture.size, colour), picture).convert("RGB")


def archived_pictures(archive: Path) -> dict[str, int]:
    """The files of a ZIP archive with their CRC-32, by name, in the order of names.

    Raises:
        reading.UnreadableFile: if it is no archive, or is larger unpacked than is allowed.
    """
    reading.find_file(archive, noun="archive")
    shown = f"archive {str(archive)[:300]!r}"
    try:
        with ZipFile(archive) as file:
            members = [info for info in file.infolist() if not info.is_dir()]
    except reading.ZIP_ERRORS as error:
        raise reading.UnreadableFile(f"{shown} cannot be read: {error}") from None
    if sum(info.file_size for info in members) > MAX_ARCHIVE_BYTES:
        raise reading.UnreadableFile(f"{shown} is larger unpacked than {MAX_ARCHIVE_BYTES:,} bytes")
    for info in members:
        if stat.S_ISLNK(info.external_attr >> 16):
            raise reading.UnreadableFile(f"{shown}: {info.filename[:200]!r} is a link")
        if info.file_size > MAX_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1024):
            raise reading.UnreadableFile(
                f"{shown}: {info.filename[:200]!r} is {info.file_size:,} bytes unpacked and "
                f"{info.compress_size:,} packed, which no picture is"
            )
    return {info.filename: info.CRC for info in sorted(members, key=lambda info: info.filename)}


def read_archived_picture(archive: Path, name: str, *, pixels: int = MAX_PIXELS) -> "Image":
    """The picture `name` in a ZIP archive, as `open_picture` gives it.

    Raises:
        UnreadablePicture: if it cannot be read, or unpacks to more than `MAX_BYTES`.
    """
    try:
        with ZipFile(archive) as file, file.open(name) as member:
            data = member.read(MAX_BYTES + 1)
    except Exception as error:  # a broken archive ends in many kinds of errors
        reason = " ".join(str(error).split())[:200]
        raise UnreadablePicture(
            f"{name[:200]!r} in archive {str(archive)[:300]!r} cannot be read: {reason}"
        ) from None
    if len(data) > MAX_BYTES:
        raise UnreadablePicture(f"{name[:200]!r} in {str(archive)[:300]!r} is too large")
    return open_picture(data, name=name, pixels=pixels)


def _reduced(file: "Image", pixels: int) -> "Image":
    """A picture of at most so many pixels, unless it has more than 8 bits a channel."""
    factor = math.ceil(math.sqrt(file.width * file.height / pixels))
    if factor <= 1:
        return file
    file.draft(None, (file.width // factor, file.height // factor))
    factor = math.ceil(math.sqrt(file.width * file.height / pixels))
    if factor <= 1 or file.mode not in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"):
        return file
    picture = file.reduce(factor)
    picture.info = dict(file.info)
    return picture


def _in_8_bits(picture: "Image") -> "Image":
    """A picture of at most 8 bits a channel: deeper ones are scaled, where Pillow would clip."""
    import numpy as np
    from PIL import Image

    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if picture.mode == "I" or picture.mode.startswith("I;"):
        levels = np.asarray(picture).astype(np.int64)
        return Image.fromarray((levels.clip(0, 65535) / 257).round().astype(np.uint8), "L")
    return picture


def _without_metadata(picture: "Image") -> "Image":
    picture.load()
    picture.info = {}
    return picture


def encode_png(picture: "Image") -> bytes:
    """The picture as a PNG file, in half the time of Pillow's default and as small."""
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def blank_kind(picture: "Image") -> str | None:
    """`black` or `constant` for a picture that shows nothing, else None."""
    ranges = cast(tuple[tuple[int, int], ...], picture.convert("RGB").getextrema())
    if max(highest for _, highest in ranges) <= _BLACK_LEVEL:
        return "black"
    widest = max(highest - lowest for lowest, highest in ranges)
    return "constant" if widest <= _BLACK_LEVEL else None
