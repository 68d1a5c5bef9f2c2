"""Wordings of a concept: the ways in which it is said to a method, and the methods they concern.

A method is given exactly the words, or the images, of a wording. Scores always ask about the
canonical words.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Literal, get_args

from htbench.steering.concept import Concept

Wording = Literal["canonical", "synonym", "unknown", "image"]
WORDINGS: tuple[Wording, ...] = get_args(Wording)
CANONICAL: Wording = "canonical"
MEANING: dict[Wording, str] = {
    "canonical": "its own words",
    "synonym": "words that the encoder that reads concepts knows and the generator never saw",
    "unknown": "the set’s paraphrases: in a set with synonyms, words that nothing was trained on",
    "image": "its reference images, without words",
}
"""The words, or images, that a concept of a set is said in, by wording."""
SOURCE: dict[Wording, str] = {
    "canonical": "text",
    "synonym": "synonyms",
    "unknown": "paraphrases",
    "image": "reference images",
}
"""The part of a concept set that a wording is taken from."""
Words = Literal["canonical", "own"]
Treatment = Literal["given", "same", "absent"]
"""The part that a wording has for a method: its concept is `given` in it; the method has the `same`
intervention in every wording, as it was fitted once on the canonical words; or it cannot read the
wording, which is `absent`."""


def phrasings(concept: Concept, wording: Wording) -> tuple[Concept, ...]:
    """The concept said in each way that its set has for a wording; empty where it has none.

    Each has the id of the concept and another digest, unless the wording is canonical.
    """
    if wording == "canonical":
        return (concept,)
    if wording == "image":
        return (replace(concept, text="", template=""),) if concept.references else ()
    texts = concept.synonyms if wording == "synonym" else concept.paraphrases
    return tuple(concept.reworded(text) for text in texts) if concept.text else ()


def choose(ways: tuple[Concept, ...], number: int) -> Concept:
    """The phrasing at image `number` of a prompt: the same for all methods, concepts in turn."""
    return ways[number % len(ways)]


def treatment(
    wording: Wording, *, kind: str, reads: Collection[str], per_concept_words: Words
) -> Treatment:
    """The part that a wording has for a method of this kind that reads these modalities."""
    if wording == "image":
        return "given" if "image" in reads else "absent"
    if "text" not in reads:
        return "absent"
    if kind == "per-concept" and per_concept_words == "canonical":
        return "same"
    return "given"
