"""The leakage audit: which of the concepts that a method is evaluated on it was, in one way or another, trained on."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from htbench.steering.concept import Concept

NEAR_COSINE = 0.95
"""Cosine of two texts from which concepts count as nearly the same."""
SHARED_STEMS = 0.5
"""Share of common stems (Jaccard) from which two phrasings count as nearly the same."""

_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an the in on at as of by with from into over under before against near next beside joined wearing made and or to for its it style shades shade "
        "background among surrounded mood full covered like one two small little big old all some through seen shot light surface scene",
    )
)
"""Words that say how a concept is put, not what it is."""


@dataclass(frozen=True, kw_only=True)
class ConceptPair:
    """A concept that is evaluated on, and the training concept that resembles it most."""

    evaluated: str
    trained: str
    cosine: float


@dataclass(frozen=True, kw_only=True)
class LeakageAudit:
    """What was found for one method."""

    trained_on: int
    """Training concepts."""
    exact: tuple[str, ...]
    """Ids that it was trained on: the method is refused."""
    normalised: tuple[str, ...]
    """Ids whose words, but for case and punctuation, it was trained on: the method is refused."""
    near: tuple[ConceptPair, ...]
    """Other concepts with a cosine of at least `NEAR_COSINE`: reported, since a good benchmark may have near neighbours."""
    nearest: float
    """The largest cosine of any pair that is not the same; 0 without training concepts."""
    encoder: str
    novel: tuple[str, ...] | None
    """Ids with a word, as `stems` has it, that no training concept has; None where not all training concepts' words are known."""

    @property
    def leaked(self) -> tuple[str, ...]:
        """Ids that make the method's figures worthless."""
        return tuple(dict.fromkeys((*self.exact, *self.normalised)))

    def facts(self) -> dict[str, object]:
        """For the store."""
        return asdict(self)


def audit(
    concepts: Sequence[Concept],
    trained_ids: Sequence[str],
    concepts_by_id: Mapping[str, Concept],
    embeddings: Mapping[str, NDArray[np.float32]],
    *,
    encoder: str,
) -> LeakageAudit:
    """Compare the `chosen` concepts with the ids of those `trained` on; `vectors` has an embedding of length 1 for every text."""
    train = [
        concepts_by_id[id_]
        for id_ in trained_ids
        if id_ in concepts_by_id and concepts_by_id[id_].text
    ]
    words = {normalise(concept.text) for concept in train}
    exact = tuple(concept.id for concept in concepts if concept.id in set(trained_ids))
    normalised = tuple(
        concept.id
        for concept in concepts
        if concept.id not in exact and normalise(concept.text) in words
    )
    others = [
        concept for concept in concepts if concept.text and concept.id not in (*exact, *normalised)
    ]
    pairs = _nearest_pairs(others, train, embeddings)
    near = tuple(
        sorted(
            (pair for pair in pairs if pair.cosine >= NEAR_COSINE), key=lambda pair: -pair.cosine
        )
    )
    nearest = max((pair.cosine for pair in pairs), default=0.0)
    novel = _novel_ids(concepts, train) if len(train) == len(trained_ids) else None
    return LeakageAudit(
        trained_on=len(trained_ids),
        exact=exact,
        normalised=normalised,
        near=near,
        nearest=nearest,
        encoder=encoder,
        novel=novel,
    )


def normalise(text: str) -> str:
    """The words of a text without case, accents' encodings and punctuation."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def stems(text: str) -> frozenset[str]:
    """The words of a text that say something, without common endings; all of its words where none does."""
    words = normalise(text.replace("'s", "")).split()
    said = [word for word in words if word not in _FUNCTION_WORDS] or words
    return frozenset(
        re.sub(r"(?<=\w{3})(?:ies|es|(?<!s)s|ed|ing|[ye])$", "", word) for word in said
    )


def neighbours(
    concepts: Sequence[Concept], *, min_overlap: float = SHARED_STEMS
) -> list[tuple[Concept, Concept]]:
    """Pairs of concepts of which some phrasings, texts or paraphrases, have at least a share `shared` of their stems in common.

    Needs no encoder, so that a set can be audited before any is at hand; synonyms that no paraphrase names are not found.
    """
    from scipy.sparse import csr_array

    phrasings = [
        (k, stems(text))
        for k, concept in enumerate(concepts)
        for text in (concept.text, *concept.paraphrases)
    ]
    column = {
        stem: k for k, stem in enumerate(sorted(set().union(*(words for _, words in phrasings))))
    }
    where = [(row, column[stem]) for row, (_, words) in enumerate(phrasings) for stem in words]
    holds = csr_array(
        (np.ones(len(where)), tuple(zip(*where, strict=True))), shape=(len(phrasings), len(column))
    )
    common = (holds @ holds.T).tocoo()
    sizes = np.array([len(words) for _, words in phrasings])
    close = common.data / (sizes[common.row] + sizes[common.col] - common.data) >= min_overlap
    owner = np.array([k for k, _ in phrasings])
    pairs = {
        (int(a), int(b))
        for a, b in zip(owner[common.row[close]], owner[common.col[close]], strict=True)
        if a < b
    }
    return [(concepts[a], concepts[b]) for a, b in sorted(pairs)]


def prompts_sharing_a_word(concept: Concept, prompts: Iterable[str]) -> list[str]:
    """The prompts that share a word with the concept's text."""
    return [prompt for prompt in prompts if stems(concept.text) & stems(prompt)]


def _novel_ids(concepts: Sequence[Concept], train: Sequence[Concept]) -> tuple[str, ...]:
    had = frozenset[str]().union(*(stems(concept.text) for concept in train))
    return tuple(
        concept.id for concept in concepts if concept.text and not stems(concept.text) <= had
    )


def _nearest_pairs(
    concepts: Sequence[Concept],
    train: Sequence[Concept],
    embeddings: Mapping[str, NDArray[np.float32]],
) -> list[ConceptPair]:
    if not concepts or not train:
        return []
    cosines = (
        np.stack([embeddings[concept.text] for concept in concepts])
        @ np.stack([embeddings[concept.text] for concept in train]).T
    )
    best = cosines.argmax(1)
    return [
        ConceptPair(evaluated=concept.id, trained=train[k].id, cosine=float(row[k]))
        for concept, k, row in zip(concepts, best, cosines, strict=True)
    ]
