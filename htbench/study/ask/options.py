"""The options of a study's export, with their defaults."""

from dataclasses import dataclass

from htbench.study.task import TaskName

PAIRS = 200
"""Number of pairs of a study of a run, of single pictures or of sets, unless another is given."""


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """The options of a study's export."""

    task: TaskName = "pairs"
    methods: tuple[str, ...] = ()
    """Empty: all methods of the run."""
    criterion: str = ""
    """Empty: the task's first."""
    question: str = ""
    """Replaces the criterion's own question."""
    against: str = ""
    """The method that every pair has to include; empty: all pairs are allowed."""
    strength: float | None = None
    """None: the full strength of the run."""
    pairs: int | None = None
    """Number of pairs of pictures, of single pictures, or of sets, as the task shows them; None:
    `PAIRS`, or all pairs of a file."""
    set_size: int = 4
    """Number of pictures of which the best is chosen, or all methods if they are fewer."""
    raters: int = 20
    votes: int = 5
    """Number of votes per pair, picture or set."""
    checks: int = 2
    """Number of attention checks per rater; likewise `sentinels` and `repeats`."""
    sentinels: int = 2
    repeats: int = 4
    ties: bool = True
    consent: str | None = None
    """Text that people agree to; likewise `debrief`, which they read at the end. None: the task's
    own."""
    debrief: str | None = None
    post: str = ""
    """Address that answers are also sent to."""
    done: str = ""
    """Address that people are sent to at the end, such as Prolific's."""
    size: int = 512
    """Side of the pictures in pixels; 0: their own size."""
    seed: int = 0

    @property
    def most(self) -> int:
        """The most pairs of a run's pictures."""
        return PAIRS if self.pairs is None else self.pairs
