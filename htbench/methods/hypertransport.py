r"""HyperTransport: one network from a concept's embedding to the affine maps of all sites, trained on many concepts at once.

`H(e) -> {(w_l - 1, b_l)}`; each training step steers source prompts with the maps of a few training concepts and lowers LinEAS' loss
against those concepts' target activations, through the frozen generator. A new concept then costs one forward pass. Each concept's
loss is taken relative to its distance without steering, so that a change of background does not outweigh a small companion.

References:
    HyperTransport. 2026. https://arxiv.org/abs/2605.08254 (its abstract; architecture and settings here are our own)
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from htbench import registry, transport
from htbench.concept import Concept
from htbench.encoder import Encoder
from htbench.errors import Refused, UsageError
from htbench.hooks import activations
from htbench.intervention import Affine, Intervention
from htbench.method import Training, fitting_images
from htbench.model import Model, Request, select_sites
from htbench.training import Recipe, Trainer
from htbench.types import Site

Maps = dict[Site, tuple[Float[Tensor, "concepts channels"], Float[Tensor, "concepts channels"]]]
"""Scale minus one, and shift, of each site."""


@dataclass(frozen=True, kw_only=True)
class HyperTransport:
    """Settings of network and training; `condition` alone may differ between learning and use."""

    condition: Literal["text", "image"] = "text"
    """What a concept that has both is read from when it is steered towards: its words, or its reference images."""
    encoder: str = ""
    """Empty: the model's own conditioner."""
    width: int = 512
    rank: int = 64
    """Directions that each site's map is mixed from."""
    steps: int = 500
    concepts: int = 8
    """Training concepts a step."""
    images: int = 8
    """Source images a concept and step."""
    targets: int = 32
    """Target images a concept, generated once."""
    rate: float = 1e-3
    noise: float = 0.1
    """Standard deviation of noise on the embedding, whose own is 1."""
    ridge: float = 0.3
    """Weight of the squares of `w - 1`: without it, scales below 1 at many sites in a row wash images out."""
    sites: tuple[str, ...] = ("*",)

    def fit(self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None) -> "Amortised":
        """Train on `concepts`; with a `folder`, an interrupted training goes on where it stopped."""
        if len(concepts) < 2:
            raise UsageError(f"hypertransport learns from many concepts, not {len(concepts)}", remedy="Use a concept set with a train split.")
        began = time.perf_counter()
        encoder: Encoder = registry.load("encoders", self.encoder or model.conditioner)(model.device)
        sites = {site: model.sites[site].channels for site in select_sites(model, self.sites)}
        torch.manual_seed(seed)
        network = Hypernetwork(encoder.width, sites, width=self.width, rank=self.rank).to(model.device)
        task = _Task(self, model, encoder, network, concepts, seed=seed)
        trainer = Trainer(task, Recipe(steps=self.steps, batch=self.concepts * self.images, seed=seed, rate=self.rate, warmup=50), folder)
        prepared = time.perf_counter() - began
        trainer.run()
        trainer.use_average()
        training = Training(
            seconds=prepared + trainer.seconds,
            device=trainer.device,
            concepts=tuple(concept.id for concept in concepts),
            encoders=(encoder.name,),
        )
        return Amortised(method=self, model=model, encoder=encoder, network=network.eval().requires_grad_(False), training=training)

    def load(self, model: Model, path: Path, *, seed: int) -> "Amortised":
        """The steering saved at `path`; refused if it was trained for another model or encoder."""
        try:
            with safe_open(path, framework="pt") as file:
                record = json.loads(file.metadata()["steering"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise Refused(f"steering {str(path)!r} cannot be read: {error}", remedy="Install htbench again, or train anew.") from None
        encoder: Encoder = registry.load("encoders", record["training"]["encoders"][0])(model.device)
        for what, trained, here in [("model", record["model"], [model.name, model.revision]), ("encoder", record["encoder"], encoder.revision)]:
            if trained != here:
                raise Refused(f"steering {str(path)!r} was trained with another {what}: {trained}, this is {here}", remedy="Train it anew for this one.")
        made = HyperTransport(**{**record["settings"], "condition": self.condition, "sites": tuple(record["settings"]["sites"])})
        network = Hypernetwork(encoder.width, {Site(site): width for site, width in record["sites"].items()}, width=made.width, rank=made.rank)
        network.load_state_dict(tensors)
        training = Training(**{**record["training"], "concepts": tuple(record["training"]["concepts"]), "encoders": tuple(record["training"]["encoders"])})
        return Amortised(method=made, model=model, encoder=encoder, network=network.to(model.device).eval().requires_grad_(False), training=training)


class Hypernetwork(nn.Module):
    """A trunk read with an embedding for each site, then a mixture of `rank` learnt directions: small even for 256 sites."""

    def __init__(self, features: int, sites: dict[Site, int], *, width: int, rank: int) -> None:
        super().__init__()
        self.site_names = tuple(sites)
        for modality in ("text", "image"):
            self.register_buffer(f"{modality}_mean", torch.zeros(features))
            self.register_buffer(f"{modality}_deviation", torch.ones(()))
        self.trunk = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.site = nn.Parameter(torch.randn(len(sites), width) * 0.5)
        self.mix = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, rank))
        self.directions = nn.ParameterList(nn.Parameter(torch.zeros(rank, 2 * channels)) for channels in sites.values())

    def centre(self, modality: str, vectors: Float[Tensor, "*many features"]) -> Float[Tensor, "*many features"]:
        """Embeddings around their modality's training mean, with deviation 1: this narrows the gap between text and images."""
        centred: Tensor = (vectors - self.get_buffer(f"{modality}_mean")) / self.get_buffer(f"{modality}_deviation")
        return centred

    def forward(self, embedding: Float[Tensor, "concepts features"]) -> Maps:
        """Maps for centred embeddings; all zero before training, which is the identity."""
        mixture = self.mix(self.trunk(embedding)[:, None] + self.site)
        maps = [mixture[:, k] @ directions for k, directions in enumerate(self.directions)]
        return {site: (both.chunk(2, dim=-1)[0], both.chunk(2, dim=-1)[1]) for site, both in zip(self.site_names, maps, strict=True)}


@dataclass(frozen=True, kw_only=True)
class Amortised:
    """A trained hypernetwork with the encoder that it reads concepts with."""

    method: HyperTransport
    model: Model
    encoder: Encoder
    network: Hypernetwork
    training: Training

    @torch.no_grad()
    def towards(self, concept: Concept) -> Affine:
        """One forward pass."""
        condition = self.method.condition if concept.text else "image"
        vector = self._read(concept, condition).to(self.model.device)
        maps = self.network(self.network.centre(condition, vector)[None])
        return Affine({site: 1 + gain[0] for site, (gain, _) in maps.items()}, {site: shift[0] for site, (_, shift) in maps.items()})

    def save(self, path: Path) -> None:
        record = {
            "settings": asdict(self.method),
            "training": asdict(self.training),
            "model": [self.model.name, self.model.revision],
            "encoder": self.encoder.revision,
            "sites": {site: directions.shape[1] // 2 for site, directions in zip(self.network.site_names, self.network.directions, strict=True)},
        }
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        path.write_bytes(serialise(tensors, metadata={"steering": json.dumps(record)}))

    def _read(self, concept: Concept, condition: str) -> Float[Tensor, " features"]:
        if condition == "text":
            return self.encoder.texts([concept.text])[0]
        if not concept.references:
            raise UsageError(f"concept {concept.id!r} has no reference images", remedy="Use the card hypertransport, which reads words.")
        return self.encoder.images([reference.open() for reference in concept.references]).mean(0)


class _Task:
    """The loss of one training step, and what it needs of every training concept."""

    def __init__(self, method: HyperTransport, model: Model, encoder: Encoder, network: Hypernetwork, concepts: Sequence[Concept], *, seed: int) -> None:
        self.method, self.model, self.network, self.seed = method, model, network, seed
        self.concepts = concepts
        self.texts = encoder.texts([concept.text for concept in concepts])
        self.pictures = [self._pictures(concept, encoder) for concept in concepts]
        with torch.no_grad():
            self.wanted = [activations(model, *self._images(concept, method.targets, 0)[1]) for concept in concepts]
            plain = activations(model, *self._images(concepts[0], method.targets, 0)[0])
        self.distance = [float(sum(transport.wasserstein(plain[site], wanted[site]).mean() for site in network.site_names)) for wanted in self.wanted]
        means = torch.stack([pictures.mean(0) for pictures in self.pictures])
        for modality, vectors in [("text", self.texts), ("image", means)]:
            network.get_buffer(f"{modality}_mean").copy_(vectors.mean(0))
            network.get_buffer(f"{modality}_deviation").copy_((vectors - vectors.mean(0)).square().mean().sqrt())

    def loss(self, step: int) -> Tensor:
        method, device = self.method, self.model.device
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        chosen = torch.randperm(len(self.concepts), generator=random)[: method.concepts].tolist()
        vectors = torch.stack([self._vector(k, random) for k in chosen])
        maps = self.network((vectors + method.noise * torch.randn(vectors.shape, generator=random)).to(device))
        sources = [self._images(self.concepts[k], method.images, 1 + step)[0] for k in chosen]
        spread = {site: tuple(part.repeat_interleave(method.images, 0)[:, None] for part in pair) for site, pair in maps.items()}

        def change(site: Site, z: Float[Tensor, "images positions channels"]) -> Float[Tensor, "images positions channels"]:
            if site not in spread:
                return z
            gain, shift = spread[site]
            return z + torch.addcmul(shift, gain, z.float()).to(z.dtype)

        prompts = [prompt for images in sources for prompt in images[0]]
        seeds = [image_seed for images in sources for image_seed in images[1]]
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            reached = activations(self.model, prompts, seeds, change=change, batch=len(prompts))
        costs = []
        for site in maps:
            got = reached[site].view(len(chosen), -1, reached[site].shape[-1])
            wanted = torch.stack([self.wanted[k][site] for k in chosen])
            costs.append(transport.wasserstein(got, wanted).mean(-1))
        distance = torch.tensor([self.distance[k] for k in chosen], device=device)
        scaling = torch.stack([gain.square().mean() for gain, _ in maps.values()]).sum()
        return (torch.stack(costs).sum(0) / distance).mean() + method.ridge * scaling

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        return False

    def _vector(self, k: int, random: torch.Generator) -> Float[Tensor, " features"]:
        """A concept as the network reads it: half the time its words, else the mean of a few of its pictures."""
        if torch.rand((), generator=random) < 0.5:
            return self.network.centre("text", self.texts[k].to(self.model.device)).cpu()
        pictures = self.pictures[k]
        some = torch.randperm(len(pictures), generator=random)[: int(torch.randint(2, 9, (), generator=random))]
        return self.network.centre("image", pictures[some].mean(0).to(self.model.device)).cpu()

    def _pictures(self, concept: Concept, encoder: Encoder) -> Float[Tensor, "pictures features"]:
        """Embeddings of the model's own images of the concept, and of its references."""
        prompts, seeds = self._images(concept, 8, 0)[1]
        made = self.model.generate(
            [Request(prompt=prompt, seed=image, intervention=Intervention(), strength=0.0) for prompt, image in zip(prompts, seeds, strict=True)]
        )
        return encoder.images([*made, *(reference.open() for reference in concept.references)])

    def _images(self, concept: Concept, count: int, number: int) -> tuple[tuple[list[str], list[int]], tuple[list[str], list[int]]]:
        return fitting_images(concept, count, seed=self.seed, number=number)
