"""A run under way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from htbench.core import content
from htbench.core.display import Display
from htbench.core.errors import Incomplete
from htbench.core.types import Digest
from htbench.run.plan import Plan
from htbench.run.store import Failure, Store
from htbench.run.workers.messages import (
    Embeddings,
    EmbedTexts,
    Pool,
    SteeringInfo,
    SteeringSource,
    WorkerInfo,
    run_one,
)
from htbench.scorers.scorer import Scorer
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept, ConceptSet

if TYPE_CHECKING:
    from torch import Tensor

Item = TypeVar("Item")
FitFailures = dict[tuple[str, str], Failure]
"""Why a method has no intervention for a concept, by method and concept."""


@dataclass(frozen=True, kw_only=True)
class RemoteEncoder:
    """An encoder that scores, in the hands of a crew."""

    pool: Pool
    index: int

    @property
    def name(self) -> str:
        """That of the encoder."""
        return self.pool.info.encoders[self.index].name

    @property
    def revision(self) -> Digest:
        """That of the encoder."""
        return self.pool.info.encoders[self.index].revision

    @property
    def scale(self) -> float:
        """What a cosine is multiplied by before a softmax."""
        return self.pool.info.encoders[self.index].scale

    def texts(self, texts: Sequence[str]) -> "Tensor":
        """Embeddings of `texts`."""
        return cast(
            Embeddings, run_one(self.pool, EmbedTexts(encoder=self.index, texts=tuple(texts)))
        ).texts


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a run is done with."""

    pool: Pool
    scorers: tuple[Scorer, ...] = ()
    display: Display

    @property
    def encoders(self) -> tuple[RemoteEncoder, ...]:
        """The encoders that score."""
        return tuple(
            RemoteEncoder(pool=self.pool, index=k) for k in range(len(self.pool.info.encoders))
        )


@dataclass
class FailureLimit:
    """Counts failures until there are too many."""

    allowed: int
    failed: int = 0

    def add(self, failures: int) -> None:
        """Raise `Incomplete` once more have failed than are allowed."""
        self.failed += failures
        if self.failed > self.allowed:
            raise Incomplete(
                f"stopped after {self.failed} failed images, {self.allowed} are allowed",
                remedy="See the reasons above or in the report; --max-failures allows more. The same command tries them again.",
            )


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """One run under way."""

    plan: Plan
    store: Store
    resources: Resources
    concepts: tuple[Concept, ...]
    concept_set: ConceptSet
    cards: dict[str, Card]
    """Of each method, as given."""
    steerings: dict[str, SteeringInfo]
    """Without those whose learning failed."""
    failure_limit: FailureLimit = field(default_factory=lambda: FailureLimit(allowed=10**9))

    @property
    def pool(self) -> Pool:
        """Who does the work."""
        return self.resources.pool

    @property
    def model(self) -> WorkerInfo:
        """What is steered."""
        return self.pool.info

    @property
    def display(self) -> Display:
        """What tells the user."""
        return self.resources.display

    def steering_source(self, method: str) -> SteeringSource:
        """Where workers have a method's steering from."""
        return self.pool.steering_source(method, self.cards[method], seed=self.plan.seed)

    def map_path(self, method: str, concept: Concept) -> Path:
        """Where a concept's intervention is kept."""
        key = content.digest([self.steerings[method].digest, self.model.revision, concept.digest])
        return self.store.folder / "maps" / f"{key}.safetensors"

    def record_failure(self, keys: Sequence[Digest], failure: Failure) -> None:
        """Write down that images could not be made.

        Raises:
            Incomplete: once too many have failed.
        """
        self.store.add_failure(keys, failure)
        self.display.event(
            "failed", images=list(keys), reason=failure.kind, message=failure.message
        )
        self.failure_limit.add(len(keys))


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`items` in pieces of `size`; the last may be shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))


def encoder_id(encoder: RemoteEncoder) -> str:
    """Name and revision: scores by other weights are other scores."""
    return f"{encoder.name}@{encoder.revision}"
