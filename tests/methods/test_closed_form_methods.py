"""Fits of one site against POT, SciPy and a few lines of NumPy."""

import numpy as np
import ot
import pytest
import scipy.optimize
import torch

from htbench.core.types import Site
from htbench.methods.bures import BuresTransport, bures
from htbench.methods.gaussian import GaussianTransport
from htbench.methods.iti import ClassifierShift, classifier_weights
from htbench.methods.linear_act import LinearAct
from htbench.methods.mean_shift import MeanShift

S = Site("site")
COUNTS = [(12, 12), (9, 14)]


def _samples(count: int, channels: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(rng.normal(size=channels), 1, (count, channels)) @ rng.normal(
        size=(channels, channels)
    )


def _pair(
    n: int, m: int, channels: int = 5
) -> tuple[np.ndarray, np.ndarray, torch.Tensor, torch.Tensor]:
    a, b = _samples(n, channels, 1), _samples(m, channels, 2)
    return a, b, torch.tensor(a), torch.tensor(b)


@pytest.mark.parametrize(("n", "m"), COUNTS)
def test_mean_shift_adds_the_difference_of_means(n: int, m: int) -> None:
    a, b, x, y = _pair(n, m)
    change = MeanShift().fit_site(S, x, y)
    np.testing.assert_allclose(change.scale[S], 1)
    np.testing.assert_allclose(change.shift[S], b.mean(0) - a.mean(0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("n", "m"), COUNTS)
def test_gaussian_transport_matches_two_moments(n: int, m: int) -> None:
    a, b, x, y = _pair(n, m)
    change = GaussianTransport().fit_site(S, x, y)
    np.testing.assert_allclose(change.scale[S], b.std(0) / a.std(0), rtol=1e-6)
    np.testing.assert_allclose(
        change.shift[S], b.mean(0) - b.std(0) / a.std(0) * a.mean(0), rtol=1e-5, atol=1e-6
    )


def test_linear_act_is_least_squares_on_sorted_samples() -> None:
    a, b, x, y = _pair(12, 12)
    change = LinearAct().fit_site(S, x, y)
    for channel in range(5):
        slope, intercept = np.polyfit(np.sort(a[:, channel]), np.sort(b[:, channel]), 1)
        np.testing.assert_allclose(
            (change.scale[S][channel], change.shift[S][channel]),
            (slope, intercept),
            rtol=1e-6,
            atol=1e-6,
        )


def test_a_support_leaves_alone_what_was_never_seen() -> None:
    x = torch.tensor([[-1.0], [0.0], [2.0]])
    change = LinearAct(support=True).fit_site(S, x, x + 3)
    z = torch.tensor([-1.1, -1.0, 1.0, 2.0, 2.1])[None, :, None]
    torch.testing.assert_close(
        change.apply(S, z, strength=1.0) - z, torch.tensor([0.0, 3.0, 3.0, 3.0, 0.0])[None, :, None]
    )


@pytest.mark.parametrize(("n", "m", "channels"), [(30, 30, 5), (9, 14, 5), (6, 7, 40)])
@pytest.mark.parametrize("added", [0.3, 5.0])
def test_bures_transport_is_that_of_pot(n: int, m: int, channels: int, added: float) -> None:
    a, b, x, y = _pair(n, m, channels)
    matrix, _ = ot.gaussian.empirical_bures_wasserstein_mapping(a, b, reg=added)
    down, up = bures(x, y, diagonal=added)
    np.testing.assert_allclose(np.eye(channels) + (down @ up).numpy(), matrix, rtol=1e-6, atol=1e-6)


def test_bures_transport_brings_the_mean_to_the_target() -> None:
    _, b, x, y = _pair(30, 20)
    moved = BuresTransport().fit_site(S, x, y).apply(S, x[None].float(), strength=1.0)
    np.testing.assert_allclose(moved[0].mean(0), b.mean(0), atol=1e-4)


def test_bures_transport_with_little_added_matches_covariances() -> None:
    _, b, x, y = _pair(300, 200)
    moved = BuresTransport(ridge=1e-6).fit_site(S, x, y).apply(S, x[None].float(), strength=1.0)
    np.testing.assert_allclose(
        np.cov(moved[0].numpy().T), np.cov(b.T) * (199 / 200) * (300 / 299), rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("shift", [0.0, 1.0, 1e-6])
def test_samples_that_never_vary_are_only_shifted(count: int, shift: float) -> None:
    change = BuresTransport().fit_site(S, torch.zeros(count, 3), torch.full((count, 3), shift))
    torch.testing.assert_close(
        change.apply(S, torch.eye(3)[None], strength=1.0), shift + torch.eye(3)[None]
    )


def test_bures_transport_does_not_depend_on_the_unit() -> None:
    _, _, x, y = _pair(9, 14)
    change, small = (BuresTransport().fit_site(S, unit * x, unit * y) for unit in (1, 1e-6))
    torch.testing.assert_close(small.down[S] @ small.up[S], change.down[S] @ change.up[S])


def test_one_sample_each_moves_iti_from_source_to_target() -> None:
    x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 6.0]])
    shift = ClassifierShift().fit_site(S, x, y).shift[S]
    torch.testing.assert_close(shift, 2.5 * torch.tensor([0.6, 0.8]))


@pytest.mark.parametrize(("n", "m"), COUNTS)
@pytest.mark.parametrize("ridge", [0.1, 1.0])
def test_the_classifier_of_iti_is_the_optimum_of_scipy(n: int, m: int, ridge: float) -> None:
    a, b, x, y = _pair(n, m)
    inputs, labels = np.concatenate([a, b]), np.repeat([-1.0, 1.0], [n, m])

    def loss(w: np.ndarray) -> float:
        return float(
            ridge / 2 * (w[:-1] ** 2).sum()
            + np.logaddexp(0, -labels * (inputs @ w[:-1] + w[-1])).sum()
        )

    best = scipy.optimize.minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-7}).x
    np.testing.assert_allclose(
        classifier_weights(x, y, ridge=ridge), best[:-1], rtol=1e-4, atol=1e-5
    )


def test_iti_goes_alpha_deviations_along_the_direction() -> None:
    a, b, x, y = _pair(12, 12)
    change = ClassifierShift(alpha=3.0).fit_site(S, x, y)
    shift = change.shift[S].double().numpy()
    along = np.concatenate([a, b]) @ (shift / np.linalg.norm(shift))
    np.testing.assert_allclose(np.linalg.norm(shift), 3 * along.std(), rtol=1e-5)
    assert shift @ (b.mean(0) - a.mean(0)) > 0
