"""Pairs of concepts: two that are to be in one image together, or one in place of another."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from htbench.core import content
from htbench.core.types import Digest
from htbench.steering.concept import Concept, ConceptSet


@dataclass(frozen=True, kw_only=True)
class ConceptPair(Concept):
    """Two concepts as one, whose words ask for both: `with lemon, sketch style`."""

    members: tuple[Concept, Concept]
    """The two concepts, in the order of their words."""

    def split(self, splits: Mapping[str, str]) -> str:
        """The split of both concepts, or their two splits with ` + ` between; they are by id."""
        return " + ".join(dict.fromkeys(splits[member.id] for member in self.members))

    @cached_property
    def digest(self) -> Digest:
        """Changes with either concept and with the words that join them."""
        members = [member.digest for member in self.members]
        return content.digest([self.id, self.text, self.template, *members])


@dataclass(frozen=True, kw_only=True)
class Replacement(ConceptPair):
    """A concept in place of another of its kind; its words are those of the new one alone.

    The members are the old concept and the new one.
    """


def pairs_among(concepts: Iterable[Concept]) -> list[ConceptPair]:
    """Those of `concepts` that are pairs."""
    return [concept for concept in concepts if isinstance(concept, ConceptPair)]


def join(first: Concept, second: Concept) -> ConceptPair:
    """The pair of two concepts with words; `second` is asked for after `first`.

    Its id is theirs with ` + ` between, and it has the families of both.
    """
    return ConceptPair(
        id=f"{first.id} + {second.id}",
        kind=f"{first.kind} + {second.kind}",
        text=f"{first.text}, {second.text}",
        template=second.template.replace("{prompt}", first.template),
        sources=first.sources,
        families=tuple(dict.fromkeys((*first.families, *second.families))),
        members=(first, second),
    )


def replace(old: Concept, new: Concept) -> Replacement:
    """The replacement of one concept with words by another.

    Its id is theirs with ` -> ` between, and it has the families of both.
    """
    return Replacement(
        id=f"{old.id} -> {new.id}",
        kind=new.kind,
        text=new.text,
        template=new.template,
        sources=new.sources,
        families=tuple(dict.fromkeys((*old.families, *new.families))),
        members=(old, new),
    )


def replacements(concepts: Sequence[Concept]) -> tuple[Replacement, ...]:
    """Replacements among `concepts`, each of which is in one at most.

    In their order, each that is still free is replaced by the next free one of the same kind with
    which it shares no family, such as a word.
    """
    return tuple(replace(old, new) for old, new in _partners(concepts, can_replace))


def can_replace(one: Concept, other: Concept) -> bool:
    """True if they are of one kind and have no family in common."""
    return one.kind == other.kind and not set(one.families) & set(other.families)


def pair_up(concepts: Sequence[Concept], concept_set: ConceptSet) -> tuple[ConceptPair, ...]:
    """Pairs of `concepts` of a set, each in one pair at most.

    In their order, each that is still free is paired with the next free one that `fits` it. Of a
    pair, that whose words follow the noun without a comma is asked for first, then that whose kind
    comes first in the set. Concepts without words, and those that no other fits, are left out.
    """
    return tuple(join_in_order(*partners, concept_set) for partners in _partners(concepts, fits))


def join_in_order(one: Concept, other: Concept, concept_set: ConceptSet) -> ConceptPair:
    """The pair of two concepts of a set, in the order of words that `pair_up` tells."""
    kinds = _kinds(concept_set)
    return join(*sorted((one, other), key=lambda each: _place(each, kinds)))


def _kinds(concept_set: ConceptSet) -> list[str]:
    every = (concept for split in concept_set.splits.values() for concept in split)
    return list(dict.fromkeys(concept.kind for concept in every))


def _partners(
    concepts: Sequence[Concept], fit: Callable[[Concept, Concept], bool]
) -> Iterator[tuple[Concept, Concept]]:
    free = [concept for concept in concepts if concept.template]
    while free:
        one, *free = free
        other = next((each for each in free if fit(one, each)), None)
        if other:
            free.remove(other)
            yield one, other


def fits(one: Concept, other: Concept) -> bool:
    """True if an image can show both, and one of them is no sign of the other.

    They are of different kinds, neither has the other's kind among its words, as a `look` has that
    of a style, and they have no family in common, as `red frame` and `red background` have.
    """
    return (
        one.kind != other.kind
        and one.kind not in _words(other)
        and other.kind not in _words(one)
        and not set(one.families) & set(other.families)
    )


def _words(concept: Concept) -> list[str]:
    return concept.text.replace(",", " ").split()


def _place(concept: Concept, kinds: Sequence[str]) -> tuple[bool, int]:
    return concept.template.startswith("{prompt},"), kinds.index(concept.kind)
