r"""HyperTransport: one network from a concept's embedding to the affine maps of all sites, trained on many concepts at once.

`H(e) -> {(w_l - 1, b_l)}`; each training step steers source prompts with the maps of a few training concepts and lowers LinEAS' loss
against those concepts' target activations, through the frozen generator. A new concept then costs one forward pass. Each concept's
loss is taken relative to its distance without steering, so that a change of background does not outweigh a small companion.

References:
    HyperTransport. 2026. https://arxiv.org/abs/2605.08254 (its abstract; architecture and settings here are our own)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from htbench.core import distributed
from htbench.core.types import Site
from htbench.steering.concept import Concept
from htbench.steering.fitting.end_to_end import affine_tap, distance
from htbench.steering.fitting.hypernetwork import (
    ConceptEmbeddings,
    Hypernetwork,
    HypernetworkConfig,
    TrainedHypernetwork,
    train_hypernetwork,
)
from htbench.steering.hooks import activations
from htbench.steering.method import PromptsAndSeeds, fitting_images
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class HyperTransport(HypernetworkConfig):
    """A hypernetwork trained end to end."""

    images: int = 8
    """Source images a concept and step."""
    targets: int = 32
    """Target images a concept, generated once."""
    ridge: float = 0.3
    """Weight of the squares of `w - 1`: without it, scales below 1 at many sites in a row wash images out."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> TrainedHypernetwork:
        """Train on `concepts`."""

        def prepare(network: Hypernetwork, readings: ConceptEmbeddings) -> TransportTask:
            return TransportTask(self, model, network, readings, concepts, seed=seed)

        return train_hypernetwork(
            self,
            model,
            concepts,
            prepare,
            seed=seed,
            folder=folder,
            batch=self.concepts * self.images,
        )


class TransportTask:
    """The loss of one training step, and what it needs of every training concept."""

    def __init__(
        self,
        method: HyperTransport,
        model: Model,
        network: Hypernetwork,
        readings: ConceptEmbeddings,
        concepts: Sequence[Concept],
        *,
        seed: int,
    ) -> None:
        self.method, self.model, self.network, self.readings, self.concepts, self.seed = (
            method,
            model,
            network,
            readings,
            concepts,
            seed,
        )
        with torch.no_grad():
            self.target_activations = distributed.map_sharded(
                lambda concept: self._pooled(fitting_images(concept, method.targets, seed=seed)[1]),
                concepts,
            )
            plain = self._pooled(fitting_images(concepts[0], method.targets, seed=seed)[0])
        self.unsteered_distances = torch.stack(
            [distance(plain, wanted, network.site_names) for wanted in self.target_activations]
        )

    def loss(self, step: int) -> Tensor:
        method, sites = self.method, self.network.site_names
        turn = self.readings.train_step(step, self.network, method, seed=self.seed)
        maps, chosen = turn.maps, turn.concept_indices
        sources = [
            fitting_images(self.concepts[k], method.images, seed=self.seed, number=1 + step)[0]
            for k in chosen
        ]
        scale = {
            site: (1 + gain).repeat_interleave(method.images, 0) for site, (gain, _) in maps.items()
        }
        shift = {
            site: offset.repeat_interleave(method.images, 0) for site, (_, offset) in maps.items()
        }
        prompts = [prompt for images in sources for prompt in images[0]]
        seeds = [image for images in sources for image in images[1]]
        with torch.autocast(torch.device(self.model.device).type, torch.bfloat16):
            reached = activations(
                self.model, prompts, seeds, change=affine_tap(scale, shift), batch=len(prompts)
            )
        got = {
            site: reached[site]
            .view(-1, len(chosen), method.images, reached[site].shape[-1])
            .transpose(0, 1)
            .flatten(1, 2)
            for site in sites
        }
        wanted = {
            site: torch.stack([self.target_activations[k][site] for k in chosen]).to(
                self.model.device
            )
            for site in sites
        }
        relative = distance(got, wanted, sites) / self.unsteered_distances[chosen].to(
            self.model.device
        )
        loss = (
            relative.mean()
            + method.ridge * torch.stack([gain.square().mean() for gain, _ in maps.values()]).sum()
        )
        return loss * turn.weight

    def _pooled(self, images: PromptsAndSeeds) -> dict[Site, Tensor]:
        """Where many concepts' activations have room, and can be sent from."""
        return {site: values.cpu() for site, values in activations(self.model, *images).items()}

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        return False
