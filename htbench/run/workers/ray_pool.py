"""A crew on Ray: one actor a device, with the model loaded. This process hands out tasks and alone writes the store."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError, RayTaskError

from htbench.core import content
from htbench.core.display import Display
from htbench.core.errors import Incomplete, Missing, Refused
from htbench.run.plan import RunOptions
from htbench.run.store import Failure
from htbench.run.workers.messages import (
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
from htbench.steering.baseline import Card
from htbench.steering.intervention import Intervention
from htbench.steering.method import steering_key

_MAX_LOST_WORKERS = 3
"""Workers that may be lost with one task before it counts as the task's fault."""
_POLL_SECONDS = 30.0
"""Seconds between looks at what a worker that learns for long has kept, and before the user is told that no worker is ready."""
_RAY_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@contextmanager
def open_ray_pool(
    setup: WorkerSetup, options: RunOptions, *, folder: Path, display: Display
) -> Iterator["RayPool"]:
    """Workers on a cluster, or on this machine alone if no address is given, until the end of the context.

    Raises:
        Missing: if there is no cluster, or its workers lack something.
    """
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    mine = not ray.is_initialized()
    if mine:
        _connect(options)
    fleet = None
    try:
        there: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        nodes = [
            Node(cpus=node["Resources"].get("CPU", 0.0), gpus=node["Resources"].get("GPU", 0.0))
            for node in there
            if node["Alive"]
        ]
        has_gpus = any(node.gpus for node in nodes)
        if options.device == "cuda" and not has_gpus:
            raise Missing(
                "there is no GPU that Ray knows of",
                remedy="Leave --device out to run on what there is.",
            )
        on_gpu = has_gpus and options.device != "cpu"
        fleet = RayPool(
            setup,
            plan_placement(nodes, workers=options.workers, on_gpu=on_gpu, threads=options.threads),
            folder=folder,
            display=display,
            device=options.device,
        )
        fleet.wait_for_worker()
        yield fleet
    except SystemError as error:  # Ray's compiled code makes this of what an interrupt raises in it
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None
    finally:
        if fleet:
            fleet.close()
        if mine:
            ray.shutdown()


def _connect(options: RunOptions) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if options.ray is None:
        ray.init(address="local", include_dashboard=False, **quiet)
        return
    try:
        ray.init(address=options.ray, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = "on this machine" if options.ray == "auto" else f"at {options.ray[:200]!r}"
        cause = " ".join(str(error).split())[:200]
        raise Missing(
            f"no Ray cluster {where}: {cause}",
            remedy="Start one with: ray start --head; or leave --ray out and give --workers.",
        ) from None


@dataclass
class _Assignment:
    """A task with the number of workers that were lost with it."""

    task: Task
    lost_workers: int = 0

    @property
    def is_short(self) -> bool:
        """Whether a worker may have one in hand while it does another."""
        return isinstance(self.task, GenerateTask | EmbedImages | EmbedTexts | CheckWords)


@dataclass(eq=False)
class _RayWorker:
    """A worker, and what it has in hand."""

    actor: Any
    number: int
    assignments: dict[Any, _Assignment] = field(default_factory=dict)
    """By the reference to their results."""

    @property
    def has_room(self) -> bool:
        """One task at a time, or two brief ones, so that it never waits for the next."""
        return len(self.assignments) < 2 and all(
            errand.is_short for errand in self.assignments.values()
        )


class _SteeringFiles(NamedTuple):
    handle: Handle
    modified_at: int
    worker_file: str
    """Its name in a worker's folder."""


class RayPool:
    """Workers on Ray. One that is lost gives its tasks back, and another takes its place as soon as there is room."""

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
        self._training_concepts = setup.training_concepts
        self._setup, self._placement, self._folder, self._display, self._device = (
            ray.put(setup),
            placement,
            folder,
            display,
            device,
        )
        self._workers: list[_RayWorker] = []
        self._starting: dict[Any, _RayWorker] = {}
        self._returned: deque[_Assignment] = deque()
        self._failed_starts, self._start_count, self._has_warned = 0, 0, False
        self._last_check = time.monotonic()
        self._steering_files: dict[Path, _SteeringFiles] = {}
        self._info: WorkerInfo | None = None
        for _ in range(placement.workers):
            self._start_worker()

    @property
    def info(self) -> WorkerInfo:
        """What all workers have loaded."""
        if self._info is None:
            raise RuntimeError("no worker has come yet")
        return self._info

    def wait_for_worker(self) -> None:
        """Until the first worker is ready; others join as they come."""
        while not self._workers:
            self._collect_results()

    def close(self) -> None:
        """Let all workers go."""
        for member in [*self._workers, *self._starting.values()]:
            ray.kill(member.actor)

    def run_tasks(self, supply: Callable[[], Task | None]) -> Iterator[tuple[Task, Result]]:
        while True:
            is_over = self._assign(supply)
            if is_over and not any(member.assignments for member in self._workers):
                return
            for errand, result in self._collect_results():
                if isinstance(result, RemoteError):
                    raise result.to_exception()
                self._save_result(result)
                yield errand.task, result

    def put(self, intervention: Intervention) -> Handle:
        return ray.put(intervention)

    def steering_source(self, name: str, card: Card, *, seed: int) -> SteeringSource:
        key = steering_key(card, self.info.revision, self._training_concepts, seed=seed)
        shipped = card.artifacts.get(self.info.name)
        path = shipped or self._folder / f"steering-{key}"
        if not path.is_file():
            return SteeringSource(
                name=name, card=card, seed=seed, files=ray.put(self._partial_files(key))
            )
        written = path.stat().st_mtime_ns
        if path not in self._steering_files or self._steering_files[path].modified_at != written:
            there = (
                f".shipped-{content.file_digest(path)}" if shipped else path.name
            )  # a worker gives back no file whose name starts with a dot
            self._steering_files[path] = _SteeringFiles(
                ray.put({there: path.read_bytes()}), written, there
            )
        kept = self._steering_files[path]
        if shipped:
            card = card.model_copy(update={"artifacts": {self.info.name: Path(kept.worker_file)}})
        return SteeringSource(name=name, card=card, seed=seed, files=kept.handle)

    def _partial_files(self, key: str) -> dict[str, bytes]:
        """What an interrupted learning has kept."""
        paths = [
            path
            for part in (f"learning-{key}", "bank")
            for path in (self._folder / part).rglob("[!.]*")
            if path.is_file()
        ]
        return {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in paths}

    def _assign(self, supply: Callable[[], Task | None]) -> bool:
        """Give tasks to whoever is free; gives whether there are no more for now."""
        while free := [member for member in self._workers if member.has_room]:
            if self._returned:
                errand = self._returned.popleft()
            elif task := supply():
                errand = _Assignment(task)
            else:
                return True
            member = min(free, key=lambda member: len(member.assignments))
            member.assignments[member.actor.run.remote(errand.task)] = errand
        return False

    def _collect_results(self) -> list[tuple[_Assignment, Result | RemoteError]]:
        """What is done by now; waits until something is."""
        under_way = {ref: member for member in self._workers for ref in member.assignments}
        ready, _ = ray.wait([*under_way, *self._starting], timeout=_POLL_SECONDS)
        if time.monotonic() - self._last_check > _POLL_SECONDS:
            self._check_workers()
        found: list[tuple[_Assignment, Result | RemoteError]] = []
        for ref in ready:
            if ref in self._starting:
                self._add_worker(ref)
            elif ref in (member := under_way[ref]).assignments:
                try:
                    result = ray.get(ref)
                except RayTaskError:
                    raise
                except RayError as error:
                    found += self._drop_worker(member, error)
                else:
                    found.append((member.assignments.pop(ref), result))
        return found

    def _start_worker(self) -> None:
        share, self._start_count = self._placement, self._start_count + 1
        options = {
            "num_cpus": share.cpus,
            "num_gpus": share.gpus,
            "scheduling_strategy": "SPREAD",
            "max_concurrency": 3,
            "max_restarts": 0,
        }
        hire: Any = ray.remote(RayActor)
        actor = hire.options(**options).remote(device=self._device, threads=share.threads)
        self._starting[actor.load.remote(self._setup)] = _RayWorker(
            actor=actor, number=self._start_count
        )

    def _add_worker(self, ref: Any) -> None:
        member = self._starting.pop(ref)
        try:
            portrait = ray.get(ref)
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
        if isinstance(portrait, RemoteError):
            raise portrait.to_exception()
        self._failed_starts, self._has_warned = 0, False
        if self._info is None:
            workers = f"{self.size} x {self._placement.threads} threads"
            self._info = replace(portrait, environment={**portrait.environment, "workers": workers})
        _check_same_versions(portrait, self._info)
        self._workers.append(member)
        self._display.info(f"worker {member.number} is ready, {len(self._workers)} of {self.size}")

    def _drop_worker(self, member: _RayWorker, why: RayError) -> list[tuple[_Assignment, Result]]:
        """Take back what a lost worker had in hand; gives what is given up, since too many were lost with it."""
        self._workers.remove(member)
        ray.kill(member.actor)
        errands = [
            replace(errand, lost_workers=errand.lost_workers + 1)
            for errand in member.assignments.values()
        ]
        self._display.warn(f"worker {member.number} is lost, others take its work: {_short(why)}")
        self._returned.extendleft(
            errand for errand in reversed(errands) if errand.lost_workers < _MAX_LOST_WORKERS
        )
        self._start_worker()
        return [
            (errand, _lost_result(errand.task))
            for errand in errands
            if errand.lost_workers >= _MAX_LOST_WORKERS
        ]

    def _check_workers(self) -> None:
        """Keep what a long learning has kept so far, and say once if there is nobody."""
        self._last_check = time.monotonic()
        if not self._workers and not self._has_warned:
            self._has_warned = True
            self._display.warn(
                "no worker is ready yet; ray status says whether there is room for one"
            )
        for member in self._workers:
            if any(isinstance(errand.task, TrainTask) for errand in member.assignments.values()):
                try:
                    self._write_files(
                        ray.get(member.actor.new_files.remote(), timeout=_POLL_SECONDS)
                    )
                except RayError:
                    continue  # its errand will tell if it is lost

    def _save_result(self, result: Result) -> None:
        if isinstance(result, TrainResult):
            self._write_files(result.files)

    def _write_files(self, files: "dict[str, bytes] | Any") -> None:
        for name, data in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}")
            fresh.write_bytes(data)
            fresh.replace(path)


def _check_same_versions(one: WorkerInfo, other: WorkerInfo) -> None:
    """Raise `Refused` if two workers would not make the same images and scores."""
    mine = version("htbench")
    for what, here, there in (
        ("htbench", one.environment["htbench"], mine),
        ("model", one.revision, other.revision),
        (
            "scorers",
            [each.revision for each in one.encoders],
            [each.revision for each in other.encoders],
        ),
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
            failure = Failure(kind="generate", message=why)
            return GenerateResult(
                batches=(
                    GeneratedBatch(
                        image_keys=tuple(piece.image_key for piece in task.image_tasks),
                        failure=failure,
                    ),
                )
            )
        case TrainTask() | EmbedImages() | EmbedTexts() | CheckWords():
            raise Incomplete(
                f"{why}: {type(task).__name__.lower()}", remedy="The same command continues."
            )
        case _:
            return Failure(kind="learn", message=why)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
