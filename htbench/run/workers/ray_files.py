"""Files of trained methods, which workers on other machines get through Ray's object store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray

from htbench.core import content
from htbench.run.workers.messages import Handle, SteeringSource, WorkerInfo
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.training import steering_key


@dataclass(frozen=True, kw_only=True)
class _SharedFile:
    handle: Handle
    modified_at: int
    worker_file: str
    """Its name in a worker's folder."""


class SteeringFiles:
    """The files of trained methods in `folder`, each put into the object store once."""

    def __init__(self, folder: Path, training_concepts: Sequence[Concept]) -> None:
        self._folder, self._training_concepts = folder, training_concepts
        self._shared: dict[Path, _SharedFile] = {}

    def source(self, name: str, card: Card, model: WorkerInfo, *, seed: int) -> SteeringSource:
        """The source of a method's steering: its file, or what an interrupted training has left."""
        key = steering_key(card, model.revision, self._training_concepts, seed=seed)
        shipped = card.artifact(model.name)
        path = shipped or self._folder / f"steering-{key}"
        if not path.is_file():
            files = ray.put(self._partial_files(key))
            return SteeringSource(name=name, card=card, seed=seed, files=files)
        shared = self._share(path, is_shipped=shipped is not None)
        if shipped:
            card = card.model_copy(update={"artifacts": {model.name: Path(shared.worker_file)}})
        return SteeringSource(name=name, card=card, seed=seed, files=shared.handle)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files from a worker, by path below the folder."""
        for name, data in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content.write_whole(path, data)

    def _share(self, path: Path, *, is_shipped: bool) -> _SharedFile:
        modified_at = path.stat().st_mtime_ns
        if path not in self._shared or self._shared[path].modified_at != modified_at:
            # a worker returns no file whose name starts with a dot
            name = f".shipped-{content.file_digest(path)}" if is_shipped else path.name
            handle = ray.put({name: path.read_bytes()})
            self._shared[path] = _SharedFile(
                handle=handle, modified_at=modified_at, worker_file=name
            )
        return self._shared[path]

    def _partial_files(self, key: str) -> dict[str, bytes]:
        paths = [
            path
            for part in (f"learning-{key}", "bank")
            for path in (self._folder / part).rglob("[!.]*")
            if path.is_file()
        ]
        return {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in paths}
