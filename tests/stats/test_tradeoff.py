"""Gain against preservation: areas against moocore, matched levels, rules for the strength."""

import moocore
import numpy as np
import pytest

from htbench.stats.tradeoff import Anchors, TradeOff, choose_strength, hypervolume, matched_gain

STRENGTHS = (0.0, 0.5, 1.0, 1.5)
GAIN, KEPT = np.array([0.0, 0.2, 0.4, 0.3]), np.array([1.0, 0.8, 0.6, 0.2])


def tradeoff(
    concepts: int = 20,
    *,
    noise: float = 0.05,
    seed: int = 0,
    strengths: tuple[float, ...] = STRENGTHS,
) -> TradeOff:
    random = np.random.default_rng(seed)
    return TradeOff(
        strengths=strengths,
        gain=GAIN + noise * random.normal(size=(concepts, 4)),
        preservation=KEPT + noise * random.normal(size=(concepts, 4)),
        rounds=200,
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_that_of_moocore(seed: int) -> None:
    points = np.random.default_rng(seed).normal(0.4, 0.4, (12, 2))
    points[3] = points[4]
    inside = points[(points > 0).all(1)]
    assert hypervolume(points) == pytest.approx(
        moocore.hypervolume(inside, ref=[0, 0], maximise=True), abs=1e-12
    )


def test_points_without_gain_have_no_area() -> None:
    assert hypervolume(np.array([[1.0, 0.0], [0.5, -0.2]])) == 0


def test_prompting_on_an_untouched_image_would_be_one() -> None:
    perfect = TradeOff(
        strengths=(1.0,), gain=np.full((3, 1), 0.4), preservation=np.full((3, 1), 0.9)
    )
    assert perfect.hypervolume(Anchors(gain=0.4, preservation=0.9)).value == pytest.approx(1)


def test_the_area_has_an_interval_around_it() -> None:
    found = tradeoff().hypervolume(Anchors(gain=0.5))
    assert found.low < found.value < found.high


def test_contributions_to_the_area_are_what_it_changes_by_without_a_concept() -> None:
    curve, anchors = tradeoff(6), Anchors(gain=0.5)
    without = [
        TradeOff(
            strengths=STRENGTHS,
            gain=np.delete(curve.gain, k, 0),
            preservation=np.delete(curve.preservation, k, 0),
        )
        for k in range(6)
    ]
    whole = curve.hypervolume(anchors).value
    assert curve.hypervolume_contributions(anchors) == pytest.approx(
        [whole + 5 * (whole - each.hypervolume(anchors).value) for each in without]
    )


def test_between_strengths_the_gain_lies_on_the_line() -> None:
    assert matched_gain(GAIN, KEPT, 0.7) == pytest.approx(0.3)


def test_where_a_level_is_met_twice_the_higher_gain_counts() -> None:
    assert matched_gain(np.array([0.0, 0.2, 0.5]), np.array([0.9, 0.5, 0.9]), 0.7) == pytest.approx(
        0.35
    )


@pytest.mark.parametrize("level", [0.1, 1.1])
def test_a_level_outside_what_was_measured_is_not_reached(level: float) -> None:
    assert tradeoff(noise=0).matched_gain(level) is None


def test_a_level_that_a_strength_keeps_exactly_has_its_gain() -> None:
    assert matched_gain(GAIN, KEPT, 0.8) == 0.2


def test_the_strength_of_a_matched_gain_lies_between_those_measured() -> None:
    assert tradeoff(noise=0).matched_gain(0.7).strength == pytest.approx(0.75)


def test_resamples_of_curves_are_matched_as_single_curves_are() -> None:
    random = np.random.default_rng(0)
    gain, kept = random.random((2, 50, 4))
    one_by_one = [matched_gain(*pair, 0.5) for pair in zip(gain, kept, strict=True)]
    np.testing.assert_array_equal(matched_gain(gain, kept, 0.5), one_by_one)


def test_contributions_average_to_the_gain_and_change_as_the_gain_does_without_a_concept() -> None:
    """The jackknife, which interpolates anew for each concept left out, is the oracle."""
    curve = tradeoff(200)
    found = curve.matched_gain(0.7)
    assert found.contributions.mean() == pytest.approx(found.gain.mean)
    without = [
        matched_gain(
            np.delete(curve.gain, k, 0).mean(0), np.delete(curve.preservation, k, 0).mean(0), 0.7
        )
        for k in range(200)
    ]
    jackknife = 200 * found.gain.mean - 199 * np.array(without)
    np.testing.assert_allclose(found.contributions, jackknife, atol=0.005)


def test_a_level_at_the_edge_is_reached_by_some_resamples_only() -> None:
    found = tradeoff(noise=0.2).matched_gain(
        float(tradeoff(noise=0.2).preservation.mean(0).min()) + 1e-6
    )
    assert 0.2 < found.reached_share < 0.9


def test_the_highest_gain_above_the_floor_is_picked_else_the_best_kept() -> None:
    assert [choose_strength(GAIN, KEPT, floor=floor) for floor in (0.0, 0.7, 2.0)] == [2, 1, 0]


def test_policies_are_full_tuned_and_above_the_floor() -> None:
    found = {
        one.name: one
        for one in tradeoff(noise=0.01).policies(floor=0.7, dev=tradeoff(noise=0.01, seed=1))
    }
    assert {name: one.strength for name, one in found.items()} == {
        "full": 1,
        "tuned": 0.5,
        "floor": 0.5,
    }
    assert {name: one.keeps_floor for name, one in found.items()} == {
        "full": False,
        "tuned": True,
        "floor": True,
    }


def test_a_strength_that_was_not_run_gives_no_policy() -> None:
    found = tradeoff(noise=0, strengths=(0.0, 0.5, 0.9, 1.5)).policies(
        floor=0.7, dev=tradeoff(noise=0, strengths=(0.0, 0.4, 0.9, 1.5))
    )
    assert [one.name for one in found] == ["floor"]


@pytest.mark.parametrize(("strength", "regret"), [(0.5, -0.2), (1.0, 0.0), (1.5, -0.1)])
def test_regret_is_the_gain_less_the_best_that_keeps_the_floor(
    strength: float, regret: float
) -> None:
    assert tradeoff(noise=0).regret(strength, floor=0.5).value == pytest.approx(regret)


def test_a_strength_below_the_floor_may_gain_more_than_the_best_that_keeps_it() -> None:
    assert tradeoff(noise=0).regret(1.0, floor=0.7).value == pytest.approx(0.2)


def test_regret_has_an_interval_and_is_never_above_zero_where_the_floor_always_holds() -> None:
    found = tradeoff(noise=0.3).regret(1.0, floor=-9)
    assert found.low < found.value <= found.high <= 0


def test_without_a_strength_that_keeps_the_floor_there_is_no_regret() -> None:
    assert tradeoff(noise=0, strengths=STRENGTHS).regret(1.0, floor=1.5) is None


def test_choosing_on_the_same_concepts_does_not_flatter() -> None:
    random = np.random.default_rng(0)
    nothing = [
        TradeOff(
            strengths=STRENGTHS,
            gain=random.normal(size=(8, 4)),
            preservation=np.ones((8, 4)),
            rounds=10,
        )
        for _ in range(200)
    ]
    honest = np.mean([one.policies(floor=0.5)[-1].gain.mean for one in nothing])
    assert abs(honest) < 0.1 < np.mean([one.gain.mean(0).max() for one in nothing])


def test_one_concept_has_no_interval() -> None:
    assert np.isnan(tradeoff(concepts=1).hypervolume(Anchors(gain=1)).low)


def test_strengths_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(ValueError, match="strengths ascend"):
        tradeoff(strengths=(0.0, 1.0, 0.5, 2.0))
