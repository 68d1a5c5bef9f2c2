"""Ways to put a concept in the place of another of its kind, with a method that adds each.

- `swap` takes the old concept out by the inverse of its map, and then adds the new one by its own:
  `T_new(T_old^-1(z))`. Of prompting, it is the prompt with the new words in place of the old ones.
- `direct` is the map that the base fits from images with the old concept to images with the new
  one.
- `instead` is, of prompting, the prompt that asks for the new concept instead of the old one.

Of a concept that replaces none they are the base's own interventions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from htbench.core.errors import UsageError
from htbench.steering.algebra import invert, transform
from htbench.steering.combined import as_one_map
from htbench.steering.concept import Concept
from htbench.steering.derived import DerivedMethod
from htbench.steering.directed import between
from htbench.steering.intervention import Intervention, Rewrite
from htbench.steering.omission import Exchange
from htbench.steering.pair import Replacement


@dataclass(frozen=True, kw_only=True)
class Swap(DerivedMethod):
    """The old concept removed, and then the new one added."""

    def parts(self, concept: Concept) -> tuple[Concept, ...]:
        """The old concept and the new one."""
        return concept.members if isinstance(concept, Replacement) else (concept,)

    def derive(self, concept: Concept, parts: Sequence[Intervention]) -> Intervention:
        """One map of both steps; of prompting, the exchange of words."""
        if len(parts) == 1:
            return parts[0]
        old, new = parts
        if isinstance(old, Rewrite) and isinstance(new, Rewrite):
            return Exchange(old=old.more, new=new.more)
        return as_one_map([transform(old, invert), new], "sequence")


@dataclass(frozen=True, kw_only=True)
class Direct(DerivedMethod):
    """The base fitted from images with the old concept to images with the new one."""

    def parts(self, concept: Concept) -> tuple[Concept, ...]:
        """The change from the one to the other, as a concept to fit on."""
        return (between(concept) if isinstance(concept, Replacement) else concept,)

    def derive(self, concept: Concept, parts: Sequence[Intervention]) -> Intervention:
        """The fitted map itself."""
        return parts[0]


@dataclass(frozen=True, kw_only=True)
class Instead(DerivedMethod):
    """Prompting for the new concept instead of the old: `…, blue sky instead of black sky`."""

    def parts(self, concept: Concept) -> tuple[Concept, ...]:
        """The new concept."""
        return (concept.members[1] if isinstance(concept, Replacement) else concept,)

    def derive(self, concept: Concept, parts: Sequence[Intervention]) -> Intervention:
        """The prompt that asks for the new concept, with the old one named behind it."""
        (new,) = parts
        if not isinstance(concept, Replacement):
            return new
        if not isinstance(new, Rewrite):
            raise UsageError(f"{type(new).__name__} does not replace the prompt by another one")
        old = concept.members[0].text.removeprefix("with ")
        return Rewrite(more=f"{new.more} instead of {old}", less=new.less)
