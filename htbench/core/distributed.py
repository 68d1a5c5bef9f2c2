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

Input = TypeVar("Input")
Output = TypeVar("Output")


@contextmanager
def init(device: str | None) -> Iterator[str]:
    """Waits until all processes that torchrun started are there; gives this one's device, by default the GPU of its number on its machine."""
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield devices.choose(device)
        return
    local = int(os.environ["LOCAL_RANK"])
    own = devices.choose(
        f"cuda:{local}" if device in (None, "cuda") and torch.cuda.is_available() else device
    )
    on_gpu = own.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(own)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    try:
        yield own
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _is_distributed() else 1


def is_rank_0() -> bool:
    """Whether this is the one that writes files and speaks."""
    return not _is_distributed() or dist.get_rank() == 0


def shard(count: int) -> slice:
    """Which of `count` things are this process's."""
    return (
        slice(dist.get_rank(), count, dist.get_world_size()) if _is_distributed() else slice(count)
    )


def map_sharded(function: Callable[[Input], Output], items: Sequence[Input]) -> list[Output]:
    """What `make` gives for each of `things`, each made by one process and sent to all, for which tensors must be on the CPU."""
    own = [function(thing) for thing in items[shard(len(items))]]
    if not _is_distributed():
        return own
    parts: list[list[Output] | None] = [None] * world_size()
    dist.all_gather_object(parts, own)
    turns = [iter(part or ()) for part in parts]
    return [next(turns[k % world_size()]) for k in range(len(items))]


def from_rank_0(function: Callable[[], Output]) -> Output:
    """What `make` gives in the first process."""
    if not _is_distributed():
        return function()
    held = [function() if is_rank_0() else None]
    dist.broadcast_object_list(held, src=0)
    return cast(Output, held[0])


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over processes."""
    if _is_distributed():
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= world_size()
        for tensor, mean in zip(
            tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True
        ):
            tensor.copy_(mean.view_as(tensor))


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
