"""A warm start: a few steps of LinEAS on a concept, from the maps that another card predicts.

References:
    HyperTransport. 2026. https://arxiv.org/abs/2605.08254
    Rodriguez et al. LinEAS: End-to-end Learning of Activation Steering with a Distributional Loss.
    2025. https://arxiv.org/abs/2503.10679
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.core.errors import UsageError
from htbench.steering import baseline
from htbench.steering.concept import Concept
from htbench.steering.fitting.end_to_end import EndToEnd
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import Method, Steering, load_or_train_base
from htbench.steering.model import Model
from htbench.steering.training import Training


@dataclass(frozen=True, kw_only=True)
class WarmStart(EndToEnd):
    """Settings of the descent that follows the prediction, and the card that predicts."""

    base: str = "hypertransport"
    """Name of the card that predicts the first maps."""
    steps: int = 10
    rate: float = 0.01

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> "WarmStartSteering":
        """Train the base on `concepts`, or load what was kept beside `folder`."""
        maps = folder and folder.parent
        base = load_or_train_base(self.base, model, concepts, seed=seed, folder=maps)
        return WarmStartSteering(method=self, model=model, seed=seed, base=base)

    def load(self, model: Model, path: Path, *, seed: int) -> "WarmStartSteering":
        """A warm start from the base's steering saved at `path`."""
        method: Method = baseline.load_method(baseline.load_card(self.base))
        base = method.load(model, path, seed=seed)
        return WarmStartSteering(method=self, model=model, seed=seed, base=base)


@dataclass(frozen=True, kw_only=True)
class WarmStartSteering:
    """A trained base with the settings of the descent that follows its prediction."""

    method: WarmStart
    model: Model
    seed: int
    base: Steering

    @property
    def training(self) -> Training:
        return self.base.training

    def towards(self, concept: Concept) -> Intervention:
        start = self.base.towards(concept)
        if not isinstance(start, Affine):
            raise UsageError(
                f"card {self.method.base!r} does not learn affine maps, "
                "which steps could go on from",
                remedy="Use a base such as hypertransport.",
            )
        return self.method.optimise(self.model, concept, start=start, seed=self.seed)

    def save(self, path: Path) -> None:
        self.base.save(path)
