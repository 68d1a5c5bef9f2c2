"""Judges: who looks at two pictures and says which is better."""

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

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
"""What became of a call. `answered` and `cannot judge` are final; anything else is missing data with this reason, asked again next time."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
FINAL_OUTCOMES: tuple[Outcome, ...] = ("answered", "cannot judge")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One call: two pictures, and what is asked about them. Nothing in it tells which method made which."""

    key: str
    """Digest of all that could change the answer: equal questions are asked once."""
    criterion: str
    text: str
    """The rubric, filled in."""
    concept: str
    prompt: str
    first: "ShownPicture"
    second: "ShownPicture"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownPicture:
    """A picture as a judge gets it: equal in size and encoding to all others, without metadata."""

    name: str
    """Digest of the picture and of how it is shown."""
    data: bytes
    media: str
    """`image/jpeg` or `image/png`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens that an endpoint charges for."""

    asked: int = 0
    cached: int = 0
    """The part of `asked` that the endpoint had at hand."""
    replied: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeAnswer:
    """What came back, raw."""

    key: str
    body: str
    """The reply as it arrived; empty where none did."""
    failure: Outcome | None = None
    """Why there is no reply."""
    message: str = ""
    usage: Usage = Usage()
    seconds: float = 0.0
    request_form: str = ""
    """In which form it was asked, as far as that is not part of the question: what the endpoint can do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a reply says."""

    outcome: Outcome
    choice: Choice | None = None
    preference: float | None = None
    """Expected preference for the picture shown first, 0 to 1; a tie counts half. By token probabilities where there are some."""
    coverage: float | None = None
    """Probability that the tokens looked at have together; None: the verdict is the written one."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmittedBatch:
    """A batch that an endpoint has accepted."""

    id: str
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What became of a batch."""

    state: str
    """In the endpoint's words."""
    ended: bool
    answers: Iterator[JudgeAnswer]
    """Empty until it has ended; then not every call need have one."""


@dataclass(frozen=True, kw_only=True)
class JudgeContext:
    """What a judge works in: settings that change no verdict, and what the run is."""

    scorer: str = ""
    """Name and revision, `name@revision`, of the encoder that scores the run, which no ranked method reads concepts with."""
    device: str | None = None
    concurrency: int = 8
    """Calls under way at once."""
    wait: float = 120.0
    """Longest that an endpoint may ask to wait for, in seconds."""
    offline: bool = False
    memory: MutableMapping[str, str] | None = None
    """Where it may keep what it learns about its endpoint; nothing in it is needed."""


class Judge(Protocol):
    """Answers questions; a plug-in is a factory `(card: JudgeCard, setting: Setting) -> Judge`, cheap to call."""

    model: str
    """What answers: the name of a model, or an encoder's with its revision. It is part of every call's key."""
    endpoint: str
    """Where it answers; empty: on this machine."""
    encoders: tuple[str, ...]
    """Encoders that it sees pictures with; it cannot judge methods that read concepts with one of them."""
    parser: str
    """Version of `read`."""

    def answers(self, questions: Iterator[Question]) -> Iterator[JudgeAnswer]:
        """An answer to each question, in any order. Takes questions only when it can ask them, and ends when they end.

        Raises:
            HtbenchError: if nothing can be asked at all.
        """

    def read(self, body: str) -> Verdict:
        """What a reply says; no network, no model."""


@runtime_checkable
class TakesBatches(Protocol):
    """A judge that can also be asked in batches."""

    def submit(
        self, questions: Iterator[Question], *, known: Iterable[str] = ()
    ) -> Iterator[SubmittedBatch]:
        """Send questions; gives each batch as soon as it is accepted."""

    def collect(self, batch: str) -> BatchResult:
        """What became of a batch."""


@runtime_checkable
class HasSize(Protocol):
    """A judge that can say how much it sends."""

    def size(self, question: Question) -> int:
        """Bytes of a call."""
