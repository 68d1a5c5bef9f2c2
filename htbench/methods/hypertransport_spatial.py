"""HyperTransport with shifts per position: one network predicts maps that can say where.

Beside scale and shift of every channel, the network predicts a shift for each of a few patterns of
positions, which all concepts share: the principal ones of the changes that training concepts make.
The loss is that of LinEAS on means for each pattern beside the plain means over positions, which do
not see where anything is. All else is HyperTransport's.

References:
    HyperTransport. 2026. https://arxiv.org/abs/2605.08254 (the shifts per position are ours)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from htbench.methods.hypertransport import HyperTransport, TransportTask
from htbench.steering.concept import Concept
from htbench.steering.fitting import position_patterns
from htbench.steering.fitting.hypernetwork import (
    ConceptEmbeddings,
    TrainedHypernetwork,
    train_hypernetwork,
)
from htbench.steering.fitting.map_network import Hypernetwork
from htbench.steering.model import Model

_IMAGES = 4
"""Images without and with each training concept, of which the patterns are found."""


@dataclass(frozen=True, kw_only=True)
class HyperTransportSpatial(HyperTransport):
    """A hypernetwork trained end to end, whose weights are rounded to half precision."""

    patterns: Annotated[int, Field(ge=1)] = 8
    """Patterns of positions per site."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> TrainedHypernetwork:
        """Find the patterns and train the hypernetwork; checkpoints are kept in `folder`."""

        def make_task(network: Hypernetwork, embeddings: ConceptEmbeddings) -> TransportTask:
            layout = position_patterns.arrange(
                model, concepts, network.layout, patterns=self.patterns, images=_IMAGES, seed=seed
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
