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
from htbench.core.device import autocast_bfloat16, keep_near, send
from htbench.steering.concept import Concept
from htbench.steering.fitting import position_patterns
from htbench.steering.fitting.end_to_end import Objective, Targets, distance
from htbench.steering.fitting.hypernetwork import (
    ConceptEmbeddings,
    HypernetworkConfig,
    TrainedHypernetwork,
    train_hypernetwork,
)
from htbench.steering.fitting.map_network import Hypernetwork
from htbench.steering.fitting.steered_means import arriving_means, steer_means, unsteered_means
from htbench.steering.method import fitting_images, full_batches
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
        self.device = torch.device(model.device)
        self.identity = send(network.layout.identity, self.device)
        sources = fitting_images(concepts[0], method.targets, seed=seed)[0]
        self._plain = unsteered_means(model, sources, network.layout)
        groups = distributed.map_sharded(self._measure, full_batches(concepts, method.targets))
        samples, rest, unsteered = (torch.cat(parts) for parts in zip(*groups, strict=True))
        self.target_samples = keep_near(samples, self.device)
        """As `Targets.samples`, a row per concept."""
        self.rest, self.unsteered_distances = rest.to(self.device), unsteered.to(self.device)

    def loss(self, step: int) -> Tensor:
        method, layout = self.method, self.network.layout
        drawn = self.embeddings.train_step(step, self.network, method, seed=self.seed)
        maps, indices = drawn.maps + self.identity, drawn.concept_indices
        sources = [
            fitting_images(self.concepts[k], method.images, seed=self.seed, number=1 + step)[0]
            for k in indices
        ]
        prompts = [prompt for images in sources for prompt in images[0]]
        seeds = [image for images in sources for image in images[1]]
        rows = maps.repeat_interleave(method.images, 0)
        with autocast_bfloat16(self.model.device):
            arrived = arriving_means(self.model, (prompts, seeds), rows, layout)
        steered = steer_means(arrived.view(len(indices), -1, layout.channels), maps)
        own = [self.target_samples[k].to(self.device, non_blocking=True) for k in indices]
        index = send(torch.tensor(indices), self.device)
        targets = Targets(samples=torch.stack(own), rest=self.rest.index_select(0, index))
        unsteered = self.unsteered_distances.index_select(0, index) if method.relative else 1.0
        losses = method.losses(steered, targets, maps, layout, unsteered=unsteered)
        return losses.mean() * drawn.weight

    def _measure(self, concepts: Sequence[Concept]) -> tuple[Tensor, Tensor, Tensor]:
        """Target samples, their `rest` and the distances without steering, on the CPU.

        The target images of these concepts are generated in one batch.
        """
        method, layout = self.method, self.network.layout
        images = [
            fitting_images(concept, method.targets, seed=self.seed)[1] for concept in concepts
        ]
        prompts = [prompt for own, _ in images for prompt in own]
        seeds = [seed for _, own in images for seed in own]
        values = unsteered_means(self.model, (prompts, seeds), layout)
        values = _by_concept(values, len(concepts), method.targets)
        everything = Targets.of(values, layout, samples=values.shape[1])
        unsteered = distance(self._plain, everything, layout)
        # A few-step model gives several samples per image.
        count = values.shape[1] * method.images // method.targets
        targets = Targets.of(method.spread(values, samples=count), layout, samples=count)
        return targets.samples.cpu(), targets.rest.cpu(), unsteered.cpu()

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        return False


def _by_concept(
    values: Float[Tensor, "samples channels"], concepts: int, images: int
) -> Float[Tensor, "concepts own_samples channels"]:
    """Samples of a batch by concept, each with `images` of it; steps of a model add samples."""
    by_step = values.view(-1, concepts, images, values.shape[-1])
    return by_step.transpose(0, 1).flatten(1, 2)


_PATTERN_IMAGES = 4
"""Images without and with each training concept, of which the patterns are found."""


@dataclass(frozen=True, kw_only=True)
class HyperTransportSpatial(HyperTransport):
    """HyperTransport with shifts per position: the network predicts maps that can say where.

    Beside scale and shift of every channel, it predicts a shift for each of a few patterns of
    positions, which all concepts share: the principal ones of the changes that training concepts
    make. The loss is on means for each pattern beside the plain means over positions, which do not
    see where anything is. Weights are rounded to half precision. The shifts per position are ours.
    """

    patterns: Annotated[int, Field(ge=1)] = 8
    """Patterns of positions per site."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> TrainedHypernetwork:
        """Find the patterns and train the hypernetwork; checkpoints are kept in `folder`."""

        def make_task(network: Hypernetwork, embeddings: ConceptEmbeddings) -> TransportTask:
            layout = position_patterns.arrange(
                model,
                concepts,
                network.layout,
                patterns=self.patterns,
                images=_PATTERN_IMAGES,
                seed=seed,
            )
            network.add_patterns([layout.patterns[site] for site in network.site_names])
            return TransportTask(self, model, network, embeddings, concepts, seed=seed)

        batch = self.concepts * self.images
        trained = train_hypernetwork(
            self, model, concepts, make_task, seed=seed, folder=folder, batch=batch
        )
        for tensor in trained.network.state_dict().values():
            tensor.copy_(tensor.half())
        return trained
