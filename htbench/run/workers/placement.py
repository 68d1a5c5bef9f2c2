"""How a cluster is shared out: how many workers, and what each of them takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor


@dataclass(frozen=True, kw_only=True)
class Node:
    """What one machine has."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What each of so many workers takes."""

    workers: int
    cpus: float
    gpus: float
    threads: int


def plan_placement(
    nodes: Sequence[Node], *, workers: int | None, on_gpu: bool, threads: int | None = None
) -> Placement:
    """The largest equal share of processors, and of GPUs if `on_gpu`, that so many workers find room for.

    Workers beyond the number of GPUs or of processors share one: a half each, a third. None: one worker a GPU, or one a machine.
    """
    count = workers or max(1, int(sum(node.gpus for node in nodes)) if on_gpu else len(nodes))
    gpus = (
        next(
            1 / k
            for k in range(1, count + 1)
            if _capacity([node.gpus for node in nodes], 1 / k) >= count or k == count
        )
        if on_gpu
        else 0.0
    )
    most = floor(sum(node.cpus for node in nodes) / count)
    sizes = [*map(float, range(most, 0, -1)), *(1 / k for k in range(2, count + 1))]
    cpus = next(
        (size for size in sizes if _capacity([node.cpus for node in nodes], size) >= count), 0.0
    )
    return Placement(
        workers=count,
        cpus=_round_down(cpus),
        gpus=_round_down(gpus),
        threads=threads or max(1, int(cpus)),
    )


def _capacity(amounts: Sequence[float], share: float) -> int:
    return sum(floor(amount / share + 1e-9) for amount in amounts)


def _round_down(amount: float) -> float:
    """Four digits, which is what Ray keeps, never rounded up."""
    return floor(amount * 10_000) / 10_000
