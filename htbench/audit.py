"""The leakage audit: which of the concepts that a method is evaluated on it was, in one way or another, trained on."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from htbench.concept import Concept

NEAR = 0.95
"""Cosine of two texts from which concepts count as nearly the same."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A concept that is evaluated on, and the training concept that resembles it most."""

    evaluated: str
    trained: str
    cosine: float


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found for one method."""

    trained_on: int
    """Training concepts."""
    exact: tuple[str, ...]
    """Ids that it was trained on: the method is refused."""
    normalised: tuple[str, ...]
    """Ids whose words, but for case and punctuation, it was trained on: the method is refused."""
    near: tuple[Pair, ...]
    """Other concepts with a cosine of at least `NEAR`: reported, since a good benchmark may have near neighbours."""
    nearest: float
    """The largest cosine of any pair that is not the same; 0 without training concepts."""
    encoder: str

    @property
    def leaked(self) -> tuple[str, ...]:
        """Ids that make the method's figures worthless."""
        return tuple(dict.fromkeys((*self.exact, *self.normalised)))

    def facts(self) -> dict[str, object]:
        """For the store."""
        return asdict(self)


def audit(
    chosen: Sequence[Concept], trained: Sequence[str], known: Mapping[str, Concept], vectors: Mapping[str, NDArray[np.float32]], *, encoder: str
) -> Audit:
    """Compare the `chosen` concepts with the ids of those `trained` on; `vectors` has an embedding of length 1 for every text."""
    train = [known[id_] for id_ in trained if id_ in known and known[id_].text]
    words = {normalise(concept.text) for concept in train}
    exact = tuple(concept.id for concept in chosen if concept.id in set(trained))
    normalised = tuple(concept.id for concept in chosen if concept.id not in exact and normalise(concept.text) in words)
    others = [concept for concept in chosen if concept.text and concept.id not in (*exact, *normalised)]
    pairs = _nearest(others, train, vectors)
    near = tuple(sorted((pair for pair in pairs if pair.cosine >= NEAR), key=lambda pair: -pair.cosine))
    nearest = max((pair.cosine for pair in pairs), default=0.0)
    return Audit(trained_on=len(trained), exact=exact, normalised=normalised, near=near, nearest=nearest, encoder=encoder)


def normalise(text: str) -> str:
    """The words of a text without case, accents' encodings and punctuation."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def _nearest(chosen: Sequence[Concept], train: Sequence[Concept], vectors: Mapping[str, NDArray[np.float32]]) -> list[Pair]:
    if not chosen or not train:
        return []
    cosines = np.stack([vectors[concept.text] for concept in chosen]) @ np.stack([vectors[concept.text] for concept in train]).T
    best = cosines.argmax(1)
    return [Pair(evaluated=concept.id, trained=train[k].id, cosine=float(row[k])) for concept, k, row in zip(chosen, best, cosines, strict=True)]
