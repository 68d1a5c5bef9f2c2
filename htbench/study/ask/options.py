"""The options of a study's export, with their defaults."""

from dataclasses import dataclass

CONSENT = (
    "You will compare pictures that a computer made. Taking part is voluntary: you can stop at any "
    "time by closing this page. We keep your answers, how long each took, and your participant id, "
    "which is replaced by a pseudonym when the answers are read. You can have your answers removed "
    "later by naming that id, which the last page shows."
)
DEBRIEF = (
    "The pictures of each pair were made by the same program from the same description, changed in "
    "two different ways. Your answers show which way works better. Some pairs may have been there "
    "twice, or with a picture of noise, to see how steady answers are."
)


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """The options of a study's export."""

    methods: tuple[str, ...] = ()
    """Empty: all methods of the run."""
    criterion: str = "presence"
    question: str = ""
    """Replaces the criterion's own question."""
    against: str = ""
    """The method that every pair has to include; empty: all pairs are allowed."""
    strength: float | None = None
    """None: the full strength of the run."""
    pairs: int = 200
    raters: int = 20
    votes: int = 5
    """Number of votes per pair."""
    checks: int = 2
    """Number of attention checks per rater; likewise `sentinels` and `repeats`."""
    sentinels: int = 2
    repeats: int = 4
    ties: bool = True
    consent: str = CONSENT
    """Text that people agree to; likewise `debrief`, which they read at the end."""
    debrief: str = DEBRIEF
    post: str = ""
    """Address that answers are also sent to."""
    done: str = ""
    """Address that people are sent to at the end, such as Prolific's."""
    size: int = 512
    """Side of the pictures in pixels; 0: their own size."""
    seed: int = 0
