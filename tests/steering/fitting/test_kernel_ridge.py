"""Kernel ridge regression against the linear system that defines it, and against refits."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist

from htbench.core.errors import NotFinite
from htbench.steering.fitting import kernel_ridge
from htbench.steering.fitting.kernel_ridge import PENALTIES, WIDTHS, Kernel, KernelRidge

RANDOM = np.random.default_rng(0)
INPUTS, NEW = RANDOM.normal(size=(12, 3)), RANDOM.normal(size=(4, 3))
SITES = [
    np.sin(INPUTS @ RANDOM.normal(size=(3, channels))) + 0.1 * RANDOM.normal(size=(12, channels))
    for channels in (5, 2)
]
OUTPUTS = np.concatenate(SITES, 1)


def products(a: np.ndarray, b: np.ndarray, width: float | None) -> np.ndarray:
    return a @ b.T if width is None else np.exp(-cdist(a, b, "sqeuclidean") / (2 * width**2))


def solved(
    inputs: np.ndarray, outputs: np.ndarray, new: np.ndarray, width: float | None, penalty: float
) -> np.ndarray:
    """Predictions by the system of a kernel machine with a free intercept."""
    count = len(inputs)
    system = np.ones((count + 1, count + 1))
    system[:count, :count] = products(inputs, inputs, width) + penalty * np.eye(count)
    system[count, count] = 0
    right = np.concatenate([outputs, np.zeros((1, outputs.shape[1]))])
    solution = np.linalg.solve(system, right)
    return products(new, inputs, width) @ solution[:count] + solution[count]


def left_out_error(width: float | None, penalty: float) -> float:
    """The squared error by fits without each input, relative to the variance, of the mean site."""
    errors = []
    for outputs in SITES:
        residuals = [
            outputs[k]
            - solved(
                np.delete(INPUTS, k, 0), np.delete(outputs, k, 0), INPUTS[[k]], width, penalty
            )[0]
            for k in range(len(INPUTS))
        ]
        errors.append(np.square(residuals).sum() / np.square(outputs - outputs.mean(0)).sum())
    return float(np.mean(errors))


def fit(kernel: Kernel) -> KernelRidge:
    return kernel_ridge.fit(torch.tensor(INPUTS), map(torch.tensor, SITES), kernel=kernel)


@pytest.mark.parametrize("width", [None, 0.7, 3.0])
@pytest.mark.parametrize("penalty", [1e-3, 2.0])
def test_predictions_solve_the_penalised_system(width: float | None, penalty: float) -> None:
    regression = KernelRidge(
        inputs=torch.tensor(INPUTS), width=width, penalty=penalty, explained=0.0
    )
    weights = regression.weights(torch.tensor(NEW)).numpy()
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(
        weights @ OUTPUTS, solved(INPUTS, OUTPUTS, NEW, width, penalty), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_the_error_is_that_of_fits_without_each_input(kernel: Kernel) -> None:
    regression = fit(kernel)
    error = left_out_error(regression.width, regression.penalty)
    assert 1 - regression.explained == pytest.approx(error, rel=1e-6)


def test_width_and_penalty_have_the_least_error_of_the_grid() -> None:
    distance = np.sqrt(np.mean(pdist(INPUTS) ** 2))
    centring = np.eye(12) - 1 / 12
    errors = {}
    for width in (factor * distance for factor in WIDTHS):
        scale = np.trace(centring @ products(INPUTS, INPUTS, width) @ centring) / 12
        for penalty in (factor * scale for factor in PENALTIES):
            errors[width, penalty] = left_out_error(width, penalty)
    regression = fit("rbf")
    best = min(errors, key=errors.__getitem__)
    assert (regression.width, regression.penalty) == pytest.approx(best)


def test_a_scale_of_one_site_does_not_change_the_choice() -> None:
    outputs = (torch.tensor(SITES[0]), 1000 * torch.tensor(SITES[1]))
    other = kernel_ridge.fit(torch.tensor(INPUTS), outputs, kernel="rbf")
    assert (other.width, other.penalty) == (fit("rbf").width, fit("rbf").penalty)


def test_equal_inputs_predict_the_mean_output() -> None:
    equal = torch.ones(4, 3)
    regression = kernel_ridge.fit(equal, [torch.randn(4, 2)], kernel="rbf")
    np.testing.assert_allclose(regression.weights(equal[:1]), np.full((1, 4), 0.25))


def test_outputs_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(NotFinite, match="NaN or infinity"):
        kernel_ridge.fit(torch.eye(2), [torch.tensor([[1.0], [float("nan")]])], kernel="rbf")
