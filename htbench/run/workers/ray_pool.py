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
from htbench.core.display import Voice
from htbench.core.errors import Incomplete, Missing, Refused
from htbench.run.plan import Circumstances
from htbench.run.store import Failure
from htbench.run.workers.messages import Album, Fit, Fitted, Handle, Look, Made, Make, Outfit, Portrait, Read, Result, Source, Spell, Task
from htbench.run.workers.placement import Node, Share, share
from htbench.run.workers.ray_actor import Actor, Trouble
from htbench.steering.baseline import Card
from htbench.steering.intervention import Intervention
from htbench.steering.method import steering_key

_TRIES = 3
"""Workers that may be lost with one task before it counts as the task's fault."""
_PATIENCE = 30.0
"""Seconds between looks at what a worker that learns for long has kept, and before the user is told that no worker is ready."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@contextmanager
def joined(outfit: Outfit, how: Circumstances, *, folder: Path, voice: Voice) -> Iterator["Fleet"]:
    """Workers on a cluster, or on this machine alone if no address is given, until the end of the context.

    Raises:
        Missing: if there is no cluster, or its workers lack something.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    mine = not ray.is_initialized()
    if mine:
        _connect(how)
    fleet = None
    try:
        there: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        nodes = [Node(cpus=node["Resources"].get("CPU", 0.0), gpus=node["Resources"].get("GPU", 0.0)) for node in there if node["Alive"]]
        has_gpus = any(node.gpus for node in nodes)
        if how.device == "cuda" and not has_gpus:
            raise Missing("there is no GPU that Ray knows of", remedy="Leave --device out to run on what there is.")
        on_gpu = has_gpus and how.device != "cpu"
        fleet = Fleet(outfit, share(nodes, workers=how.workers, on_gpu=on_gpu, threads=how.threads), folder=folder, voice=voice, device=how.device)
        fleet.wait()
        yield fleet
    except SystemError as error:  # Ray's compiled code makes this of what an interrupt raises in it
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None
    finally:
        if fleet:
            fleet.dismiss()
        if mine:
            ray.shutdown()


def _connect(how: Circumstances) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if how.ray is None:
        ray.init(address="local", include_dashboard=False, **quiet)
        return
    try:
        ray.init(address=how.ray, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = "on this machine" if how.ray == "auto" else f"at {how.ray[:200]!r}"
        cause = " ".join(str(error).split())[:200]
        raise Missing(f"no Ray cluster {where}: {cause}", remedy="Start one with: ray start --head; or leave --ray out and give --workers.") from None


@dataclass
class _Errand:
    """A task with the number of workers that were lost with it."""

    task: Task
    lost: int = 0

    @property
    def is_brief(self) -> bool:
        """Whether a worker may have one in hand while it does another."""
        return isinstance(self.task, Make | Look | Read | Spell)


@dataclass(eq=False)
class _Member:
    """A worker, and what it has in hand."""

    actor: Any
    number: int
    errands: dict[Any, _Errand] = field(default_factory=dict)
    """By the reference to their results."""

    @property
    def has_room(self) -> bool:
        """One task at a time, or two brief ones, so that it never waits for the next."""
        return len(self.errands) < 2 and all(errand.is_brief for errand in self.errands.values())


class _Kept(NamedTuple):
    handle: Handle
    written: int
    there: str
    """Its name in a worker's folder."""


class Fleet:
    """Workers on Ray. One that is lost gives its tasks back, and another takes its place as soon as there is room."""

    def __init__(self, outfit: Outfit, each: Share, *, folder: Path, voice: Voice, device: str | None) -> None:
        self.size = each.workers
        self._concepts = outfit.concepts
        self._outfit, self._share, self._folder, self._voice, self._device = ray.put(outfit), each, folder, voice, device
        self._members: list[_Member] = []
        self._arriving: dict[Any, _Member] = {}
        self._back: deque[_Errand] = deque()
        self._stillborn, self._hired, self._told = 0, 0, False
        self._seen = time.monotonic()
        self._steerings: dict[Path, _Kept] = {}
        self._model: Portrait | None = None
        for _ in range(each.workers):
            self._recruit()

    @property
    def model(self) -> Portrait:
        """What all workers have loaded."""
        if self._model is None:
            raise RuntimeError("no worker has come yet")
        return self._model

    def wait(self) -> None:
        """Until the first worker is ready; others join as they come."""
        while not self._members:
            self._land()

    def dismiss(self) -> None:
        """Let all workers go."""
        for member in [*self._members, *self._arriving.values()]:
            ray.kill(member.actor)

    def work(self, supply: Callable[[], Task | None]) -> Iterator[tuple[Task, Result]]:
        while True:
            is_over = self._hand_out(supply)
            if is_over and not any(member.errands for member in self._members):
                return
            for errand, result in self._land():
                if isinstance(result, Trouble):
                    raise result.error()
                self._keep(result)
                yield errand.task, result

    def share(self, change: Intervention) -> Handle:
        return ray.put(change)

    def source(self, name: str, card: Card, *, seed: int) -> Source:
        key = steering_key(card, self.model.revision, self._concepts, seed=seed)
        shipped = card.artifacts.get(self.model.name)
        path = shipped or self._folder / f"steering-{key}"
        if not path.is_file():
            return Source(name=name, card=card, seed=seed, files=ray.put(self._unfinished(key)))
        written = path.stat().st_mtime_ns
        if path not in self._steerings or self._steerings[path].written != written:
            there = f".shipped-{content.file_digest(path)}" if shipped else path.name  # a worker gives back no file whose name starts with a dot
            self._steerings[path] = _Kept(ray.put({there: path.read_bytes()}), written, there)
        kept = self._steerings[path]
        if shipped:
            card = card.model_copy(update={"artifacts": {self.model.name: Path(kept.there)}})
        return Source(name=name, card=card, seed=seed, files=kept.handle)

    def _unfinished(self, key: str) -> dict[str, bytes]:
        """What an interrupted learning has kept."""
        paths = [path for part in (f"learning-{key}", "bank") for path in (self._folder / part).rglob("[!.]*") if path.is_file()]
        return {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in paths}

    def _hand_out(self, supply: Callable[[], Task | None]) -> bool:
        """Give tasks to whoever is free; gives whether there are no more for now."""
        while free := [member for member in self._members if member.has_room]:
            if self._back:
                errand = self._back.popleft()
            elif task := supply():
                errand = _Errand(task)
            else:
                return True
            member = min(free, key=lambda member: len(member.errands))
            member.errands[member.actor.do.remote(errand.task)] = errand
        return False

    def _land(self) -> list[tuple[_Errand, Result | Trouble]]:
        """What is done by now; waits until something is."""
        under_way = {ref: member for member in self._members for ref in member.errands}
        ready, _ = ray.wait([*under_way, *self._arriving], timeout=_PATIENCE)
        if time.monotonic() - self._seen > _PATIENCE:
            self._look_after()
        found: list[tuple[_Errand, Result | Trouble]] = []
        for ref in ready:
            if ref in self._arriving:
                self._welcome(ref)
            elif ref in (member := under_way[ref]).errands:
                try:
                    result = ray.get(ref)
                except RayTaskError:
                    raise
                except RayError as error:
                    found += self._lose(member, error)
                else:
                    found.append((member.errands.pop(ref), result))
        return found

    def _recruit(self) -> None:
        share, self._hired = self._share, self._hired + 1
        options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "scheduling_strategy": "SPREAD", "max_concurrency": 3, "max_restarts": 0}
        hire: Any = ray.remote(Actor)
        actor = hire.options(**options).remote(device=self._device, threads=share.threads)
        self._arriving[actor.load.remote(self._outfit)] = _Member(actor=actor, number=self._hired)

    def _welcome(self, ref: Any) -> None:
        member = self._arriving.pop(ref)
        try:
            portrait = ray.get(ref)
        except RayTaskError:
            raise
        except RayError as error:
            self._stillborn += 1
            if self._stillborn >= _TRIES and not self._members:
                raise Missing(f"no worker can be started: {_short(error)}", remedy="See Ray's log of it, below /tmp/ray on its machine.") from None
            if self._stillborn < _TRIES:
                self._recruit()
            return
        if isinstance(portrait, Trouble):
            raise portrait.error()
        self._stillborn, self._told = 0, False
        if self._model is None:
            workers = f"{self.size} x {self._share.threads} threads"
            self._model = replace(portrait, surroundings={**portrait.surroundings, "workers": workers})
        _check_alike(portrait, self._model)
        self._members.append(member)
        self._voice.say(f"worker {member.number} is ready, {len(self._members)} of {self.size}")

    def _lose(self, member: _Member, why: RayError) -> list[tuple[_Errand, Result]]:
        """Take back what a lost worker had in hand; gives what is given up, since too many were lost with it."""
        self._members.remove(member)
        ray.kill(member.actor)
        errands = [replace(errand, lost=errand.lost + 1) for errand in member.errands.values()]
        self._voice.warn(f"worker {member.number} is lost, others take its work: {_short(why)}")
        self._back.extendleft(errand for errand in reversed(errands) if errand.lost < _TRIES)
        self._recruit()
        return [(errand, _given_up(errand.task)) for errand in errands if errand.lost >= _TRIES]

    def _look_after(self) -> None:
        """Keep what a long learning has kept so far, and say once if there is nobody."""
        self._seen = time.monotonic()
        if not self._members and not self._told:
            self._told = True
            self._voice.warn("no worker is ready yet; ray status says whether there is room for one")
        for member in self._members:
            if any(isinstance(errand.task, Fit) for errand in member.errands.values()):
                try:
                    self._write(ray.get(member.actor.kept.remote(), timeout=_PATIENCE))
                except RayError:
                    continue  # its errand will tell if it is lost

    def _keep(self, result: Result) -> None:
        if isinstance(result, Fitted):
            self._write(result.files)

    def _write(self, files: "dict[str, bytes] | Any") -> None:
        for name, data in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}")
            fresh.write_bytes(data)
            fresh.replace(path)


def _check_alike(one: Portrait, other: Portrait) -> None:
    """Raise `Refused` if two workers would not make the same images and scores."""
    mine = version("htbench")
    for what, here, there in (
        ("htbench", one.surroundings["htbench"], mine),
        ("model", one.revision, other.revision),
        ("scorers", [each.revision for each in one.scorers], [each.revision for each in other.scorers]),
    ):
        if here != there:
            raise Refused(f"a worker has another {what} than the rest: {here}, not {there}", remedy="Install the same on all machines of the cluster.")


def _given_up(task: Task) -> Result:
    why = f"{_TRIES} workers were lost while they were at it"
    match task:
        case Make():
            failure = Failure(kind="generate", message=why)
            return Album(made=(Made(images=tuple(piece.image for piece in task.pieces), failure=failure),))
        case Fit() | Look() | Read() | Spell():
            raise Incomplete(f"{why}: {type(task).__name__.lower()}", remedy="The same command continues.")
        case _:
            return Failure(kind="learn", message=why)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
