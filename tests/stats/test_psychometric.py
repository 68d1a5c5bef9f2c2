"""The psychometric curve, against closed forms and statsmodels."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.genmod.families import Binomial, links
from statsmodels.genmod.generalized_linear_model import GLM

from htbench.stats import psychometric
from htbench.stats.psychometric import PsychometricCurve, fit

GAPS = np.array([0.25, 0.5, 0.75, 1.0])


def test_one_difference_gives_the_inverse_of_the_normal_distribution() -> None:
    curve = fit(np.array([0.5]), np.array([80.0]), np.array([100.0]))
    assert curve.slope == pytest.approx(norm.ppf(0.8) / 0.5, rel=1e-4)


def test_three_quarters_right_at_one_difference_are_that_noticeable_difference() -> None:
    curve = fit(np.array([0.4]), np.array([75.0]), np.array([100.0]))
    assert curve.noticeable == pytest.approx(0.4, rel=1e-4)


def test_without_lapses_it_is_a_probit_through_the_origin() -> None:
    right, answers = np.array([55.0, 66.0, 70.0, 83.0]), np.full(4, 100.0)
    family = Binomial(link=links.Probit())
    oracle = GLM(np.stack([right, answers - right], axis=1), GAPS, family=family).fit()
    curve = fit(GAPS, right, answers)
    assert curve.lapses == pytest.approx(0, abs=1e-6)
    assert curve.slope == pytest.approx(oracle.params[0], rel=1e-4)


def test_planted_slope_and_lapses_are_found() -> None:
    truth = PsychometricCurve(slope=4.0, lapses=0.05)
    answers = np.full(4, 100_000.0)
    curve = fit(GAPS, answers * truth.probability(GAPS), answers)
    assert [curve.slope, curve.lapses] == pytest.approx([4, 0.05], rel=0.02)


def test_people_who_are_wrong_notice_no_difference() -> None:
    curve = fit(GAPS, np.full(4, 40.0), np.full(4, 100.0))
    assert curve.slope < 0
    assert math.isinf(curve.noticeable)


def test_all_right_is_noticed_below_the_smallest_difference() -> None:
    assert fit(GAPS, np.full(4, 9.0), np.full(4, 9.0)).noticeable < GAPS[0]


def test_the_influence_of_an_answer_is_the_change_of_its_weight() -> None:
    hits = (55, 66, 70, 83)
    gaps = np.repeat(GAPS, 100)
    right = np.concatenate([np.arange(100) < hit for hit in hits]).astype(float)
    curve, weight = fit(*tally(gaps, right, np.ones(400))), np.ones(400)
    weight[3] += 0.5
    change = (fit(*tally(gaps, right, weight)).slope - curve.slope) / 0.5
    assert psychometric.influence_on_slope(curve, gaps, right)[3] == pytest.approx(change, rel=0.05)


def tally(
    gaps: np.ndarray, right: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    level = np.searchsorted(GAPS, gaps)
    return GAPS, np.bincount(level, weight * right), np.bincount(level, weight)


def test_no_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="no answer"):
        fit(GAPS, np.zeros(4), np.zeros(4))
