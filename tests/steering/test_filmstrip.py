"""Filmstrips: size, labels and enlarged images."""

from pathlib import Path

import pytest
from PIL import Image

from htbench.steering.filmstrip import (
    GAP,
    MARGIN,
    MAX_SIDE,
    MIN_SIDE,
    THUMBNAIL,
    Filmstrip,
    FilmstripRow,
)


def strip(
    *rows: tuple[Image.Image, ...],
    label: str = "panda",
    title: str = "with lemon",
    references: tuple[Image.Image, ...] = (),
) -> Image.Image:
    strengths = tuple(float(k) for k in range(len(rows[0])))
    return Filmstrip(
        title=title,
        note="toy",
        strengths=strengths,
        rows=tuple(FilmstripRow(label=label, images=row) for row in rows),
        references=references,
    ).draw()


def plain(colour: str, side: int = 64) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def test_small_pictures_are_enlarged_pixel_by_pixel() -> None:
    checks = Image.new("L", (2, 1))
    checks.putpixel((1, 0), 255)
    page = strip((checks.convert("RGB"),))
    assert page.getpixel((page.width - MARGIN - 1 - MIN_SIDE // 2, page.height - MARGIN - 40)) == (
        0,
        0,
        0,
    )
    assert page.getpixel((page.width - MARGIN - MIN_SIDE // 2, page.height - MARGIN - 40)) == (
        255,
        255,
        255,
    )


def test_large_pictures_are_reduced() -> None:
    assert strip((plain("red", 2048),)).width < MAX_SIDE + 300


def test_every_picture_is_in_its_row_and_column() -> None:
    page = strip((plain("red"), plain("lime")), (plain("blue"), plain("black")))
    right, low, step = page.width - MARGIN - 90, page.height - MARGIN - 90, 192 + GAP
    seen = [page.getpixel((x, y)) for y in (low - step, low) for x in (right - step, right)]
    assert seen == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)]


def test_the_paper_is_light() -> None:
    assert strip((plain("black"),)).getpixel((2, 2)) == (255, 255, 255)


def test_references_stand_beside_the_title() -> None:
    page = strip((plain("black"),) * 3, references=(plain("red"),))
    assert page.getpixel((page.width - MARGIN - THUMBNAIL // 2, MARGIN + THUMBNAIL // 2)) == (
        255,
        0,
        0,
    )


@pytest.mark.parametrize("label", ["a " * 200, "a" * 400, "", "панда", "熊猫"])
def test_any_prompt_fits_beside_its_row(label: str) -> None:
    page = strip((plain("black"),), label=label)
    assert (
        page.crop((page.width - MARGIN + 2, 0, page.width, page.height)).getextrema()
        == ((255, 255),) * 3
    )
    assert (
        page.crop((0, page.height - MARGIN + 2, page.width, page.height)).getextrema()
        == ((255, 255),) * 3
    )


def test_a_long_title_is_wrapped() -> None:
    assert (
        strip((plain("black"),), title="with lemon " * 20).width == strip((plain("black"),)).width
    )


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_goes_forth_and_back(suffix: str, tmp_path: Path) -> None:
    colours = ("red", "lime", "blue")
    film = Filmstrip(
        title="with lemon",
        note="toy",
        strengths=(0.0, 0.5, 1.0),
        rows=(FilmstripRow(label="panda", images=tuple(map(plain, colours))),),
    )
    film.save(tmp_path / f"film{suffix}")
    with Image.open(tmp_path / f"film{suffix}") as saved:
        seen = []
        for frame in range(saved.n_frames):
            saved.seek(frame)
            page = saved.convert("RGB")
            pixel = page.getpixel((page.width - MARGIN - 40, page.height - MARGIN - 40))
            seen.append(["red", "lime", "blue"][max(range(3), key=lambda k: pixel[k])])
    assert seen == ["red", "lime", "blue", "lime"]
