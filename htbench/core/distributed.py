"""Distributed training by processes that torchrun started; a process started alone is all of them.

Each does its share of a step's work on a device of its own; gradients are averaged, and all take
the same step.
"""

import os
import platform
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
    """Join the processes that torchrun started; gives this process's device.

    By default that is the GPU of the process's number on its machine.
    """
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield devices.choose(device)
        return
    local = int(os.environ["LOCAL_RANK"])
    if device in (None, "cuda") and torch.cuda.is_available():
        device = f"cuda:{local}"
    own_device = devices.choose(device)
    is_gpu = own_device.startswith("cuda")
    if is_gpu:
        torch.cuda.set_device(own_device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if is_gpu else "gloo")
    try:
        yield own_device
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _is_distributed() else 1


def describe_devices(device: str) -> str:
    """Name and number of the devices of all processes; `device` is that of this one."""
    name = (
        torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else f"CPU, {torch.get_num_threads()} threads ({platform.machine()})"
    )
    return name if world_size() == 1 else f"{world_size()} x {name}"


def is_rank_0() -> bool:
    """True if this is the process that writes files and prints."""
    return not _is_distributed() or dist.get_rank() == 0


def shard(count: int) -> slice:
    """This process's part of `count` items."""
    if not _is_distributed():
        return slice(count)
    return slice(dist.get_rank(), count, dist.get_world_size())


def map_sharded(function: Callable[[Input], Output], items: Sequence[Input]) -> list[Output]:
    """`function` of each item, each computed by one process and sent to all.

    Tensors in the results must be on the CPU.
    """
    own = [function(item) for item in items[shard(len(items))]]
    if not _is_distributed():
        return own
    parts: list[list[Output] | None] = [None] * world_size()
    dist.all_gather_object(parts, own)
    results = [iter(part or ()) for part in parts]
    return [next(results[k % world_size()]) for k in range(len(items))]


def from_rank_0(function: Callable[[], Output]) -> Output:
    """The result of `function` in the first process, sent to all."""
    if not _is_distributed():
        return function()
    results = [function() if is_rank_0() else None]
    dist.broadcast_object_list(results, src=0)
    return cast(Output, results[0])


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over processes."""
    if _is_distributed():
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= world_size()
        means = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
