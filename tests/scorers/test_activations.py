"""Scores of activations, against closed forms and formulas that are computed in another way."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from htbench.scorers import activations
from htbench.scorers.set_scorer import UndefinedScore
from htbench.steering.fitting import transport

ALL = (
    activations.norm_ratio,
    activations.transport_cost,
    activations.mahalanobis,
    activations.sliced_wasserstein,
)


def normal(count: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, channels))


def test_a_set_beside_itself_has_ratio_one_and_no_distance() -> None:
    x = normal(12, 5)
    assert activations.norm_ratio(x, x) == pytest.approx(1, abs=1e-12)
    assert activations.transport_cost(x, x) == pytest.approx(0, abs=1e-12)
    assert activations.sliced_wasserstein(x, x) == pytest.approx(0, abs=1e-9)


def test_the_norm_ratio_is_that_of_mean_lengths() -> None:
    x, y = normal(7, 3), normal(4, 3, seed=1)
    lengths = [math.sqrt((row**2).sum()) for row in x], [math.sqrt((row**2).sum()) for row in y]
    expected = (sum(lengths[0]) / 7) / (sum(lengths[1]) / 4)
    assert activations.norm_ratio(x, y) == pytest.approx(expected, abs=1e-12)
    assert activations.norm_ratio(3 * y, y) == pytest.approx(3)


def test_the_transport_cost_is_the_loss_that_lineas_minimises() -> None:
    x, y = normal(7, 6), normal(5, 6, seed=1)
    expected = transport.wasserstein(torch.tensor(x), torch.tensor(y)).mean()
    assert activations.transport_cost(x, y) == pytest.approx(float(expected), abs=1e-9)


def test_the_transport_cost_of_a_shift_is_its_square() -> None:
    x = normal(9, 4)
    shift = np.array([1.0, 0, 2, 0])
    assert activations.transport_cost(x + shift, x) == pytest.approx(5 / 4)


def test_the_sliced_distance_of_one_channel_is_the_wasserstein_distance() -> None:
    x, y = normal(6, 1), normal(6, 1, seed=1)
    expected = math.sqrt(np.square(np.sort(x[:, 0]) - np.sort(y[:, 0])).mean())
    assert activations.sliced_wasserstein(x, y) == pytest.approx(expected, abs=1e-9)


def test_the_sliced_distance_is_at_most_that_of_the_whole_plan() -> None:
    x, y = normal(8, 3), normal(8, 3, seed=1) + 1
    gaps = np.linalg.norm(x[:, None] - y[None], axis=2) ** 2
    whole = math.sqrt(gaps[linear_sum_assignment(gaps)].mean())
    assert 0 < activations.sliced_wasserstein(x, y) <= whole


@pytest.mark.parametrize(("count", "channels"), [(6, 9), (40, 5)])
def test_the_mahalanobis_distance_is_that_of_the_shrunk_covariance(
    count: int, channels: int
) -> None:
    y, x = normal(count, channels) @ np.diag(1.0 + np.arange(channels)), normal(8, channels, seed=1)
    centred = y - y.mean(0)
    covariance = centred.T @ centred / count
    mean = np.trace(covariance) / channels
    target = mean * np.eye(channels)
    away = ((covariance - target) ** 2).sum()
    noise = sum(((np.outer(row, row) - covariance) ** 2).sum() for row in centred) / count**2
    share = min(1.0, noise / away)
    inverse = np.linalg.inv((1 - share) * covariance + share * target)
    gaps = x - y.mean(0)
    expected = math.sqrt(np.mean([gap @ inverse @ gap for gap in gaps]) / channels)
    assert activations.mahalanobis(x, y) == pytest.approx(expected, abs=1e-9)


def test_samples_like_many_targets_are_about_one_standard_deviation_away() -> None:
    assert activations.mahalanobis(normal(400, 4, 1), normal(4000, 4)) == pytest.approx(1, abs=0.05)


def test_a_constant_channel_leaves_every_score_finite() -> None:
    x, y = normal(8, 4), normal(8, 4, seed=1)
    x[:, 2] = y[:, 2] = 3.0
    assert all(math.isfinite(function(x, y)) for function in ALL)


def test_targets_that_do_not_vary_have_no_covariance() -> None:
    with pytest.raises(UndefinedScore, match="do not vary"):
        activations.mahalanobis(normal(5, 3), np.ones((5, 3)))
    with pytest.raises(UndefinedScore, match="do not vary"):
        activations.mahalanobis(normal(5, 3), normal(1, 3))
    with pytest.raises(UndefinedScore, match="2 target activations is singular"):
        activations.mahalanobis(normal(5, 3), normal(2, 3))


def test_targets_of_length_0_have_no_norm_ratio() -> None:
    with pytest.raises(UndefinedScore, match="all target activations are 0"):
        activations.norm_ratio(normal(5, 3), np.zeros((5, 3)))


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize(("side", "word"), [(0, "steered"), (1, "target")])
def test_activations_that_are_not_finite_have_no_score(function, side: int, word: str) -> None:
    pair = [normal(5, 3), normal(5, 3, seed=1)]
    pair[side][2, 1] = math.nan
    with pytest.raises(UndefinedScore, match=f"{word} activations hold NaN"):
        function(*pair)


@pytest.mark.parametrize("function", ALL)
def test_no_activations_have_no_score(function) -> None:
    with pytest.raises(UndefinedScore, match="no activations"):
        function(np.zeros((0, 3)), normal(5, 3))
