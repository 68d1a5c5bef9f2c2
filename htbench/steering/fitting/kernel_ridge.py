r"""Kernel ridge regression with an intercept; width and penalty are chosen by leave-one-out.

For `k` training inputs with kernel `K`, centred by `H = I - 11'/k`, the prediction for an input `e`
is the sum of the training outputs with the weights

.. math::
    1/k + H (HKH + \lambda I)^{-1} H (K_e - K 1/k)

The error at input `i`, had it been left out, needs no other fit:
:math:`(y_i - \hat y_i) / (1 - S_{ii})` with the smoother :math:`S = 11'/k + HKH (HKH + \lambda
I)^{-1}`.

References:
    Cawley and Talbot. Fast Exact Leave-One-Out Cross-Validation of Sparse Least-Squares Support
    Vector Machines. 2004. https://doi.org/10.1016/j.neunet.2004.07.002
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core.errors import NotFinite

Kernel = Literal["rbf", "linear"]
WIDTHS = tuple(2 ** (k / 2) for k in range(-4, 5))
"""Widths that are tried, as multiples of the root mean square distance of two training inputs."""
PENALTIES = tuple(10 ** (k / 2) for k in range(-10, 3))
"""Penalties that are tried, as multiples of the mean of the centred kernel's diagonal."""


@dataclass(frozen=True, kw_only=True)
class KernelRidge:
    """A regression on training inputs; outputs enter through `weights` alone."""

    inputs: Float[Tensor, "training features"]
    width: float | None
    r"""`s` of the kernel :math:`\exp(-|x - y|^2 / 2 s^2)`; None: the linear kernel `x'y`."""
    penalty: float
    r""":math:`\lambda`, at least 0."""
    explained: float
    """Share of the variance of the outputs that predictions explain with the predicted input left
    out; at most 1, and below 0 where they are worse than the mean output."""

    def weights(self, new: Float[Tensor, "new features"]) -> Float[Tensor, "new training"]:
        """Weights of the training outputs, whose sum is 1, for each of the `new` inputs."""
        inputs = self.inputs.double()
        products = _kernel(inputs, inputs, self.width)
        cross = _kernel(new.to(inputs), inputs, self.width) - products.mean(0)
        centred = _centre(products)
        penalised = centred + self.penalty * torch.eye(len(inputs)).to(centred)
        slopes: Tensor = torch.linalg.solve(penalised, (cross - cross.mean(1, keepdim=True)).T)
        return (slopes - slopes.mean(0)).T + 1 / len(inputs)


def fit(
    inputs: Float[Tensor, "training features"],
    outputs: Iterable[Float[Tensor, "training channels"]],
    *,
    kernel: Kernel,
) -> KernelRidge:
    """The regression of least leave-one-out error among `WIDTHS` and `PENALTIES`, in float64.

    One width and one penalty serve all outputs. The squared error of each member of `outputs`, such
    as those of a site, counts relative to its variance.

    Raises:
        NotFinite: if an output is NaN or infinite.
    """
    inputs = inputs.double()
    distance = float(torch.pdist(inputs).square().mean().sqrt()) or 1.0
    widths = [None] if kernel == "linear" else [factor * distance for factor in WIDTHS]
    gram = _gram(outputs)
    if not gram.isfinite().all():
        raise NotFinite("activations of the training concepts hold NaN or infinity")
    return max(
        (
            KernelRidge(inputs=inputs, width=width, penalty=penalty, explained=1 - error)
            for width in widths
            for penalty, error in _left_out_errors(_kernel(inputs, inputs, width), gram)
        ),
        key=lambda regression: regression.explained,
    )


def _left_out_errors(
    products: Float[Tensor, "training training"], gram: Float[Tensor, "training training"]
) -> Sequence[tuple[float, float]]:
    """Each penalty with the squared error of all inputs, each left out, relative to the variance.

    `gram` has the inner products of centred outputs, all that the errors depend on.
    """
    values, vectors = torch.linalg.eigh(_centre(products))
    values = values.clamp_min(0)
    scale = float(values.mean()) or 1.0
    rotated = vectors.T @ gram @ vectors
    total = gram.trace().clamp_min(torch.finfo(gram.dtype).tiny)

    def error(penalty: float) -> float:
        shrunk = vectors * (penalty / (values + penalty))
        residuals = (shrunk @ rotated * shrunk).sum(1)
        kept = (shrunk * vectors).sum(1) - 1 / len(values)
        return float((residuals / kept.square()).sum() / total)

    return [(factor * scale, error(factor * scale)) for factor in PENALTIES]


def _gram(
    outputs: Iterable[Float[Tensor, "training channels"]],
) -> Float[Tensor, "training training"]:
    """The sum over `outputs` of inner products of its centred rows, relative to its variance."""
    total = torch.zeros(())
    for part in outputs:
        centred = part.double() - part.double().mean(0)
        gram = centred @ centred.T
        total = total.to(gram) + gram / gram.trace().clamp_min(torch.finfo(gram.dtype).tiny)
    return total


def _kernel(
    a: Float[Tensor, "rows features"], b: Float[Tensor, "columns features"], width: float | None
) -> Float[Tensor, "rows columns"]:
    if width is None:
        return a @ b.T
    products: Tensor = (torch.cdist(a, b).square() / (-2 * width**2)).exp()
    return products


def _centre(products: Float[Tensor, "training training"]) -> Float[Tensor, "training training"]:
    rows = products - products.mean(0)
    return rows - rows.mean(1, keepdim=True)
