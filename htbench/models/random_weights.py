"""Networks with random weights: drawn once, on the device, from a seed and the names of weights.

Libraries initialise a network on a CPU or several times over, which takes longer than all that is
timed afterwards. Times and memory depend on shapes alone, so one draw of any finite values will do.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from htbench.core import content

Network = TypeVar("Network", bound=nn.Module)
VERSION = 2
"""Raised where the same names give other weights; part of the revisions of what is drawn."""
_BLOCK = 262_139
"""Numbers that are drawn for one weight; longer ones repeat them, since a CPU draws 40 million a
second. A prime, so that rows of a matrix differ."""


def draw(build: Callable[[], Network], device: str, dtype: torch.dtype = torch.float32) -> Network:
    """The network that `build` makes, on `device`, with random weights that any input keeps finite.

    Matrices and kernels are normal with a variance of one over their inputs, biases 0, all other
    vectors 1; buffers and single numbers are those of `build`. On `meta` nothing has data.

    Args:
        build: makes the network; what it initialises is not calculated.
        device: kind of device and, for `cuda`, its number. Another kind of device draws others.
        dtype: number format of the weights, unless `build` names another.
    """
    with _without_data(device, dtype):
        network = build().eval().requires_grad_(False)
    if device == "meta":
        return network
    drawn: dict[int, nn.Parameter] = {}
    for name, weight in list(network.named_parameters(remove_duplicate=False)):
        if not weight.is_meta:
            continue
        if id(weight) not in drawn:  # one that several modules share stays one
            values = _draw_weight(name, weight, device)
            drawn[id(weight)] = nn.Parameter(values, requires_grad=False)
        owner, _, own_name = name.rpartition(".")
        setattr(network.get_submodule(owner), own_name, drawn[id(weight)])
    return network


@contextmanager
def _without_data(device: str, dtype: torch.dtype) -> Iterator[None]:
    """While inside, modules have buffers on `device` and weights of `dtype` without data."""
    before = torch.get_default_dtype()
    with (
        torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []),
        register_module_parameter_registration_hook(_drop_data),  # type: ignore[arg-type]
        torch.device(device),
    ):
        torch.manual_seed(0)
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def _drop_data(module: nn.Module, name: str, weight: nn.Parameter | None) -> nn.Parameter | None:
    if weight is None or weight.is_meta or not weight.ndim:
        return None  # as it is
    return nn.Parameter(weight.detach().to("meta"), requires_grad=weight.requires_grad)


def _draw_weight(name: str, weight: Tensor, device: str) -> Tensor:
    """The values of the weight `name`; those of one name and shape are always the same."""
    values = torch.empty(weight.shape, dtype=weight.dtype, device=device)
    if weight.ndim == 1:
        return values.fill_(0.0 if name.rpartition(".")[2].endswith("bias") else 1.0)
    seed = int(content.digest(name), 16) % 2**63
    inputs = weight[0].numel()
    random = torch.Generator(device).manual_seed(seed)
    first, *others = torch.split(values.view(-1), _BLOCK)
    first.normal_(0.0, inputs**-0.5, generator=random)
    for part in others:
        part.copy_(first[: len(part)])
    return values
