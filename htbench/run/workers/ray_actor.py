"""A worker in a process of its own, which may be on another machine."""

import tempfile
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import cast

import ray

from htbench.core import device as devices
from htbench.core import errors
from htbench.core.errors import HtbenchError
from htbench.run.workers.messages import Fit, Fitted, Outfit, Portrait, Result, Task
from htbench.run.workers.worker import Worker


class Trouble:
    """An error that a user can mend, as a value: what travels keeps its exit code."""

    def __init__(self, error: HtbenchError) -> None:
        kinds = (errors.UsageError, errors.Incomplete, errors.Missing, errors.Refused)
        self._kind = next((kind.__name__ for kind in kinds if isinstance(error, kind)), "HtbenchError")
        self._cause, self._remedy = str(error), error.remedy

    def error(self) -> HtbenchError:
        """The error."""
        return cast(HtbenchError, getattr(errors, self._kind)(self._cause, remedy=self._remedy))


class Actor:
    """Does one task at a time; while it does, another thread turns the pictures of the task before into files."""

    def __init__(self, *, device: str | None, threads: int) -> None:
        self._device, self._threads = device, threads
        self._busy = Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="htbench-")
        self._known: dict[str, tuple[int, int]] = {}
        self._worker: Worker | None = None

    def load(self, outfit: Outfit) -> Portrait | Trouble:
        """Load the model and the scorers."""
        import torch

        torch.set_num_threads(self._threads)
        try:
            folder = Path(self._folder.name)
            self._worker = Worker(outfit, device=devices.choose(self._device), folder=folder, fetch=lru_cache(maxsize=256)(ray.get))
            return self._worker.portrait()
        except HtbenchError as error:
            return Trouble(error)

    def do(self, task: Task) -> Result | Trouble:
        """The result of `task`."""
        assert self._worker
        try:
            with self._busy:
                outcome = self._worker.begin(task)
            result = outcome() if callable(outcome) else outcome
        except HtbenchError as error:
            return Trouble(error)
        if isinstance(task, Fit) and isinstance(result, Fitted):
            return Fitted(methods=result.methods, files=self.kept())
        return result

    def kept(self) -> dict[str, bytes]:
        """What has been kept below the worker's folder since this was asked for last, by path."""
        root, found = Path(self._folder.name), {}
        for path in sorted(root.rglob("[!.]*")):
            name, about = path.relative_to(root).as_posix(), path.stat()
            stamp = about.st_mtime_ns, about.st_size
            if path.is_file() and self._known.get(name) != stamp:
                self._known[name] = stamp
                found[name] = path.read_bytes()
        return found
