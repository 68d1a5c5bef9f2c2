"""A control: changes of mean activations, predicted by kernel ridge regression from an embedding.

The regression, fitted in closed form to the training concepts, gives a new concept's change of mean
activation at every site. One run of neutral images then finds the shifts that make these changes,
site after site: it is `mean-shift` with predicted means in place of those of target images. No
gradient is taken anywhere, so it tells what training a hypernetwork end to end adds. The card
`ridge`, in contrast, regresses maps that another method has fitted to each training concept.

References:
    Cawley and Talbot. Fast Exact Leave-One-Out Cross-Validation of Sparse Least-Squares Support
    Vector Machines. 2004. https://doi.org/10.1016/j.neunet.2004.07.002
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from htbench.core import distributed, registry
from htbench.core.errors import UsageError
from htbench.core.phase import phase
from htbench.core.types import Site
from htbench.steering import steering_file
from htbench.steering.concept import Concept
from htbench.steering.encoder import Condition, Encoder, embed
from htbench.steering.fitting import kernel_ridge
from htbench.steering.fitting.concept_means import (
    NeutralImages,
    make_changes,
    measure_changes,
    measure_neutral,
)
from htbench.steering.fitting.kernel_ridge import Kernel, KernelRidge
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import fitting_images, refuse_other_origin
from htbench.steering.model import Model, Request, select_sites
from htbench.steering.steering_file import SteeringRecord, Strict
from htbench.steering.training import Training, training_digest


@dataclass(frozen=True, kw_only=True)
class PredictedMeans:
    """Settings of the regression and of the images that means are taken over.

    The kernel's width and the ridge penalty are not settings: they are those of least leave-one-out
    error on the training concepts, each site's relative to its variance (`kernel_ridge.fit`).
    """

    condition: Condition = "text"
    """Modality that concepts are embedded from. A training concept without reference images is
    embedded from the model's own images of it."""
    encoder: str = ""
    """Name of the encoder of concepts; empty: the model's `concept_encoder`."""
    kernel: Kernel = "rbf"
    samples: Annotated[int, Field(ge=1)] = 16
    """Images per training concept, and neutral images that a new concept's shifts are found on."""
    sites: tuple[str, ...] = ("*",)
    """Glob patterns of sites, as `select_sites` takes them."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> "MeansPredictor":
        """Measure the means of `concepts`, which are kept beside `folder`, and fit the regression.

        Raises:
            UsageError: for fewer than two concepts.
        """
        if len(concepts) < 2:
            raise UsageError(
                f"a regression learns from many concepts, not {len(concepts)}",
                remedy="Use a concept set with a train split.",
            )
        sites = select_sites(model, self.sites)
        began = time.perf_counter()
        encoder = _load_encoder(self.encoder or model.concept_encoder, model)
        neutral = measure_neutral(model, *fitting_images(concepts[0], self.samples, seed=seed)[0])
        embeddings = self._embed_training_concepts(encoder, model, concepts, neutral)
        prepared = time.perf_counter() - began
        means = measure_changes(model, concepts, neutral, folder=folder and folder.parent / "means")
        changes = {site: means.changes[site] for site in sites}
        began = time.perf_counter()
        with phase("train"):
            outputs = (values.cpu() for values in changes.values())
            regression = kernel_ridge.fit(embeddings, outputs, kernel=self.kernel)
        prepared += time.perf_counter() - began
        training = Training(
            seconds=means.seconds + prepared * distributed.world_size(),
            device=distributed.describe_devices(model.device),
            concepts=tuple(concept.id for concept in concepts),
            encoders=(encoder.name,),
            concepts_digest=training_digest(concepts),
        )
        return MeansPredictor(
            condition=self.condition,
            model=model,
            encoder=encoder,
            regression=regression,
            changes=changes,
            neutral=neutral,
            training=training,
        )

    def load(self, model: Model, path: Path, *, seed: int) -> "MeansPredictor":
        """The steering saved at `path`.

        Raises:
            Refused: if the file is damaged, or was made for another model, encoder or modality.
        """
        file = steering_file.read(path, MeansRecord)
        record = file.record
        encoder = _load_encoder(file.encoder, model)
        expected = [
            ("model", record.model, (model.name, model.revision)),
            ("encoder", record.encoder, encoder.revision),
            ("modality", record.condition, self.condition),
        ]
        refuse_other_origin(f"steering {str(path)!r} was trained", expected)
        count, widths = len(record.training.concepts), file.channels(record.sites, model)
        shapes = {
            "inputs": (count, encoder.width),
            **{f"changes/{site}": (count, channels) for site, channels in widths.items()},
            **{f"neutral/{site}": (record.steps, channels) for site, channels in widths.items()},
        }
        tensors = file.tensors(shapes)
        changes, means = (
            {site: tensors[f"{part}/{site}"].to(model.device) for site in widths}
            for part in ("changes", "neutral")
        )
        return MeansPredictor(
            condition=self.condition,
            model=model,
            encoder=encoder,
            regression=record.regression.restore(tensors["inputs"]),
            changes=changes,
            neutral=NeutralImages(prompts=record.prompts, seeds=record.seeds, means=means),
            training=file.training,
        )

    def _embed_training_concepts(
        self,
        encoder: Encoder,
        model: Model,
        concepts: Sequence[Concept],
        neutral: NeutralImages,
    ) -> Float[Tensor, "concepts features"]:
        def embed_one(concept: Concept) -> Float[Tensor, "1 features"]:
            if self.condition == "text" or concept.references:
                return _embed(encoder, concept, self.condition)
            requests = [
                Request(
                    prompt=concept.target(prompt),
                    seed=seed,
                    intervention=Intervention(),
                    strength=0.0,
                )
                for prompt, seed in zip(neutral.prompts, neutral.seeds, strict=True)
            ]
            vectors = encoder.images(model.generate(requests))
            return torch.nn.functional.normalize(vectors.mean(0, keepdim=True), dim=-1)

        with phase("extract"):
            return torch.cat(distributed.map_sharded(embed_one, concepts))


class RegressionRecord(Strict):
    """The numbers of a `KernelRidge`."""

    width: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    penalty: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    explained: float | None
    """None: not a number."""

    def restore(self, inputs: Float[Tensor, "training features"]) -> KernelRidge:
        """The regression on these inputs."""
        explained = math.nan if self.explained is None else self.explained
        return KernelRidge(
            inputs=inputs, width=self.width, penalty=self.penalty, explained=explained
        )


class MeansRecord(SteeringRecord):
    """The record of a fitted regression."""

    key = "means"
    condition: Condition
    regression: RegressionRecord
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    sites: tuple[str, ...]
    steps: Annotated[int, Field(ge=1, le=1000)] = 1
    """Steps of the model."""


@dataclass(frozen=True, kw_only=True)
class MeansPredictor:
    """A fitted regression, with the changes of training concepts that its predictions blend."""

    condition: Condition
    model: Model
    encoder: Encoder
    regression: KernelRidge
    changes: dict[Site, Float[Tensor, "concepts channels"]]
    """Changes of mean activations, by training concept."""
    neutral: NeutralImages
    training: Training

    def towards(self, concept: Concept) -> Affine:
        """The shifts of `concept`, found in one run of neutral images."""
        return make_changes(self.model, self.neutral, self.predict(concept))

    def predict(self, concept: Concept) -> dict[Site, Float[Tensor, " channels"]]:
        """The predicted change of mean activations at each site."""
        with phase("predict"):
            weights = self.regression.weights(_embed(self.encoder, concept, self.condition))[0]
            return {site: weights.to(values) @ values for site, values in self.changes.items()}

    def save(self, path: Path) -> None:
        regression = RegressionRecord(
            width=self.regression.width,
            penalty=self.regression.penalty,
            explained=self.regression.explained,
        )
        record = MeansRecord(
            condition=self.condition,
            regression=regression,
            prompts=self.neutral.prompts,
            seeds=self.neutral.seeds,
            sites=tuple(self.changes),
            steps=max(map(len, self.neutral.means.values()), default=1),
            model=(self.model.name, self.model.revision),
            encoder=self.encoder.revision,
            training=steering_file.record_of(self.training),
        )
        tensors = {
            "inputs": self.regression.inputs,
            **{f"changes/{site}": values for site, values in self.changes.items()},
            **{f"neutral/{site}": self.neutral.means[site] for site in self.changes},
        }
        steering_file.write(path, tensors, record)


def _embed(encoder: Encoder, concept: Concept, condition: Condition) -> Float[Tensor, "1 features"]:
    """The embedding of a concept, of length 1 also where it is the mean of several images'."""
    if condition == "text" and not concept.text:
        raise UsageError(
            f"concept {concept.id!r} has no words",
            remedy="Use a method that reads images, such as the card predicted-means-image.",
        )
    return torch.nn.functional.normalize(embed(encoder, [concept], condition), dim=-1)


def _load_encoder(name: str, model: Model) -> Encoder:
    encoder: Encoder = registry.load("encoders", name)(model.device)
    return encoder
