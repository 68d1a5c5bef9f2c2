r"""Wasserstein distance between two sets of embeddings, exact, by optimal transport.

.. math:: \Bigl(\min_\pi \sum_{ij} \pi_{ij} \|x_i - y_j\|^2\Bigr)^{1/2}

over all plans that carry one set to the other. It sees any difference of two sets, where the
Fréchet distance sees means and covariances alone, and is biased upwards by much for few pictures.

References:
    Peyré, Cuturi. Computational Optimal Transport. 2019. https://arxiv.org/abs/1803.00567
    del Barrio, Loubes. Central Limit Theorems for Empirical Transportation Cost in General
    Dimension. 2019. https://arxiv.org/abs/1705.01299
"""

import math

import numpy as np
from jaxtyping import Int

from htbench.scorers.set_scorer import (
    Distance,
    PictureSet,
    Rows,
    SetScore,
    SetScorerCard,
    Weights,
    distance_score,
)

MAX_PAIRS = 1 << 20
"""The most pairs of pictures of an exact plan; larger sets are reduced by drawing from them."""

_ROUNDING = 1e-12
"""Squared distance, of rows of length 1, below which it is what rounding leaves of 0."""


def wasserstein(x: Rows, y: Rows, y_weights: Weights) -> Distance:
    """The distance of `x`, with equal weights, from the weighted `y`; 0 to 2 for rows of length 1.

    Of sets with more than `MAX_PAIRS` pairs, every k-th picture of a fixed random order counts. The
    pulls are the optimal dual potentials, one choice of them where they are not unique; a picture
    that was left out has none.
    """
    import ot  # slow, and imports torch

    size = math.isqrt(MAX_PAIRS)
    if len(x) * len(y) <= MAX_PAIRS:
        x_rows, y_rows = np.arange(len(x)), np.arange(len(y))
    elif len(y) <= size:
        x_rows, y_rows = _drawn(len(x), MAX_PAIRS // len(y)), np.arange(len(y))
    else:
        y_rows = _drawn(len(y), max(size, MAX_PAIRS // len(x)))
        x_rows = _drawn(len(x), MAX_PAIRS // len(y_rows))
    x_shares = np.full(len(x_rows), 1 / len(x_rows))
    y_shares = y_weights[y_rows] / y_weights[y_rows].sum()
    costs = ot.dist(x[x_rows], y[y_rows], metric="sqeuclidean")
    plan, log = ot.lp.emd(x_shares, y_shares, costs, numItermax=10_000_000, log=True)
    squared = float((plan * costs).sum())
    value = math.sqrt(squared) if squared > _ROUNDING else 0.0
    first, second = np.zeros(len(x)), np.zeros(len(y))
    if value:
        u, v = np.asarray(log["u"]), np.asarray(log["v"])
        first[x_rows] = (u - x_shares @ u) / (2 * value) * len(x) / len(x_rows)
        second[y_rows] = (v - y_shares @ v) / (2 * value) * y_shares
        second = np.divide(second, y_weights, out=np.zeros(len(y)), where=y_weights > 0)
    return Distance(value=value, first=first, second=second)


class Wasserstein:
    """Implements `htbench.scorers.set_scorer.SetScorer`."""

    card = SetScorerCard(
        name="wasserstein",
        title="Wasserstein distance",
        summary="Wasserstein distance from the unsteered pictures, by exact optimal transport",
        better="lower",
        least=0,
        most=2,
        version="1",
        paper="https://arxiv.org/abs/1803.00567",
    )

    def measure(self, pictures: PictureSet) -> SetScore:
        return distance_score(pictures, wasserstein)


def _drawn(number: int, most: int) -> Int[np.ndarray, " drawn"]:
    """`most` of `number` rows, the same each time, in order."""
    order = np.random.default_rng(0).permutation(number)
    return np.sort(order[: min(most, number)])
