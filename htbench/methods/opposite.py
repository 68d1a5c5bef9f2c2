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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from htbench.core.errors import UsageError
from htbench.steering.algebra import invert, reflect
from htbench.steering.concept import Concept
from htbench.steering.derived import DerivedMethod
from htbench.steering.intervention import Affine, Intervention, OnMeans, Rewrite
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
        return _mapped(change, lambda own: reflect(invert(own)))


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
        return _mapped(change, reflect)


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


@dataclass(frozen=True, kw_only=True)
class _ReversedConcept(Concept):
    """A concept to fit on with sources that ask for it and targets that do not."""

    plain: tuple[tuple[str, str], ...]
    """Pairs of a prompt that asks for the concept and the neutral one that it is made of."""

    def target(self, prompt: str) -> str:
        return dict(self.plain).get(prompt, prompt)


def reverse(concept: Concept) -> Concept:
    """The concept with sources and targets exchanged, for methods that fit on both."""
    fields = {name: getattr(concept, name) for name in Concept.__dataclass_fields__}
    pairs = tuple(zip(concept.targets, concept.sources, strict=True))
    return _ReversedConcept(**{**fields, "sources": concept.targets}, plain=pairs)


def _mapped(change: Intervention, function: Callable[[Affine], Affine]) -> Intervention:
    """An affine map, or one that acts on means, with a function of its map in its place.

    Raises:
        UsageError: for an intervention of another class.
    """
    if isinstance(change, OnMeans):
        return OnMeans(_mapped(change.change, function), sites=change.on_means)
    if type(change) is not Affine:
        raise UsageError(
            f"{type(change).__name__} is not an affine map per channel, and has no opposite",
            remedy="Use the method itself, at negative strength.",
        )
    return function(change)
