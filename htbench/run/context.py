"""The context of a run under way: its plan, its store and the workers that do it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from htbench.core.display import Display
from htbench.core.errors import Incomplete
from htbench.core.types import Digest
from htbench.run.frozen import Frozen
from htbench.run.plan import ResolvedPlan, map_file
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
from htbench.scorers.activation_scorer import ActivationScorer
from htbench.scorers.scorer import Scorer
from htbench.scorers.set_scorer import SetScorer
from htbench.steering.concept import Concept

if TYPE_CHECKING:
    from torch import Tensor

Item = TypeVar("Item")
FitFailures = dict[tuple[str, Digest], Failure]
"""Reasons why a method has no intervention for a concept, by method and digest of the concept."""


@dataclass(frozen=True, kw_only=True)
class RemoteEncoder:
    """An encoder that scores, loaded by the workers of a pool."""

    pool: Pool
    index: int
    name: str
    revision: Digest
    scale: float
    """Factor of a cosine before a softmax."""

    @property
    def id(self) -> str:
        """Name and revision: scores by other weights are other scores."""
        return f"{self.name}@{self.revision}"

    def texts(self, texts: Sequence[str]) -> "Tensor":
        """Embeddings of `texts`."""
        task = EmbedTexts(encoder=self.index, texts=tuple(texts))
        return run_one(self.pool, task, Embeddings).texts


@dataclass
class FailureLimit:
    """A count of failures that ends the run when there are too many."""

    allowed: int
    failed: int = 0

    def add(self, failures: int) -> None:
        """Count `failures` more.

        Raises:
            Incomplete: once more have failed than are allowed.
        """
        self.failed += failures
        if self.failed > self.allowed:
            raise Incomplete(
                f"stopped after {self.failed} failed images, {self.allowed} are allowed",
                remedy="See the reasons above or in the report; --max-failures allows more. "
                "The same command tries them again.",
            )


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """One run under way, with everything that its stages share."""

    plan: ResolvedPlan
    store: Store
    pool: Pool
    display: Display
    runs: Path
    """Folder of the run and of others beside it."""
    scorers: tuple[Scorer, ...] = ()
    """Scorers other than encoders; they stay in this process."""
    set_scorers: tuple[SetScorer, ...] = ()
    """Scorers of sets of pictures; they stay in this process too."""
    activation_scorers: tuple[ActivationScorer, ...] = ()
    """Scorers of activations, which the workers load too."""
    steerings: Mapping[str, SteeringInfo] = field(default_factory=dict)
    """The trained methods; without those whose training failed."""
    command: str = ""
    """The command line that is kept with what the run makes."""
    fit_together: int = 1
    """Number of concepts that a method fits side by side, if it can."""
    frozen: Frozen = field(default_factory=Frozen)
    """The methods whose cells are taken from a bundle; none in a run that makes all its cells."""
    repeats: str = ""
    """Grid of the run that this one repeats, at a further fit seed or in another wording; empty:
    none."""
    failure_limit: FailureLimit = field(default_factory=lambda: FailureLimit(allowed=10**9))

    @property
    def model(self) -> WorkerInfo:
        """The model that is steered, as the workers describe it."""
        return self.pool.info

    @property
    def encoders(self) -> tuple[RemoteEncoder, ...]:
        """The encoders that score, in the order of the plan."""
        return tuple(
            RemoteEncoder(
                pool=self.pool, index=k, name=info.name, revision=info.revision, scale=info.scale
            )
            for k, info in enumerate(self.pool.info.encoders)
        )

    @property
    def maps(self) -> Path:
        """Folder of interventions and of what methods share between concepts."""
        return self.store.folder / "maps"

    def steering_source(self, method: str) -> SteeringSource:
        """The source from which workers get a method's steering."""
        return self.pool.steering_source(
            method, self.plan.cards[method], seed=self.plan.settings.seed
        )

    def map_path(self, method: str, concept: Concept) -> Path:
        """File of a method's intervention for a concept."""
        return self.maps / map_file(self.steerings[method].digest, self.model.revision, concept)

    def record_failure(self, keys: Sequence[Digest], failure: Failure) -> None:
        """Write to the store that images could not be generated.

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
