r"""HyperTransport: one network from a concept's embedding to affine maps, trained on many concepts.

`H(e) -> {(w_l - 1, b_l)}` for all sites `l`. Each training step steers source prompts with the maps
of a few training concepts, and lowers LinEAS' loss against the target activations of these concepts
through the frozen generator. A new concept then costs one forward pass. The loss is LinEAS', by the
same code and with the same settings (`Objective`).

References:
    HyperTransport. 2026. https://arxiv.org/abs/2605.08254 (its abstract; architecture and settings
    here are our own)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from htbench.core import distributed
from htbench.core.device import autocast_bfloat16
from htbench.core.types import Site
from htbench.steering.concept import Concept
from htbench.steering.fitting.end_to_end import Objective, affine_tap, distance
from htbench.steering.fitting.hypernetwork import (
    ConceptEmbeddings,
    HypernetworkConfig,
    TrainedHypernetwork,
    train_hypernetwork,
)
from htbench.steering.fitting.map_network import Hypernetwork
from htbench.steering.hooks import activations
from htbench.steering.method import PromptsAndSeeds, fitting_images, full_batches
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class HyperTransport(HypernetworkConfig, Objective):
    """A hypernetwork trained end to end."""

    images: int = 8
    """Source images per concept and step."""
    targets: int = 32
    """Target images per concept, generated once."""
    ridge: Annotated[float, Field(ge=0)] = 0.3
    relative: bool = True

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> TrainedHypernetwork:
        """Train the hypernetwork on `concepts`; checkpoints are kept in `folder`."""

        def make_task(network: Hypernetwork, embeddings: ConceptEmbeddings) -> TransportTask:
            return TransportTask(self, model, network, embeddings, concepts, seed=seed)

        batch = self.concepts * self.images
        return train_hypernetwork(
            self, model, concepts, make_task, seed=seed, folder=folder, batch=batch
        )


class TransportTask:
    """The loss of a training step, with the target activations of all training concepts."""

    def __init__(
        self,
        method: HyperTransport,
        model: Model,
        network: Hypernetwork,
        embeddings: ConceptEmbeddings,
        concepts: Sequence[Concept],
        *,
        seed: int,
    ) -> None:
        self.method, self.model, self.network = method, model, network
        self.embeddings, self.concepts, self.seed = embeddings, concepts, seed
        with torch.no_grad():
            groups = distributed.map_sharded(
                self._target_activations, full_batches(concepts, method.targets)
            )
            self.target_activations = [own for group in groups for own in group]
            plain = self._pooled(fitting_images(concepts[0], method.targets, seed=seed)[0])
        self.unsteered_distances = torch.stack(
            [distance(plain, target, network.site_names) for target in self.target_activations]
        )
        # A few-step model gives several samples per image.
        count = len(plain[network.site_names[0]]) * method.images // method.targets
        self.target_activations = [
            method.spread(target, samples=count) for target in self.target_activations
        ]

    def loss(self, step: int) -> Tensor:
        method, sites = self.method, self.network.site_names
        drawn = self.embeddings.train_step(step, self.network, method, seed=self.seed)
        maps, indices = drawn.maps, drawn.concept_indices
        sources = [
            fitting_images(self.concepts[k], method.images, seed=self.seed, number=1 + step)[0]
            for k in indices
        ]
        layout = self.network.layout
        scale, shift = (
            layout.split(part.repeat_interleave(method.images, 0))
            for part in (1 + maps[:, 0], maps[:, 1])
        )
        prompts = [prompt for images in sources for prompt in images[0]]
        seeds = [image for images in sources for image in images[1]]
        with autocast_bfloat16(self.model.device):
            reached = activations(
                self.model, prompts, seeds, change=affine_tap(scale, shift), batch=len(prompts)
            )
        steered = {site: _by_concept(reached[site], len(indices), method.images) for site in sites}
        device = self.model.device
        targets = {
            site: torch.stack([self.target_activations[k][site] for k in indices]).to(device)
            for site in sites
        }
        unsteered = self.unsteered_distances[indices].to(device) if method.relative else 1.0
        gains = layout.split(maps[:, 0])
        return method.loss(steered, targets, gains, unsteered=unsteered) * drawn.weight

    def _target_activations(self, concepts: Sequence[Concept]) -> list[dict[Site, Tensor]]:
        """Pooled activations of each concept's target images, which are generated in one batch."""
        count = self.method.targets
        images = [fitting_images(concept, count, seed=self.seed)[1] for concept in concepts]
        prompts = [prompt for own, _ in images for prompt in own]
        pooled = self._pooled((prompts, [seed for _, own in images for seed in own]))
        by_concept = {
            site: _by_concept(values, len(concepts), count) for site, values in pooled.items()
        }
        return [
            {site: values[k] for site, values in by_concept.items()} for k in range(len(concepts))
        ]

    def _pooled(self, images: PromptsAndSeeds) -> dict[Site, Tensor]:
        """Pooled activations on the CPU, which has room for those of many concepts."""
        return {site: values.cpu() for site, values in activations(self.model, *images).items()}

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        return False


def _by_concept(
    values: Float[Tensor, "samples channels"], concepts: int, images: int
) -> Float[Tensor, "concepts own_samples channels"]:
    """Samples of a batch by concept, each with `images` of it; steps of a model add samples."""
    by_step = values.view(-1, concepts, images, values.shape[-1])
    return by_step.transpose(0, 1).flatten(1, 2)
