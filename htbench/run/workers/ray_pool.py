"""A pool of workers on Ray, one actor per device, each with the model loaded.

This process assigns the tasks and is the only one that writes the store.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import ray
from ray.exceptions import RayError, RayTaskError

from htbench.core.display import Display
from htbench.core.errors import Incomplete, Missing, Refused
from htbench.run.plan import RunOptions
from htbench.run.store import Failure
from htbench.run.workers.messages import (
    AnyTask,
    CheckWords,
    EmbedImages,
    EmbedTexts,
    GeneratedBatch,
    GenerateResult,
    GenerateTask,
    Handle,
    Result,
    SteeringSource,
    Task,
    TrainResult,
    TrainTask,
    WorkerInfo,
    WorkerSetup,
)
from htbench.run.workers.placement import Node, Placement, plan_placement
from htbench.run.workers.ray_actor import RayActor, RemoteError
from htbench.run.workers.ray_files import SteeringFiles
from htbench.steering.baseline import Card
from htbench.steering.intervention import Intervention

_MAX_LOST_WORKERS = 3
"""Number of workers lost with one task from which it counts as the task's fault."""
_POLL_SECONDS = 30.0
"""Seconds between two collections of the files of a long training.

Also the seconds without a ready worker after which the user is warned.
"""
_ANSWER_SECONDS = 15.0
"""Seconds within which a cluster must answer."""
_RAY_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@contextmanager
def open_ray_pool(
    setup: WorkerSetup, options: RunOptions, *, folder: Path, display: Display
) -> Iterator["RayPool"]:
    """Workers on a cluster, or on this machine alone if no address is given.

    Raises:
        Missing: if there is no cluster, or its workers lack something.
    """
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    is_own_connection = not ray.is_initialized()
    if is_own_connection:
        _connect(options)
    workers = None
    try:
        nodes = _nodes()
        has_gpus = any(node.gpus for node in nodes)
        if options.device == "cuda" and not has_gpus:
            raise Missing(
                "there is no GPU that Ray knows of",
                remedy="Leave --device out to run on what there is.",
            )
        on_gpu = has_gpus and options.device != "cpu"
        placement = plan_placement(
            nodes, workers=options.workers, on_gpu=on_gpu, threads=options.threads
        )
        workers = RayPool(setup, placement, folder=folder, display=display, device=options.device)
        workers.wait_for_worker()
        yield workers
    except SystemError as error:  # Ray's compiled code turns an interrupt's exception into this
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None
    finally:
        if workers:
            workers.close()
        if is_own_connection:
            ray.shutdown()


def _nodes() -> list[Node]:
    """The machines of the cluster that are alive."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    return [Node(cpus=part.get("CPU", 0.0), gpus=part.get("GPU", 0.0)) for part in resources]


def _connect(options: RunOptions) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if options.ray is None:
        ray.init(address="local", include_dashboard=False, **quiet)
        return
    try:
        _check_answers(options.ray)
        ray.init(address=options.ray, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = "on this machine" if options.ray == "auto" else f"at {options.ray[:200]!r}"
        cause = " ".join(str(error).split())[:200]
        raise Missing(
            f"no Ray cluster {where}: {cause}",
            remedy="Start one with: ray start --head; or leave --ray out and give --workers.",
        ) from None


def _check_answers(address: str) -> None:
    """Raise an error if nobody answers at `host:port`; Ray itself would try for ten minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or "/" in address or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConnectionError(getattr(error, "strerror", None) or str(error)) from None


@dataclass
class _Assignment:
    """A task with the number of workers that were lost with it."""

    task: Task
    lost_workers: int = 0

    @property
    def is_short(self) -> bool:
        """True if a worker may hold this task while it does another."""
        return isinstance(self.task, GenerateTask | EmbedImages | EmbedTexts | CheckWords)


@dataclass(eq=False)
class _RayWorker:
    """A worker with the tasks that are assigned to it."""

    actor: Any
    number: int
    assignments: dict[Any, _Assignment] = field(default_factory=dict)
    """Assignments by the reference to their results."""

    @property
    def has_room(self) -> bool:
        """True if it takes another task: one at a time, or two short ones, so it never idles."""
        return len(self.assignments) < 2 and all(
            assignment.is_short for assignment in self.assignments.values()
        )

    @property
    def is_training(self) -> bool:
        """True if one of its tasks is the training of methods."""
        return any(isinstance(item.task, TrainTask) for item in self.assignments.values())


class RayPool:
    """Workers on Ray.

    The tasks of a worker that is lost go to others, and a new worker starts as soon as there is
    room for it.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        placement: Placement,
        *,
        folder: Path,
        display: Display,
        device: str | None,
    ) -> None:
        self.size = placement.workers
        self._setup = ray.put(setup)
        self._files = SteeringFiles(folder, setup.training_concepts)
        self._placement, self._display, self._device = placement, display, device
        self._workers: list[_RayWorker] = []
        self._starting: dict[Any, _RayWorker] = {}
        self._returned: deque[_Assignment] = deque()
        self._failed_starts, self._start_count, self._has_warned = 0, 0, False
        self._last_check = time.monotonic()
        self._info: WorkerInfo | None = None
        for _ in range(placement.workers):
            self._start_worker()

    @property
    def info(self) -> WorkerInfo:
        """Description of the model and encoders that all workers have loaded."""
        if self._info is None:
            raise RuntimeError("no worker has come yet")
        return self._info

    def wait_for_worker(self) -> None:
        """Wait until the first worker is ready; others join as they come."""
        while not self._workers:
            self._collect_results()

    def close(self) -> None:
        """Stop all workers."""
        for worker in [*self._workers, *self._starting.values()]:
            ray.kill(worker.actor)

    def run_tasks(self, supply: Callable[[], AnyTask | None]) -> Iterator[tuple[AnyTask, Result]]:
        while True:
            is_over = self._assign(supply)
            if is_over and not any(worker.assignments for worker in self._workers):
                return
            for assignment, result in self._collect_results():
                if isinstance(result, RemoteError):
                    raise result.to_exception()
                if isinstance(result, TrainResult):
                    self._files.write(result.files)
                yield cast(AnyTask, assignment.task), result  # all tasks are those of `supply`

    def put(self, intervention: Intervention) -> Handle:
        return ray.put(intervention)

    def steering_source(self, name: str, card: Card, *, seed: int) -> SteeringSource:
        return self._files.source(name, card, self.info, seed=seed)

    def _assign(self, supply: Callable[[], Task | None]) -> bool:
        """Assign tasks to free workers; return whether there are no more tasks for now."""
        while free := [worker for worker in self._workers if worker.has_room]:
            if self._returned:
                assignment = self._returned.popleft()
            elif task := supply():
                assignment = _Assignment(task)
            else:
                return True
            worker = min(free, key=lambda worker: len(worker.assignments))
            worker.assignments[worker.actor.run.remote(assignment.task)] = assignment
        return False

    def _collect_results(self) -> list[tuple[_Assignment, Result | RemoteError]]:
        """The results since the last call; waits until there is one."""
        under_way = {ref: worker for worker in self._workers for ref in worker.assignments}
        ready, _ = ray.wait([*under_way, *self._starting], timeout=_POLL_SECONDS)
        if time.monotonic() - self._last_check > _POLL_SECONDS:
            self._check_workers()
        results: list[tuple[_Assignment, Result | RemoteError]] = []
        for ref in ready:
            if ref in self._starting:
                self._add_worker(ref)
            elif ref in (worker := under_way[ref]).assignments:
                try:
                    result = ray.get(ref)
                except RayTaskError:
                    raise
                except RayError as error:
                    results += self._drop_worker(worker, error)
                else:
                    results.append((worker.assignments.pop(ref), result))
        return results

    def _start_worker(self) -> None:
        placement, self._start_count = self._placement, self._start_count + 1
        options = {
            "num_cpus": placement.cpus,
            "num_gpus": placement.gpus,
            "scheduling_strategy": "SPREAD",
            "max_concurrency": 3,
            "max_restarts": 0,
        }
        actor_class: Any = ray.remote(RayActor)
        actor = actor_class.options(**options).remote(
            device=self._device, threads=placement.threads
        )
        self._starting[actor.load.remote(self._setup)] = _RayWorker(
            actor=actor, number=self._start_count
        )

    def _add_worker(self, ref: Any) -> None:
        worker = self._starting.pop(ref)
        try:
            info = ray.get(ref)
        except RayTaskError:
            raise
        except RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_LOST_WORKERS and not self._workers:
                raise Missing(
                    f"no worker can be started: {_short(error)}",
                    remedy="See Ray's log of it, below /tmp/ray on its machine.",
                ) from None
            if self._failed_starts < _MAX_LOST_WORKERS:
                self._start_worker()
            return
        if isinstance(info, RemoteError):
            raise info.to_exception()
        self._failed_starts, self._has_warned = 0, False
        if self._info is None:
            workers = f"{self.size} x {self._placement.threads} threads"
            self._info = replace(info, environment={**info.environment, "workers": workers})
        _check_same_versions(info, self._info)
        self._workers.append(worker)
        self._display.info(f"worker {worker.number} is ready, {len(self._workers)} of {self.size}")

    def _drop_worker(self, worker: _RayWorker, error: RayError) -> list[tuple[_Assignment, Result]]:
        """Take back the tasks of a lost worker; return those that are given up, as failed.

        A task is given up when too many workers were lost with it.
        """
        self._workers.remove(worker)
        ray.kill(worker.actor)
        assignments = [
            replace(assignment, lost_workers=assignment.lost_workers + 1)
            for assignment in worker.assignments.values()
        ]
        self._display.warn(f"worker {worker.number} is lost, others take its work: {_short(error)}")
        self._returned.extendleft(
            assignment
            for assignment in reversed(assignments)
            if assignment.lost_workers < _MAX_LOST_WORKERS
        )
        self._start_worker()
        return [
            (assignment, _lost_result(assignment.task))
            for assignment in assignments
            if assignment.lost_workers >= _MAX_LOST_WORKERS
        ]

    def _check_workers(self) -> None:
        """Save the files of trainings under way, and warn once if there is no worker."""
        self._last_check = time.monotonic()
        if not self._workers and not self._has_warned:
            self._has_warned = True
            self._display.warn(
                "no worker is ready yet; ray status says whether there is room for one"
            )
        for worker in self._workers:
            if not worker.is_training:
                continue
            try:
                files = ray.get(worker.actor.new_files.remote(), timeout=_POLL_SECONDS)
            except RayError:
                continue  # its task will fail if it is lost
            self._files.write(files)


def _check_same_versions(worker: WorkerInfo, first: WorkerInfo) -> None:
    """Raise `Refused` if two workers would not generate the same images and scores."""
    encoders = [encoder.revision for encoder in worker.encoders]
    for what, here, there in (
        ("htbench", worker.environment["htbench"], version("htbench")),
        ("model", worker.revision, first.revision),
        ("scorers", encoders, [encoder.revision for encoder in first.encoders]),
    ):
        if here != there:
            raise Refused(
                f"a worker has another {what} than the rest: {here}, not {there}",
                remedy="Install the same on all machines of the cluster.",
            )


def _lost_result(task: Task) -> Result:
    why = f"{_MAX_LOST_WORKERS} workers were lost while they were at it"
    match task:
        case GenerateTask():
            failed = GeneratedBatch(
                image_keys=tuple(cell.image for cell in task.cells),
                failure=Failure(kind="generate", message=why),
            )
            return GenerateResult(batches=(failed,))
        case TrainTask() | EmbedImages() | EmbedTexts() | CheckWords():
            raise Incomplete(
                f"{why}: {type(task).__name__.lower()}", remedy="The same command continues."
            )
        case _:
            return Failure(kind="learn", message=why)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
