"""Placement of workers on a cluster: their number, and the share of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor


@dataclass(frozen=True, kw_only=True)
class Node:
    """The resources of one machine."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The number of workers and the resources of each."""

    workers: int
    cpus: float
    gpus: float
    threads: int


def plan_placement(
    nodes: Sequence[Node], *, workers: int | None, on_gpu: bool, threads: int | None = None
) -> Placement:
    """The largest equal share of processors, and of GPUs if `on_gpu`, that fits all workers.

    Workers beyond the number of GPUs or of processors share one: a half each, a third. None: one
    worker per GPU, or one per machine.
    """
    count = workers or max(1, int(sum(node.gpus for node in nodes)) if on_gpu else len(nodes))
    node_cpus, node_gpus = [node.cpus for node in nodes], [node.gpus for node in nodes]
    fractions = (1 / k for k in range(1, count + 1))
    gpus = next((f for f in fractions if _capacity(node_gpus, f) >= count), 1 / count)
    most = floor(sum(node_cpus) / count)
    sizes = [*map(float, range(most, 0, -1)), *(1 / k for k in range(2, count + 1))]
    cpus = next((size for size in sizes if _capacity(node_cpus, size) >= count), 0.0)
    return Placement(
        workers=count,
        cpus=_round_down(cpus),
        gpus=_round_down(gpus) if on_gpu else 0.0,
        threads=threads or max(1, int(cpus)),
    )


def _capacity(amounts: Sequence[float], share: float) -> int:
    return sum(floor(amount / share + 1e-9) for amount in amounts)


def _round_down(amount: float) -> float:
    """`amount` with the four digits that Ray keeps, never rounded up."""
    return floor(amount * 10_000) / 10_000
