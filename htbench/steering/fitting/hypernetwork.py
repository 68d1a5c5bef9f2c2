"""Hypernetworks: from a concept's embedding to the affine maps of all sites, how they are trained, and what is kept of them."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from htbench.core import content, distributed, registry
from htbench.core.errors import Refused, UsageError
from htbench.core.phase import phase
from htbench.core.types import Site
from htbench.steering.concept import Concept
from htbench.steering.encoder import Condition, Encoder, embed
from htbench.steering.fitting.trainer import Recipe, Trainer, TrainingTask
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import Training, fitting_images
from htbench.steering.model import Model, Request, select_sites

Maps = dict[Site, tuple[Float[Tensor, "concepts channels"], Float[Tensor, "concepts channels"]]]
"""Scale minus one, and shift, of each site."""


@dataclass(frozen=True, kw_only=True)
class HypernetworkConfig:
    """Settings of a hypernetwork and its training; `condition` alone may differ between learning and use."""

    condition: Condition = "text"
    """What a concept that has both is read from when it is steered towards: its words, or its reference images."""
    learn_from: Literal["both", "text", "image"] = "both"
    """What training concepts are read from; with `both`, either by chance at every step."""
    encoder: str = ""
    """Empty: the model's own conditioner."""
    width: int = 512
    rank: int = 64
    """Directions that each site's map is mixed from."""
    steps: int = 500
    concepts: int = 8
    """Training concepts a step."""
    rate: float = 1e-3
    noise: float = 0.1
    """Standard deviation of noise on the embedding, whose own is 1."""
    sites: tuple[str, ...] = ("*",)

    def load(self, model: Model, path: Path, *, seed: int) -> "TrainedHypernetwork":
        """The steering saved at `path`; refused if it was trained for another model or encoder."""
        try:
            with safe_open(path, framework="pt") as file:
                record = json.loads(file.metadata()["steering"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            settings, training = record["settings"], record["training"]
            encoder: Encoder = registry.load("encoders", training["encoders"][0])(model.device)
            expected = [
                ("model", record["model"], [model.name, model.revision]),
                ("encoder", record["encoder"], encoder.revision),
            ]
            sites = {Site(site): width for site, width in record["sites"].items()}
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise Refused(
                f"steering {str(path)!r} cannot be read: {error}",
                remedy="Install htbench again, or train anew.",
            ) from None
        for what, trained, here in expected:
            if trained != here:
                raise Refused(
                    f"steering {str(path)!r} was trained with another {what}: {trained}, this is {here}",
                    remedy="Train it anew for this one.",
                )
        network = Hypernetwork(encoder.width, sites, width=settings["width"], rank=settings["rank"])
        network.load_state_dict(tensors)
        paid = Training(
            **{
                **training,
                "concepts": tuple(training["concepts"]),
                "encoders": tuple(training["encoders"]),
            }
        )
        return TrainedHypernetwork(
            condition=self.condition,
            settings=settings,
            model=model,
            encoder=encoder,
            network=_freeze(network, model),
            training=paid,
        )


class Hypernetwork(nn.Module):
    """A trunk read with an embedding for each site, then a mixture of `rank` learnt directions: small even for 256 sites."""

    def __init__(self, features: int, sites: dict[Site, int], *, width: int, rank: int) -> None:
        super().__init__()
        self.site_names = tuple(sites)
        for modality in ("text", "image"):
            self.register_buffer(f"{modality}_mean", torch.zeros(features))
            self.register_buffer(f"{modality}_deviation", torch.ones(()))
        self.trunk = nn.Sequential(
            nn.Linear(features, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.site = nn.Parameter(torch.randn(len(sites), width) * 0.5)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, rank)
        )
        self.directions = nn.ParameterList(
            nn.Parameter(torch.zeros(rank, 2 * channels)) for channels in sites.values()
        )

    def centre(
        self, modality: str, vectors: Float[Tensor, "*many features"]
    ) -> Float[Tensor, "*many features"]:
        """Embeddings around their modality's training mean, with deviation 1: this narrows the gap between text and images."""
        centred: Tensor = (vectors - self.get_buffer(f"{modality}_mean")) / self.get_buffer(
            f"{modality}_deviation"
        )
        return centred

    def forward(self, embedding: Float[Tensor, "concepts features"]) -> Maps:
        """Maps for centred embeddings; all zero before training, which is the identity.

        Each site's mixture is `mix(trunk(embedding) + site)`. The first matrix of `mix` meets concepts and sites apart, a tenth of the
        work, and the sum and its norm come after; a site at a time stays in the cache.
        """
        norm, first, rest = (
            cast(nn.LayerNorm, self.mix[0]),
            cast(nn.Linear, self.mix[1]),
            self.mix[2:],
        )
        concept, site = (
            part - part.mean(-1, keepdim=True) for part in (self.trunk(embedding), self.site)
        )
        variance = (
            concept.square().mean(-1)[:, None]
            + site.square().mean(-1)
            + 2 * concept @ site.T / concept.shape[-1]
        )
        size, weight = (variance + norm.eps).rsqrt(), first.weight * norm.weight
        of_concept, of_site, offset = (
            concept @ weight.T,
            site @ weight.T,
            first.weight @ norm.bias + first.bias,
        )
        maps: Maps = {}
        for k, (name, directions) in enumerate(zip(self.site_names, self.directions, strict=True)):
            gain, shift = (
                rest(torch.addcmul(offset, of_concept + of_site[k], size[:, k, None])) @ directions
            ).chunk(2, dim=-1)
            maps[name] = gain, shift
        return maps


@dataclass(frozen=True, kw_only=True)
class TrainedHypernetwork:
    """A trained hypernetwork with the encoder that it reads concepts with."""

    condition: Condition
    settings: Mapping[str, object]
    """Of its training, for the record."""
    model: Model
    encoder: Encoder
    network: Hypernetwork
    training: Training

    def towards(self, concept: Concept) -> Affine:
        """One forward pass."""
        return self.predict([concept])[0]

    def predict(self, concepts: Sequence[Concept]) -> list[Affine]:
        """Maps for many concepts in one forward pass."""
        with phase("predict"):
            ways: list[Condition] = [
                self.condition if concept.text else "image" for concept in concepts
            ]
            read = {
                how: embed(
                    self.encoder,
                    [concept for concept, way in zip(concepts, ways, strict=True) if way == how],
                    how,
                )
                for how in set(ways)
            }
            rows = {
                how: iter(self.network.centre(how, vectors.to(self.model.device)))
                for how, vectors in read.items()
            }
            return self.maps(torch.stack([next(rows[how]) for how in ways]))

    @torch.no_grad()
    def maps(self, embeddings: Float[Tensor, "concepts features"]) -> list[Affine]:
        """Maps for centred embeddings in one forward pass."""
        maps = self.network(embeddings)
        scales = zip(*[(1 + gain).unbind() for gain, _ in maps.values()], strict=True)
        shifts = zip(*[shift.unbind() for _, shift in maps.values()], strict=True)
        return [
            Affine(dict(zip(maps, scale, strict=True)), dict(zip(maps, shift, strict=True)))
            for scale, shift in zip(scales, shifts, strict=True)
        ]

    def save(self, path: Path) -> None:
        record = {
            "settings": dict(self.settings),
            "training": asdict(self.training),
            "model": [self.model.name, self.model.revision],
            "encoder": self.encoder.revision,
            "sites": {
                site: directions.shape[1] // 2
                for site, directions in zip(
                    self.network.site_names, self.network.directions, strict=True
                )
            },
        }
        tensors = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self.network.state_dict().items()
        }
        path.write_bytes(serialise(tensors, metadata={"steering": json.dumps(record)}))


@dataclass(frozen=True, kw_only=True)
class TrainStep:
    """A process's share of one training step."""

    concept_indices: list[int]
    """Places of the concepts among all training concepts."""
    maps: Maps
    """What the network makes of them."""
    weight: float
    """Of their mean loss, so that the mean over processes is the mean over all concepts of the step."""


@dataclass(frozen=True, kw_only=True)
class ConceptEmbeddings:
    """What an encoder makes of training concepts."""

    texts: Float[Tensor, "concepts features"]
    images: list[Float[Tensor, "pictures features"]]
    """Of each concept: the model's own images of it, and its references."""

    def sample(
        self,
        k: int,
        network: Hypernetwork,
        *,
        of: Literal["both", "text", "image"],
        random: torch.Generator,
    ) -> Float[Tensor, " features"]:
        """Concept `k` as the network reads it: its words, or the mean of a few of its pictures; of both, either by chance."""
        heads = bool(torch.rand((), generator=random) < 0.5)
        if of == "text" or (of == "both" and heads):
            return network.centre("text", self.texts[k].to(network.site.device)).cpu()
        pictures = self.images[k]
        some = torch.randperm(len(pictures), generator=random)[
            : int(torch.randint(2, 9, (), generator=random))
        ]
        return network.centre("image", pictures[some].mean(0).to(network.site.device)).cpu()

    def train_step(
        self, step: int, network: Hypernetwork, method: HypernetworkConfig, *, seed: int
    ) -> TrainStep:
        """This process's share of training step `step`: some concepts, read with noise, and what the network makes of them."""
        random = torch.Generator().manual_seed(seed * 1_000_003 + step)
        drawn = torch.randperm(len(self.texts), generator=random)[: method.concepts].tolist()
        vectors = torch.stack(
            [self.sample(k, network, of=method.learn_from, random=random) for k in drawn]
        )
        vectors += method.noise * torch.randn(vectors.shape, generator=random)
        own = distributed.shard(len(drawn))
        maps = network(vectors[own].to(network.site.device))
        return TrainStep(
            concept_indices=drawn[own],
            maps=maps,
            weight=len(drawn[own]) * distributed.world_size() / len(drawn),
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
    """A hypernetwork trained on the task that `prepare` makes; interrupted, it goes on from what it kept in `folder`.

    `paid` are seconds that were spent on what the task learns from. A team of processes is charged the seconds of each.
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
    encoder: Encoder = registry.load("encoders", config.encoder or model.concept_encoder)(
        model.device
    )
    sites = {site: model.sites[site].channels for site in select_sites(model, config.sites)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Hypernetwork(encoder.width, sites, width=config.width, rank=config.rank).to(
            model.device
        )
    with phase("extract"):
        task = make_task(
            network, embed_training_concepts(network, encoder, model, concepts, seed=seed)
        )
    key = content.digest(
        [
            type(config).__name__,
            asdict(config),
            model.revision,
            encoder.revision,
            [concept.digest for concept in concepts],
            seed,
        ]
    )
    recipe = Recipe(
        steps=config.steps, batch=batch, seed=seed, rate=config.rate, warmup=min(50, config.steps)
    )
    trainer = Trainer(task, recipe, folder and folder / f"hypernetwork-{key}")
    prepared = time.perf_counter() - began
    trainer.run()
    trainer.use_average()
    training = Training(
        seconds=earlier_seconds + (prepared + trainer.seconds) * distributed.world_size(),
        device=trainer.device,
        concepts=tuple(concept.id for concept in concepts),
        encoders=(encoder.name,),
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


def embed_training_concepts(
    network: Hypernetwork, encoder: Encoder, model: Model, concepts: Sequence[Concept], *, seed: int
) -> ConceptEmbeddings:
    """Readings of concepts, and the means and deviations that the network centres them by."""

    def pictures(concept: Concept) -> Float[Tensor, "pictures features"]:
        prompts, seeds = fitting_images(concept, 8, seed=seed)[1]
        made = model.generate(
            [
                Request(prompt=prompt, seed=image, intervention=Intervention(), strength=0.0)
                for prompt, image in zip(prompts, seeds, strict=True)
            ]
        )
        return encoder.images(
            [*made, *(reference.open() for reference in concept.references)]
        ).cpu()

    readings = ConceptEmbeddings(
        texts=encoder.texts([concept.text for concept in concepts]),
        images=distributed.map_sharded(pictures, concepts),
    )
    for modality, vectors in [
        ("text", readings.texts),
        ("image", torch.stack([some.mean(0) for some in readings.images])),
    ]:
        network.get_buffer(f"{modality}_mean").copy_(vectors.mean(0))
        network.get_buffer(f"{modality}_deviation").copy_(
            (vectors - vectors.mean(0)).square().mean().sqrt()
        )
    return readings


def _freeze(network: Hypernetwork, model: Model) -> Hypernetwork:
    return network.to(model.device).eval().requires_grad_(False)
