"""Curves of gain over strengths with known answers, and SciPy's."""

import numpy as np
import pytest
from scipy.stats import kendalltau, linregress, spearmanr

from htbench.stats.dose_response import (
    backstep,
    chord_deviation,
    effective_range,
    isotonic,
    kendall,
    largest_step,
    linearity,
    measure_dose_response,
    spearman,
)

STRENGTHS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
LINEAR, SATURATING, BACKSTEPPING, DEAD = np.array(
    [[0, 0.25, 0.5, 0.75, 1], [0, 0.8, 1, 1, 1], [0, 0.5, 0.25, 0.75, 1], [0, 0, 0, 0, 0]]
)
NOISY = np.random.default_rng(0).integers(0, 4, (40, 5)).astype(float)
NOISY = NOISY[np.ptp(NOISY, axis=1) > 0]


def test_tau_is_that_of_scipy_with_ties() -> None:
    np.testing.assert_allclose(
        kendall(NOISY), [kendalltau(STRENGTHS, curve).statistic for curve in NOISY]
    )


def test_rank_correlation_is_that_of_scipy_with_ties() -> None:
    np.testing.assert_allclose(
        spearman(NOISY), [spearmanr(STRENGTHS, curve).statistic for curve in NOISY]
    )


def test_linearity_is_r2_of_scipys_line() -> None:
    np.testing.assert_allclose(
        linearity(NOISY, STRENGTHS),
        [linregress(STRENGTHS, curve).rvalue ** 2 for curve in NOISY],
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (
            LINEAR,
            {"tau": 1, "backstep": 0, "step": 0.25, "linearity": 1, "chord": 0, "isotonic": 1},
        ),
        (
            SATURATING,
            {
                "tau": 7 / np.sqrt(70),
                "backstep": 0,
                "step": 0.8,
                "linearity": 0.55**2 / 0.47,
                "chord": 0.55,
                "isotonic": 1,
            },
        ),
        (
            BACKSTEPPING,
            {
                "tau": 0.8,
                "backstep": 1 / 6,
                "step": 1 / 3,
                "linearity": 0.81,
                "chord": 0.25,
                "isotonic": 0.95,
            },
        ),
        (
            LINEAR[::-1],
            {"tau": -1, "backstep": 1, "step": 0.25, "linearity": 1, "chord": 0, "isotonic": 0},
        ),
    ],
)
def test_curves_have_the_figures_that_are_known(
    curve: np.ndarray, expected: dict[str, float]
) -> None:
    one = curve[None]
    found = (
        kendall(one),
        backstep(one),
        largest_step(one),
        linearity(one, STRENGTHS),
        chord_deviation(one, STRENGTHS),
        isotonic(one),
    )
    assert {
        name: float(value[0]) for name, value in zip(expected, found, strict=True)
    } == pytest.approx(expected, abs=6e-4)


def test_a_flat_curve_has_none() -> None:
    assert np.isnan(
        [kendall(DEAD[None]), backstep(DEAD[None]), largest_step(DEAD[None]), isotonic(DEAD[None])]
    ).all()


def test_flat_and_broken_curves_are_counted_and_left_out() -> None:
    found = measure_dose_response(
        {
            "a": np.array([LINEAR, DEAD]),
            "b": np.array([LINEAR, np.full(5, np.nan)]),
            "c": np.array([DEAD]),
        },
        STRENGTHS,
    )
    assert (found.curves, found.flat, found.incomplete, found.kendall.n, found.kendall.mean) == (
        5,
        2,
        1,
        2,
        1,
    )


def test_concepts_that_respond_alike_are_calibrated() -> None:
    alike = measure_dose_response(
        {"a": LINEAR[None], "b": LINEAR[None], "c": LINEAR[None]}, STRENGTHS
    )
    apart = measure_dose_response(
        {"a": LINEAR[None], "b": 2 * LINEAR[None], "c": 3 * LINEAR[None]}, STRENGTHS
    )
    assert [
        alike.concept_sd[-1].value,
        apart.concept_sd[-1].value,
        apart.concept_sd[2].value,
    ] == pytest.approx([0, 1, 0.5])


def test_two_strengths_are_no_curve() -> None:
    with pytest.raises(ValueError, match="three strengths or more"):
        measure_dose_response({}, np.array([0.0, 1.0]))


def test_the_range_of_a_line_is_from_a_tenth_to_nine() -> None:
    found = effective_range(STRENGTHS, LINEAR, np.full(5, 0.9), floor=0.5)
    assert (found.start, found.saturation, found.collapse, found.width) == (
        pytest.approx(0.1),
        pytest.approx(0.9),
        None,
        pytest.approx(0.8),
    )


def test_collapse_ends_the_range() -> None:
    found = effective_range(STRENGTHS, LINEAR, np.array([1, 0.9, 0.7, 0.3, 0.1]), floor=0.5)
    assert (found.collapse, found.width) == (pytest.approx(0.625), pytest.approx(0.525))


def test_a_dead_method_has_no_range() -> None:
    assert effective_range(STRENGTHS, DEAD, np.ones(5), floor=0.5) is None
