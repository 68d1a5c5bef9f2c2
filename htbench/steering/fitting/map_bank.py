"""Map banks: maps fitted to many training concepts, and the control methods that predict from them.

The controls show what a hypernetwork adds to looking maps up, averaging or blending them. All of
them predict a weighted sum of the bank's maps, and differ in the weights alone.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeGuard, cast

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core import content, distributed, registry, threads
from htbench.core.errors import UsageError
from htbench.core.phase import phase
from htbench.core.types import Digest, Site
from htbench.steering import baseline, intervention, steering_file
from htbench.steering.concept import Concept
from htbench.steering.encoder import Condition, Encoder, embed
from htbench.steering.intervention import Affine, Intervention, InterventionOrigin
from htbench.steering.layout import Layout
from htbench.steering.method import Steering, load_or_train_base, refuse_other_origin
from htbench.steering.model import Model
from htbench.steering.steering_file import Seconds, SteeringRecord, Text
from htbench.steering.training import Training, training_digest


@dataclass(frozen=True, kw_only=True)
class MapBank:
    """The affine maps that one method has fitted to each of several concepts."""

    base: str
    """Name of that method's card."""
    concepts: tuple[str, ...]
    maps: Float[Tensor, "concepts 2 channels"]
    """Scales and shifts of all sites, as `Affine.maps` has them."""
    layout: Layout
    seconds: float
    """Wall-clock seconds of all fits, in this run or an earlier one."""

    @property
    def scale(self) -> dict[Site, Float[Tensor, "concepts channels"]]:
        """Scales of all maps, by site."""
        return self.layout.split(self.maps[:, 0])

    @property
    def shift(self) -> dict[Site, Float[Tensor, "concepts channels"]]:
        """Shifts of all maps, by site."""
        return self.layout.split(self.maps[:, 1])

    def blend(self, weights: Float[Tensor, " concepts"]) -> Affine:
        """The weighted sum of the maps, of scales and of shifts."""
        blended = weights.to(self.maps) @ self.maps.flatten(1)
        return Affine.from_flat(blended.view(2, -1), self.layout)


class UsesMapBank(ABC):
    """A method trained on maps that another card fits to every training concept."""

    base: str
    """Name of the card that fits the maps."""


def path_of(maps: Path, base: str, revision: Digest, concept: Concept, *, seed: int) -> Path:
    """The file below `maps` of the map that the card `base` fits to `concept`, for every bank.

    It is named by a digest of everything that determines the map.
    """
    card = baseline.load_card(base)
    key = content.digest(["bank", card.digest, revision, concept.digest, seed])
    return maps / "bank" / f"{key}.safetensors"


def save(change: Intervention, path: Path, origin: InterventionOrigin) -> None:
    """Write a map to its file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    intervention.save(change, path, origin=origin)


def is_affine_map(change: Intervention | None) -> TypeGuard[Affine]:
    """True for affine maps without a support, of which banks are made."""
    return isinstance(change, Affine) and not change.has_support


def load_or_fit(
    base: str, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None
) -> MapBank:
    """The maps that the card `base` fits to `concepts`, each loaded if an earlier call kept it.

    They are kept beside `folder`, at `path_of`. Distributed processes share the fitting.
    """
    if not concepts:
        raise UsageError(
            "a bank needs training concepts", remedy="Use a concept set with a train split."
        )
    maps = folder.parent if folder else None
    steering = load_or_train_base(
        base, model, concepts, seed=seed, folder=maps if distributed.world_size() == 1 else None
    )

    def fit_on_cpu(concept: Concept) -> tuple[Affine, float]:
        path = path_of(maps, base, model.revision, concept, seed=seed) if maps else None
        change, seconds = _load_or_fit_one(steering, base, model, concept, seed=seed, path=path)
        if not is_affine_map(change):
            raise UsageError(
                f"card {base!r} does not learn affine maps, which a bank is made of",
                remedy="Use a base such as linear-act or lineas.",
            )
        return Affine.from_flat(change.maps.cpu(), change.layout), seconds

    changes, seconds = zip(*distributed.map_sharded(fit_on_cpu, concepts), strict=True)
    layout = changes[0].layout
    return MapBank(
        base=base,
        concepts=tuple(concept.id for concept in concepts),
        maps=torch.stack([change.over(layout) for change in changes]).to(model.device),
        layout=layout,
        seconds=sum(seconds) + steering.training.seconds,
    )


def _load_or_fit_one(
    steering: Steering, base: str, model: Model, concept: Concept, *, seed: int, path: Path | None
) -> tuple[Intervention, float]:
    """The intervention for `concept`, kept at `path`, and the seconds that fitting it took."""
    if path and path.exists():
        change = intervention.load(path, model=model)
        return change, cast(InterventionOrigin, intervention.read_origin(path)).seconds
    began = time.perf_counter()
    change = steering.towards(concept)
    model.synchronise()
    seconds = time.perf_counter() - began
    if path:
        origin = InterventionOrigin(
            model=model.name,
            revision=model.revision,
            method=base,
            concept=concept.id,
            seed=seed,
            seconds=seconds,
        )
        save(change, path, origin)
    return change, seconds


@dataclass(frozen=True, kw_only=True)
class MapBankMethod(UsesMapBank):
    """A control method: its map for a concept is a weighted sum of the maps in a bank.

    Training fits the bank; a subclass implements `weights`.
    """

    base: str = "lineas"
    condition: Condition | Literal["nothing"] = "text"
    """Modality that concepts are embedded from; `nothing`: they are not embedded."""
    encoder: str = ""
    """Name of the encoder of concepts; empty: the model's `concept_encoder`."""

    @abstractmethod
    def weights(
        self,
        bank_embeddings: Float[Tensor, "concepts features"],
        embedding: Float[Tensor, " features"],
    ) -> Float[Tensor, " concepts"]:
        """Weights of the bank's maps, from embeddings of its concepts and of the new concept."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> "MapBankSteering":
        """Fit the bank to `concepts`, or load what was kept beside `folder`, and embed them."""
        bank = load_or_fit(self.base, model, concepts, seed=seed, folder=folder)
        began = time.perf_counter()
        encoder = _encoder(self, model)
        embeddings = _embed(encoder, concepts, self.condition)
        training = Training(
            seconds=bank.seconds + time.perf_counter() - began,
            device=model.device,
            concepts=bank.concepts,
            encoders=() if self.condition == "nothing" else (encoder.name,),
            concepts_digest=training_digest(concepts),
        )
        return MapBankSteering(
            method=self,
            model=model,
            encoder=encoder,
            bank=bank,
            bank_embeddings=embeddings,
            training=training,
        )

    def load(self, model: Model, path: Path, *, seed: int) -> "MapBankSteering":
        """The steering saved at `path`.

        Raises:
            Refused: if the file is damaged, or was made for another model or encoder.
        """
        file = steering_file.read(path, MapBankRecord, noun="bank")
        record, encoder = file.record, _encoder(self, model)
        expected = [
            ("model", record.model, (model.name, model.revision)),
            ("encoder", record.encoder, encoder.revision),
        ]
        refuse_other_origin(f"bank {str(path)!r} was made", expected)
        count, layout = len(record.concepts), Layout.of(file.channels(record.sites, model))
        is_embedded = file.shapes.get("known") != (count, 0)
        shapes = _shapes_of_maps(layout, count, is_flat="maps" in file.shapes)
        shapes["known"] = (count, encoder.width if is_embedded else 0)
        tensors = {name: tensor.float() for name, tensor in file.tensors(shapes).items()}
        bank = MapBank(
            base=record.base,
            concepts=record.concepts,
            maps=_flat_maps(tensors, layout).to(model.device),
            layout=layout,
            seconds=record.seconds,
        )
        return MapBankSteering(
            method=self,
            model=model,
            encoder=encoder,
            bank=bank,
            bank_embeddings=tensors["known"],
            training=replace(file.training, concepts=record.concepts),
        )


class MapBankRecord(SteeringRecord):
    """The record of a bank with the embeddings of its concepts."""

    key = "bank"
    base: Text
    concepts: tuple[Text, ...]
    seconds: Seconds
    sites: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MapBankSteering:
    """A bank with the embeddings of its concepts."""

    method: MapBankMethod
    model: Model
    encoder: Encoder
    bank: MapBank
    bank_embeddings: Float[Tensor, "concepts features"]
    training: Training

    def towards(self, concept: Concept) -> Intervention:
        work = self.bank.maps.numel()
        with phase("predict"), threads.for_work(work, self.model.device):
            embedding = _embed(self.encoder, [concept], self.method.condition)[0]
            return self.bank.blend(self.method.weights(self.bank_embeddings, embedding))

    def save(self, path: Path) -> None:
        record = MapBankRecord(
            base=self.bank.base,
            concepts=self.bank.concepts,
            seconds=self.bank.seconds,
            sites=self.bank.layout.sites,
            model=(self.model.name, self.model.revision),
            encoder=self.encoder.revision,
            training=steering_file.record_of(self.training),
        )
        tensors = {"maps": self.bank.maps, "known": self.bank_embeddings}
        steering_file.write(path, tensors, record)


def _shapes_of_maps(layout: Layout, count: int, *, is_flat: bool) -> dict[str, tuple[int, ...]]:
    """Shapes of the maps in a file: one tensor, or as version 0.1.0 wrote them two per site."""
    if is_flat:
        return {"maps": (count, 2, layout.channels)}
    return {
        f"{part}/{site}": (count, width)
        for part in ("scale", "shift")
        for site, width in zip(layout.sites, layout.widths, strict=True)
    }


def _flat_maps(
    tensors: Mapping[str, Tensor], layout: Layout
) -> Float[Tensor, "concepts 2 channels"]:
    """The maps of a file in one tensor."""
    if "maps" in tensors:
        return tensors["maps"]
    parts = [
        layout.join({site: tensors[f"{part}/{site}"] for site in layout.sites})
        for part in ("scale", "shift")
    ]
    return torch.stack(parts, 1)


def _encoder(method: MapBankMethod, model: Model) -> Encoder:
    encoder: Encoder = registry.load("encoders", method.encoder or model.concept_encoder)(
        model.device
    )
    return encoder


def _embed(
    encoder: Encoder, concepts: Sequence[Concept], condition: Condition | Literal["nothing"]
) -> Float[Tensor, "concepts features"]:
    return (
        torch.zeros(len(concepts), 0)
        if condition == "nothing"
        else embed(encoder, concepts, condition)
    )
