"""Other ways to steer away from a concept than a method's own at negative strength.

Each is a method with a base, another method. An affine map `T` at strength -s extrapolates, `z - s
(T(z) - z)`, and undoes `T` only if it scales nothing.

- `inverse` has at strength -1 the inverse of the base's map, `(z - b) / w`; of prompting, the
  prompt without the concept's words.
- `reversed` has at strength -1 the map that the base fits the other way round: its sources are
  images with the concept, its targets images without it.
- `negated` has, of prompting, a negation in place of the concept's words.

At a positive strength s the first two extrapolate the map that they have at -1, to the other side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from htbench.core.errors import UsageError
from htbench.steering.algebra import invert, reflect, transform
from htbench.steering.concept import Concept
from htbench.steering.derived import DerivedMethod
from htbench.steering.directed import reverse
from htbench.steering.intervention import Intervention, Rewrite
from htbench.steering.omission import Omit


@dataclass(frozen=True, kw_only=True)
class Inverse(DerivedMethod):
    """The base's maps inverted, for negative strengths.

    A map with a support, or with a channel that is scaled to almost nothing, has no inverse; then
    there is no intervention for the concept.
    """

    def parts(self, concept: Concept) -> tuple[Concept, ...]:
        """The concept itself."""
        return (concept,)

    def derive(self, concept: Concept, parts: Sequence[Intervention]) -> Intervention:
        """The inverse of a map; of prompting, the prompt without the concept's words."""
        (change,) = parts
        if isinstance(change, Rewrite):
            return Omit(template=change.more)
        return transform(change, lambda own: reflect(invert(own)))


@dataclass(frozen=True, kw_only=True)
class Reversed(DerivedMethod):
    """The base fitted the other way round, for negative strengths.

    The base fits maps on images of each concept: what a method predicts from words has no other
    way round.
    """

    def parts(self, concept: Concept) -> tuple[Concept, ...]:
        """The concept with sources and targets exchanged."""
        return (reverse(concept),)

    def derive(self, concept: Concept, parts: Sequence[Intervention]) -> Intervention:
        """The map that does at negative strength what the fitted one does at positive strength."""
        (change,) = parts
        return transform(change, reflect)


@dataclass(frozen=True, kw_only=True)
class Negated(DerivedMethod):
    """Prompting with a negation in place of the concept's words, such as `panda without lemon`."""

    def parts(self, concept: Concept) -> tuple[Concept, ...]:
        """The concept, and the same without a preposition: `without with lemon` is no English."""
        return concept, replace(concept, text=concept.text.removeprefix("with "))

    def derive(self, concept: Concept, parts: Sequence[Intervention]) -> Intervention:
        """The omission of the concept's words, with the base's negation in their place."""
        asking, against = parts
        if not isinstance(asking, Rewrite) or not isinstance(against, Rewrite):
            raise UsageError(f"{type(asking).__name__} does not replace the prompt by another one")
        return Omit(template=asking.more, negation=against.less)
