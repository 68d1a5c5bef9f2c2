"""One-dimensional optimal transport per channel: maps fitted to samples, and transport costs."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

SourceSamples = Float[Tensor, "samples channels"]
TargetSamples = Float[Tensor, "others channels"]
Channels = Float[Tensor, " channels"]
AffineMap = tuple[Channels, Channels]
"""Scale and shift of `z -> scale * z + shift`, each with one float32 number per channel."""


def rounding_noise(samples: SourceSamples) -> Float[Tensor, " channels"]:
    """Deviation of each channel, in float64, below which its samples differ by rounding at most.

    It is 1024 units of rounding of the channel's root mean square: 1.2e-4 of it for samples of
    float32. Rounding errors are in proportion to the numbers rounded, so an absolute floor would
    take a small channel for a constant, and the errors of a large one for its spread: a slope
    between errors may have any size.
    """
    unit = torch.finfo(torch.promote_types(samples.dtype, torch.float32)).eps
    return 1024 * unit * samples.double().square().mean(0).sqrt()


def mean_map(source: SourceSamples, target: TargetSamples) -> AffineMap:
    """The map that moves the mean of each channel: scale 1, shift the difference of the means.

    References:
        Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations.
        2024. https://arxiv.org/abs/2410.23054 (Mean-AcT)
    """
    difference = target.double().mean(0) - source.double().mean(0)
    return torch.ones_like(difference).float(), difference.float()


def gaussian_map(source: SourceSamples, target: TargetSamples) -> AffineMap:
    r"""The optimal transport map between normal distributions of each channel, in float64.

    .. math:: w = s_b / s_a, \quad b = m_b - w m_a

    for means `m` and standard deviations `s` of the source `a` and the target `b`. A channel whose
    source samples stand still, with `s_a` no greater than `rounding_noise`, is shifted and not
    scaled, as with a single sample.

    References:
        Peyré and Cuturi. Computational Optimal Transport. 2019. https://arxiv.org/abs/1803.00567
    """
    a, b = source.double(), target.double()
    deviation = a.std(0, correction=0)
    still = deviation <= rounding_noise(source)
    scale = torch.where(still, 1.0, b.std(0, correction=0) / deviation.where(~still, 1.0))
    return scale.float(), (b.mean(0) - scale * a.mean(0)).float()


def linear_map(source: SourceSamples, target: TargetSamples) -> AffineMap:
    r"""The least-squares affine fit of the optimal coupling, in float64 (Linear-AcT).

    .. math::
        w = \sum_i \tilde a_{(i)} \tilde b_{(i)} / \sum_i \tilde a_{(i)}^2, \quad b = m_b - w m_a

    with order statistics of samples centred on their means. Numbers of samples may differ: order
    statistics are matched by quantiles. A channel whose source samples stand still, with a standard
    deviation no greater than `rounding_noise`, is shifted and not scaled, as with a single sample.

    References:
        Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations.
        2024. https://arxiv.org/abs/2410.23054
    """
    a, b = source.double(), target.double()
    mean_a, mean_b = a.mean(0), b.mean(0)
    weight, i, j = _coupling(len(a), len(b), a.device)
    ordered_a, ordered_b = (a - mean_a).sort(0).values[i], (b - mean_b).sort(0).values[j]
    variance = (weight[:, None] * ordered_a**2).sum(0)
    covariance = (weight[:, None] * ordered_a * ordered_b).sum(0)
    still = variance.sqrt() <= rounding_noise(source)
    scale = torch.where(still, 1.0, covariance / variance.where(~still, 1.0))
    return scale.float(), (mean_b - scale * mean_a).float()


@dataclass(frozen=True, kw_only=True)
class Matched:
    r"""Samples of each channel, as squared distances to `count` samples of others need them.

    .. math:: W_2^2(x, y) = \frac{1}{n} \sum_i (x_{(i)} - \bar y_i)^2 + r

    for `n` samples `x`, where `\bar y_i` is the mean of the part of `y` that the optimal coupling
    pairs with `x_{(i)}`, and `r` the mean square of what these means leave out.
    """

    samples: Float[Tensor, "*batch count channels"]
    """`\bar y`, in ascending order."""
    rest: Float[Tensor, "*batch channels"]
    """`r`, at least 0; 0 for `count` samples."""

    def distance(
        self, x: Float[Tensor, "*batch count channels"]
    ) -> Float[Tensor, "*batch channels"]:
        """Squared 2-Wasserstein distance of `x` to the samples, at least 0."""
        return (x.sort(-2).values - self.samples).square().mean(-2) + self.rest


def match(y: Float[Tensor, "*batch m channels"], count: int) -> Matched:
    """The samples `y` for distances to `count` samples; differentiable."""
    ordered = y.sort(-2).values
    if y.shape[-2] == count:
        return Matched(samples=ordered, rest=y.new_zeros(()).expand(*y.shape[:-2], y.shape[-1]))
    weight, i, j = _coupling(count, y.shape[-2], y.device)
    weight = weight.to(y.dtype)
    pairs = weight.new_zeros(count, y.shape[-2]).index_put((i, j), count * weight)
    means = pairs @ ordered
    left = (ordered.index_select(-2, j) - means.index_select(-2, i)).square()
    return Matched(samples=means, rest=(weight[:, None] * left).sum(-2))


def wasserstein(
    x: Float[Tensor, "*batch n channels"], y: Float[Tensor, "*batch m channels"]
) -> Float[Tensor, "*batch channels"]:
    """Squared 2-Wasserstein distance between samples `x` and `y` of each channel, at least 0.

    It is exact for any numbers of samples `n` and `m`, and differentiable in both arguments.
    """
    return match(y, x.shape[-2]).distance(x)


# Cached tensors of inference mode could not be saved for a later backward pass.
@cache
@torch.inference_mode(False)
def _coupling(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Weights and index pairs of the monotone coupling of `n` with `m` equally weighted samples."""
    edges = sorted({k * m for k in range(n + 1)} | {k * n for k in range(m + 1)})
    starts = torch.tensor(edges[:-1], device=device)
    lengths = torch.tensor([after - before for before, after in pairwise(edges)], device=device)
    return lengths.double() / (n * m), starts // m, starts // n
