"""Calibration on the embedded world's scenes, against numbers calculated by hand and by SciPy."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from htbench.core import registry
from htbench.models.emoji.calibration import BLEND_SHARES, auc, calibrate
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


def test_a_background_is_told_from_none() -> None:
    encoder = registry.load("encoders", "emoji-clip-b")("cpu")
    wanted = next(
        each for each in concept.load("emoji").select("test") if each.kind == "background"
    )
    reading = calibrate(wanted, ["panda", "taxi", "owl", "pizza"], encoder, seed=1)
    assert reading.auc > 0.9
    assert reading.blended.shape == (len(BLEND_SHARES), 4)
