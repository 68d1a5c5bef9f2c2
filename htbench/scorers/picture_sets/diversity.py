r"""Diversity over seeds: how much the pictures of one concept and prompt differ from each other.

Steering that pulls every picture to the same place takes it away. Both scores are means over the
prompts of a concept, and then over concepts. With the embeddings :math:`e_1, \dots, e_S` of the
pictures of :math:`S` seeds, and the eigenvalues :math:`\lambda_i` of the matrix of all
:math:`e_i \cdot e_j / S`:

.. math:: \mathrm{Vendi} = \exp\Bigl(-\sum_i \lambda_i \log \lambda_i\Bigr)
    \qquad \mathrm{pairwise} = \frac{2}{S (S - 1)} \sum_{i < j} (1 - e_i \cdot e_j)

References:
    Friedman, Dieng. The Vendi Score: A Diversity Evaluation Metric for Machine Learning. 2023.
    https://arxiv.org/abs/2210.02410
"""

import math
from collections.abc import Callable

import numpy as np

from htbench.scorers.set_scorer import (
    PictureSet,
    Rows,
    SetScore,
    SetScorerCard,
    UndefinedScore,
    check,
)

_VENDI = "https://arxiv.org/abs/2210.02410"


def vendi(pictures: Rows) -> float:
    """The effective number of different pictures: 1 for equal ones, their number for orthogonal.

    Raises:
        UndefinedScore: if an embedding is 0, and so has no direction.
    """
    directions = _directions(pictures)
    eigenvalues = np.linalg.svd(directions, compute_uv=False) ** 2 / len(directions)
    positive = eigenvalues[eigenvalues > 0]
    return float(math.exp(-(positive * np.log(positive)).sum()))


def pairwise_distance(pictures: Rows) -> float:
    """The mean cosine distance of two different pictures, 0 to 2.

    Raises:
        UndefinedScore: for a single picture, or if an embedding is 0.
    """
    number = len(pictures)
    if number < 2:
        raise UndefinedScore("one picture has no distance from another")
    sum_of_all = float(np.square(_directions(pictures).sum(0)).sum())
    return 1 - (sum_of_all - number) / (number * (number - 1))


class Vendi:
    """Implements `htbench.scorers.set_scorer.SetScorer`."""

    card = SetScorerCard(
        name="vendi",
        title="Vendi score",
        summary="Vendi score: effective number of different pictures over the seeds of a prompt",
        better="higher",
        least=1,
        most=math.inf,
        version="1",
        paper=_VENDI,
    )

    def measure(self, pictures: PictureSet) -> SetScore:
        return _mean_over_prompts(pictures, vendi)


class PairwiseDistance:
    """Implements `htbench.scorers.set_scorer.SetScorer`."""

    card = SetScorerCard(
        name="pairwise-distance",
        title="Distance between seeds",
        summary="Distance between seeds: mean cosine distance of two pictures of a prompt",
        better="higher",
        least=0,
        most=2,
        version="1",
        paper="",
    )

    def measure(self, pictures: PictureSet) -> SetScore:
        return _mean_over_prompts(pictures, pairwise_distance)


def _mean_over_prompts(pictures: PictureSet, diversity: Callable[[Rows], float]) -> SetScore:
    """Each concept's mean over its prompts with as many seeds as any has.

    The score depends on the number of seeds, so that prompts that lack some are left out.
    """
    check(pictures)
    groups = list(pictures.groups())
    seeds = max(len(rows) for _, rows in groups)
    if seeds < 2:
        raise UndefinedScore("one seed per prompt, and two are needed")
    sums, counts = np.zeros(pictures.concepts), np.zeros(pictures.concepts)
    for concept, rows in groups:
        if len(rows) == seeds:
            sums[concept] += diversity(rows)
            counts[concept] += 1
    means = np.full(len(sums), np.nan)
    return SetScore(by_concept=np.divide(sums, counts, out=means, where=counts > 0))


def _directions(pictures: Rows) -> Rows:
    rows = np.asarray(pictures, float)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise UndefinedScore("an embedding is 0, and so has no direction")
    return np.asarray(rows / lengths)
