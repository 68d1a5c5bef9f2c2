"""Who does the work of a run: this process, or actors on Ray; both are handed the same tasks and give the same results."""

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
    """Whether there shall be workers besides this process."""
    return options.ray is not None or (options.workers or 1) > 1


def check(options: RunOptions) -> None:
    """Raise if what the user wants to run on cannot be had.

    Raises:
        Missing: if it takes Ray and that is not installed, or a device that this machine does not have.
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
    """Whether there is Ray."""
    try:
        return importlib.util.find_spec("ray") is not None
    except (ImportError, ValueError):
        return False


@contextmanager
def open_pool(
    setup: WorkerSetup, options: RunOptions, *, folder: Path, display: Display
) -> Iterator[Pool]:
    """A crew that is ready to work; what methods share between concepts is kept in `folder`."""
    if uses_workers(options):
        from htbench.run.workers import ray_pool

        with ray_pool.open_ray_pool(setup, options, folder=folder, display=display) as crew:
            yield crew
    else:
        import torch

        from htbench.run.workers.local import LocalPool
        from htbench.run.workers.worker import Worker

        before = torch.get_num_threads()
        torch.set_num_threads(options.threads or before)
        try:
            alone = LocalPool(Worker(setup, device=device.choose(options.device), folder=folder))
            gc.freeze()  # else each collection looks through all that was just loaded: 2 % of the time of small images
            yield alone
        finally:
            gc.unfreeze()
            torch.set_num_threads(before)
