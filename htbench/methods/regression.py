r"""A control: HyperTransport's network, fitted to maps that a per-concept method has learnt instead of end to end.

The loss is the squared error of every channel's scale and shift, over the variance of that part at its site among training concepts.
Fitting maps that are each one of many equally good ones averages what should not be averaged; training through the generator does not.

References:
    Sun et al. HyperSteer: Activation Steering at Scale with Hypernetworks. 2025. https://arxiv.org/abs/2506.03292
    Charakorn et al. Text-to-LoRA: Instant Transformer Adaption. 2025. https://arxiv.org/abs/2506.06105
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from htbench.steering.concept import Concept
from htbench.steering.fitting.hypernetwork import (
    ConceptEmbeddings,
    Hypernetwork,
    HypernetworkConfig,
    TrainedHypernetwork,
    train_hypernetwork,
)
from htbench.steering.fitting.map_bank import MapBank, UsesMapBank, load_or_fit
from htbench.steering.model import Model, select_sites


@dataclass(frozen=True, kw_only=True)
class Regression(HypernetworkConfig, UsesMapBank):
    """A hypernetwork that imitates."""

    base: str = "lineas"
    steps: int = 1000
    concepts: int = 32

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> TrainedHypernetwork:
        """Fit the maps of `concepts`, which counts as training, and train on them."""
        select_sites(model, self.sites)
        bank = load_or_fit(self.base, model, concepts, seed=seed, folder=folder)

        def prepare(network: Hypernetwork, readings: ConceptEmbeddings) -> _RegressionTask:
            return _RegressionTask(self, network, readings, bank, seed=seed)

        return train_hypernetwork(
            self,
            model,
            concepts,
            prepare,
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
        readings: ConceptEmbeddings,
        bank: MapBank,
        *,
        seed: int,
    ) -> None:
        self.method, self.network, self.readings, self.seed = method, network, readings, seed
        self.target_maps = {
            site: (bank.scale[site] - 1, bank.shift[site]) for site in network.site_names
        }
        self.variances = {
            site: [part.var(0, correction=0).mean().clamp_min(1e-12) for part in pair]
            for site, pair in self.target_maps.items()
        }

    def loss(self, step: int) -> Tensor:
        turn = self.readings.train_step(step, self.network, self.method, seed=self.seed)
        errors = [
            (made - wanted[turn.concept_indices]).square().mean() / spread
            for site, pair in turn.maps.items()
            for made, wanted, spread in zip(
                pair, self.target_maps[site], self.variances[site], strict=True
            )
        ]
        mean: Tensor = torch.stack(errors).mean()
        return mean * turn.weight

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        return False
