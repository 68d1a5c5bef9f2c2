"""Interventions of pairs of concepts that are combined from those of each concept alone.

They have the method of each concept as their base, and need none that knows of pairs. With the maps
`T_1` and `T_2` of the two concepts, the sum is `z + (T_1(z) - z) + (T_2(z) - z)`, and the sequence
`T_2(T_1(z))`. Either is one map, and what it changes is multiplied by the strength.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.core.errors import UsageError
from htbench.steering import baseline
from htbench.steering.combined import Combined, Part, combine
from htbench.steering.concept import Concept
from htbench.steering.edits import Combine
from htbench.steering.intervention import Intervention, OnMeans
from htbench.steering.method import Method, Steering, load_or_train_base
from htbench.steering.model import Model
from htbench.steering.pair import ConceptPair
from htbench.steering.training import Training


@dataclass(frozen=True, kw_only=True)
class Combination:
    """The base's maps of both concepts of a pair as one map; of one concept, the base's own."""

    base: str
    """Name of the method whose maps are combined, or the path of its card."""
    combine: Combine = "sum"

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> Steering:
        """Train the base on `concepts`, or load what was kept beside `folder`."""
        maps = folder and folder.parent
        base = load_or_train_base(self.base, model, concepts, seed=seed, folder=maps)
        return _CombinedSteering(base=base, combine=self.combine)

    def load(self, model: Model, path: Path, *, seed: int) -> Steering:
        """The base's steering that was saved at `path`."""
        method: Method = baseline.load_method(self.base)
        return _CombinedSteering(base=method.load(model, path, seed=seed), combine=self.combine)


@dataclass(frozen=True, kw_only=True)
class _CombinedSteering:
    base: Steering
    combine: Combine

    @property
    def training(self) -> Training:
        return self.base.training

    def towards(self, concept: Concept) -> Intervention:
        if not isinstance(concept, ConceptPair):
            return self.base.towards(concept)
        return _together([self.base.towards(each) for each in concept.members], self.combine)

    def save(self, path: Path) -> None:
        self.base.save(path)


def _together(changes: Sequence[Intervention], how: Combine) -> Intervention:
    """One affine map, or one that acts on means, that does what all `changes` do.

    Raises:
        UsageError: for interventions of another class, or maps with a support.
    """
    on_means = [change for change in changes if isinstance(change, OnMeans)]
    if len(on_means) == len(changes) and len({change.on_means for change in on_means}) == 1:
        change = _together([each.change for each in on_means], how)
        return OnMeans(change, sites=on_means[0].on_means)
    parts = [Part(intervention=change, strength=1.0) for change in changes]
    together = combine(parts, how).intervention
    if isinstance(together, Combined):
        kinds = " and ".join(dict.fromkeys(type(change).__name__ for change in changes))
        raise UsageError(
            f"interventions of type {kinds} are not affine maps per channel without a support, "
            "and make no map together",
            remedy="Use the method itself, which is given the words of both concepts.",
        )
    return together
