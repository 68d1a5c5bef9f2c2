"""The scorers of losses on what is planted into true scenes."""

import numpy as np
import pytest
from PIL import Image

from htbench.core import registry
from htbench.models.emoji import loss_calibration
from htbench.models.emoji.loss_calibration import STRENGTHS, LossCalibration
from htbench.scorers import pixels


def test_every_flaw_that_is_planted_is_told_and_its_strength_followed() -> None:
    found = loss_calibration.calibrate_pixels(concepts=3, prompts=4)
    assert [each.scorer for each in found] == ["contrast", "clipping", "noise", "sharpness"]
    assert [each for each in found if not each.is_trusted] == []
    assert min(each.auc for each in found) >= 0.95


def test_every_attribute_that_is_planted_is_followed() -> None:
    found = loss_calibration.calibrate_attributes(concepts=3, prompts=4)
    assert [each.scorer for each in found] == ["brightness", "saturation", "hue-shift"]
    assert [each for each in found if not each.is_trusted] == []


def test_a_hue_is_turned_by_the_angle_that_is_said() -> None:
    red = Image.new("RGB", (4, 4), (240, 0, 0))
    turned = np.asarray(loss_calibration.turn_hue(red, 1.0))[0, 0]
    assert turned.tolist() == pytest.approx([40, 160, 40], abs=1)


def test_lost_diversity_and_growing_shares_of_changed_pictures_are_followed() -> None:
    encoder = registry.load("encoders", "emoji-clip-b")("cpu")
    found = loss_calibration.calibrate_sets(encoder, concepts=4, prompts=4, seeds=8)
    assert [each.scorer for each in found] == [
        *("vendi", "pairwise-distance", "cmmd", "frechet", "wasserstein")
    ]
    assert [each for each in found if not each.is_trusted] == []


def test_a_scorer_that_sees_nothing_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = loss_calibration._PlantedFlaw(
        scorer="blind", function=lambda levels: 1.0, rises=True, planted="x", plant=_as_it_is
    )
    monkeypatch.setattr(loss_calibration, "_FLAWS", (blind,))
    (found,) = loss_calibration.calibrate_pixels(concepts=1, prompts=2)
    assert (found.auc, found.correlation, found.is_trusted) == (0.5, 0, False)


def _as_it_is(picture: object, strength: float) -> object:
    return picture


def test_a_strength_of_0_plants_nothing() -> None:
    (scenes,) = loss_calibration.known_scenes("dev", 1, 1)
    picture = scenes.without[0]
    for plant in (
        loss_calibration.wash_out,
        loss_calibration.burn_out,
        loss_calibration.add_noise,
        loss_calibration.blur,
        loss_calibration.darken,
        loss_calibration.to_grey,
    ):
        assert np.array_equal(np.asarray(plant(picture, 0)), np.asarray(picture))


def test_planted_noise_has_the_strength_that_is_said() -> None:
    gray = loss_calibration.add_noise(_gray(), 0.5)
    levels = np.asarray(gray, float) / 255
    assert levels.std() == pytest.approx(0.1, rel=0.05)
    luminance = 0.1 * np.linalg.norm([0.299, 0.587, 0.114])
    assert pixels.noise(levels) == pytest.approx(luminance, rel=0.05)


def _gray() -> "loss_calibration.Image.Image":
    return loss_calibration.Image.new("RGB", (96, 96), (128, 128, 128))


def test_seeds_are_made_alike_one_after_the_other() -> None:
    rows = np.eye(5)
    kept = [len(np.unique(loss_calibration.collapse(rows, s), axis=0)) for s in STRENGTHS]
    assert kept == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("auc", "correlation", "trusted"),
    [(0.96, 0.96, True), (0.94, 1.0, False), (1.0, 0.9, False), (float("nan"), 0.96, True)],
)
def test_both_figures_decide_if_a_scorer_is_trusted(
    auc: float, correlation: float, trusted: bool
) -> None:
    found = LossCalibration(scorer="s", planted="p", auc=auc, correlation=correlation)
    assert found.is_trusted is trusted
