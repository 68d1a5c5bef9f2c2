"""Several concepts at once: the interventions of one method, each at a strength of its own."""

from collections.abc import Sequence

import torch

from htbench.core.errors import UsageError
from htbench.steering.intervention import Affine, Intervention, Rewrite
from htbench.steering.layout import union

Weighted = tuple[Intervention, float]
"""An intervention and its strength."""


def combine(parts: Sequence[Weighted]) -> Weighted:
    r"""One intervention, and its strength, for several that act together.

    Affine maps add up, :math:`T(z) = z + \sum_k s_k (w_k z + b_k - z)`, so their order does not
    matter; prompts ask for one concept after the other. One part alone is returned as it is, and
    parts at strength 0 are left out.

    Raises:
        UsageError: if several act that are neither all affine without a support nor all prompts.
    """
    acting = [(change, strength) for change, strength in parts if strength != 0]
    if not acting:
        return Intervention(), 0.0
    if len(acting) == 1:
        return acting[0]
    affine = [change for change, _ in acting if isinstance(change, Affine)]
    if len(affine) == len(acting) and not any(change.has_support for change in affine):
        return _sum(affine, [strength for _, strength in acting]), 1.0
    prompts = [(change, at) for change, at in acting if isinstance(change, Rewrite)]
    if len(prompts) == len(acting):
        template = "{prompt}"
        for change, strength in prompts:
            (template,) = change.prompts(template, strength=strength)
        return Rewrite(more=template, less=template), 1.0
    raise UsageError(
        "this method steers towards one concept at a time",
        remedy="Set the others to 0, or choose a method with affine maps.",
    )


def _sum(changes: Sequence[Affine], strengths: Sequence[float]) -> Affine:
    layout = union(*(change.layout for change in changes))
    identity = torch.tensor([[1.0], [0.0]])
    moves = torch.stack([change.over(layout).float() - identity for change in changes])
    weights = torch.tensor(strengths)[:, None, None]
    return Affine.from_flat(identity + (weights * moves).sum(0), layout)
