"""A worker: it has the model and the scorers loaded, and does one task after another."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import distributions
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from htbench.core import registry
from htbench.core.errors import HtbenchError
from htbench.run.store import Failure
from htbench.run.workers.batch import Studio, failure
from htbench.run.workers.messages import (
    Album,
    Change,
    Fit,
    Fitted,
    Look,
    Make,
    Outfit,
    Portrait,
    Read,
    Result,
    Scorer,
    Seen,
    Shared,
    Source,
    Spell,
    Spelt,
    Task,
    Towards,
)
from htbench.steering.baseline import Card
from htbench.steering.encoder import Encoder
from htbench.steering.intervention import Intervention
from htbench.steering.method import Learnt, learn_shared
from htbench.steering.model import HasFacts, Model, unknown_words

_NOTHING = torch.zeros(0, 0)
Fetch = Callable[[Any], Any]
"""From a handle to what it stands for."""


class Worker:
    """Loads an outfit on a device; what is learnt for all concepts is kept in `folder`."""

    def __init__(self, outfit: Outfit, *, device: str, folder: Path, fetch: Fetch = lambda handle: handle) -> None:
        self.model: Model = registry.model(outfit.model, device, outfit.loading)
        self.scorers: list[Encoder] = [registry.load("encoders", name)(device) for name in outfit.scorers or (self.model.scorer,)]
        self.folder = folder
        self._outfit, self._fetch = outfit, fetch
        self._learnt: dict[str, Learnt] = {}
        self._warm: set[str] = set()
        self._studio = Studio(self.model)
        self._text = lru_cache(maxsize=4096)(lambda scorer, words: self.scorers[scorer].texts([words])[0])

    def portrait(self) -> Portrait:
        """What others need to know of it."""
        model = self.model
        return Portrait(
            name=model.name, revision=model.revision, sites=dict(model.sites), device=model.device,
            facts=dict(model.facts()) if isinstance(model, HasFacts) else {},
            scorers=tuple(Scorer(name=each.name, revision=each.revision, scale=each.scale) for each in self.scorers),
            surroundings=_surroundings(model.device),
        )  # fmt: skip

    def begin(self, task: Task) -> Result | Callable[[], Result]:
        """The result of `task`, or what still has to be called for it, on any thread, while the next task is begun.

        Raises:
            HtbenchError: for whatever a user can mend, other than an image or an intervention that cannot be made.
        """
        match task:
            case Fit():
                return Fitted(methods={source.name: self._fit(source) for source in task.sources})
            case Towards():
                return self._towards(task)
            case Make():
                return self._make(task)
            case Look():
                return self._look(task)
            case Read():
                return Seen(images=_NOTHING, texts=self.scorers[task.scorer].texts(task.texts))
            case Spell():
                return Spelt(unknown=tuple(unknown_words(self.model, task.texts)))

    def _fit(self, source: Source) -> Shared | Failure:
        try:
            learnt = self._steering(source)
        except HtbenchError:
            raise
        except Exception as error:
            return failure(error, during="learn")
        return Shared(digest=learnt.digest, training=learnt.steering.training)

    def _steering(self, source: Source) -> Learnt:
        if source.name not in self._learnt:
            card = source.card if source.files is None else self._received(source)
            self._learnt[source.name] = learn_shared(card, self.model, self._outfit.concepts, folder=self.folder, seed=source.seed)
        return self._learnt[source.name]

    def _received(self, source: Source) -> Card:
        """The card of `source`, whose artifacts are among the files that came with it, which are written below the folder."""
        files: Mapping[str, bytes] = self._fetch(source.files)
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return source.card.model_copy(update={"artifacts": {name: self.folder / path for name, path in source.card.artifacts.items()}})

    def _towards(self, task: Towards) -> Change | Failure:
        try:
            steering = self._steering(task.source).steering
            if task.spare and task.source.name not in self._warm:
                steering.towards(task.spare)
            self._warm.add(task.source.name)
            self.model.synchronise()
            began = time.perf_counter()
            change = steering.towards(task.concept)
            self.model.synchronise()
            seconds = time.perf_counter() - began
            return Change(intervention=_on_cpu(change), seconds=seconds)
        except Exception as error:
            return failure(error, during="learn")

    def _make(self, task: Make) -> Callable[[], Album]:
        changes: dict[str, Intervention] = {name: self._fetch(handle) for name, handle in task.changes.items()}
        shots, notes = self._studio.make(task.pieces, changes, batch=task.batch)
        return lambda: Album(made=tuple(shot.developed() for shot in shots), notes=notes)

    def _look(self, task: Look) -> Seen:
        images = [Image.open(BytesIO(png)) for png in task.pngs]
        filler = images[-1:] * (-len(images) % task.batch)  # a vector may depend on the size of its batch, to the last bit
        vectors = self.scorers[task.scorer].images([*images, *filler])[: len(images)] if images else _NOTHING
        texts = [self._text(task.scorer, words) for words in task.texts]
        return Seen(images=vectors, texts=torch.stack(texts) if texts else _NOTHING)


def _on_cpu(change: Intervention) -> Intervention:
    tensors, settings = change.state()
    if all(tensor.device.type == "cpu" for tensor in tensors.values()):
        return change
    return change.restore({name: tensor.detach().cpu() for name, tensor in tensors.items()}, settings)


def _surroundings(device: str) -> dict[str, object]:
    installed = {package.metadata["Name"]: package.version for package in distributions()}
    return {
        **{name: installed.get(name, "not installed") for name in ("htbench", "torch", "diffusers", "transformers", "open_clip_torch")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
        "threads": torch.get_num_threads(),
        "device": "cpu" if device == "cpu" else torch.cuda.get_device_name(device),
    }
