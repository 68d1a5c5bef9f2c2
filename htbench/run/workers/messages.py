"""What is handed out and what comes back: plain values, which may travel to another machine."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from htbench.core.types import Digest, Site, SiteInfo
from htbench.run.store import Failure, GeneratedImage
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.method import Training

Handle = object
"""A value that stays where the crew keeps it until a worker wants it; see `Pool.share`."""


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What a worker loads before it can do anything."""

    model: str
    load_options: Mapping[str, str]
    encoders: tuple[str, ...]
    """Encoders; none: the model's own."""
    training_concepts: tuple[Concept, ...]
    """What methods learn from that share something between concepts."""


@dataclass(frozen=True, kw_only=True)
class EncoderInfo:
    """An encoder that workers have."""

    name: str
    revision: Digest
    scale: float


@dataclass(frozen=True, kw_only=True)
class WorkerInfo:
    """A worker's model, scorers and machine, as those see them who have not loaded any."""

    name: str
    revision: Digest
    sites: Mapping[Site, SiteInfo]
    device: str
    facts: Mapping[str, str]
    """What the model says of itself."""
    encoders: tuple[EncoderInfo, ...]
    environment: Mapping[str, object]
    """Versions, processor, threads, device."""


@dataclass(frozen=True, kw_only=True)
class SteeringSource:
    """Where a worker has a method's steering from."""

    name: str
    card: Card
    seed: int
    files: Handle = None
    """What is already learnt, by path below the folder of maps; None: it lies there."""


@dataclass(frozen=True, kw_only=True)
class TrainTask:
    """Learn what methods share between concepts, one after another, since they build on each other."""

    sources: tuple[SteeringSource, ...]


@dataclass(frozen=True, kw_only=True)
class SteeringInfo:
    """What is known of a steering without having it."""

    digest: Digest
    training: Training


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """Steerings by method, or why there is none."""

    steerings: dict[str, SteeringInfo | Failure]
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What was kept in a folder that is not the run's."""


@dataclass(frozen=True, kw_only=True)
class FitTask:
    """Learn and time the intervention for one concept."""

    source: SteeringSource
    concept: Concept
    warmup_concept: Concept | None
    """What to warm up on if the worker has not met the method yet; None: not at all."""


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """An intervention, on the CPU, and the seconds that learning it took."""

    intervention: Intervention
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ImageTask:
    """One image to make."""

    image_key: Digest
    prompt: str
    seed: int
    strength: float
    intervention: str | None
    """Which of the task's; None: none."""


@dataclass(frozen=True, kw_only=True)
class GenerateTask:
    """Make images, together in a batch."""

    image_tasks: tuple[ImageTask, ...]
    interventions: Mapping[str, Handle]
    batch_size: int


@dataclass(frozen=True, kw_only=True)
class GeneratedBatch:
    """What came of some images of one batch."""

    image_keys: tuple[Digest, ...]
    images: tuple[GeneratedImage, ...] = ()
    """One an image, or none if they failed."""
    failure: Failure | None = None
    seconds: float = 0.0
    """An image."""
    batch_size: int = 0


@dataclass(frozen=True, kw_only=True)
class GenerateResult:
    """What came of a task of making images."""

    batches: tuple[GeneratedBatch, ...]
    warnings: tuple[str, ...] = ()
    """What the user should know."""


@dataclass(frozen=True, kw_only=True)
class EmbedImages:
    """Embed pictures, together, and texts, each by itself."""

    encoder: int
    pngs: tuple[bytes, ...]
    texts: tuple[str, ...] = ()
    batch_size: int = 64


@dataclass(frozen=True, kw_only=True)
class EmbedTexts:
    """Embed texts together."""

    encoder: int
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Embeddings, in the order asked for."""

    images: Float[Tensor, "images features"]
    texts: Float[Tensor, "texts features"]


@dataclass(frozen=True, kw_only=True)
class CheckWords:
    """Find words that the model does not know."""

    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class UnknownWords:
    """Words that the model does not know, each once."""

    words: tuple[str, ...]


Task = TrainTask | FitTask | GenerateTask | EmbedImages | EmbedTexts | CheckWords
Result = TrainResult | FitResult | Failure | GenerateResult | Embeddings | UnknownWords


class Pool(Protocol):
    """Those who do the work."""

    @property
    def info(self) -> WorkerInfo:
        """What all of them have loaded."""

    @property
    def size(self) -> int:
        """How many there are when all are there."""

    def run_tasks(self, supply: Callable[[], Task | None]) -> Iterator[tuple[Task, Result]]:
        """Each task with its result, in the order in which they are done, until nothing is under way and `supply` has nothing.

        `supply` is asked whenever somebody is free, and may answer None while it waits for results; so no more is under way than is needed.
        """

    def put(self, intervention: Intervention) -> Handle:
        """Something that stands for `intervention` in a task."""

    def steering_source(self, name: str, card: Card, *, seed: int) -> SteeringSource:
        """Where workers have a method's steering from, as things stand."""


def run_all(pool: Pool, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result]]:
    """Each of `tasks` with its result, in the order in which they are done."""
    waiting = iter(tasks)
    return pool.run_tasks(lambda: next(waiting, None))


def run_one(pool: Pool, task: Task) -> Result:
    """The result of a single task."""
    ((_, result),) = run_all(pool, [task])
    return result
