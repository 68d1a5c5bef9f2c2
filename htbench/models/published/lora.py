"""Low-rank updates of a denoiser's weights, as a file of a distilled model has them.

References:
    Hu et al. LoRA: Low-Rank Adaptation of Large Language Models. 2021.
    https://arxiv.org/abs/2106.09685
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench.core import weights
from htbench.core.errors import Refused

_DOWN, _UP, _ALPHA = ".lora_down.weight", ".lora_up.weight", ".alpha"


@dataclass(frozen=True, kw_only=True)
class Update:
    """The update of one matrix, `scale * up @ down`."""

    weight: str
    """Name of the matrix in the network."""
    up: Float[Tensor, "outputs rank"]
    down: Float[Tensor, "rank inputs"]
    scale: float


def read(path: Path, network: Mapping[str, Tensor]) -> list[Update]:
    """The updates in a file, for a network with these weights.

    Raises:
        Refused: if the file is damaged, or has anything but updates of matrices of the network.
    """
    tensors = weights.read(path)
    modules = sorted(name.removesuffix(_DOWN) for name in tensors if name.endswith(_DOWN))
    expected = {module + end for module in modules for end in (_DOWN, _UP)}
    odd = sorted((tensors.keys() - {module + _ALPHA for module in modules}) ^ expected)
    updates = [] if odd else [_update(module, tensors) for module in modules]
    odd = odd or [
        update.weight
        for update in updates
        if update.weight not in network
        or network[update.weight].shape != (len(update.up), update.down.shape[1])
    ]
    if odd or not updates:
        what = f"such as {odd[0]!r}" if odd else "for it has none"
        raise Refused(
            f"low-rank updates {str(path)!r} are of another model, {what}",
            remedy="Give the file of this model.",
        )
    return updates


def add(network: nn.Module, updates: Iterable[Update]) -> None:
    """Add updates to the weights of a network, calculated in float32."""
    with torch.no_grad():
        for update in updates:
            weight = network.get_parameter(update.weight)
            change = update.scale * (update.up.float() @ update.down.float())
            weight.copy_(weight.float() + change.to(weight.device))


def _update(module: str, tensors: Mapping[str, Tensor]) -> Update:
    down = tensors[module + _DOWN]
    alpha = tensors.get(module + _ALPHA)
    scale = 1.0 if alpha is None else alpha.item() / len(down)
    return Update(weight=f"{module}.weight", up=tensors[module + _UP], down=down, scale=scale)
