"""Scores of pixels, against known pictures and formulas that are computed in another way."""

import colorsys
import math
from pathlib import Path

import numpy as np
import pytest
from kit.scorer_cards import scorer_input
from PIL import Image, ImageFilter
from scipy.signal import convolve2d

from htbench.core import pictures
from htbench.scorers import pixels, scorer

LUMINANCE = (0.299, 0.587, 0.114)


def gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


@pytest.fixture
def textured() -> np.ndarray:
    return np.random.default_rng(3).random((40, 30, 3))


def test_contrast_is_half_of_the_scale_for_black_and_white_in_equal_parts() -> None:
    halves = np.zeros((8, 8, 3))
    halves[4:] = 1
    assert pixels.contrast(halves) == pytest.approx(0.5)
    assert pixels.contrast(np.full((8, 8, 3), 0.3)) == pytest.approx(0, abs=1e-12)


def test_contrast_is_that_of_the_luminance(textured: np.ndarray) -> None:
    luminance = sum(weight * textured[..., k] for k, weight in enumerate(LUMINANCE))
    assert pixels.contrast(textured) == pytest.approx(np.std(luminance.ravel()), abs=1e-12)


def test_clipping_counts_channels_at_either_end() -> None:
    levels = np.full((2, 2, 3), 0.5)
    levels[0, 0] = (1.0, 0.5, 0.0)
    levels[1, 1] = (254 / 255, 2 / 255, 253 / 255)
    assert pixels.clipping(levels) == pytest.approx(3 / 12)


def test_clipping_leaves_white_and_black_pixels_out() -> None:
    levels = np.full((2, 2, 3), 0.5)
    levels[0, 0], levels[0, 1], levels[1, 0] = 0.0, 1.0, (1.0, 0.5, 0.5)
    assert pixels.clipping(levels) == pytest.approx(1 / 6)
    assert pixels.clipping(np.ones((2, 2, 3))) == 0


def test_the_noise_is_that_of_the_mask_in_the_paper(textured: np.ndarray) -> None:
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    total = np.abs(convolve2d(textured @ np.array(LUMINANCE), mask, mode="valid")).sum()
    expected = math.sqrt(math.pi / 2) * total / (6 * 28 * 38)
    assert pixels.noise(textured) == pytest.approx(expected, abs=1e-12)


def test_the_noise_of_a_plane_is_none_and_planted_noise_is_found() -> None:
    rows, columns = np.mgrid[0:200, 0:200] / 400
    plane = gray(0.2 + rows / 2 + columns / 3)
    assert pixels.noise(plane) == pytest.approx(0, abs=1e-12)
    planted = gray(np.random.default_rng(0).normal(0, 0.05, (200, 200)))
    assert pixels.noise(plane + planted) == pytest.approx(0.05, rel=0.03)


def test_blur_takes_sharpness_and_a_lower_contrast_does_not(textured: np.ndarray) -> None:
    image = Image.fromarray((255 * textured).astype(np.uint8))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(1.5)), float) / 255
    sharp = pixels.sharpness(textured)
    assert pixels.sharpness(blurred) < sharp / 2
    assert pixels.sharpness(0.4 + 0.1 * textured) == pytest.approx(sharp)
    assert pixels.sharpness(np.full((5, 5, 3), 0.7)) == 0


def test_sharpness_of_independent_pixels_is_the_root_of_two() -> None:
    levels = gray(np.random.default_rng(1).random((300, 300)))
    assert pixels.sharpness(levels) == pytest.approx(math.sqrt(2), rel=0.01)


@pytest.mark.parametrize("name", ["contrast", "clipping", "noise", "sharpness"])
def test_each_is_an_installed_scorer_of_a_picture_alone(name: str, pictures: Path) -> None:
    own = scorer.load(name, "cpu")
    levels = np.asarray(Image.open(pictures / "a.png"), float) / 255
    assert (own.card.name, own.card.against) == (name, "nothing")
    (value,) = own.measure([scorer_input("t", pictures)])
    assert value == getattr(pixels, name)(levels)


def test_a_picture_is_read_once_for_all(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = scorer_input("t", pictures)
    scorer.load("noise", "cpu").measure([item])
    monkeypatch.setattr("htbench.core.pictures.read_picture", None)
    assert isinstance(scorer.load("contrast", "cpu").measure([item])[0], float)


def test_transparent_pixels_stand_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    item = scorer_input("t", tmp_path, image="clear.png")
    assert scorer.load("contrast", "cpu").measure([item]) == [pytest.approx(0, abs=1e-12)]
    assert scorer.load("clipping", "cpu").measure([item]) == [0]


def test_a_picture_too_small_for_the_mask_has_a_reason_in_place_of_a_score(tmp_path: Path) -> None:
    Image.new("RGB", (2, 9)).save(tmp_path / "dot.png")
    (reason,) = scorer.load("noise", "cpu").measure([scorer_input("t", tmp_path, "dot.png")])
    assert reason == "the picture is smaller than 3 x 3 pixels"


def test_a_picture_of_too_many_pixels_is_reduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "MAX_PIXELS", 16)
    checks = np.indices((8, 8)).sum(0) % 2 * 255
    Image.fromarray(np.stack([checks] * 3, -1).astype(np.uint8)).save(tmp_path / "large.png")
    assert pictures.read_picture(tmp_path / "large.png", pixels=16).size == (4, 4)
    item = scorer_input("t", tmp_path, image="large.png")
    assert scorer.load("contrast", "cpu").measure([item]) == [pytest.approx(0, abs=1e-12)]


def test_brightness_is_the_mean_luminance_and_saturation_the_mean_spread(
    textured: np.ndarray,
) -> None:
    luminance = sum(weight * textured[..., k] for k, weight in enumerate(LUMINANCE))
    assert pixels.brightness(textured) == pytest.approx(luminance.mean(), abs=1e-12)
    spread = textured.max(-1) - textured.min(-1)
    assert pixels.saturation(textured) == pytest.approx(spread.mean(), abs=1e-12)
    assert pixels.saturation(gray(textured[..., 0])) == 0


@pytest.mark.parametrize("turn", [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.9])
def test_the_hue_of_one_colour_is_near_that_of_the_colour_wheel(turn: float) -> None:
    levels = np.tile(colorsys.hsv_to_rgb(turn, 0.8, 0.7), (4, 4, 1))
    away = (pixels.hue(levels) - 360 * turn + 180) % 360 - 180
    assert abs(away) < 1.5


def test_a_grey_picture_has_no_hue_and_no_shift(textured: np.ndarray) -> None:
    assert math.isnan(pixels.hue(np.full((4, 4, 3), 0.4)))
    assert pixels.hue_shift(np.full((4, 4, 3), 0.4), textured) == 0


def test_the_hue_shift_is_the_shorter_way_with_its_sign() -> None:
    red, green, blue = (np.tile(np.eye(3)[k], (3, 3, 1)) for k in range(3))
    assert pixels.hue_shift(green, red) == pytest.approx(120)
    assert pixels.hue_shift(blue, red) == pytest.approx(-120)
    assert pixels.hue_shift(1 - red, red) == pytest.approx(180)
    assert pixels.hue_shift(red, red) == 0


def test_a_turn_of_the_channels_is_a_shift_by_120_degrees(textured: np.ndarray) -> None:
    turned = textured[..., [2, 0, 1]]
    assert pixels.hue_shift(turned, textured) == pytest.approx(120, abs=1e-9)


def test_the_hue_shift_of_files_is_from_the_unsteered_one(tmp_path: Path) -> None:
    for name, colour in (("steered", (0, 200, 0)), ("plain", (200, 0, 0))):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{name}.png")
    item = scorer_input("target", tmp_path, image="steered.png", unsteered="plain.png")
    (shift,) = pixels.HueShift("cpu").measure([item])
    assert shift == pytest.approx(120)
