"""Banks: the maps that a per-concept method has fitted to many training concepts, for the controls that predict from them.

A control that only looks maps up, averages or blends them shows what a hypernetwork adds. All of them predict a weighted sum of the
bank's maps, and differ in the weights alone.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeGuard, cast

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from htbench.core import content, distributed, registry
from htbench.core.errors import Refused, UsageError
from htbench.core.phase import phase
from htbench.core.types import Digest, Site
from htbench.steering import baseline, intervention
from htbench.steering.concept import Concept
from htbench.steering.encoder import Condition, Encoder, embed
from htbench.steering.intervention import Affine, Intervention, InterventionOrigin
from htbench.steering.method import Training, load_or_train_base
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class MapBank:
    """One affine map of each site for every concept."""

    base: str
    """Card of the method that fitted them."""
    concepts: tuple[str, ...]
    scale: dict[Site, Float[Tensor, "concepts channels"]]
    shift: dict[Site, Float[Tensor, "concepts channels"]]
    seconds: float
    """What fitting took, whenever it was done."""

    def blend(self, weights: Float[Tensor, " concepts"]) -> Affine:
        """The weighted sum of the maps."""
        parts = (
            {site: weights.to(maps) @ maps for site, maps in part.items()}
            for part in (self.scale, self.shift)
        )
        return Affine(*parts)


class UsesMapBank(ABC):
    """A method that learns from the maps which another card fits to every training concept."""

    base: str
    """Card that the maps are fitted by."""


def path_of(maps: Path, base: str, revision: Digest, concept: Concept, *, seed: int) -> Path:
    """Where below `maps` the map that the card `base` fits to `concept` is kept, for every bank; the digest is of all that decides it."""
    return (
        maps
        / "bank"
        / f"{content.digest(['bank', baseline.load_card(base).digest, revision, concept.digest, seed])}.safetensors"
    )


def save(change: Intervention, path: Path, origin: InterventionOrigin) -> None:
    """Keep a map at its place, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}")
    intervention.save(change, fresh, origin=origin)
    fresh.replace(path)


def is_affine_map(change: Intervention) -> TypeGuard[Affine]:
    """Whether a bank is made of such maps."""
    return isinstance(change, Affine) and not change.low


def load_or_fit(
    base: str, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None
) -> MapBank:
    """The maps of `concepts` by the card `base`; each is kept beside `folder` by the digest of all that decides it, and fitted once.

    A team of processes shares the fitting.
    """
    if not concepts:
        raise UsageError(
            "a bank needs training concepts", remedy="Use a concept set with a train split."
        )
    steering = load_or_train_base(
        base,
        model,
        concepts,
        seed=seed,
        folder=folder.parent if folder and distributed.world_size() == 1 else None,
    )

    def fitted(concept: Concept) -> tuple[Affine, float]:
        path = path_of(folder.parent, base, model.revision, concept, seed=seed) if folder else None
        if path and path.exists():
            change, spent = (
                intervention.load(path, model=model),
                cast(InterventionOrigin, intervention.read_origin(path)).seconds,
            )
        else:
            began = time.perf_counter()
            change = steering.towards(concept)
            model.synchronise()
            spent = time.perf_counter() - began
            if path:
                save(
                    change,
                    path,
                    InterventionOrigin(
                        model=model.name,
                        revision=model.revision,
                        method=base,
                        concept=concept.id,
                        seed=seed,
                        seconds=spent,
                    ),
                )
        if not is_affine_map(change):
            raise UsageError(
                f"card {base!r} does not learn affine maps, which a bank is made of",
                remedy="Use a base such as linear-act or lineas.",
            )
        return Affine(
            *(
                {site: values.cpu() for site, values in part.items()}
                for part in (change.scale, change.shift)
            )
        ), spent

    changes, spent = zip(*distributed.map_sharded(fitted, concepts), strict=True)
    return MapBank(
        base=base,
        concepts=tuple(concept.id for concept in concepts),
        scale={
            site: torch.stack([change.scale[site] for change in changes]).to(model.device)
            for site in changes[0].scale
        },
        shift={
            site: torch.stack([change.shift[site] for change in changes]).to(model.device)
            for site in changes[0].shift
        },
        seconds=sum(spent) + steering.training.seconds,
    )


@dataclass(frozen=True, kw_only=True)
class MapBankMethod(UsesMapBank):
    """A control: it says how much of each map in the bank a concept is made of."""

    base: str = "lineas"
    condition: Condition | Literal["nothing"] = "text"
    """What concepts are told apart by: their words, their reference images, or not at all."""
    encoder: str = ""
    """Empty: the model's own conditioner."""

    @abstractmethod
    def weights(
        self,
        bank_embeddings: Float[Tensor, "concepts features"],
        embedding: Float[Tensor, " features"],
    ) -> Float[Tensor, " concepts"]:
        """Weights of the bank's maps, from embeddings of its concepts and of the one that is wanted."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> "MapBankSteering":
        bank = load_or_fit(self.base, model, concepts, seed=seed, folder=folder)
        began = time.perf_counter()
        encoder = _encoder(self, model)
        known = _embed(encoder, concepts, self.condition)
        training = Training(
            seconds=bank.seconds + time.perf_counter() - began,
            device=model.device,
            concepts=bank.concepts,
            encoders=() if self.condition == "nothing" else (encoder.name,),
        )
        return MapBankSteering(
            method=self,
            model=model,
            encoder=encoder,
            bank=bank,
            bank_embeddings=known,
            training=training,
        )

    def load(self, model: Model, path: Path, *, seed: int) -> "MapBankSteering":
        """The steering saved at `path`; refused if it was made for another model or encoder."""
        encoder = _encoder(self, model)
        try:
            with safe_open(path, framework="pt") as file:
                record = json.loads(file.metadata()["bank"])
                tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            concepts, training = tuple(record["concepts"]), record["training"]
            expected = [
                ("model", record["model"], [model.name, model.revision]),
                ("encoder", record["encoder"], encoder.revision),
            ]
            scale, shift = (
                {Site(site): tensors[f"{part}/{site}"].to(model.device) for site in record["sites"]}
                for part in ("scale", "shift")
            )
            bank = MapBank(
                base=record["base"],
                concepts=concepts,
                scale=scale,
                shift=shift,
                seconds=record["seconds"],
            )
            known = tensors["known"]
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise Refused(
                f"bank {str(path)!r} cannot be read: {error}", remedy="Delete it to learn it again."
            ) from None
        for what, made, here in expected:
            if made != here:
                raise Refused(
                    f"bank {str(path)!r} was made with another {what}: {made}, this is {here}",
                    remedy="Make it anew for this one.",
                )
        paid = Training(
            **{**training, "concepts": concepts, "encoders": tuple(training["encoders"])}
        )
        return MapBankSteering(
            method=self,
            model=model,
            encoder=encoder,
            bank=bank,
            bank_embeddings=known,
            training=paid,
        )


@dataclass(frozen=True, kw_only=True)
class MapBankSteering:
    """A bank with what its concepts are told apart by."""

    method: MapBankMethod
    model: Model
    encoder: Encoder
    bank: MapBank
    bank_embeddings: Float[Tensor, "concepts features"]
    training: Training

    def towards(self, concept: Concept) -> Intervention:
        with phase("predict"):
            wanted = _embed(self.encoder, [concept], self.method.condition)[0]
            return self.bank.blend(self.method.weights(self.bank_embeddings, wanted))

    def save(self, path: Path) -> None:
        record = {
            "base": self.bank.base,
            "concepts": self.bank.concepts,
            "seconds": self.bank.seconds,
            "sites": list(self.bank.scale),
            "model": [self.model.name, self.model.revision],
            "encoder": self.encoder.revision,
            "training": asdict(self.training),
        }
        maps = {
            f"{part}/{site}": each
            for part, maps in (("scale", self.bank.scale), ("shift", self.bank.shift))
            for site, each in maps.items()
        }
        tensors = {
            name: tensor.cpu().contiguous()
            for name, tensor in {**maps, "known": self.bank_embeddings}.items()
        }
        path.write_bytes(serialise(tensors, metadata={"bank": json.dumps(record)}))


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
