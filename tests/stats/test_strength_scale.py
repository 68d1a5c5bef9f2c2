"""Scales of strengths and their evenness, against closed forms and SciPy."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from htbench.stats import dose_response
from htbench.stats.strength_scale import compare_evenness, evenness, learn_scale

FINE = np.linspace(0.02, 1, 50)
STEPS = np.array([0.25, 0.5, 0.75, 1.0])


def test_the_nearest_rising_curve_is_that_of_scipy() -> None:
    curves = np.random.default_rng(0).normal(size=(20, 9)).cumsum(1)
    expected = [isotonic_regression(curve).x for curve in curves]
    np.testing.assert_allclose(dose_response.rising(curves), expected, atol=1e-12)


@pytest.mark.parametrize("power", [0.5, 2.0, 3.0])
def test_the_scale_of_a_power_is_its_root(power: float) -> None:
    scale = learn_scale(FINE, 0.3 * FINE**power)
    assert scale
    np.testing.assert_allclose(scale.at(STEPS), STEPS ** (1 / power), atol=2e-3)


def test_a_request_of_one_is_the_first_strength_with_the_largest_effect() -> None:
    scale = learn_scale([0.25, 0.5, 0.75, 1.0], [0.1, 0.2, 0.2, 0.2])
    assert scale
    np.testing.assert_allclose(scale.at([0.0, 0.5, 1.0]), [0.0, 0.25, 0.5])


def test_a_dent_in_the_curve_becomes_one_point_of_the_scale() -> None:
    scale = learn_scale([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 5.0])
    assert scale
    assert (scale.shares, scale.strengths) == ((0, 0.2, 0.5, 1), (0, 1, 2.5, 4))


def test_every_scale_rises_from_zero() -> None:
    for seed in range(50):
        effects = np.random.default_rng(seed).normal(0.02, 0.1, 12).cumsum()
        scale = learn_scale(FINE[:12], effects)
        if scale:
            strengths = scale.at(np.linspace(0, 1, 200))
            assert strengths[0] == 0
            assert (np.diff(strengths) >= 0).all()


def test_a_method_without_effect_has_no_scale() -> None:
    assert learn_scale([0.5, 1.0], [0.0, 0.0]) is None
    assert learn_scale([0.5, 1.0], [-0.2, -0.1]) is None


@pytest.mark.parametrize(
    ("strengths", "effects"), [([], []), ([0.0, 1.0], [0, 1]), ([1, 0.5], [0, 1]), ([1], [np.nan])]
)
def test_a_curve_that_is_none_is_refused(strengths: list[float], effects: list[float]) -> None:
    with pytest.raises(ValueError, match="strength"):
        learn_scale(strengths, effects)


def test_requests_outside_the_scale_are_refused() -> None:
    scale = learn_scale([0.5, 1.0], [0.1, 0.2])
    assert scale
    with pytest.raises(ValueError, match="from 0 to 1"):
        scale.at([1.1])


@pytest.mark.parametrize(
    ("gains", "value"),
    [
        ([0.1, 0.2, 0.3, 0.4], 1),  # equal steps
        ([0, 0, 0.4, 0.4], 0),  # a switch
        ([0.2, 0.3, 0.4, 0.4], 1 - (0.25 + 0.25) / 1.5),  # shares .5, .25, .25, 0
        ([-0.4, -0.4, -0.4, -0.4], -1 / 3),  # all of it back
    ],
)
def test_evenness_is_the_closed_form(gains: list[float], value: float) -> None:
    assert evenness(np.array([gains]), STEPS)[0] == pytest.approx(value)


def test_evenness_is_that_of_the_steps_that_are_asked_for() -> None:
    assert evenness(np.array([[0.1, 0.4]]), np.array([0.25, 1.0]))[0] == pytest.approx(1)


def test_a_flat_curve_has_no_evenness() -> None:
    assert np.isnan(evenness(np.zeros((1, 4)), STEPS)[0])


def test_a_scale_that_evens_a_square_is_shown_to_be_more_even() -> None:
    rng = np.random.default_rng(1)
    before = {f"c{k}": STEPS**2 + rng.normal(0, 0.02, 4) for k in range(12)}
    after = {f"c{k}": STEPS + rng.normal(0, 0.02, 4) for k in range(12)}
    found = compare_evenness(before, {**after, "other": STEPS}, STEPS)
    assert found
    assert found.mean_before == pytest.approx(
        1 - np.abs(np.diff(STEPS**2, prepend=0) - 0.25).sum() / 1.5, abs=0.02
    )
    assert found.difference.low > 0.1
    assert (found.difference.n, found.flat) == (12, 0)


def test_flat_concepts_are_counted_and_left_out() -> None:
    before = {"a": STEPS, "b": STEPS, "c": np.zeros(4)}
    found = compare_evenness(before, before, STEPS)
    assert found
    assert (found.difference.n, found.flat, found.difference.mean) == (2, 1, 0)
