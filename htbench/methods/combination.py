"""Interventions of pairs of concepts that are combined from those of each concept alone.

They have the method of each concept as their base, and need none that knows of pairs. With the maps
`T_1` and `T_2` of the two concepts, the sum is `z + (T_1(z) - z) + (T_2(z) - z)`, the sequence
`T_2(T_1(z))`, and backwards `T_1(T_2(z))`. Each is one map, and what it changes is multiplied by
the strength.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from htbench.core.errors import UsageError
from htbench.steering.combined import Combined, Part, combine
from htbench.steering.concept import Concept
from htbench.steering.derived import DerivedMethod
from htbench.steering.edits import Combine
from htbench.steering.intervention import Intervention, OnMeans
from htbench.steering.pair import ConceptPair


@dataclass(frozen=True, kw_only=True)
class Combination(DerivedMethod):
    """The base's maps of both concepts of a pair as one map; of one concept, the base's own."""

    combine: Literal["sum", "sequence", "backwards"] = "sum"

    def parts(self, concept: Concept) -> tuple[Concept, ...]:
        """Both concepts of a pair, the one whose map is applied first before the other."""
        if not isinstance(concept, ConceptPair):
            return (concept,)
        first, second = concept.members
        return (second, first) if self.combine == "backwards" else (first, second)

    def derive(self, concept: Concept, parts: Sequence[Intervention]) -> Intervention:
        """One map that does what all parts do."""
        if len(parts) == 1:
            return parts[0]
        return _together(parts, "sum" if self.combine == "sum" else "sequence")


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
