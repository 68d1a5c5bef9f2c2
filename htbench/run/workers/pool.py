"""Who does the work of a run: this process, or actors on Ray; both are handed the same tasks and give the same results."""

import gc
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from htbench.core import device
from htbench.core.display import Voice
from htbench.core.errors import Missing, UsageError
from htbench.run.plan import Circumstances
from htbench.run.workers.messages import Crew, Outfit


def is_wanted(how: Circumstances) -> bool:
    """Whether there shall be workers besides this process."""
    return how.ray is not None or (how.workers or 1) > 1


def check(how: Circumstances) -> None:
    """Raise if what the user wants to run on cannot be had.

    Raises:
        Missing: if it takes Ray and that is not installed, or a device that this machine does not have.
        UsageError: if one GPU is named for several workers.
    """
    if not is_wanted(how):
        device.choose(how.device)
    elif how.device not in (None, "cpu", "cuda"):
        raise UsageError(f"device {how.device!r} cannot be that of every worker", remedy="Use --device cuda or cpu; Ray gives each worker a GPU of its own.")
    elif not is_installed():
        wish = "--ray" if how.ray is not None else f"--workers {how.workers}"
        raise Missing(f"{wish} needs Ray, which is not installed", remedy="pip install 'htbench[ray]'")


def is_installed() -> bool:
    """Whether there is Ray."""
    try:
        return importlib.util.find_spec("ray") is not None
    except (ImportError, ValueError):
        return False


@contextmanager
def hire(outfit: Outfit, how: Circumstances, *, folder: Path, voice: Voice) -> Iterator[Crew]:
    """A crew that is ready to work; what methods share between concepts is kept in `folder`."""
    if is_wanted(how):
        from htbench.run.workers import ray_pool

        with ray_pool.joined(outfit, how, folder=folder, voice=voice) as crew:
            yield crew
    else:
        import torch

        from htbench.run.workers.local import Alone
        from htbench.run.workers.worker import Worker

        before = torch.get_num_threads()
        torch.set_num_threads(how.threads or before)
        try:
            alone = Alone(Worker(outfit, device=device.choose(how.device), folder=folder))
            gc.freeze()  # else each collection looks through all that was just loaded: 2 % of the time of small images
            yield alone
        finally:
            gc.unfreeze()
            torch.set_num_threads(before)
