r"""A control: HyperTransport's network, trained on maps of a per-concept method, not end to end.

The loss is the squared error of every channel's scale and shift, divided by the variance of scales
or shifts at that site over training concepts. Of the many equally good maps of a concept each
target is one; a regression averages them, which end-to-end training does not.

References:
    Sun et al. HyperSteer: Activation Steering at Scale with Hypernetworks. 2025.
    https://arxiv.org/abs/2506.03292
    Charakorn et al. Text-to-LoRA: Instant Transformer Adaption. 2025.
    https://arxiv.org/abs/2506.06105
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from htbench.steering.concept import Concept
from htbench.steering.fitting.hypernetwork import (
    ConceptEmbeddings,
    HypernetworkConfig,
    TrainedHypernetwork,
    train_hypernetwork,
)
from htbench.steering.fitting.map_bank import MapBank, UsesMapBank, load_or_fit
from htbench.steering.fitting.map_network import Hypernetwork
from htbench.steering.model import Model, select_sites


@dataclass(frozen=True, kw_only=True)
class Regression(HypernetworkConfig, UsesMapBank):
    """A hypernetwork trained by regression on the maps of another card."""

    base: str = "lineas"
    steps: int = 1000
    concepts: int = 32

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> TrainedHypernetwork:
        """Fit a map to each of `concepts`, which counts as training, and train on these maps."""
        # Refuses a misspelt site before the long fit.
        select_sites(model, self.sites)
        bank = load_or_fit(self.base, model, concepts, seed=seed, folder=folder)

        def make_task(network: Hypernetwork, embeddings: ConceptEmbeddings) -> _RegressionTask:
            return _RegressionTask(self, network, embeddings, bank, seed=seed)

        return train_hypernetwork(
            self,
            model,
            concepts,
            make_task,
            seed=seed,
            folder=folder,
            batch=self.concepts,
            earlier_seconds=bank.seconds,
        )


class _RegressionTask:
    """The loss of one training step."""

    def __init__(
        self,
        method: Regression,
        network: Hypernetwork,
        embeddings: ConceptEmbeddings,
        bank: MapBank,
        *,
        seed: int,
    ) -> None:
        self.method, self.network, self.embeddings, self.seed = method, network, embeddings, seed
        layout = network.layout
        self.target_maps = torch.stack(
            [layout.join(bank.scale) - 1, layout.join(bank.shift)], dim=1
        )
        # a weight per channel, with which a sum is the mean over sites of relative errors
        variances = layout.split(self.target_maps.var(0, correction=0))
        totals = {
            site: part.shape[1] * part.mean(1, keepdim=True).clamp_min(1e-12).expand_as(part)
            for site, part in variances.items()
        }
        self.weights = 0.5 / len(layout.sites) / layout.join(totals)

    def loss(self, step: int) -> Tensor:
        drawn = self.embeddings.train_step(step, self.network, self.method, seed=self.seed)
        errors = (drawn.maps - self.target_maps[drawn.concept_indices]).square().mean(0)
        return (errors * self.weights).sum() * drawn.weight

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        return False
