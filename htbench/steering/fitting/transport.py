"""One-dimensional optimal transport, a channel at a time: maps fitted to samples, and the cost between samples."""

from functools import cache
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

SourceSamples = Float[Tensor, "samples channels"]
TargetSamples = Float[Tensor, "others channels"]
Channels = Float[Tensor, " channels"]
AffineMap = tuple[Channels, Channels]
"""Scale and shift of `z -> scale * z + shift`."""

MIN_DEVIATION = 1e-4
"""A channel whose source samples spread less than this is never scaled."""


def mean_map(source: SourceSamples, target: TargetSamples) -> AffineMap:
    """Moves the mean of each channel: scale 1, shift the difference of the means (DiffMean, Mean-AcT)."""
    difference = target.double().mean(0) - source.double().mean(0)
    return torch.ones_like(difference).float(), difference.float()


def gaussian_map(source: SourceSamples, target: TargetSamples) -> AffineMap:
    r"""Optimal transport between normal distributions of each channel, in float64; a channel whose sources hardly vary is left alone.

    .. math:: w = s_b / s_a, \quad b = m_b - w m_a

    References:
        Peyré and Cuturi. Computational Optimal Transport. 2019. https://arxiv.org/abs/1803.00567
    """
    a, b = source.double(), target.double()
    deviation = a.std(0, correction=0)
    still = deviation < MIN_DEVIATION
    scale = torch.where(still, 1.0, b.std(0, correction=0) / deviation.where(~still, 1.0))
    return scale.float(), torch.where(still, 0.0, b.mean(0) - scale * a.mean(0)).float()


def linear_map(source: SourceSamples, target: TargetSamples) -> AffineMap:
    r"""Least-squares affine fit of the optimal coupling, in float64 (Linear-AcT).

    .. math:: w = \sum_i \tilde a_{(i)} \tilde b_{(i)} / \sum_i \tilde a_{(i)}^2, \quad b = m_b - w m_a

    Numbers of samples may differ: order statistics are matched by quantiles.

    References:
        Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024. https://arxiv.org/abs/2410.23054
    """
    a, b = source.double(), target.double()
    mean_a, mean_b = a.mean(0), b.mean(0)
    weight, i, j = _coupling(len(a), len(b), a.device)
    ordered_a, ordered_b = (a - mean_a).sort(0).values[i], (b - mean_b).sort(0).values[j]
    variance = (weight[:, None] * ordered_a**2).sum(0)
    covariance = (weight[:, None] * ordered_a * ordered_b).sum(0)
    still = variance.sqrt() < MIN_DEVIATION
    scale = torch.where(still, 1.0, covariance / variance.where(~still, 1.0))
    return scale.float(), (mean_b - scale * mean_a).float()


def wasserstein(
    x: Float[Tensor, "*batch n channels"], y: Float[Tensor, "*batch m channels"]
) -> Float[Tensor, "*batch channels"]:
    """Squared 2-Wasserstein distance of each channel between samples `x` and `y`; exact for any `n` and `m`, differentiable in both."""
    ordered_x, ordered_y = x.sort(-2).values, y.sort(-2).values
    if x.shape[-2] == y.shape[-2]:
        return (ordered_x - ordered_y).square().mean(-2)
    weight, i, j = _coupling(x.shape[-2], y.shape[-2], x.device)
    difference = ordered_x.index_select(-2, i) - ordered_y.index_select(-2, j)
    return (weight.to(x.dtype)[:, None] * difference.square()).sum(-2)


@cache
@torch.inference_mode(
    False
)  # or else a cached tensor of inference mode could not be saved for a later backward pass
def _coupling(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Weights and indices of the monotone coupling of `n` with `m` equally weighted order statistics."""
    edges = sorted({k * m for k in range(n + 1)} | {k * n for k in range(m + 1)})
    starts = torch.tensor(edges[:-1], device=device)
    lengths = torch.tensor([after - before for before, after in pairwise(edges)], device=device)
    return lengths.double() / (n * m), starts // m, starts // n
