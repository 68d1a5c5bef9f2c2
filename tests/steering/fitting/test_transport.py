"""Maps and costs against POT, closed forms, NumPy and finite differences."""

from collections.abc import Callable

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from htbench.steering.fitting.transport import (
    AffineMap,
    gaussian_map,
    linear_map,
    mean_map,
    wasserstein,
)

SIZES = [(5, 5), (1, 1), (1, 7), (7, 1), (4, 6), (6, 9), (12, 8), (5, 7), (32, 33)]


def _samples(count: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng((seed, count))
    return rng.normal(rng.normal(size=channels), 1 + rng.random(channels), (count, channels))


def _numpy_map(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.sort(a, 0), np.sort(b, 0)
    centred_a, centred_b = a - a.mean(0), b - b.mean(0)
    w = (centred_a * centred_b).sum(0) / (centred_a**2).sum(0)
    return w, b.mean(0) - w * a.mean(0)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_the_cost_is_that_of_pot(n: int, m: int) -> None:
    x, y = _samples(n, seed=1), _samples(m, seed=2)
    np.testing.assert_allclose(
        wasserstein(torch.tensor(x), torch.tensor(y)), ot.wasserstein_1d(x, y, p=2), rtol=1e-10
    )


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 40), m=st.integers(1, 40), seed=st.integers(0, 1000))
def test_the_cost_is_that_of_pot_for_any_numbers(n: int, m: int, seed: int) -> None:
    x, y = _samples(n, seed=seed), _samples(m, seed=seed + 1)
    np.testing.assert_allclose(
        wasserstein(torch.tensor(x), torch.tensor(y)), ot.wasserstein_1d(x, y, p=2), rtol=1e-9
    )


@settings(deadline=None, max_examples=40)
@given(
    x=st.lists(st.integers(-3, 3), min_size=1, max_size=9),
    y=st.lists(st.integers(-3, 3), min_size=1, max_size=9),
)
def test_ties_cost_what_pot_says(x: list[int], y: list[int]) -> None:
    a, b = np.array(x, float)[:, None], np.array(y, float)[:, None]
    np.testing.assert_allclose(
        wasserstein(torch.tensor(a), torch.tensor(b)), ot.wasserstein_1d(a, b, p=2), atol=1e-12
    )


def test_a_shifted_sample_costs_the_square_of_the_shift() -> None:
    x = torch.tensor(_samples(9))
    torch.testing.assert_close(wasserstein(x, x + 3), torch.full((3,), 9.0, dtype=torch.float64))


def test_a_point_costs_its_mean_square_distance() -> None:
    y = torch.tensor(_samples(8))
    torch.testing.assert_close(
        wasserstein(torch.zeros(1, 3, dtype=torch.float64), y), y.square().mean(0)
    )


def test_two_against_three_costs_what_paper_and_pencil_say() -> None:
    x, y = torch.tensor([[0.0], [6.0]]), torch.tensor([[3.0], [0.0], [6.0]])
    torch.testing.assert_close(wasserstein(x, y), torch.tensor([(0 + 9 / 2 + 9 / 2 + 0) / 3]))


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_the_order_of_samples_does_not_matter(n: int, m: int) -> None:
    x, y = torch.tensor(_samples(n)), torch.tensor(_samples(m))
    torch.testing.assert_close(wasserstein(x.flip(0), y.roll(1, 0)), wasserstein(x, y))


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_there_and_back_cost_the_same(n: int, m: int) -> None:
    x, y = torch.tensor(_samples(n)), torch.tensor(_samples(m))
    torch.testing.assert_close(wasserstein(x, y), wasserstein(y, x))


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_leading_axes_are_batches(n: int, m: int) -> None:
    x, y = (
        torch.randn(2, 3, n, 4, dtype=torch.float64),
        torch.randn(2, 3, m, 4, dtype=torch.float64),
    )
    torch.testing.assert_close(wasserstein(x, y)[1, 2], wasserstein(x[1, 2], y[1, 2]))


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_gradients_are_those_of_finite_differences(n: int, m: int) -> None:
    x, y = (
        torch.tensor(_samples(n, seed=1), requires_grad=True),
        torch.tensor(_samples(m, seed=2), requires_grad=True),
    )
    assert torch.autograd.gradcheck(wasserstein, (x, y))


def test_half_precision_stays_half_precision() -> None:
    assert (
        wasserstein(
            torch.zeros(4, 2, dtype=torch.bfloat16), torch.ones(6, 2, dtype=torch.bfloat16)
        ).dtype
        == torch.bfloat16
    )


def test_a_gradient_flows_after_the_same_numbers_were_met_in_inference_mode() -> None:
    with torch.inference_mode():
        wasserstein(torch.zeros(11, 1), torch.ones(13, 1))
    x = torch.zeros(11, 1, requires_grad=True)
    wasserstein(x, torch.ones(13, 1)).sum().backward()
    torch.testing.assert_close(x.grad, torch.full((11, 1), -2 / 11))


def test_the_mean_map_is_the_difference_of_means() -> None:
    a, b = _samples(5, seed=1), _samples(9, seed=2)
    scale, shift = mean_map(torch.tensor(a), torch.tensor(b))
    np.testing.assert_allclose(scale, np.ones(3))
    np.testing.assert_allclose(shift, b.mean(0) - a.mean(0), atol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 32])
def test_the_linear_map_is_that_of_a_few_lines_of_numpy(n: int) -> None:
    a, b = _samples(n, seed=1), _samples(n, seed=2)
    scale, shift = linear_map(torch.tensor(a), torch.tensor(b))
    expected_scale, expected_shift = _numpy_map(a, b)
    np.testing.assert_allclose(scale, expected_scale, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(shift, expected_shift, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(2, 3), (4, 6), (5, 7), (3, 1)])
def test_unequal_numbers_fit_as_if_each_sample_were_repeated(n: int, m: int) -> None:
    a, b = _samples(n, seed=1), _samples(m, seed=2)
    scale, shift = linear_map(torch.tensor(a), torch.tensor(b))
    expected_scale, expected_shift = _numpy_map(a.repeat(m, 0), b.repeat(n, 0))
    np.testing.assert_allclose(scale, expected_scale, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(shift, expected_shift, rtol=1e-6, atol=1e-6)


def test_an_affine_relation_is_found_again() -> None:
    a = torch.tensor(_samples(20))
    scale, shift = linear_map(a, 2.5 * a.flip(0) - 1)
    torch.testing.assert_close(scale, torch.full((3,), 2.5))
    torch.testing.assert_close(shift, torch.full((3,), -1.0))


MAPS = pytest.mark.parametrize("fit", [mean_map, gaussian_map, linear_map])
Fit = Callable[[torch.Tensor, torch.Tensor], AffineMap]


@MAPS
def test_a_constant_channel_is_shifted_and_not_scaled(fit: Fit) -> None:
    scale, shift = fit(torch.full((4, 1), 2.0), torch.tensor([[4.0], [6.0], [8.0]]))
    assert (scale.item(), shift.item()) == (1, 4)


@MAPS
@pytest.mark.parametrize("target", [[[5.0]], [[4.0], [6.0]]], ids=["one", "two"])
def test_a_single_source_sample_is_shifted_and_not_scaled(
    fit: Fit, target: list[list[float]]
) -> None:
    scale, shift = fit(torch.tensor([[2.0]]), torch.tensor(target))
    assert (scale.item(), shift.item()) == (1, 3)


@MAPS
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_in_another_unit_the_scale_is_the_same(fit: Fit, unit: float) -> None:
    a, b = torch.tensor(_samples(9, seed=1)).float(), torch.tensor(_samples(9, seed=2)).float()
    scale, shift = fit(a, b)
    torch.testing.assert_close(fit(unit * a, unit * b), (scale, unit * shift), rtol=1e-4, atol=0)


@MAPS
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_rounding_errors_are_not_scaled(fit: Fit, size: float) -> None:
    third = torch.full((9, 1), size / 3) * (1 + torch.randn(9, 1).sign() * 1e-7)
    assert third.std() > 0
    assert fit(third, size * torch.tensor(_samples(9)).float()[:, :1])[0].item() == 1


def test_a_constant_channel_does_not_touch_its_neighbour() -> None:
    a, b = torch.tensor(_samples(6, seed=1)), torch.tensor(_samples(6, seed=2))
    still = a.clone()
    still[:, 0] = 1
    torch.testing.assert_close(linear_map(still, b)[0][1:], linear_map(a, b)[0][1:])


def test_a_large_mean_does_not_spoil_the_fit() -> None:
    a, b = torch.tensor(_samples(30, seed=1)), torch.tensor(_samples(30, seed=2))
    torch.testing.assert_close(linear_map(a + 1e6, b)[0], linear_map(a, b)[0], rtol=1e-5, atol=0)


def test_samples_are_not_written_to() -> None:
    a, b = torch.tensor(_samples(5, seed=1)), torch.tensor(_samples(7, seed=2))
    before = a.clone(), b.clone()
    linear_map(a, b), mean_map(a, b), wasserstein(a, b)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])
