"""Tensors of a file packed into one flat tensor per number format."""

import math
from collections.abc import Mapping

import torch
from pydantic import TypeAdapter
from torch import Tensor

from htbench.core import reading

Shapes = dict[str, dict[str, tuple[int, ...]]]
"""Shapes by name, by number format, in the order in which a flat tensor has them."""
_SHAPES = TypeAdapter(Shapes)


def pack(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Shapes]:
    """A flat tensor per number format, on the CPU, and the shapes of the tensors in it.

    Without tensors there is an empty one, `none`: a file has at least one.
    """
    formats: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        formats.setdefault(str(tensor.dtype).removeprefix("torch."), {})[name] = tensor.detach()
    flat = {
        dtype: torch.cat([tensor.flatten() for tensor in parts.values()]).cpu()
        for dtype, parts in formats.items()
    }
    shapes = {
        dtype: {name: tuple(tensor.shape) for name, tensor in parts.items()}
        for dtype, parts in formats.items()
    }
    return flat or {"none": torch.zeros(0)}, shapes


def unpack(stored: Mapping[str, Tensor], shapes: str | None) -> dict[str, Tensor]:
    """The tensors that `pack` has packed, given their shapes as JSON.

    None: the file is of version 0.1.0, and has the tensors one by one.

    Raises:
        ValueError: if `shapes` is no such table.
        KeyError: if it names a tensor that is not there.
        RuntimeError: if its shapes do not add up to the tensors.
    """
    if shapes is None:
        return {name: tensor for name, tensor in stored.items() if name != "none"}
    tensors: dict[str, Tensor] = {}
    for dtype, parts in _SHAPES.validate_python(reading.parse_json(shapes)).items():
        sizes = [math.prod(shape) for shape in parts.values()]
        pieces = zip(parts.items(), torch.split(stored[dtype], sizes), strict=True)
        tensors |= {name: piece.view(shape) for (name, shape), piece in pieces}
    return tensors
