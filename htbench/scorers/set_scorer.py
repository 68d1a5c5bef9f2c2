"""Scores of a set of pictures, from the embeddings of one encoder: the protocol and its parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from htbench.core import registry
from htbench.scorers.scorer import Better

Rows = Float[np.ndarray, "pictures features"]
"""Embeddings of pictures, each of length 1."""
Weights = Float[np.ndarray, " pictures"]
"""Shares of pictures in a set; their sum is 1."""
FLOOR_ROUNDS = 10
"""Number of random halves that a floor is the mean of."""


class UndefinedScore(ValueError):
    """A score that a set of pictures does not have; the text is one line with the reason."""


@dataclass(frozen=True, kw_only=True)
class SetScorerCard:
    """The description of a scorer of sets."""

    name: str
    """Name in commands and files."""
    title: str
    """Name in tables and reports."""
    summary: str
    better: Better
    least: float
    most: float
    """Ends of the range; infinite where there is none."""
    version: str
    """Another version gives other scores."""
    paper: str


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureSet:
    """The pictures of one method at one strength, and the unsteered ones of the same cells."""

    steered: Rows
    unsteered: Rows
    """Each picture once, though the cells of all concepts share it."""
    pair: Int[np.ndarray, " cells"]
    """For each row of `steered`, the row of `unsteered` with the same prompt and seed."""
    concept: Int[np.ndarray, " cells"]
    """Numbers of concepts from 0; each occurs."""
    prompt: Int[np.ndarray, " cells"]

    @property
    def concepts(self) -> int:
        """Number of concepts."""
        return int(self.concept.max(initial=-1)) + 1

    def groups(self) -> Iterator[tuple[int, Rows]]:
        """The concept and the steered pictures of each concept and prompt: those of its seeds."""
        codes = self.concept * (int(self.prompt.max(initial=0)) + 1) + self.prompt
        order = codes.argsort(kind="stable")
        starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        for rows in np.split(order, starts[1:]):
            if len(rows):
                yield int(self.concept[rows[0]]), self.steered[rows]


@dataclass(frozen=True, kw_only=True, eq=False)
class SetScore:
    """The score of a set, and what each concept adds to it."""

    by_concept: Float[np.ndarray, " concepts"]
    """Values by concept, whose mean is the score and whose spread is its error; NaN for a concept
    without one. Of a score that is no mean over concepts, they are its linear approximation."""
    floor: float = np.nan
    """The score of two random halves of the set, which differ by chance alone; NaN for none."""

    @property
    def value(self) -> float:
        """The score."""
        return float(np.nanmean(self.by_concept))


class SetScorer(Protocol):
    """A score of a set of pictures; a plug-in of the group `htbench.set_scorers` makes one."""

    card: SetScorerCard

    def measure(self, pictures: PictureSet) -> SetScore:
        """The score of the set.

        Raises:
            UndefinedScore: if the set has none.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class Distance:
    """A distance between two weighted sets, and how each picture moves it.

    The pulls are the distance's influence function: it changes by a share of a picture's pull if
    that picture takes this share of all others. Weighted with the pictures' shares they sum to 0.
    """

    value: float
    first: Float[np.ndarray, " pictures"]
    second: Float[np.ndarray, " others"]


def load_set_scorer(name: str) -> SetScorer:
    """The installed scorer of sets `name`.

    Raises:
        UnknownName: if there is none, with the nearest names.
    """
    scorer: SetScorer = registry.load("set_scorers", name)()
    return scorer


DistanceFunction = Callable[[Rows, Rows, Weights], Distance]
"""The distance of two sets, whose first has equal weights and whose second the given ones."""


def distance_score(pictures: PictureSet, distance: DistanceFunction) -> SetScore:
    """The distance of steered from unsteered pictures, with what each concept adds, and its floor.

    A concept's part is that of its steered and its unsteered pictures together, so that an interval
    over concepts is for a new sample of these.

    Raises:
        UndefinedScore: if there are fewer than two pictures, or their embeddings are not finite.
    """
    check(pictures)
    cells, concepts = len(pictures.steered), pictures.concepts
    weights = np.bincount(pictures.pair, minlength=len(pictures.unsteered)) / cells
    steered, unsteered = pictures.steered.astype(float), pictures.unsteered.astype(float)
    whole = distance(steered, unsteered, weights)
    pulls = whole.first + whole.second[pictures.pair]
    parts = np.bincount(pictures.concept, pulls, minlength=concepts) * concepts / cells
    return SetScore(
        by_concept=whole.value + parts - parts.mean(),
        floor=_floor(steered, pictures.concept, distance),
    )


def check(pictures: PictureSet) -> None:
    """Raise `UndefinedScore` for fewer than two pictures, or embeddings that are not finite."""
    if len(pictures.steered) < 2:
        raise UndefinedScore(f"{len(pictures.steered)} pictures, and two are needed")
    if not (np.isfinite(pictures.steered).all() and np.isfinite(pictures.unsteered).all()):
        raise UndefinedScore("an embedding is not finite")


def _floor(steered: Rows, concept: Int[np.ndarray, " cells"], distance: DistanceFunction) -> float:
    """The mean distance between the pictures of two random halves of the concepts.

    Both halves have the same prompts and seeds, so that they differ by their concepts alone. NaN
    for fewer than four concepts.
    """
    concepts = int(concept.max()) + 1
    if concepts < 4:
        return float("nan")
    random = np.random.default_rng(0)
    values = []
    for _ in range(FLOOR_ROUNDS):
        first = np.isin(concept, random.permutation(concepts)[: concepts // 2])
        other = steered[~first]
        values.append(distance(steered[first], other, np.full(len(other), 1 / len(other))).value)
    return float(np.mean(values))
