"""Distances between sets of pictures, against other formulas, and each concept's part in them."""

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment

from htbench.scorers.picture_sets import wasserstein as transport
from htbench.scorers.picture_sets.cmmd import Cmmd, cmmd
from htbench.scorers.picture_sets.frechet import Frechet, frechet
from htbench.scorers.picture_sets.wasserstein import Wasserstein, wasserstein
from htbench.scorers.set_scorer import (
    DistanceFunction,
    PictureSet,
    SetScorer,
    UndefinedScore,
)
from htbench.stats import estimates

DISTANCES = pytest.mark.parametrize("distance", [cmmd, frechet, wasserstein])
SCORERS = pytest.mark.parametrize("scorer", [Cmmd(), Frechet(), Wasserstein()])


def rows(number: int, features: int = 5, *, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(number, features))
    drawn[:, 0] += shift
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def equal(number: int) -> np.ndarray:
    return np.full(number, 1 / number)


def pictures(concepts: int = 12, prompts: int = 5, *, shift: float = 1.0) -> PictureSet:
    """A set in which every concept moves the pictures of the same prompts its own way."""
    random = np.random.default_rng(3)
    unsteered = rows(prompts, seed=1)
    moves = random.normal(shift, 0.5, (concepts, 1, 5)) * np.array([1, 0, 0, 0, 0])
    steered = (unsteered + moves + 0.2 * random.normal(size=(concepts, prompts, 5))).reshape(-1, 5)
    return PictureSet(
        steered=steered / np.linalg.norm(steered, axis=1, keepdims=True),
        unsteered=unsteered,
        pair=np.tile(np.arange(prompts), concepts),
        concept=np.repeat(np.arange(concepts), prompts),
        prompt=np.tile(np.arange(prompts), concepts),
    )


def test_the_frechet_distance_is_that_of_matrix_square_roots() -> None:
    x, y = rows(40, shift=1), rows(25, seed=2)
    one, two = (np.cov(each, rowvar=False, bias=True) for each in (x, y))
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(
        one + two - 2 * sqrtm(one @ two).real
    )
    assert frechet(x, y, equal(25)).value == pytest.approx(expected, abs=1e-6)


def test_constant_channels_and_fewer_pictures_than_channels_change_nothing() -> None:
    x, y = rows(6, 4, shift=1), rows(7, 4, seed=2)
    padded = [np.hstack([each, np.full((len(each), 30), 0.25)]) for each in (x, y)]
    assert frechet(*padded, equal(7)).value == pytest.approx(frechet(x, y, equal(7)).value)


def test_cmmd_is_the_mean_of_the_kernel_over_all_pairs() -> None:
    x, y = rows(9, shift=1), rows(6, seed=2)

    def mean(one: np.ndarray, two: np.ndarray) -> float:
        values = [math.exp(-float(np.sum((a - b) ** 2)) / 200) for a in one for b in two]
        return sum(values) / len(values)

    expected = 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))
    assert cmmd(x, y, equal(6)).value == pytest.approx(expected, abs=1e-6)


def test_cmmd_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = rows(30, shift=1), rows(20, seed=2)
    whole = cmmd(x, y, equal(20))
    monkeypatch.setattr("htbench.scorers.picture_sets.cmmd._BLOCK", 7)
    assert cmmd(x, y, equal(20)).value == pytest.approx(whole.value)
    assert cmmd(x, y, equal(20)).first == pytest.approx(whole.first)


def test_the_wasserstein_distance_is_that_of_the_best_assignment() -> None:
    x, y = rows(30, shift=1), rows(30, seed=2)
    costs = np.square(x[:, None] - y).sum(-1)
    best = costs[linear_sum_assignment(costs)].mean()
    assert wasserstein(x, y, equal(30)).value == pytest.approx(math.sqrt(best), abs=1e-6)


def test_a_large_set_is_reduced_to_the_most_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = rows(60, shift=1), rows(60, seed=2)
    monkeypatch.setattr(transport, "MAX_PAIRS", 400)
    found = wasserstein(x, y, equal(60))
    assert (np.count_nonzero(found.first), np.count_nonzero(found.second)) == (20, 20)
    assert found.value == pytest.approx(wasserstein(x, y, equal(60)).value)


@DISTANCES
def test_a_weight_is_as_good_as_copies(distance: DistanceFunction) -> None:
    x, y = rows(12, shift=1), rows(4, seed=2)
    copies = np.repeat(y, [1, 2, 3, 2], axis=0)
    weighted = distance(x, y, np.array([1, 2, 3, 2]) / 8)
    assert weighted.value == pytest.approx(distance(x, copies, equal(8)).value, abs=1e-9)


@DISTANCES
def test_equal_sets_are_at_0(distance: DistanceFunction) -> None:
    x = rows(12)
    assert distance(x, x, equal(12)).value == 0


@DISTANCES
def test_the_pulls_are_the_change_when_a_picture_weighs_more(distance: DistanceFunction) -> None:
    x, y, step = rows(14, shift=1), rows(9, seed=2), 1e-5
    whole = distance(x, y, equal(9))
    for k in range(9):
        more = (1 - step) * equal(9) + step * np.eye(9)[k]
        change = (distance(x, y, more).value - whole.value) / step
        assert change == pytest.approx(whole.second[k], abs=2e-3 * abs(whole.second).max())
    assert equal(14) @ whole.first == pytest.approx(0, abs=1e-9)
    swapped = distance(y, x, equal(14))
    assert swapped.second == pytest.approx(whole.first, abs=1e-6)


@SCORERS
def test_what_concepts_add_is_what_the_score_loses_without_them(scorer: SetScorer) -> None:
    whole = pictures(concepts=40)
    found = scorer.measure(whole)
    assert found.by_concept.mean() == pytest.approx(found.value)
    without = []
    for concept in range(40):
        kept = whole.concept != concept
        part = PictureSet(
            steered=whole.steered[kept],
            unsteered=whole.unsteered,
            pair=whole.pair[kept],
            concept=whole.concept[kept] - (whole.concept[kept] > concept),
            prompt=whole.prompt[kept],
        )
        without.append(scorer.measure(part).value)
    lost = 39 * (np.mean(without) - np.array(without))
    added = found.by_concept - found.value
    assert np.corrcoef(lost, added)[0, 1] > 0.99
    assert np.std(added) == pytest.approx(np.std(lost), rel=0.1)


@SCORERS
def test_the_floor_is_the_distance_of_halves_and_below_that_of_sets_that_differ(
    scorer: SetScorer,
) -> None:
    far, near = (scorer.measure(pictures(shift=shift)) for shift in (3.0, 0.0))
    assert near.floor > 0
    assert far.value > 2 * far.floor
    assert math.isnan(scorer.measure(pictures(concepts=3)).floor)


@SCORERS
def test_an_interval_over_concepts_covers_the_score_of_many(scorer: SetScorer) -> None:
    truth = scorer.measure(pictures(concepts=400)).value
    found = scorer.measure(pictures(concepts=40))
    estimate = estimates.over_concepts({f"c{k}": [v] for k, v in enumerate(found.by_concept)})
    assert estimate is not None
    assert estimate.low < truth < estimate.high
    assert estimate.high - estimate.low < truth


@SCORERS
def test_sets_without_a_distance_say_why(scorer: SetScorer) -> None:
    whole = pictures()
    broken = PictureSet(
        steered=np.where(whole.concept[:, None] == 2, np.nan, whole.steered),
        unsteered=whole.unsteered,
        pair=whole.pair,
        concept=whole.concept,
        prompt=whole.prompt,
    )
    with pytest.raises(UndefinedScore, match="not finite"):
        scorer.measure(broken)
    single = PictureSet(
        steered=whole.steered[:1],
        unsteered=whole.unsteered[:1],
        pair=np.zeros(1, int),
        concept=np.zeros(1, int),
        prompt=np.zeros(1, int),
    )
    with pytest.raises(UndefinedScore, match="two are needed"):
        scorer.measure(single)
