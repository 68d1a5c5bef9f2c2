"""A worker in its own process, which may be on another machine."""

import tempfile
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import cast

import ray

from htbench.core import device as devices
from htbench.core import errors
from htbench.core.errors import HtbenchError
from htbench.run.workers.messages import (
    Result,
    Task,
    TrainResult,
    TrainTask,
    WorkerInfo,
    WorkerSetup,
)
from htbench.run.workers.worker import Worker


class RemoteError:
    """An error that a user can mend, as a value that keeps its exit code on the way."""

    def __init__(self, error: HtbenchError) -> None:
        kinds = (errors.UsageError, errors.Incomplete, errors.Missing, errors.Refused)
        self._kind = next(
            (kind.__name__ for kind in kinds if isinstance(error, kind)), "HtbenchError"
        )
        self._cause, self._remedy = str(error), error.remedy

    def to_exception(self) -> HtbenchError:
        """The error that this value stands for."""
        return cast(HtbenchError, getattr(errors, self._kind)(self._cause, remedy=self._remedy))


class RayActor:
    """A Ray actor with a worker that does one task at a time.

    Meanwhile another thread encodes the images of the previous task.
    """

    def __init__(self, *, device: str | None, threads: int) -> None:
        self._device, self._threads = device, threads
        self._busy = Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="htbench-")
        self._file_stamps: dict[str, tuple[int, int]] = {}
        self._worker: Worker | None = None

    def load(self, setup: WorkerSetup) -> WorkerInfo | RemoteError:
        """Load the model and the encoders."""
        import torch

        torch.set_num_threads(self._threads)
        try:
            folder = Path(self._folder.name)
            self._worker = Worker(
                setup,
                device=devices.choose(self._device),
                folder=folder,
                fetch=lru_cache(maxsize=256)(ray.get),
            )
            return self._worker.info()
        except HtbenchError as error:
            return RemoteError(error)

    def run(self, task: Task) -> Result | RemoteError:
        """The result of `task`."""
        assert self._worker
        try:
            with self._busy:
                outcome = self._worker.begin(task)
            result = outcome() if callable(outcome) else outcome
        except HtbenchError as error:
            return RemoteError(error)
        if isinstance(task, TrainTask) and isinstance(result, TrainResult):
            return TrainResult(steerings=result.steerings, files=self.new_files())
        return result

    def new_files(self) -> dict[str, bytes]:
        """Files that are new or changed below the worker's folder since the last call, by path."""
        root, files = Path(self._folder.name), {}
        for path in sorted(root.rglob("[!.]*")):
            name, stat = path.relative_to(root).as_posix(), path.stat()
            stamp = stat.st_mtime_ns, stat.st_size
            if path.is_file() and self._file_stamps.get(name) != stamp:
                self._file_stamps[name] = stamp
                files[name] = path.read_bytes()
        return files
