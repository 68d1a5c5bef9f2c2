"""Useful ranges of planted curves, whose ends are known."""

import math

import numpy as np
import pytest

from htbench.stats.useful_range import UsefulRange, concept_ranges, measure_range

AT = (0.0, 0.5, 1.0, 1.5, 2.0)
NAMES = [f"c{k}" for k in range(10)]


def planted(
    noticed: list[float], gain: list[float], flawed: list[float], *, spread: float = 0.0
) -> UsefulRange:
    """The range of ten concepts that all have these curves, but for noise."""
    noise = np.random.default_rng(0).normal(0, spread, (3, 10, len(AT)))
    rows = [np.tile(each, (10, 1)) + noise[k] for k, each in enumerate((noticed, gain, flawed))]
    return measure_range(AT, noticed=rows[0], gain=rows[1], flawed=rows[2], concepts=NAMES)


NOTICED = [0.05, 0.25, 0.75, 1.0, 1.0]
GAIN = [0.0, 0.1, 0.3, 0.4, 0.4]
CLEAN = [0.0] * 5


def test_the_onset_is_where_half_of_the_pictures_are_noticed() -> None:
    assert planted(NOTICED, GAIN, CLEAN).onset.value == pytest.approx(0.75)


def test_the_end_is_saturation_without_collapse() -> None:
    found = planted(NOTICED, GAIN, CLEAN)
    assert found.saturation.value == pytest.approx(1 + 0.5 * 0.06 / 0.1)
    assert (found.end.value, found.collapse.value) == (found.saturation.value, math.inf)
    assert found.width == pytest.approx(1.3 - 0.75)


def test_the_end_is_the_collapse_that_comes_before_saturation() -> None:
    found = planted(NOTICED, GAIN, [0.02, 0.02, 0.22, 1.0, 1.0])
    assert found.end.value == found.collapse.value == pytest.approx(0.75)


def test_a_gain_that_still_rises_has_no_saturation_yet() -> None:
    found = planted(NOTICED, [0, 0.1, 0.2, 0.3, 0.4], CLEAN, spread=0.01)
    assert found.is_rising
    assert (found.end.value, found.end.high, found.width) == (math.inf, math.inf, math.inf)


def test_an_effect_that_nobody_notices_has_no_range() -> None:
    found = planted([0.05, 0.06, 0.1, 0.1, 0.1], GAIN, CLEAN)
    assert (found.onset.value, found.width) == (math.inf, 0)


def test_a_method_that_adds_nothing_does_not_saturate() -> None:
    assert planted(NOTICED, [0, -0.1, -0.2, -0.2, -0.3], CLEAN).saturation.value == math.inf


def test_the_interval_covers_the_truth_in_most_of_many_samples() -> None:
    covered = 0
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(0, 0.15, (20, 5))
        rows = np.tile(NOTICED, (20, 1)) + noise
        gain, flawed = np.tile(GAIN, (20, 1)), np.zeros((20, 5))
        names = [f"c{k}" for k in range(20)]
        found = measure_range(
            AT, noticed=rows, gain=gain, flawed=flawed, concepts=names, rounds=300
        )
        covered += found.onset.low <= 0.75 <= found.onset.high
    assert covered >= 52


def test_few_concepts_have_no_interval() -> None:
    rows = np.tile(NOTICED, (2, 1))
    found = measure_range(AT, noticed=rows, gain=rows, flawed=0 * rows, concepts=["a", "b"])
    assert math.isnan(found.onset.low)
    assert math.isnan(found.onset.high)


@pytest.mark.parametrize("at", [(0.0, 1.0), (0.5, 1.0, 1.5), (0.0, 1.0, 1.0)])
def test_a_range_needs_zero_and_two_strengths_above_it(at: tuple[float, ...]) -> None:
    rows = np.zeros((3, len(at)))
    with pytest.raises(ValueError, match="a range needs 0"):
        measure_range(at, noticed=rows, gain=rows, flawed=rows, concepts=["a", "b", "c"])


def test_an_onset_at_strength_zero_is_zero() -> None:
    assert planted([1.0] * 5, GAIN, CLEAN).onset.value == 0


def test_the_range_of_a_concept_is_that_of_its_own_curves() -> None:
    early = [0.05, 0.75, 1.0, 1.0, 1.0]
    rows = {"noticed": np.array([NOTICED, early]), "flawed": np.zeros((2, 5))}
    found = concept_ranges(AT, **rows, gain=np.array([GAIN, GAIN]), concepts=["late", "early"])
    assert found["late"].onset.value == pytest.approx(0.75)
    assert found["early"].onset.value == pytest.approx(0.5 * 0.45 / 0.7)
    assert found["early"].end.value == pytest.approx(1.3)
    assert math.isnan(found["early"].end.low)
