"""Interventions of pairs of concepts that are combined from those of each concept alone.

They have the method of each concept as their base, and need none that knows of pairs. With the maps
`T_1` and `T_2` of the two concepts, the sum is `z + (T_1(z) - z) + (T_2(z) - z)`, the sequence
`T_2(T_1(z))`, and backwards `T_1(T_2(z))`. Each is one map, and what it changes is multiplied by
the strength.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from htbench.steering.combined import as_one_map
from htbench.steering.concept import Concept
from htbench.steering.derived import DerivedMethod
from htbench.steering.intervention import Intervention
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
        return as_one_map(parts, "sum" if self.combine == "sum" else "sequence")
