"""The leakage audit: evaluation concepts that also occur, perhaps reworded, in the training set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.training import Training, training_digest
from htbench.steering.words import normalise, stems

NEAR_COSINE = 0.95
"""Cosine of two texts from which concepts count as nearly the same."""
SHARED_STEMS = 0.5
"""Share of common stems (Jaccard) from which two phrasings count as nearly the same."""


@dataclass(frozen=True, kw_only=True)
class ConceptPair:
    """An evaluation concept, and the training concept that resembles it most."""

    evaluated: str
    trained: str
    cosine: float


@dataclass(frozen=True, kw_only=True)
class LeakageAudit:
    """The overlap between one method's training concepts and the evaluation concepts."""

    trained_on: int
    """Number of training concepts."""
    exact: tuple[str, ...]
    """Evaluation ids that are also training ids: the method is refused."""
    normalised: tuple[str, ...]
    """Ids whose text, but for case and punctuation, is the text or a synonym of a training concept:
    the method is refused."""
    near: tuple[ConceptPair, ...]
    """Other concepts with a cosine of at least `NEAR_COSINE`: reported and allowed, since a good
    benchmark may have near neighbours."""
    nearest: float
    """The largest cosine of any pair of different concepts; 0 without training concepts."""
    encoder: str
    novel: tuple[str, ...] | None
    """Ids with a stem, as `stems` gives them, that no text or synonym of a training concept has;
    None where the text of some training concept is not known."""
    unverified: str = ""
    """Reason why the training concepts may be others than those that are listed; empty: the list
    and the texts of the concepts have the digests that the training wrote."""

    @property
    def leaked(self) -> tuple[str, ...]:
        """Ids that invalidate the method's scores."""
        return tuple(dict.fromkeys((*self.exact, *self.normalised)))

    def facts(self) -> dict[str, object]:
        """The audit as the store keeps it."""
        return asdict(self)


def concepts_of(training: Training, sets: Sequence[ConceptSet]) -> dict[str, Concept]:
    """The concepts of `sets` by id, as the audit of `training` needs them.

    Where sets have other concepts of one id, those of a set that the training was done on count, as
    its digest tells; else those of the last.
    """
    members = [
        {concept.id: concept for split in own.splits.values() for concept in split} for own in sets
    ]
    merged = {id_: concept for own in members for id_, concept in own.items()}
    for own in members:
        if all(id_ in own for id_ in training.concepts) and (
            training_digest([own[id_] for id_ in training.concepts]) == training.concepts_digest
        ):
            return merged | own
    return merged


def audit(
    concepts: Sequence[Concept],
    training: Training,
    concepts_by_id: Mapping[str, Concept],
    embeddings: Mapping[str, NDArray[np.float32]],
    *,
    encoder: str,
) -> LeakageAudit:
    """Compare the evaluation `concepts` with the concepts of a method's `training`.

    `concepts_by_id` need not have every training id; `embeddings` has one of length 1 for every
    text of either side.
    """
    trained_ids = training.concepts
    train = [
        concepts_by_id[id_]
        for id_ in trained_ids
        if id_ in concepts_by_id and concepts_by_id[id_].text
    ]
    texts = {normalise(text) for concept in train for text in (concept.text, *concept.synonyms)}
    exact = tuple(concept.id for concept in concepts if concept.id in set(trained_ids))
    normalised = tuple(
        concept.id
        for concept in concepts
        if concept.id not in exact and normalise(concept.text) in texts
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
        unverified=_why_unverified(training, concepts_by_id),
    )


def neighbours(
    concepts: Sequence[Concept], *, min_overlap: float = SHARED_STEMS
) -> list[tuple[Concept, Concept]]:
    """Pairs of concepts with phrasings (texts, other words) that overlap by at least `min_overlap`.

    The overlap of two phrasings is the Jaccard index of their stems, from 0 to 1. No encoder is
    needed; synonyms that no concept names are missed.
    """
    from scipy.sparse import csr_array

    phrasings = [
        (k, stems(text))
        for k, concept in enumerate(concepts)
        for text in (concept.text, *concept.synonyms, *concept.paraphrases)
    ]
    column = {
        stem: k for k, stem in enumerate(sorted(set().union(*(words for _, words in phrasings))))
    }
    where = [(row, column[stem]) for row, (_, words) in enumerate(phrasings) for stem in words]
    incidence = csr_array(
        (np.ones(len(where)), tuple(zip(*where, strict=True))), shape=(len(phrasings), len(column))
    )
    common = (incidence @ incidence.T).tocoo()
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


def _why_unverified(training: Training, concepts_by_id: Mapping[str, Concept]) -> str:
    """The reason why the list of training concepts cannot be relied on; empty: there is none."""
    if training.unverified:
        return training.unverified
    if not training.concepts_digest:
        return "its training wrote no digest of its concepts"
    if unknown := [id_ for id_ in training.concepts if id_ not in concepts_by_id]:
        return f"{len(unknown)} of its training concepts are in no set at hand"
    trained = [concepts_by_id[id_] for id_ in training.concepts]
    if training_digest(trained) != training.concepts_digest:
        return "its training concepts are not those of these ids"
    return ""


def _novel_ids(concepts: Sequence[Concept], train: Sequence[Concept]) -> tuple[str, ...]:
    trained = frozenset[str]().union(
        *(stems(text) for concept in train for text in (concept.text, *concept.synonyms))
    )
    return tuple(
        concept.id for concept in concepts if concept.text and not stems(concept.text) <= trained
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
