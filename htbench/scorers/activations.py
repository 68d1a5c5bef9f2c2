r"""Distances of steered activations of a site from those of pictures that ask for the concept.

Samples :math:`x_1, \dots, x_n` are steered activations and :math:`y_1, \dots, y_m` target ones, in
:math:`d` channels. Linear-AcT and LinEAS minimise the second of these scores, on prompts of their
own.

References:
    Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024.
    https://arxiv.org/abs/2410.23054
    Rodriguez et al. LinEAS: End-to-end Learning of Activation Steering with a Distributional Loss.
    2025. https://arxiv.org/abs/2503.10679
    Ledoit, Wolf. A Well-conditioned Estimator for Large-dimensional Covariance Matrices. 2004.
    https://doi.org/10.1016/S0047-259X(03)00096-4
    Bonneel et al. Sliced and Radon Wasserstein Barycenters of Measures. 2015.
    https://doi.org/10.1007/s10851-014-0506-3
"""

import math

import numpy as np
from jaxtyping import Float

from htbench.scorers.activation_scorer import ActivationScorerCard, Others, Samples
from htbench.scorers.set_scorer import UndefinedScore

PROJECTIONS = 64
"""Number of random directions of the sliced distance, the same each time."""
_RATIO = 1e-12
"""Share of a variance or norm below which another is what rounding leaves of 0."""


def norm_ratio(samples: Samples, targets: Others) -> float:
    r"""Mean length of the samples by that of the targets; 1 for equal sets, 0 and above.

    .. math:: \frac{\frac{1}{n} \sum_i \|x_i\|}{\frac{1}{m} \sum_j \|y_j\|}

    Raises:
        UndefinedScore: if all targets are 0, or a number is not finite.
    """
    x, y = _checked(samples, targets)
    length = float(np.linalg.norm(y, axis=1).mean())
    if not length:
        raise UndefinedScore("all target activations are 0")
    return float(np.linalg.norm(x, axis=1).mean()) / length


def transport_cost(samples: Samples, targets: Others) -> float:
    r"""Mean over channels of the squared 2-Wasserstein distance; 0 for equal sets, 0 and above.

    .. math:: \frac{1}{d} \sum_c W_2^2(x_{\cdot c}, y_{\cdot c})

    It is exact for any numbers of samples and targets. Biased upwards for few.

    Raises:
        UndefinedScore: if a number is not finite.
    """
    x, y = _checked(samples, targets)
    return float(_squared_distances(x, y).mean())


def sliced_wasserstein(samples: Samples, targets: Others) -> float:
    r"""Sliced 2-Wasserstein distance over `PROJECTIONS` directions; 0 for equal sets, 0 and above.

    .. math:: \Bigl(\frac{1}{K} \sum_k W_2^2(X \theta_k, Y \theta_k)\Bigr)^{1/2}

    for directions :math:`\theta_k` of length 1. Biased upwards for few samples.

    Raises:
        UndefinedScore: if a number is not finite.
    """
    import ot  # slow, and imports torch

    x, y = _checked(samples, targets)
    directions = ot.sliced.get_random_projections(x.shape[1], PROJECTIONS, seed=0)
    return math.sqrt(float(_squared_distances(x @ directions, y @ directions).mean()))


def mahalanobis(samples: Samples, targets: Others) -> float:
    r"""Root-mean-square Mahalanobis distance of the samples from the targets, by channel.

    .. math:: \Bigl(\frac{1}{n d} \sum_i (x_i - \bar y)^\top \Sigma^{-1} (x_i - \bar y)\Bigr)^{1/2}

    0 and above. With the true covariance it is 1 for samples like the targets. The covariance is
    that of the targets, shrunk to a multiple of the identity as Ledoit and Wolf do, so that a
    channel that does not vary has a variance too. Of fewer targets than channels only their span
    is known, and new samples are further away than 1: read it beside its floor.

    Raises:
        UndefinedScore: if the covariance is singular even so, as that of one or two targets or of
            equal ones is, or a number is not finite.
    """
    x, y = _checked(samples, targets)
    centre = y.mean(0)
    _, singular, axes = np.linalg.svd(y - centre, full_matrices=False)
    variances = singular**2 / len(y)
    scale = float(variances.sum()) / y.shape[1]
    if scale <= (_RATIO * np.abs(y).max()) ** 2:
        raise UndefinedScore("the target activations do not vary, and so have no covariance")
    shrunk = _shrinkage(y - centre)
    least = shrunk * scale
    if least <= _RATIO * scale:
        raise UndefinedScore(f"the covariance of {len(y)} target activations is singular")
    gaps = x - centre
    along = np.square(gaps @ axes.T)
    beyond = (np.square(gaps).sum(1) - along.sum(1)).clip(0)
    squares = (along / ((1 - shrunk) * variances + least)).sum(1) + beyond / least
    return math.sqrt(float(squares.mean()) / y.shape[1])


class NormRatio:
    """Implements `htbench.scorers.activation_scorer.ActivationScorer`."""

    card = ActivationScorerCard(
        name="activation-norm",
        title="Norm ratio",
        summary="Length of steered activations by that of target ones; 1 is as the targets",
        best=1,
        most=math.inf,
        version="1",
        paper="",
    )

    def measure(self, samples: Samples, targets: Others) -> float:
        return norm_ratio(samples, targets)


class TransportCost:
    """Implements `htbench.scorers.activation_scorer.ActivationScorer`."""

    card = ActivationScorerCard(
        name="activation-transport",
        title="Transport cost",
        summary="Squared Wasserstein distance of channels from the targets: what methods minimise",
        best=0,
        most=math.inf,
        version="1",
        paper="https://arxiv.org/abs/2503.10679",
    )

    def measure(self, samples: Samples, targets: Others) -> float:
        return transport_cost(samples, targets)


class Mahalanobis:
    """Implements `htbench.scorers.activation_scorer.ActivationScorer`."""

    card = ActivationScorerCard(
        name="activation-mahalanobis",
        title="Mahalanobis distance",
        summary="Mahalanobis distance from the targets, by channel, with a shrunk covariance",
        best=0,
        most=math.inf,
        version="1",
        paper="https://doi.org/10.1016/S0047-259X(03)00096-4",
    )

    def measure(self, samples: Samples, targets: Others) -> float:
        return mahalanobis(samples, targets)


class SlicedWasserstein:
    """Implements `htbench.scorers.activation_scorer.ActivationScorer`."""

    card = ActivationScorerCard(
        name="activation-sliced",
        title="Sliced Wasserstein distance",
        summary="Sliced Wasserstein distance from the targets, over 64 random directions",
        best=0,
        most=math.inf,
        version="1",
        paper="https://doi.org/10.1007/s10851-014-0506-3",
    )

    def measure(self, samples: Samples, targets: Others) -> float:
        return sliced_wasserstein(samples, targets)


def _checked(samples: Samples, targets: Others) -> tuple[Samples, Others]:
    """Both in double precision."""
    x, y = np.asarray(samples, float), np.asarray(targets, float)
    if not (len(x) and len(y)):
        raise UndefinedScore("no activations")
    for name, values in (("steered", x), ("target", y)):
        if not np.isfinite(values).all():
            raise UndefinedScore(f"{name} activations hold NaN or infinity")
    return x, y


def _squared_distances(x: Samples, y: Others) -> Float[np.ndarray, " channels"]:
    """The squared 2-Wasserstein distance of each channel.

    Of equally many samples it is that of the sorted ones, which takes less time than POT does.
    """
    if len(x) == len(y):
        return np.asarray(np.square(np.sort(x, axis=0) - np.sort(y, axis=0)).mean(0))
    import ot  # slow, and imports torch

    return np.asarray(np.maximum(ot.wasserstein_1d(x, y, p=2), 0))


def _shrinkage(centred: Samples) -> float:
    """The share of the identity in Ledoit and Wolf's covariance of samples of mean 0, 0 to 1.

    All sums of squares of matrices follow from products of samples with each other.
    """
    count, channels = centred.shape
    products = centred @ centred.T
    scale = np.trace(products) / (count * channels)
    square = np.square(products).sum() / count**2
    away = square / channels - scale**2
    noise = (np.square(np.diag(products)).sum() / count**2 - square / count) / channels
    return float(min(noise, away) / away) if away > 0 else 1.0
