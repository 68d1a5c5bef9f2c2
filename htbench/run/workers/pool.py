"""The workers of a run: this process, or actors on Ray.

Both take the same tasks and give the same results.
"""

import gc
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from htbench.core import device
from htbench.core.display import Display
from htbench.core.errors import Missing, UsageError
from htbench.run.plan import RunOptions
from htbench.run.workers.messages import Pool, WorkerSetup


def uses_workers(options: RunOptions) -> bool:
    """True if the options ask for workers besides this process."""
    return options.ray is not None or (options.workers or 1) > 1


def check(options: RunOptions) -> None:
    """Check that the options can be met on this machine.

    Raises:
        Missing: if Ray is needed and not installed, or there is no such device.
        UsageError: if one GPU is named for several workers.
    """
    if not uses_workers(options):
        device.choose(options.device)
    elif options.device not in (None, "cpu", "cuda"):
        raise UsageError(
            f"device {options.device!r} cannot be that of every worker",
            remedy="Use --device cuda or cpu; Ray gives each worker a GPU of its own.",
        )
    elif not is_ray_installed():
        wish = "--ray" if options.ray is not None else f"--workers {options.workers}"
        raise Missing(
            f"{wish} needs Ray, which is not installed", remedy="pip install 'htbench[ray]'"
        )


def is_ray_installed() -> bool:
    """True if Ray can be imported."""
    try:
        return importlib.util.find_spec("ray") is not None
    except (ImportError, ValueError):
        return False


@contextmanager
def open_pool(
    setup: WorkerSetup, options: RunOptions, *, folder: Path, display: Display
) -> Iterator[Pool]:
    """A pool whose first worker is ready; trained methods are kept in `folder`."""
    if uses_workers(options):
        from htbench.run.workers import ray_pool

        with ray_pool.open_ray_pool(setup, options, folder=folder, display=display) as workers:
            yield workers
    else:
        import torch

        from htbench.run.workers.local import LocalPool
        from htbench.run.workers.worker import Worker

        before = torch.get_num_threads()
        torch.set_num_threads(options.threads or before)
        try:
            worker = Worker(setup, device=device.choose(options.device), folder=folder)
            # else each collection scans everything that was loaded: 2 % of the time of small images
            gc.freeze()
            yield LocalPool(worker)
        finally:
            gc.unfreeze()
            torch.set_num_threads(before)
