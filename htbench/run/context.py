"""A run under way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from htbench.core import content
from htbench.core.display import Voice
from htbench.core.errors import Incomplete
from htbench.core.types import Digest
from htbench.run.plan import Plan
from htbench.run.store import Failure, Store
from htbench.run.workers.messages import Crew, Portrait, Read, Seen, Shared, Source, ask
from htbench.scorers.scorer import Gauge
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept, ConceptSet

if TYPE_CHECKING:
    from torch import Tensor

Item = TypeVar("Item")
Unlearnt = dict[tuple[str, str], Failure]
"""Why a method has no intervention for a concept, by method and concept."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """An encoder that scores, in the hands of a crew."""

    crew: Crew
    number: int

    @property
    def name(self) -> str:
        """That of the encoder."""
        return self.crew.model.scorers[self.number].name

    @property
    def revision(self) -> Digest:
        """That of the encoder."""
        return self.crew.model.scorers[self.number].revision

    @property
    def scale(self) -> float:
        """What a cosine is multiplied by before a softmax."""
        return self.crew.model.scorers[self.number].scale

    def texts(self, texts: Sequence[str]) -> "Tensor":
        """Embeddings of `texts`."""
        return cast(Seen, ask(self.crew, Read(scorer=self.number, texts=tuple(texts)))).texts


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a run is done with."""

    crew: Crew
    gauges: tuple[Gauge, ...] = ()
    voice: Voice

    @property
    def scorers(self) -> tuple[Reader, ...]:
        """The encoders that score."""
        return tuple(Reader(crew=self.crew, number=k) for k in range(len(self.crew.model.scorers)))


@dataclass
class Patience:
    """Counts failures until there are too many."""

    allowed: int
    failed: int = 0

    def count(self, failures: int) -> None:
        """Raise `Incomplete` once more have failed than are allowed."""
        self.failed += failures
        if self.failed > self.allowed:
            raise Incomplete(
                f"stopped after {self.failed} failed images, {self.allowed} are allowed",
                remedy="See the reasons above or in the report; --max-failures allows more. The same command tries them again.",
            )


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run under way."""

    plan: Plan
    store: Store
    tools: Tools
    concepts: tuple[Concept, ...]
    concept_set: ConceptSet
    cards: dict[str, Card]
    """Of each method, as given."""
    methods: dict[str, Shared]
    """Without those whose learning failed."""
    patience: Patience = field(default_factory=lambda: Patience(allowed=10**9))

    @property
    def crew(self) -> Crew:
        """Who does the work."""
        return self.tools.crew

    @property
    def model(self) -> Portrait:
        """What is steered."""
        return self.crew.model

    @property
    def voice(self) -> Voice:
        """What tells the user."""
        return self.tools.voice

    def source(self, method: str) -> Source:
        """Where workers have a method's steering from."""
        return self.crew.source(method, self.cards[method], seed=self.plan.seed)

    def map_path(self, method: str, concept: Concept) -> Path:
        """Where a concept's intervention is kept."""
        key = content.digest([self.methods[method].digest, self.model.revision, concept.digest])
        return self.store.folder / "maps" / f"{key}.safetensors"

    def fail(self, keys: Sequence[Digest], failure: Failure) -> None:
        """Write down that images could not be made.

        Raises:
            Incomplete: once too many have failed.
        """
        self.store.add_failure(keys, failure)
        self.voice.event("failed", images=list(keys), reason=failure.kind, message=failure.message)
        self.patience.count(len(keys))


def parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`items` in pieces of `size`; the last may be shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))


def encoder_id(encoder: Reader) -> str:
    """Name and revision: scores by other weights are other scores."""
    return f"{encoder.name}@{encoder.revision}"
