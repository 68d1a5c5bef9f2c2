"""Pictures of all kinds as plain pixels; bombs and odd files in one line."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from htbench.core import pictures
from htbench.core.pictures import UnreadablePicture, on_background, open_picture
from htbench.core.reading import UnreadableFile


def _file(picture: Image.Image, kind: str = "PNG", **more: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **more)
    return file.getvalue()


def _png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of that size whose pixels are not there."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


TEXT_BOMB = b"a\0\0" + zlib.compress(bytes(80_000_000))
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    "data",
    [
        _png(60_000, 60_000),
        _png(9_000, 9_000),
        _png(8, 8, (b"zTXt", TEXT_BOMB)),
        _png(8, 8, (b"iCCP", TEXT_BOMB)),
        _png(8, 8),
        EPS,
        b"",
        b"GIF89a",
        _file(Image.new("F", (4, 4), 0.5), "TIFF"),
    ],
    ids=["bomb", "large", "text", "profile", "no-pixels", "eps", "empty", "cut", "float"],
)
def test_a_picture_beyond_the_limits_is_one_line(data: bytes) -> None:
    with pytest.raises(UnreadablePicture, match="cannot be read as a picture") as caught:
        open_picture(data, name="a.png")
    assert "\n" not in str(caught.value)


def test_16_bits_are_scaled_and_not_clipped() -> None:
    levels = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    picture = open_picture(_file(Image.fromarray(levels)))
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_metadata_and_profile_are_dropped_and_the_picture_is_upright() -> None:
    exif, text = Image.Exif(), PngImagePlugin.PngInfo()
    exif[0x0112] = 6
    text.add_text("Comment", "secret")
    data = _file(Image.new("RGB", (4, 2), "red"), exif=exif, pnginfo=text, icc_profile=b"x")
    picture = open_picture(data)
    assert (picture.size, picture.info, picture.mode) == ((2, 4), {}, "RGB")


def test_transparent_pixels_show_the_background() -> None:
    picture = open_picture(_file(Image.new("RGBA", (1, 1), (0, 0, 0, 0))))
    assert on_background(picture).getpixel((0, 0)) == (255, 255, 255)
    assert on_background(picture, "red").getpixel((0, 0)) == (255, 0, 0)


def test_pixels_of_a_plain_png_are_unchanged() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert (np.asarray(open_picture(_file(Image.fromarray(levels)))) == levels).all()


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.zip", "w", ZIP_DEFLATED) as archive:
        archive.writestr("lemon/1.png", bytes(50_000_000))
    with pytest.raises(UnreadableFile, match="which no picture is"):
        pictures.archived_pictures(tmp_path / "a.zip")


def test_a_picture_in_an_archive_is_read(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("lemon/1.png", _file(Image.new("RGB", (3, 2))))
        archive.writestr("lemon/2.png", b"no picture")
    assert list(pictures.archived_pictures(tmp_path / "a.zip")) == ["lemon/1.png", "lemon/2.png"]
    assert pictures.read_archived_picture(tmp_path / "a.zip", "lemon/1.png").size == (3, 2)
    for name in ("lemon/2.png", "lemon/3.png"):
        with pytest.raises(UnreadablePicture):
            pictures.read_archived_picture(tmp_path / "a.zip", name)
