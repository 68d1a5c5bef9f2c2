"""Threads of a CPU, chosen by the size of the work."""

from collections.abc import Iterator
from contextlib import contextmanager

SMALL_WORK = 1 << 29
"""Multiplications up to which work runs on one thread: about ten milliseconds of one core."""


@contextmanager
def for_work(multiplications: float, device: str) -> Iterator[None]:
    """One thread while inside, if so many multiplications take a CPU milliseconds; otherwise all.

    Threads wait for each other after every operator. Where another process has a core, each wait
    may last until the operating system gives the core back, which is longer than small operators
    take: one prediction took 478 ms on two threads beside a busy core, and 3.4 ms on one.
    """
    import torch

    before = torch.get_num_threads()
    if before == 1 or torch.device(device).type != "cpu" or multiplications > SMALL_WORK:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
