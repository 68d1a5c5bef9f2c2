"""Messages between a run and its workers: tasks and their results, plain values that may travel
to another machine."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from jaxtyping import Float

from htbench.core.types import Digest, Site, SiteInfo
from htbench.run.store import CellRow, Failure, GeneratedImage
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.text_limits import CutText, Question
from htbench.steering.training import Training

if TYPE_CHECKING:
    from torch import Tensor

    from htbench.steering.intervention import Intervention
    from htbench.steering.method import PromptsAndSeeds

Handle = object
"""A value that stays in the pool until a worker needs it; see `Pool.put`."""


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """The model and the encoders that a worker loads before its first task."""

    model: str
    load_options: Mapping[str, str]
    encoders: tuple[str, ...]
    """Encoders that score; none: the model's own."""
    training_concepts: tuple[Concept, ...]
    """Concepts that amortised methods are trained on."""
    scores_by_both: bool = False
    """Without named encoders, score by the encoder that reads concepts for methods too."""


@dataclass(frozen=True, kw_only=True)
class EncoderInfo:
    """Description of an encoder that the workers have loaded."""

    name: str
    revision: Digest
    scale: float


@dataclass(frozen=True, kw_only=True)
class WorkerInfo:
    """Description of a worker's model, encoders and machine."""

    name: str
    revision: Digest
    sites: Mapping[Site, SiteInfo]
    device: str
    facts: Mapping[str, str]
    """Facts that the model reports of itself."""
    encoders: tuple[EncoderInfo, ...]
    environment: Mapping[str, object]
    """Versions, processor, threads, device."""
    detector: str = ""
    """Name of the model's own scorer beside its encoder; empty for none."""


@dataclass(frozen=True, kw_only=True)
class SteeringSource:
    """A method card, from which a worker gets its steering, with files of earlier training."""

    name: str
    card: Card
    seed: int
    files: Handle = None
    """Files of earlier training, by path below the folder of maps; None: they are there."""


@dataclass(frozen=True, kw_only=True)
class TrainTask:
    """Train methods one after another, since they share a base."""

    sources: tuple[SteeringSource, ...]


@dataclass(frozen=True, kw_only=True)
class SteeringInfo:
    """Description of a trained method, without its weights."""

    digest: Digest
    training: Training


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A trained method or the reason why there is none, by method."""

    steerings: dict[str, SteeringInfo | Failure]
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files of the training by path, where the worker's folder is not the run's."""


@dataclass(frozen=True, kw_only=True)
class EarlierFit:
    """An intervention that the run has already, and the seconds that its fit took."""

    intervention: Handle
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FitTask:
    """Fit and time the interventions for one concept, or for several side by side."""

    source: SteeringSource
    concepts: tuple[Concept, ...]
    warmup_concept: Concept | None
    """Concept for an untimed first fit if the method is new to the worker; None: no warm-up."""
    earlier: Mapping[Digest, EarlierFit] = field(default_factory=dict)
    """Fits that need not be done again, by the digest of their concept: those of a single concept,
    or of parts that a derived method makes its intervention from."""


@dataclass(frozen=True, kw_only=True)
class PartFit:
    """The fit of a part of a derived method's intervention."""

    concept: Concept
    intervention: "Intervention"
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """The interventions of a task, on the CPU, and the seconds that their fits took."""

    interventions: "tuple[Intervention, ...]"
    """One per concept."""
    seconds: float
    """Seconds per concept, with those of earlier fits that it is made from."""
    parts: tuple[PartFit, ...] = ()
    """The parts of a derived method's intervention that were fitted for it."""


@dataclass(frozen=True, kw_only=True)
class GenerateTask:
    """Generate the images of cells, together in a batch."""

    cells: tuple[CellRow, ...]
    interventions: Mapping[tuple[str, str], Handle]
    """The interventions of the steered cells, by method and concept."""
    batch_size: int


@dataclass(frozen=True, kw_only=True)
class GeneratedBatch:
    """Images that were generated together, or the reason why they could not be."""

    image_keys: tuple[Digest, ...]
    images: tuple[GeneratedImage, ...] = ()
    """One per key, or none if they failed."""
    failure: Failure | None = None
    seconds: float = 0.0
    """Seconds per image."""
    batch_size: int = 0


@dataclass(frozen=True, kw_only=True)
class GenerateResult:
    """The images of a task, in as many batches as memory allowed."""

    batches: tuple[GeneratedBatch, ...]
    warnings: tuple[str, ...] = ()
    """Messages for the user."""


@dataclass(frozen=True, kw_only=True)
class EmbedImages:
    """Embed images, together, and texts, each by itself."""

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
    """Embeddings, in the order of the task."""

    images: "Float[Tensor, 'images features']"
    texts: "Float[Tensor, 'texts features']"


@dataclass(frozen=True, kw_only=True)
class CheckWords:
    """Find words that are not in the model's vocabulary, and texts that are not read whole."""

    texts: tuple[str, ...]
    questions: tuple[Question, ...] = ()
    """Prompts whose targets the model and the encoders that score are to read."""


@dataclass(frozen=True, kw_only=True)
class UnknownWords:
    """Words that are not in the model's vocabulary, and texts that are cut."""

    words: Mapping[str, Sequence[str]]
    """Unknown words, each with near ones that the model knows."""
    cut: tuple[CutText, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MeasureActivations:
    """Score the activations of one concept: those that interventions steer beside target ones."""

    concept: str
    """Its id."""
    source: "PromptsAndSeeds"
    """Prompts and seeds of the images that are steered."""
    targets: "tuple[PromptsAndSeeds, PromptsAndSeeds]"
    """Those of two halves of the images that ask for the concept."""
    changes: Mapping[str, tuple[Handle, float]]
    """Interventions and their strengths, by method."""
    scorers: tuple[str, ...]
    batch_size: int


@dataclass(frozen=True, kw_only=True)
class ActivationScores:
    """Scores of the activations of one concept by scorer; each has a number per site."""

    sites: tuple[Site, ...]
    steered: Mapping[str, Mapping[str, Sequence[float]]]
    """By scorer and method."""
    unsteered: Mapping[str, Sequence[float]]
    halves: Mapping[str, Sequence[float]]
    """Scores of the two halves of the targets beside each other."""
    problems: Mapping[str, Mapping[str, str]]
    """Reasons why there is no score, by scorer and method; that of no name is of all methods."""


Task = (
    TrainTask | FitTask | GenerateTask | EmbedImages | EmbedTexts | CheckWords | MeasureActivations
)
Result = (
    TrainResult
    | FitResult
    | Failure
    | GenerateResult
    | Embeddings
    | UnknownWords
    | ActivationScores
)


AnyTask = TypeVar("AnyTask", bound=Task)
AnyResult = TypeVar("AnyResult", bound=Result)


class Pool(Protocol):
    """The workers of a run."""

    @property
    def info(self) -> WorkerInfo:
        """Description of the model and encoders that all workers have loaded."""

    @property
    def size(self) -> int:
        """Number of workers once all have started."""

    def run_tasks(self, supply: Callable[[], AnyTask | None]) -> Iterator[tuple[AnyTask, Result]]:
        """Each task with its result, in the order of completion.

        `supply` is called whenever a worker is free, so no more tasks are under way than needed; it
        may return None while it waits for results. The iterator ends when nothing is under way and
        `supply` returns None.
        """

    def put(self, intervention: "Intervention") -> Handle:
        """A handle that stands for `intervention` in a task."""

    def steering_source(self, name: str, card: Card, *, seed: int) -> SteeringSource:
        """The source of a method's steering, with the files of its training so far."""


def run_all(
    pool: Pool, tasks: Iterable[AnyTask], result_type: type[AnyResult]
) -> Iterator[tuple[AnyTask, AnyResult]]:
    """Each of `tasks` with its result, in the order of completion; a task is taken when a worker is
    free for it.

    Raises:
        TypeError: for a result that is not of `result_type`.
    """
    waiting = iter(tasks)
    for task, result in pool.run_tasks(lambda: next(waiting, None)):
        if not isinstance(result, result_type):
            raise TypeError(f"{type(task).__name__} gave {type(result).__name__}")
        yield task, result


def run_one(pool: Pool, task: Task, result_type: type[AnyResult]) -> AnyResult:
    """The result of a single task, which is of `result_type`."""
    ((_, result),) = run_all(pool, [task], result_type)
    return result
