"""Trainable affine maps as a plain composition of PyTorch's operators: an oracle for ours."""

from collections.abc import Mapping

import torch
from torch import Tensor

from htbench.core.types import Site
from htbench.steering.model import Tap


def plain_tap(scale: Mapping[Site, Tensor], shift: Mapping[Site, Tensor]) -> Tap:
    """The differentiable tap `scale * z + shift`, in float32 or wider, at the sites of `scale`.

    Scale and shift of a site are of shape (channels), or (images, channels) with a row per image.
    """

    def tap(site: Site, z: Tensor) -> Tensor:
        if site not in scale:
            return z
        wide = z.to(torch.promote_types(z.dtype, torch.float32))
        gain, offset = (
            part if part.ndim == 1 else part[:, None] for part in (scale[site], shift[site])
        )
        return (offset + gain * wide).to(z.dtype)

    return tap
