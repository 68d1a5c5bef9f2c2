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
from htbench.run.workers.batch import BatchGenerator, failure_of
from htbench.run.workers.messages import (
    CheckWords,
    Embeddings,
    EmbedImages,
    EmbedTexts,
    EncoderInfo,
    FitResult,
    FitTask,
    GenerateResult,
    GenerateTask,
    Result,
    SteeringInfo,
    SteeringSource,
    Task,
    TrainResult,
    TrainTask,
    UnknownWords,
    WorkerInfo,
    WorkerSetup,
)
from htbench.steering.baseline import Card
from htbench.steering.encoder import Encoder
from htbench.steering.intervention import Intervention
from htbench.steering.method import TrainedMethod, load_or_train
from htbench.steering.model import HasFacts, Model, unknown_words

_EMPTY = torch.zeros(0, 0)
Fetch = Callable[[Any], Any]
"""From a handle to what it stands for."""


class Worker:
    """Loads an outfit on a device; what is learnt for all concepts is kept in `folder`."""

    def __init__(
        self, setup: WorkerSetup, *, device: str, folder: Path, fetch: Fetch = lambda handle: handle
    ) -> None:
        self.model: Model = registry.load_model(setup.model, device, setup.load_options)
        self.encoders: list[Encoder] = [
            registry.load("encoders", name)(device)
            for name in setup.encoders or (self.model.scorer,)
        ]
        self.folder = folder
        self._setup, self._fetch = setup, fetch
        self._steerings: dict[str, TrainedMethod] = {}
        self._warmed_up: set[str] = set()
        self._generator = BatchGenerator(self.model)
        self._text_embedding = lru_cache(maxsize=4096)(
            lambda scorer, words: self.encoders[scorer].texts([words])[0]
        )

    def info(self) -> WorkerInfo:
        """What others need to know of it."""
        model = self.model
        return WorkerInfo(
            name=model.name, revision=model.revision, sites=dict(model.sites), device=model.device,
            facts=dict(model.facts()) if isinstance(model, HasFacts) else {},
            encoders=tuple(EncoderInfo(name=each.name, revision=each.revision, scale=each.scale) for each in self.encoders),
            environment=_environment(model.device),
        )  # fmt: skip

    def begin(self, task: Task) -> Result | Callable[[], Result]:
        """The result of `task`, or what still has to be called for it, on any thread, while the next task is begun.

        Raises:
            HtbenchError: for whatever a user can mend, other than an image or an intervention that cannot be made.
        """
        match task:
            case TrainTask():
                return TrainResult(
                    steerings={source.name: self._train(source) for source in task.sources}
                )
            case FitTask():
                return self._fit_concept(task)
            case GenerateTask():
                return self._generate(task)
            case EmbedImages():
                return self._embed_images(task)
            case EmbedTexts():
                return Embeddings(
                    images=_EMPTY, texts=self.encoders[task.encoder].texts(task.texts)
                )
            case CheckWords():
                return UnknownWords(words=tuple(unknown_words(self.model, task.texts)))

    def _train(self, source: SteeringSource) -> SteeringInfo | Failure:
        try:
            learnt = self._steering(source)
        except HtbenchError:
            raise
        except Exception as error:
            return failure_of(error, during="learn")
        return SteeringInfo(digest=learnt.digest, training=learnt.steering.training)

    def _steering(self, source: SteeringSource) -> TrainedMethod:
        if source.name not in self._steerings:
            card = source.card if source.files is None else self._received(source)
            self._steerings[source.name] = load_or_train(
                card,
                self.model,
                self._setup.training_concepts,
                folder=self.folder,
                seed=source.seed,
            )
        return self._steerings[source.name]

    def _received(self, source: SteeringSource) -> Card:
        """The card of `source`, whose artifacts are among the files that came with it, which are written below the folder."""
        files: Mapping[str, bytes] = self._fetch(source.files)
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return source.card.model_copy(
            update={
                "artifacts": {
                    name: self.folder / path for name, path in source.card.artifacts.items()
                }
            }
        )

    def _fit_concept(self, task: FitTask) -> FitResult | Failure:
        try:
            steering = self._steering(task.source).steering
            if task.warmup_concept and task.source.name not in self._warmed_up:
                steering.towards(task.warmup_concept)
            self._warmed_up.add(task.source.name)
            self.model.synchronise()
            began = time.perf_counter()
            change = steering.towards(task.concept)
            self.model.synchronise()
            seconds = time.perf_counter() - began
            return FitResult(intervention=_on_cpu(change), seconds=seconds)
        except Exception as error:
            return failure_of(error, during="learn")

    def _generate(self, task: GenerateTask) -> Callable[[], GenerateResult]:
        changes: dict[str, Intervention] = {
            name: self._fetch(handle) for name, handle in task.interventions.items()
        }
        shots, notes = self._generator.generate(
            task.image_tasks, changes, batch_size=task.batch_size
        )
        return lambda: GenerateResult(
            batches=tuple(shot.encode() for shot in shots), warnings=notes
        )

    def _embed_images(self, task: EmbedImages) -> Embeddings:
        images = [Image.open(BytesIO(png)) for png in task.pngs]
        filler = images[-1:] * (
            -len(images) % task.batch_size
        )  # a vector may depend on the size of its batch, to the last bit
        vectors = (
            self.encoders[task.encoder].images([*images, *filler])[: len(images)]
            if images
            else _EMPTY
        )
        texts = [self._text_embedding(task.encoder, words) for words in task.texts]
        return Embeddings(images=vectors, texts=torch.stack(texts) if texts else _EMPTY)


def _on_cpu(intervention: Intervention) -> Intervention:
    tensors, settings = intervention.state()
    if all(tensor.device.type == "cpu" for tensor in tensors.values()):
        return intervention
    return intervention.restore(
        {name: tensor.detach().cpu() for name, tensor in tensors.items()}, settings
    )


def _environment(device: str) -> dict[str, object]:
    installed = {package.metadata["Name"]: package.version for package in distributions()}
    return {
        **{
            name: installed.get(name, "not installed")
            for name in ("htbench", "torch", "diffusers", "transformers", "open_clip_torch")
        },
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
        "threads": torch.get_num_threads(),
        "device": "cpu" if device == "cpu" else torch.cuda.get_device_name(device),
    }
