r"""Bures transport: matches mean and full covariance of each site's activations, site after site.

The optimal transport map between normal distributions,

.. math::
    T(z) = m_b + A (z - m_a), \quad
    A = \Sigma_a^{-1/2} (\Sigma_a^{1/2} \Sigma_b \Sigma_a^{1/2})^{1/2} \Sigma_a^{-1/2}

with the same multiple of the identity added to both covariances. `A` is then the identity outside
the span of the centred samples, so `A - 1` is exactly of low rank: it is calculated and kept in
that span, whatever the width of the site.

References:
    Singh et al. Representation Surgery: Theory and Practice of Affine Steering. 2024. https://arxiv.org/abs/2402.09631
    Flamary et al. POT: Python Optimal Transport. 2021. https://jmlr.org/papers/v22/20-451.html
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core.types import Site
from htbench.steering.fitting.closed_form import MapsEachSite
from htbench.steering.fitting.transport import SourceSamples, TargetSamples, rounding_noise
from htbench.steering.intervention import LowRank


@dataclass(frozen=True, kw_only=True)
class BuresTransport(MapsEachSite):
    """A full matrix per site, kept as identity plus low rank."""

    ridge: float = 0.1
    """Multiple of the identity added to both covariances, as a share of the mean variance of a
    channel."""

    def fit_site(self, site: Site, source: SourceSamples, target: TargetSamples) -> LowRank:
        """The transport map between normal distributions fitted to the samples, in float64."""
        a, b = source.double(), target.double()
        variance = float((a.var(0, correction=0) + b.var(0, correction=0)).mean() / 2)
        floor = float(rounding_noise(torch.cat([source, target])).square().mean())
        # Samples that are all 0 need some diagonal, and any gives the identity.
        down, up = bures(a, b, diagonal=max(self.ridge * variance, floor) or 1.0)
        shift = b.mean(0) - a.mean(0) - a.mean(0) @ down @ up
        return LowRank({site: down.float()}, {site: up.float()}, {site: shift.float()})


def bures(
    source: Float[Tensor, "samples channels"],
    target: Float[Tensor, "others channels"],
    *,
    diagonal: float,
) -> tuple[Float[Tensor, "channels rank"], Float[Tensor, "rank channels"]]:
    """The two factors of `A - 1`, with `diagonal` added to the diagonal of both covariances."""
    a, b = source - source.mean(0), target - target.mean(0)
    basis = torch.linalg.qr(torch.cat([a, b]).T).Q
    identity = torch.eye(basis.shape[1], dtype=basis.dtype, device=basis.device)
    inner_a, inner_b = (
        (part @ basis).T @ (part @ basis) / len(part) + diagonal * identity for part in (a, b)
    )
    root, inverse = _power(inner_a, 0.5), _power(inner_a, -0.5)
    matrix = inverse @ _power(root @ inner_b @ root, 0.5) @ inverse
    return basis, (matrix - identity) @ basis.T


def _power(matrix: Float[Tensor, "rank rank"], exponent: float) -> Float[Tensor, "rank rank"]:
    values, vectors = torch.linalg.eigh(matrix)
    powered: Tensor = (
        vectors * values.clamp_min(torch.finfo(values.dtype).tiny).pow(exponent)
    ) @ vectors.T
    return powered
