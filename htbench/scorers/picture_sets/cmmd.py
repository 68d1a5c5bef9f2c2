r"""CMMD: the maximum mean discrepancy between two sets of embeddings, by a Gaussian kernel.

.. math:: 1000 \bigl(\mathrm{mean}\, k(x, x') + \mathrm{mean}\, k(y, y')
    - 2\, \mathrm{mean}\, k(x, y)\bigr), \qquad
    k(a, b) = \exp\Bigl(-\frac{\|a - b\|^2}{2 \cdot 10^2}\Bigr)

Means are over all pairs, a picture with itself included, as in the authors' code: so it is 0 for
equal sets, never negative, and biased upwards by about 1 / n. Kernel width and factor are those of
the paper; the encoder is that of the run's headline, and figures of two encoders do not compare.

References:
    Jayasumana et al. Rethinking FID: Towards a Better Evaluation Metric for Image Generation. 2024.
    https://arxiv.org/abs/2401.09603
"""

import math

import numpy as np
from jaxtyping import Float

from htbench.scorers.set_scorer import (
    Distance,
    PictureSet,
    Rows,
    SetScore,
    SetScorerCard,
    Weights,
    distance_score,
)

SIGMA, SCALE = 10.0, 1000.0
"""The kernel's standard deviation and the factor of the paper."""
_ROUNDING = 1e-14
"""A discrepancy below it, of kernels up to 1, is what rounding leaves of 0."""
_BLOCK = 1024
"""Number of rows of a kernel matrix in memory at once."""


def cmmd(x: Rows, y: Rows, y_weights: Weights) -> Distance:
    """The discrepancy of `x`, with equal weights, from the weighted `y`; 0 to 2000."""
    x_weights = np.full(len(x), 1 / len(x))
    xx, xy = _means(x, x, x_weights), _means(x, y, y_weights)
    yy, yx = _means(y, y, y_weights), _means(y, x, x_weights)
    value = float(x_weights @ xx + y_weights @ yy - x_weights @ xy - y_weights @ yx)
    first, second = 2 * (xx - xy), 2 * (yy - yx)
    return Distance(
        value=SCALE * value if value > _ROUNDING else 0.0,
        first=SCALE * (first - x_weights @ first),
        second=SCALE * (second - y_weights @ second),
    )


class Cmmd:
    """Implements `htbench.scorers.set_scorer.SetScorer`."""

    card = SetScorerCard(
        name="cmmd",
        title="CMMD",
        summary="CMMD: maximum mean discrepancy from the unsteered pictures, times 1000",
        better="lower",
        least=0,
        most=math.inf,
        version="1",
        paper="https://arxiv.org/abs/2401.09603",
    )

    def measure(self, pictures: PictureSet) -> SetScore:
        return distance_score(pictures, cmmd)


def _means(rows: Rows, others: Rows, weights: Weights) -> Float[np.ndarray, " pictures"]:
    """Each row's weighted mean of the kernel with all others, in blocks of bounded memory."""
    squares = np.square(others).sum(1)
    means = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        apart = np.square(part).sum(1)[:, None] + squares - 2 * part @ others.T
        means[start : start + _BLOCK] = np.exp(-np.maximum(apart, 0) / (2 * SIGMA**2)) @ weights
    return means
