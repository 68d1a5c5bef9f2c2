"""A worker: a process with the model and the encoders loaded, which does one task at a time."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from htbench.core import registry
from htbench.core.errors import HtbenchError
from htbench.core.types import Digest
from htbench.run.sessions import machine
from htbench.run.store import Failure
from htbench.run.workers import activations
from htbench.run.workers.batch import BatchGenerator, failure_of
from htbench.run.workers.encoder_worker import EncoderWorker
from htbench.run.workers.messages import (
    CheckWords,
    FitResult,
    FitTask,
    GenerateResult,
    GenerateTask,
    MeasureActivations,
    PartFit,
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
from htbench.steering.derived import DerivedSteering
from htbench.steering.intervention import Intervention
from htbench.steering.method import Steering, TrainedMethod, load_or_train, towards_many
from htbench.steering.model import HasDetector, HasFacts, Model, unknown_words
from htbench.steering.text_limits import cut_texts

Fit = TypeVar("Fit")
Fetch = Callable[[Any], Any]
"""Returns the value that a handle stands for."""


class Worker(EncoderWorker):
    """A model and encoders on a device; trained methods are kept in `folder`."""

    def __init__(
        self, setup: WorkerSetup, *, device: str, folder: Path, fetch: Fetch = lambda handle: handle
    ) -> None:
        self.model: Model = registry.load_model(setup.model, device, setup.load_options)
        own = (self.model.scorer, self.model.concept_encoder)
        names = setup.encoders or (tuple(dict.fromkeys(own)) if setup.scores_by_both else own[:1])
        super().__init__(
            [registry.load("encoders", name)(device) for name in names], device=self.model.device
        )
        self.folder = folder
        self._setup, self._fetch = setup, fetch
        self._steerings: dict[tuple[str, int], TrainedMethod] = {}
        self._warmed_up: set[str] = set()
        self._generator = BatchGenerator(self.model)

    def info(self) -> WorkerInfo:
        """Description of the model, the encoders and the machine."""
        model = self.model
        return replace(
            super().info(),
            environment=_environment(model.device),
            name=model.name,
            revision=model.revision,
            sites=dict(model.sites),
            facts=dict(model.facts()) if isinstance(model, HasFacts) else {},
            detector=model.detector if isinstance(model, HasDetector) else "",
        )

    def begin(self, task: Task) -> Result | Callable[[], Result]:
        match task:
            case TrainTask():
                return TrainResult(
                    steerings={source.name: self._train(source) for source in task.sources}
                )
            case FitTask():
                return self._fit_concepts(task)
            case GenerateTask():
                return self._generate(task)
            case CheckWords():
                readers = (self.model, *self.encoders)
                cut = [text for reader in readers for text in cut_texts(reader, task.questions)]
                words = unknown_words(self.model, task.texts)
                return UnknownWords(words=words, cut=tuple(cut))
            case MeasureActivations():
                changes: dict[str, tuple[Intervention, float]] = {
                    method: (self._fetch(handle), strength)
                    for method, (handle, strength) in task.changes.items()
                }
                return activations.measure(self.model, task, changes)
            case _:
                return super().begin(task)

    def _train(self, source: SteeringSource) -> SteeringInfo | Failure:
        try:
            trained = self._steering(source)
        except HtbenchError:
            raise
        except Exception as error:
            return failure_of(error, during="learn")
        return SteeringInfo(digest=trained.digest, training=trained.training)

    def _steering(self, source: SteeringSource) -> TrainedMethod:
        key = source.name, source.seed
        if key not in self._steerings:
            card = source.card if source.files is None else self._write_files(source)
            self._steerings[key] = load_or_train(
                card,
                self.model,
                self._setup.training_concepts,
                folder=self.folder,
                seed=source.seed,
            )
        return self._steerings[key]

    def _write_files(self, source: SteeringSource) -> Card:
        """Write the files of `source` below the folder; return its card with artifacts there."""
        files: Mapping[str, bytes] = self._fetch(source.files)
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        artifacts = {name: self.folder / path for name, path in source.card.artifacts.items()}
        return source.card.model_copy(update={"artifacts": artifacts})

    def _fit_concepts(self, task: FitTask) -> FitResult | Failure:
        try:
            steering = self._steering(task.source).steering
            if isinstance(steering, DerivedSteering):
                return self._derive(steering, task)
            (first, *others), earlier = task.concepts, task.earlier
            if not others and first.digest in earlier:
                return FitResult(
                    interventions=(self._fetch(earlier[first.digest].intervention),),
                    seconds=earlier[first.digest].seconds,
                )
            self._warm_up(steering, task)
            interventions, seconds = self._time(partial(towards_many, steering, task.concepts))
            return FitResult(
                interventions=tuple(map(_on_cpu, interventions)),
                seconds=seconds / len(task.concepts),
            )
        except Exception as error:
            return failure_of(error, during="learn")

    def _derive(self, steering: DerivedSteering, task: FitTask) -> FitResult:
        """The intervention of a derived method, for which only new parts are fitted."""
        (concept,) = task.concepts
        wanted = steering.method.parts(concept)
        if any(part.digest not in task.earlier for part in wanted):
            self._warm_up(steering, task)
        fits: dict[Digest, PartFit] = {}
        for part in wanted:
            if earlier := task.earlier.get(part.digest):
                change, seconds = self._fetch(earlier.intervention), earlier.seconds
            else:
                fitted, seconds = self._time(partial(steering.base.towards, part))
                change = _on_cpu(fitted)
            fits[part.digest] = PartFit(concept=part, intervention=change, seconds=seconds)
        changes = [fits[part.digest].intervention for part in wanted]
        derived, seconds = self._time(partial(steering.method.derive, concept, changes))
        return FitResult(
            interventions=(_on_cpu(derived),),
            seconds=seconds + sum(fit.seconds for fit in fits.values()),
            parts=tuple(fit for digest, fit in fits.items() if digest not in task.earlier),
        )

    def _warm_up(self, steering: Steering, task: FitTask) -> None:
        """Make a first fit that is not timed, if the method is new here."""
        if task.warmup_concept and task.source.name not in self._warmed_up:
            steering.towards(task.warmup_concept)
        self._warmed_up.add(task.source.name)

    def _time(self, fit: Callable[[], Fit]) -> tuple[Fit, float]:
        """The result of `fit` and the seconds that it took."""
        self.model.synchronise()
        began = time.perf_counter()
        result = fit()
        self.model.synchronise()
        return result, time.perf_counter() - began

    def _generate(self, task: GenerateTask) -> Callable[[], GenerateResult]:
        interventions: dict[tuple[str, str], Intervention] = {
            key: self._fetch(handle) for key, handle in task.interventions.items()
        }
        batches, warnings = self._generator.generate(
            task.cells, interventions, batch_size=task.batch_size
        )
        return lambda: GenerateResult(
            batches=tuple(encode() for encode in batches), warnings=warnings
        )


def _on_cpu(intervention: Intervention) -> Intervention:
    tensors, settings = intervention.state()
    if all(tensor.device.type == "cpu" for tensor in tensors.values()):
        return intervention
    return intervention.restore(
        {name: tensor.detach().cpu() for name, tensor in tensors.items()}, settings
    )


def _environment(device: str) -> dict[str, object]:
    return {
        **machine(),
        "threads": torch.get_num_threads(),
        "device": "cpu" if device == "cpu" else torch.cuda.get_device_name(device),
    }
