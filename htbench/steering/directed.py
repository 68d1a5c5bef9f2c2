"""Concepts to fit on with sources and targets of choice, for methods that fit on both."""

from collections.abc import Sequence
from dataclasses import dataclass

from htbench.steering.concept import Concept
from htbench.steering.pair import ConceptPair


@dataclass(frozen=True, kw_only=True)
class DirectedConcept(Concept):
    """A concept whose targets are prompts of their own, not those of a template."""

    rewordings: tuple[tuple[str, str], ...]
    """Pairs of a source prompt and its target."""

    def target(self, prompt: str) -> str:
        return dict(self.rewordings).get(prompt, prompt)


def reverse(concept: Concept) -> DirectedConcept:
    """The concept with sources and targets exchanged."""
    return _direct(concept, concept.targets, concept.sources)


def between(pair: ConceptPair) -> DirectedConcept:
    """The change from the first concept of a pair to the second: from its prompts to the other's.

    Both have the same neutral prompts.
    """
    first, second = pair.members
    neutral = first.sources
    return _direct(
        pair, [first.target(each) for each in neutral], [second.target(each) for each in neutral]
    )


def _direct(concept: Concept, sources: Sequence[str], targets: Sequence[str]) -> DirectedConcept:
    fields = {name: getattr(concept, name) for name in Concept.__dataclass_fields__}
    pairs = tuple(zip(sources, targets, strict=True))
    return DirectedConcept(**{**fields, "sources": tuple(sources)}, rewordings=pairs)
