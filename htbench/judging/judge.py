"""The interface of judges: questions on two pictures, answers and verdicts."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from htbench.judging.meter import NO_USAGE, Meter, Usage

Choice = Literal["A", "B", "tie"]
Outcome = Literal[
    "answered",
    "cannot judge",
    "refused",
    "filtered",
    "truncated",
    "unusable",
    "rejected",
    "limited",
    "timeout",
    "down",
]
"""The outcome of a call.

`answered` and `cannot judge` are final; any other is the reason of missing data, which is asked for
again by the next command.
"""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
FINAL_OUTCOMES: tuple[Outcome, ...] = ("answered", "cannot judge")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One call: two pictures and a rubric, without the names of the methods."""

    key: str
    """Digest of everything that could change the answer; equal questions are asked once."""
    criterion: str
    text: str
    """The rubric, filled in."""
    concept: str
    prompt: str
    first: "ShownPicture"
    second: "ShownPicture | None"
    """None: a question about one picture, to which A or B stands for yes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownPicture:
    """A picture as it is sent to a judge: of one size and encoding for all, without metadata."""

    name: str
    """The name of its file, with a prefix where it is noise or has text on it."""
    data: bytes
    media: str
    """`image/jpeg` or `image/png`."""
    width: int
    """In pixels; likewise `height`."""
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeAnswer:
    """The raw reply to a question."""

    key: str
    body: str
    """The reply as it arrived; empty where none did."""
    failure: Outcome | None = None
    """The reason why there is no reply."""
    message: str = ""
    usage: Usage = NO_USAGE
    """The tokens that all requests for it are charged; the most that they can be where the endpoint
    does not count them.
    """
    requests: int = 1
    """Number of requests that went out for it."""
    seconds: float = 0.0
    request_form: str = ""
    """The form of the request, which depends on the endpoint's capability."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The verdict that was read from a reply."""

    outcome: Outcome
    choice: Choice | None = None
    preference: float | None = None
    """Expected preference for the picture shown first, 0 to 1; a tie counts half.

    From token probabilities where the endpoint gives them.
    """
    coverage: float | None = None
    """Total probability of the verdicts' tokens; None: the written verdict was taken."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmittedBatch:
    """A batch that an endpoint has accepted."""

    id: str
    keys: tuple[str, ...]
    worst: Usage
    """The most tokens that it can take."""


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """The state of a batch, with its answers."""

    state: str
    """The endpoint's own word for it."""
    ended: bool
    answers: Iterator[JudgeAnswer]
    """Empty until the batch has ended; even then calls may lack an answer."""
    problems: list[str] = field(default_factory=list)
    """A line for each record of an answer that is left out, complete after the last answer."""


@dataclass(frozen=True, kw_only=True)
class JudgeContext:
    """The run that a judge works for, and settings that change no verdict."""

    scorer: str = ""
    """The encoder that scores the run, `name@revision`; no ranked method reads concepts with it."""
    device: str | None = None
    concurrency: int = 8
    """Number of simultaneous calls."""
    wait: float = 120
    """The longest wait that an endpoint may ask for, in seconds."""
    offline: bool = False
    memory: MutableMapping[str, str] | None = None
    """A cache of facts about the endpoint, which may be lost."""
    meter: Meter = field(default_factory=Meter)
    """Has to grant each request before it goes out."""


class Judge(Protocol):
    """Answers questions.

    A plug-in is a factory `(card: JudgeCard, context: JudgeContext) -> Judge`, cheap to call. It
    may name modules of extras that are needed to ask it, as `needs`.
    """

    model: str
    """The name of the model, or the encoder with its revision; part of every call's key."""
    endpoint: str
    """The address of the endpoint without its secrets; empty: this machine."""
    encoders: tuple[str, ...]
    """Encoders that embed its pictures; methods that use one of them cannot be judged."""
    parser: str
    """The version of `read`."""

    def answers(self, questions: Iterator[Question]) -> Iterator[JudgeAnswer]:
        """An answer to each question, in any order.

        Questions are taken only when they can be asked. A question that the meter leaves no request
        for has no answer.

        Raises:
            HtbenchError: if no question can be asked.
        """

    def read(self, body: str) -> Verdict:
        """The verdict in a reply; needs neither network nor model."""


@runtime_checkable
class TakesSinglePictures(Protocol):
    """A judge that also answers questions about one picture."""

    takes_single_pictures: bool


@runtime_checkable
class TakesBatches(Protocol):
    """A judge that can also be asked in batches."""

    def submit(
        self, questions: Iterator[Question], *, known: Iterable[str] = ()
    ) -> Iterator[SubmittedBatch]:
        """Send questions, and give each batch as soon as it is accepted."""

    def collect(self, batch: str, *, worst: Usage) -> BatchResult:
        """The state of a batch, with its answers.

        An answer without a count of tokens is charged as in `worst`.
        """


@runtime_checkable
class HasSize(Protocol):
    """A judge that knows the size of its requests."""

    def size(self, question: Question) -> int:
        """The size of a call in bytes."""


@runtime_checkable
class ShowsThoughts(Protocol):
    """A judge whose replies may hold what the model thought before its answer."""

    def thought(self, body: str) -> str:
        """The thought in a reply, apart from its answer; empty without one."""


@runtime_checkable
class ShowsCalls(Protocol):
    """A judge that makes calls and can show them."""

    @property
    def abilities(self) -> Mapping[str, object]:
        """The requests that the endpoint takes, by name, as far as is known."""

    def request(self, question: Question) -> dict[str, Any]:
        """The body of a call, in the form that the endpoint accepts."""
