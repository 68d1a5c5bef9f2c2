"""What is handed out and what comes back: plain values, which may travel to another machine."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from htbench.core.types import Digest, Site, SiteInfo
from htbench.run.store import Failure, Picture
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.method import Training

Handle = object
"""A value that stays where the crew keeps it until a worker wants it; see `Crew.share`."""


@dataclass(frozen=True, kw_only=True)
class Outfit:
    """What a worker loads before it can do anything."""

    model: str
    loading: Mapping[str, str]
    scorers: tuple[str, ...]
    """Encoders; none: the model's own."""
    concepts: tuple[Concept, ...]
    """What methods learn from that share something between concepts."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """An encoder that workers have."""

    name: str
    revision: Digest
    scale: float


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """A worker's model, scorers and machine, as those see them who have not loaded any."""

    name: str
    revision: Digest
    sites: Mapping[Site, SiteInfo]
    device: str
    facts: Mapping[str, str]
    """What the model says of itself."""
    scorers: tuple[Scorer, ...]
    surroundings: Mapping[str, object]
    """Versions, processor, threads, device."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a worker has a method's steering from."""

    name: str
    card: Card
    seed: int
    files: Handle = None
    """What is already learnt, by path below the folder of maps; None: it lies there."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Learn what methods share between concepts, one after another, since they build on each other."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What is known of a steering without having it."""

    digest: Digest
    training: Training


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Steerings by method, or why there is none."""

    methods: dict[str, Shared | Failure]
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What was kept in a folder that is not the run's."""


@dataclass(frozen=True, kw_only=True)
class Towards:
    """Learn and time the intervention for one concept."""

    source: Source
    concept: Concept
    spare: Concept | None
    """What to warm up on if the worker has not met the method yet; None: not at all."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """An intervention, on the CPU, and the seconds that learning it took."""

    intervention: Intervention
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One image to make."""

    image: Digest
    prompt: str
    seed: int
    strength: float
    change: str | None
    """Which of the task's; None: none."""


@dataclass(frozen=True, kw_only=True)
class Make:
    """Make images, together in a batch."""

    pieces: tuple[Piece, ...]
    changes: Mapping[str, Handle]
    batch: int


@dataclass(frozen=True, kw_only=True)
class Made:
    """What came of some images of one batch."""

    images: tuple[Digest, ...]
    pictures: tuple[Picture, ...] = ()
    """One an image, or none if they failed."""
    failure: Failure | None = None
    seconds: float = 0.0
    """An image."""
    batch: int = 0


@dataclass(frozen=True, kw_only=True)
class Album:
    """What came of a task of making images."""

    made: tuple[Made, ...]
    notes: tuple[str, ...] = ()
    """What the user should know."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Embed pictures, together, and texts, each by itself."""

    scorer: int
    pngs: tuple[bytes, ...]
    texts: tuple[str, ...] = ()
    batch: int = 64


@dataclass(frozen=True, kw_only=True)
class Read:
    """Embed texts together."""

    scorer: int
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Embeddings, in the order asked for."""

    images: Float[Tensor, "images features"]
    texts: Float[Tensor, "texts features"]


@dataclass(frozen=True, kw_only=True)
class Spell:
    """Find words that the model does not know."""

    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Spelt:
    """Words that the model does not know, each once."""

    unknown: tuple[str, ...]


Task = Fit | Towards | Make | Look | Read | Spell
Result = Fitted | Change | Failure | Album | Seen | Spelt


class Crew(Protocol):
    """Those who do the work."""

    @property
    def model(self) -> Portrait:
        """What all of them have loaded."""

    @property
    def size(self) -> int:
        """How many there are when all are there."""

    def work(self, supply: Callable[[], Task | None]) -> Iterator[tuple[Task, Result]]:
        """Each task with its result, in the order in which they are done, until nothing is under way and `supply` has nothing.

        `supply` is asked whenever somebody is free, and may answer None while it waits for results; so no more is under way than is needed.
        """

    def share(self, change: Intervention) -> Handle:
        """Something that stands for `change` in a task."""

    def source(self, name: str, card: Card, *, seed: int) -> Source:
        """Where workers have a method's steering from, as things stand."""


def every(crew: Crew, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result]]:
    """Each of `tasks` with its result, in the order in which they are done."""
    waiting = iter(tasks)
    return crew.work(lambda: next(waiting, None))


def ask(crew: Crew, task: Task) -> Result:
    """The result of a single task."""
    ((_, result),) = every(crew, [task])
    return result
