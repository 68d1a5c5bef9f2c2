"""Hypernetworks from a concept's embedding to affine maps of all sites: training and file."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import normalize

from htbench.core import content, distributed, registry, threads
from htbench.core.device import send
from htbench.core.errors import UsageError
from htbench.core.phase import phase
from htbench.core.types import Digest
from htbench.steering import steering_file
from htbench.steering.concept import Concept
from htbench.steering.encoder import Condition, Encoder, embed, reads_images
from htbench.steering.fitting.map_network import Hypernetwork, Maps
from htbench.steering.fitting.trainer import Recipe, Trainer, TrainingTask
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import fitting_images, full_batches, refuse_other_origin
from htbench.steering.model import Model, Request, select_sites
from htbench.steering.spatial import Spatial, from_flat
from htbench.steering.steering_file import SteeringRecord
from htbench.steering.training import Training, training_digest


@dataclass(frozen=True, kw_only=True)
class HypernetworkConfig:
    """Settings of a hypernetwork and its training; only `condition` may change after training."""

    condition: Condition | Literal["both"] = "text"
    """Modality from which a new concept is embedded if it has both words and reference images;
    `both`: the mean of the two embeddings, each centred."""
    learn_from: Literal["both", "text", "image"] = "both"
    """Modality from which training concepts are embedded; `both`: a random one at every step."""
    learn_synonyms: bool = False
    """Embed a training concept that has synonyms by one of them, instead of its text, in every
    second step that embeds it from words."""
    encoder: str = ""
    """Name of the encoder of concepts; empty: the model's `concept_encoder`."""
    width: Annotated[int, Field(ge=1, le=steering_file.MAX_WIDTH)] = 512
    """Units of each hidden layer."""
    rank: Annotated[int, Field(ge=1, le=steering_file.MAX_WIDTH)] = 64
    """Directions of which each site's map is a mixture."""
    steps: Annotated[int, Field(ge=1)] = 500
    concepts: Annotated[int, Field(ge=1)] = 8
    """Training concepts per step."""
    rate: Annotated[float, Field(ge=0)] = 1e-3
    """AdamW's learning rate."""
    noise: Annotated[float, Field(ge=0)] = 0.1
    """Standard deviation of the noise added to embeddings, whose own is 1."""
    unit_means: bool = False
    """Scale means of several images' embeddings to length 1, which a single one has, in training
    and prediction, and train on 1 to 8 images. Otherwise means are shorter the more their images
    differ, and training has 2 to 8, as in version 0.1.0; files predict as they were trained."""
    sites: tuple[str, ...] = ("*",)
    """Glob patterns of sites, as `select_sites` takes them."""

    def load(self, model: Model, path: Path, *, seed: int) -> "TrainedHypernetwork":
        """The steering saved at `path`.

        Raises:
            Refused: if the file is damaged, or was trained for another model or encoder.
        """
        file = steering_file.read(path, HypernetworkRecord)
        record = file.record
        encoder: Encoder = registry.load("encoders", file.encoder)(model.device)
        expected = [
            ("model", record.model, (model.name, model.revision)),
            ("encoder", record.encoder, encoder.revision),
        ]
        refuse_other_origin(f"steering {str(path)!r} was trained", expected)
        settings, sites = record.settings, file.channels(record.sites, model)
        with torch.device("meta"):
            network = Hypernetwork(encoder.width, sites, width=settings.width, rank=settings.rank)
            if patterns := file.tables("patterns", len(sites)):
                network.add_patterns([torch.empty(shape) for shape in patterns])
        shapes = {name: tuple(part.shape) for name, part in network.state_dict().items()}
        tensors = {name: tensor.float() for name, tensor in file.tensors(shapes).items()}
        network.load_state_dict(tensors, assign=True)
        return TrainedHypernetwork(
            condition=self.condition,
            settings=settings.model_dump(),
            model=model,
            encoder=encoder,
            network=_freeze(network, model),
            training=file.training,
        )


class NetworkSettings(BaseModel):
    """Settings of a training, as its file has them; those named here shape the network."""

    model_config = ConfigDict(extra="allow", frozen=True)
    width: Annotated[int, Field(ge=1, le=steering_file.MAX_WIDTH)]
    rank: Annotated[int, Field(ge=1, le=steering_file.MAX_WIDTH)]


class HypernetworkRecord(SteeringRecord):
    """The record of a trained hypernetwork."""

    key = "steering"
    settings: NetworkSettings
    sites: dict[str, int]
    """Channels by site."""


@dataclass(frozen=True, kw_only=True)
class TrainedHypernetwork:
    """A trained hypernetwork with the encoder of its concepts."""

    condition: Condition | Literal["both"]
    settings: Mapping[str, object]
    """Settings of the training, which its file records."""
    model: Model
    encoder: Encoder
    network: Hypernetwork
    training: Training

    def towards(self, concept: Concept) -> Affine | Spatial:
        """The maps that the network predicts for `concept`, in one forward pass."""
        return self.predict([concept])[0]

    def predict(self, concepts: Sequence[Concept]) -> list[Affine | Spatial]:
        """Maps for many concepts in one forward pass."""
        with phase("predict"):
            conditions = [self._conditions(concept) for concept in concepts]
            rows: dict[Condition, Iterator[Tensor]] = {}
            for condition in {each for own in conditions for each in own}:
                pairs = zip(concepts, conditions, strict=True)
                members = [concept for concept, own in pairs if condition in own]
                vectors = embed(self.encoder, members, condition).to(self.model.device)
                if condition == "image" and self.settings.get("unit_means"):
                    vectors = normalize(vectors, dim=-1)
                rows[condition] = iter(self.network.centre(condition, vectors))
            embeddings = [_mean([next(rows[each]) for each in own]) for own in conditions]
            return self.maps(torch.stack(embeddings))

    def _conditions(self, concept: Concept) -> Sequence[Condition]:
        """The modalities that `concept` is embedded from."""
        if not concept.text:
            return ["image"]
        if self.condition == "both":
            return ["text", "image"] if concept.references else ["text"]
        return [self.condition]

    @torch.no_grad()
    def maps(self, embeddings: Float[Tensor, "concepts features"]) -> list[Affine | Spatial]:
        """Maps for centred embeddings in one forward pass."""
        work = len(embeddings) * self.network.multiplications
        with threads.for_work(work, self.model.device):
            maps = self.network(embeddings)
            maps[:, 0] += 1
        layout = self.network.layout
        return [from_flat(each, layout) for each in maps.unbind()]

    def save(self, path: Path) -> None:
        record = HypernetworkRecord(
            settings=NetworkSettings.model_validate(self.settings),
            training=steering_file.record_of(self.training),
            model=(self.model.name, self.model.revision),
            encoder=self.encoder.revision,
            sites={
                site: directions.shape[1] // self.network.rows
                for site, directions in zip(
                    self.network.site_names, self.network.directions, strict=True
                )
            },
        )
        steering_file.write(path, steering_file.halve(self.network.state_dict()), record)


def _mean(vectors: list[Tensor]) -> Tensor:
    """The mean of a few vectors; one alone is left as it is."""
    return vectors[0] if len(vectors) == 1 else torch.stack(vectors).mean(0)


@dataclass(frozen=True, kw_only=True)
class TrainStep:
    """One process's share of a training step."""

    concept_indices: list[int]
    """Indices of the concepts among all training concepts."""
    maps: Maps
    """The network's maps for these concepts."""
    weight: float
    """Factor of their mean loss with which the mean over processes is the mean over all concepts
    of the step."""


@dataclass(frozen=True, kw_only=True)
class ConceptEmbeddings:
    """An encoder's embeddings of the training concepts, on the CPU."""

    texts: Float[Tensor, "concepts features"]
    images: list[Float[Tensor, "pictures features"]]
    """Per concept, embeddings of the model's own images of it and of its reference images."""
    synonyms: list[Float[Tensor, "synonyms features"]] | None = None
    """Embeddings of each concept's synonyms; None: texts alone are drawn."""
    unit_means: bool = False
    """The setting of that name."""

    def mean(self, images: Float[Tensor, "pictures features"]) -> Float[Tensor, " features"]:
        """The embedding that stands for several images."""
        mean = images.mean(0)
        return normalize(mean, dim=-1) if self.unit_means else mean

    def sample(
        self, k: int, *, of: Literal["both", "text", "image"], random: torch.Generator
    ) -> tuple[Condition, Float[Tensor, " features"]]:
        """An embedding of concept `k`: of its text, or the mean of several of its images.

        With `of` as `both`, the modality is random.
        """
        is_heads = bool(torch.rand((), generator=random) < 0.5)
        if of == "text" or (of == "both" and is_heads):
            return "text", self._sample_text(k, random=random)
        images = self.images[k]
        order = torch.randperm(len(images), generator=random)
        least = 1 if self.unit_means else 2
        subset = order[: int(torch.randint(least, 9, (), generator=random))]
        return "image", self.mean(images[subset])

    def _sample_text(self, k: int, *, random: torch.Generator) -> Float[Tensor, " features"]:
        if self.synonyms is None or not len(self.synonyms[k]):
            return self.texts[k]
        if bool(torch.rand((), generator=random) < 0.5):
            return self.texts[k]
        row = int(torch.randint(len(self.synonyms[k]), (), generator=random))
        return self.synonyms[k][row]

    def train_step(
        self, step: int, network: Hypernetwork, method: HypernetworkConfig, *, seed: int
    ) -> TrainStep:
        """This process's share of training step `step`: random concepts, and maps for them.

        Maps are predicted from embeddings, centred, with noise. They are drawn on the CPU, and no
        step waits for the device.
        """
        random = torch.Generator().manual_seed(seed * 1_000_003 + step)
        indices = torch.randperm(len(self.texts), generator=random)[: method.concepts].tolist()
        modalities, vectors = zip(
            *(self.sample(k, of=method.learn_from, random=random) for k in indices), strict=True
        )
        drawn = torch.stack(vectors)
        noise = method.noise * torch.randn(drawn.shape, generator=random)
        is_text = torch.tensor([modality == "text" for modality in modalities])[:, None]
        own = distributed.shard(len(indices))
        device = network.site.device
        drawn, noise, is_text = (send(part[own], device) for part in (drawn, noise, is_text))
        texts, images = (network.centre(modality, drawn) for modality in ("text", "image"))
        return TrainStep(
            concept_indices=indices[own],
            maps=network(torch.where(is_text, texts, images) + noise),
            weight=len(indices[own]) * distributed.world_size() / len(indices),
        )


def train_hypernetwork(
    config: HypernetworkConfig,
    model: Model,
    concepts: Sequence[Concept],
    make_task: Callable[[Hypernetwork, ConceptEmbeddings], TrainingTask],
    *,
    seed: int,
    folder: Path | None,
    batch: int,
    earlier_seconds: float = 0.0,
) -> TrainedHypernetwork:
    """Train a hypernetwork on the task that `make_task` returns, or resume from `folder`.

    `earlier_seconds` is the time already spent on the data of the task. The recorded time is summed
    over distributed processes.

    Raises:
        UsageError: for fewer than two concepts, fewer concepts per step than processes, or images
            that the encoder does not read.
    """
    if len(concepts) < 2:
        raise UsageError(
            f"a hypernetwork learns from many concepts, not {len(concepts)}",
            remedy="Use a concept set with a train split.",
        )
    step = min(config.concepts, len(concepts))
    if step < distributed.world_size():
        raise UsageError(
            f"a step of {step} concepts cannot be shared by {distributed.world_size()} processes",
            remedy=f"Start at most {step}, or raise --set concepts=",
        )
    began = time.perf_counter()
    load_encoder = registry.load("encoders", config.encoder or model.concept_encoder)
    encoder: Encoder = load_encoder(model.device)
    if config.learn_from != "text" and not reads_images(encoder):
        raise UsageError(
            f"encoder {encoder.name!r} reads words alone",
            remedy="Learn from words: --set learn_from=text",
        )
    sites = {site: model.sites[site].channels for site in select_sites(model, config.sites)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Hypernetwork(encoder.width, sites, width=config.width, rank=config.rank)
        network = network.to(model.device)
    with phase("extract"):
        embeddings = embed_training_concepts(
            network,
            encoder,
            model,
            concepts,
            seed=seed,
            unit_means=config.unit_means,
            learn_synonyms=config.learn_synonyms,
        )
        task = make_task(network, embeddings)
    recipe = Recipe(
        steps=config.steps, batch=batch, seed=seed, rate=config.rate, warmup=min(50, config.steps)
    )
    key = _training_key(config, model, encoder, concepts, seed=seed)
    trainer = Trainer(task, recipe, folder and folder / f"hypernetwork-{key}")
    prepared = time.perf_counter() - began
    trainer.run()
    trainer.use_average()
    training = Training(
        seconds=earlier_seconds + (prepared + trainer.seconds) * distributed.world_size(),
        device=trainer.device,
        concepts=tuple(concept.id for concept in concepts),
        encoders=(encoder.name,),
        concepts_digest=training_digest(concepts),
    )
    settings = {name: value for name, value in asdict(config).items() if name != "condition"}
    return TrainedHypernetwork(
        condition=config.condition,
        settings=settings,
        model=model,
        encoder=encoder,
        network=_freeze(network, model),
        training=training,
    )


_AS_IN_0_1_0 = {
    "unit_means": False, "relative": True, "unshrunk": False, "learn_synonyms": False
}  # fmt: skip
"""Settings that version 0.1.0 did not have, with values that act as it did: they are left out of
keys, so that its checkpoints are continued."""


def _training_key(
    config: HypernetworkConfig,
    model: Model,
    encoder: Encoder,
    concepts: Sequence[Concept],
    *,
    seed: int,
) -> Digest:
    """Digest of everything that determines the trained weights."""
    settings = {
        name: value
        for name, value in asdict(config).items()
        if (name, value) not in _AS_IN_0_1_0.items()
    }
    return content.digest(
        [
            type(config).__name__,
            settings,
            model.revision,
            encoder.revision,
            [concept.digest for concept in concepts],
            seed,
        ]
    )


def embed_training_concepts(
    network: Hypernetwork,
    encoder: Encoder,
    model: Model,
    concepts: Sequence[Concept],
    *,
    seed: int,
    unit_means: bool = False,
    learn_synonyms: bool = False,
) -> ConceptEmbeddings:
    """Embed the training concepts; the network's buffers get their mean and standard deviation.

    An encoder of words alone gives no embeddings of images.
    """

    def embed_images(group: Sequence[Concept]) -> list[Float[Tensor, "pictures features"]]:
        images = [fitting_images(concept, _OWN_IMAGES, seed=seed)[1] for concept in group]
        generated = iter(
            model.generate(
                [
                    Request(prompt=prompt, seed=image, intervention=Intervention(), strength=0.0)
                    for own in images
                    for prompt, image in zip(*own, strict=True)
                ]
            )
        )
        pictures = [
            [
                *islice(generated, _OWN_IMAGES),
                *(reference.open() for reference in concept.references),
            ]
            for concept in group
        ]
        vectors = encoder.images([picture for own in pictures for picture in own]).cpu()
        return [own.clone() for own in torch.split(vectors, [len(own) for own in pictures])]

    groups = (
        distributed.map_sharded(embed_images, full_batches(concepts, _OWN_IMAGES))
        if reads_images(encoder)
        else []
    )
    embeddings = ConceptEmbeddings(
        texts=encoder.texts([concept.text for concept in concepts]).cpu(),
        images=[own for group in groups for own in group],
        synonyms=[encoder.texts(concept.synonyms).cpu() for concept in concepts]
        if learn_synonyms
        else None,
        unit_means=unit_means,
    )
    centred = {"text": embeddings.texts}
    if embeddings.images:
        centred["image"] = torch.stack([embeddings.mean(own) for own in embeddings.images])
    for modality, vectors in centred.items():
        network.get_buffer(f"{modality}_mean").copy_(vectors.mean(0))
        network.get_buffer(f"{modality}_deviation").copy_(
            (vectors - vectors.mean(0)).square().mean().sqrt()
        )
    return embeddings


_OWN_IMAGES = 8
"""Images that the model generates of a training concept, to embed it."""


def _freeze(network: Hypernetwork, model: Model) -> Hypernetwork:
    return network.to(model.device).freeze()
