"""Calibration on the embedded world's scenes, against numbers calculated by hand and by SciPy."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from htbench.core import registry
from htbench.models.emoji.calibration import (
    BLEND_SHARES,
    KnownScenes,
    auc,
    calibrate,
    calibrate_detector,
)
from htbench.steering import concept

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [([2.0, 3.0], [0.0, 1.0], 1.0), ([0.0], [1.0], 0.0), ([1.0, 1.0], [1.0], 0.5)],
)
def test_auc_is_the_share_of_pairs_in_the_right_order(
    positive: list[float], negative: list[float], expected: float
) -> None:
    assert auc(np.array(positive), np.array(negative)) == expected


def test_auc_is_mann_and_whitneys_u() -> None:
    positive, negative = RNG.normal(0.7, 1, 30), RNG.normal(0, 1, 20)
    assert auc(positive, negative) == pytest.approx(
        mannwhitneyu(positive, negative).statistic / 600
    )


@pytest.fixture(scope="module")
def scenes() -> KnownScenes:
    wanted = next(
        each for each in concept.load("emoji").select("test") if each.kind == "background"
    )
    return KnownScenes(wanted, ("panda", "taxi", "owl", "pizza"), 1)


def test_clip_b_tells_a_background_from_none(scenes: KnownScenes) -> None:
    reading = calibrate(scenes, registry.load("encoders", "emoji-clip-b")("cpu"))
    assert reading.auc > 0.9
    assert reading.blended.shape == (len(BLEND_SHARES), 4)


def test_the_detector_tells_a_background_from_none(scenes: KnownScenes) -> None:
    reading = calibrate_detector(scenes)
    assert reading.auc > 0.9
    assert reading.identity > 0.5
    assert reading.blended[0].max() < reading.blended[-1].min()
