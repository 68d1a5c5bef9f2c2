"""Processes that train together, started by torchrun; a process that was started alone is a team of one.

Each does its share of a step's work on a device of its own, gradients are averaged, and all take the same step.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from htbench.core import device as devices

One = TypeVar("One")
Made = TypeVar("Made")


@contextmanager
def assembled(device: str | None) -> Iterator[str]:
    """Waits until all processes that torchrun started are there; gives this one's device, by default the GPU of its number on its machine."""
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield devices.choose(device)
        return
    local = int(os.environ["LOCAL_RANK"])
    own = devices.choose(f"cuda:{local}" if device in (None, "cuda") and torch.cuda.is_available() else device)
    on_gpu = own.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(own)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    try:
        yield own
    finally:
        dist.destroy_process_group()


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _is_several() else 1


def is_first() -> bool:
    """Whether this is the one that writes files and speaks."""
    return not _is_several() or dist.get_rank() == 0


def share(count: int) -> slice:
    """Which of `count` things are this process's."""
    return slice(dist.get_rank(), count, dist.get_world_size()) if _is_several() else slice(count)


def each(make: Callable[[One], Made], things: Sequence[One]) -> list[Made]:
    """What `make` gives for each of `things`, each made by one process and sent to all, for which tensors must be on the CPU."""
    own = [make(thing) for thing in things[share(len(things))]]
    if not _is_several():
        return own
    parts: list[list[Made] | None] = [None] * size()
    dist.all_gather_object(parts, own)
    turns = [iter(part or ()) for part in parts]
    return [next(turns[k % size()]) for k in range(len(things))]


def from_first(make: Callable[[], Made]) -> Made:
    """What `make` gives in the first process."""
    if not _is_several():
        return make()
    held = [make() if is_first() else None]
    dist.broadcast_object_list(held, src=0)
    return cast(Made, held[0])


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over processes."""
    if _is_several():
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= size()
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))


def _is_several() -> bool:
    return dist.is_available() and dist.is_initialized()
