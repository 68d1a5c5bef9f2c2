"""A warm start: what another card predicts for a concept, and from there a few steps of LinEAS on the concept itself.

References:
    HyperTransport. 2026. https://arxiv.org/abs/2605.08254
    Rodriguez et al. LinEAS: End-to-end Learning of Activation Steering with a Distributional Loss. 2025. https://arxiv.org/abs/2503.10679
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.core.errors import UsageError
from htbench.steering import baseline
from htbench.steering.concept import Concept
from htbench.steering.fitting.end_to_end import EndToEnd
from htbench.steering.intervention import Affine
from htbench.steering.method import Method, Steering, Training, load_or_train_base
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class WarmStart(EndToEnd):
    """Steps and rate are those of the steps that come after the prediction."""

    base: str = "hypertransport"
    """Card that predicts."""
    steps: int = 10
    rate: float = 0.01

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> "WarmStartSteering":
        """Learn the base on `concepts`."""
        return WarmStartSteering(
            method=self,
            model=model,
            seed=seed,
            base=load_or_train_base(
                self.base, model, concepts, seed=seed, folder=folder and folder.parent
            ),
        )

    def load(self, model: Model, path: Path, *, seed: int) -> "WarmStartSteering":
        """With the base's steering saved at `path`."""
        base: Method = baseline.load_method(baseline.load_card(self.base))
        return WarmStartSteering(
            method=self, model=model, seed=seed, base=base.load(model, path, seed=seed)
        )


@dataclass(frozen=True, kw_only=True)
class WarmStartSteering:
    """A base with the steps that are taken after it."""

    method: WarmStart
    model: Model
    seed: int
    base: Steering

    @property
    def training(self) -> Training:
        return self.base.training

    def towards(self, concept: Concept) -> Affine:
        start = self.base.towards(concept)
        if not isinstance(start, Affine):
            raise UsageError(
                f"card {self.method.base!r} does not learn affine maps, which steps could go on from",
                remedy="Use a base such as hypertransport.",
            )
        return self.method.optimise(self.model, concept, start=start, seed=self.seed)

    def save(self, path: Path) -> None:
        self.base.save(path)
