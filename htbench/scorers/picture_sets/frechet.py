r"""Fréchet distance between two sets of embeddings, as in FID, of the headline's encoder.

.. math:: \|\mu_x-\mu_y\|^2 + \mathrm{tr}(\Sigma_x + \Sigma_y - 2(\Sigma_x\Sigma_y)^{1/2})

Covariances are those of the sets themselves, divided by n: so it is 0 for equal sets. Nothing is
inverted; channels that are constant, and sets of fewer pictures than channels, are no exception. It
is biased upwards for few pictures.

References:
    Heusel et al. GANs Trained by a Two Time-Scale Update Rule. 2017.
    https://arxiv.org/abs/1706.08500
"""

import math

import numpy as np

from htbench.scorers.set_scorer import (
    Distance,
    PictureSet,
    Rows,
    SetScore,
    SetScorerCard,
    Weights,
    distance_score,
)

_ROUNDING = 1e-12
"""Share of the spreads below which a distance is what rounding leaves of 0."""


def frechet(x: Rows, y: Rows, y_weights: Weights) -> Distance:
    r"""The distance of `x`, with equal weights, from the weighted `y`; squared, 0 and above.

    With the weighted, centred rows A of `x` and B of `y` and the singular values
    :math:`A B^T = U D V^T`, the trace of the root is :math:`\mathrm{tr} D`, and the pulls are those
    of the transport maps between the Gaussians, whose quadratic forms at the rows are the diagonals
    of :math:`U D U^T` and :math:`V D V^T`.
    """
    x_weights = np.full(len(x), 1 / len(x))
    x_mean, y_mean = x_weights @ x, y_weights @ y
    x_rows, y_rows = x - x_mean, y - y_mean
    x_basis, x_factor = np.linalg.qr(np.sqrt(x_weights)[:, None] * x_rows)
    y_basis, y_factor = np.linalg.qr(np.sqrt(y_weights)[:, None] * y_rows)
    left, roots, right = np.linalg.svd(x_factor @ y_factor.T, full_matrices=False)
    shift = x_mean - y_mean
    first = (
        np.square(x_rows).sum(1)
        - np.square(x_basis @ left) @ roots / x_weights
        + 2 * x_rows @ shift
    )
    mapped = np.square(y_basis @ right.T) @ roots
    second = (
        np.square(y_rows).sum(1)
        - np.divide(mapped, y_weights, out=np.zeros_like(mapped), where=y_weights > 0)
        - 2 * y_rows @ shift
    )
    spreads = x_weights @ np.square(x_rows).sum(1) + y_weights @ np.square(y_rows).sum(1)
    value = float(shift @ shift + spreads - 2 * roots.sum())
    return Distance(
        value=value if value > _ROUNDING * spreads else 0.0,
        first=first - x_weights @ first,
        second=second - y_weights @ second,
    )


class Frechet:
    """Implements `htbench.scorers.set_scorer.SetScorer`."""

    card = SetScorerCard(
        name="frechet",
        title="Fréchet distance",
        summary="Fréchet distance from the unsteered pictures, by the headline's encoder",
        better="lower",
        least=0,
        most=math.inf,
        version="1",
        paper="https://arxiv.org/abs/1706.08500",
    )

    def measure(self, pictures: PictureSet) -> SetScore:
        return distance_score(pictures, frechet)
