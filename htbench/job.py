"""A run under way, and what goes wrong in it."""

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from htbench import content, device
from htbench.concept import Concept, ConceptSet
from htbench.encoder import Encoder
from htbench.errors import Incomplete, NotFinite
from htbench.gauge import Gauge
from htbench.method import Learnt
from htbench.model import Model
from htbench.plan import Plan
from htbench.store import Failure, Store
from htbench.types import Digest
from htbench.voice import Voice

Item = TypeVar("Item")
Unlearnt = dict[tuple[str, str], Failure]
"""Why a method has no intervention for a concept, by method and concept."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What is loaded once."""

    model: Model
    scorers: tuple[Encoder, ...]
    gauges: tuple[Gauge, ...] = ()
    voice: Voice


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
    methods: dict[str, Learnt]
    """Without those whose learning failed."""
    patience: Patience = field(default_factory=lambda: Patience(allowed=10**9))

    @property
    def model(self) -> Model:
        """What is steered."""
        return self.tools.model

    @property
    def voice(self) -> Voice:
        """What tells the user."""
        return self.tools.voice

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


def failure(error: Exception, *, during: str) -> Failure:
    """What the store keeps of an error; `during` is its kind unless the error itself says more."""
    kind = "nan" if isinstance(error, NotFinite) else "memory" if device.out_of_memory(error) else during
    return Failure(kind=kind, message=str(error) or type(error).__name__, trace="".join(traceback.format_exception(error)))


def parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`items` in pieces of `size`; the last may be shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))
