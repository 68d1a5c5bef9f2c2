"""The type of a task: its prompts, the sign of its strengths, and the scores that it is told by.

A task is data alone. The runner makes images of its prompts and scores them as in every run, and
the report derives the task's measures from the stored scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from htbench.core.errors import UsageError
from htbench.steering.concept import Concept, ConceptSet

BESIDE = "beside"
"""Part of the prompts that ask for another concept of another kind as well, which is to stay."""
PAIR_SCORES = ("presence_first", "presence_second", "presence_both")
"""Scores of images of a pair of concepts: the presence of each, and the smaller of the two."""

REPLACEMENT_SCORES = ("old_left", "replaced")
"""Scores of images where one concept replaces another: the probabilities of the prompts with the
old one and with the new one, among these and the prompt without either."""


@dataclass(frozen=True, kw_only=True)
class TaskPrompt:
    """A prompt that images of a concept are generated from."""

    text: str
    """The prompt, such as `panda with lemon`."""
    neutral: str
    """The evaluation prompt that it is made of, `panda`, whose image seeds it has; an unsteered
    image of that prompt shows how the picture looks without any concept."""
    part: str
    """The part that it has in the task, one of `Task.parts`."""
    asked: Concept
    """The concept that scores look for in its images."""


PromptMaker = Callable[[Concept, Sequence[str], ConceptSet], tuple[TaskPrompt, ...]]
"""Makes the prompts of a concept from the neutral ones."""
ConceptMaker = Callable[[Sequence[Concept], ConceptSet], tuple[Concept, ...]]
"""Makes the concepts of a run from those that its plan chooses."""


def as_chosen(chosen: Sequence[Concept], concept_set: ConceptSet) -> tuple[Concept, ...]:
    """The chosen concepts themselves."""
    return tuple(chosen)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number of a method in a task: the mean of a stored score over some of its prompts."""

    name: str
    """Name in files."""
    title: str
    """Name in tables."""
    definition: str
    """For readers of a report, as a noun phrase."""
    metric: str
    """The stored score: one of the leaderboard's, or of `Task.further_scores`."""
    parts: tuple[str, ...]
    """Parts of the prompts that it is measured on."""
    is_fall: bool = False
    """True for the score of the unsteered image less that of the steered one; else the score."""
    together: tuple[str, ...] = ()
    """Scores of an image with a pair of concepts, one per concept. If there are any, the measure is
    `metric` of the image with that concept alone less each of them."""
    worst: float
    """Value of a cell whose image could not be made."""
    best: float

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return min(self.worst, self.best), max(self.worst, self.best)

    @property
    def better(self) -> str:
        """The better direction, `higher` or `lower`."""
        return "higher" if self.best > self.worst else "lower"


def subject_kept(part: str) -> Measure:
    """The probability of the subject in images of one part of the prompts."""
    return Measure(
        name="subject_kept",
        title="Subject kept",
        definition="probability that the scorer gives to the image’s own neutral prompt among "
        "all evaluation prompts",
        metric="subject",
        parts=(part,),
        worst=0.0,
        best=1.0,
    )


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task of a run."""

    name: str
    verb: str
    """Its aim in the third person, such as `removes the concept`."""
    best: str = ""
    """The deed of the best method in the third person, such as `removes most of the concept`."""
    about: str
    """A sentence on what is asked of methods."""
    direction: float
    """Factor of all strengths where methods are applied: 1 steers towards a concept, -1 away."""
    make_concepts: ConceptMaker = as_chosen
    make_prompts: PromptMaker
    parts: Mapping[str, str]
    """The parts of prompts with their meaning; empty for the task that adds concepts."""
    measures: tuple[Measure, ...] = ()
    """The numbers of the task's leaderboard, the headline first; empty where the scores of the
    leaderboard tell it."""
    further_scores: tuple[str, ...] = ()
    """Scores of each image beyond those of the leaderboard: `rest_kept`, the cosine of an image and
    the unsteered one of its neutral prompt and seed, and `subject`, the zero-shot probability of
    its neutral prompt among all evaluation prompts of the set; `PAIR_SCORES`, or
    `REPLACEMENT_SCORES`."""
    harms: tuple[Measure, ...] = ()
    """The columns of a table of what is lost of that which methods are to leave alone; a measure on
    prompts with a concept of another kind has a column per kind."""
    local: tuple[str, ...] = ()
    """Parts of the prompts whose images are to change where the concept
    that scores look for belongs, and nowhere else."""
    floor: str = ""
    """The measure below a tenth of which a method counts as one that destroys images."""

    @property
    def headline(self) -> Measure:
        """The measure that ranks methods."""
        return self.measures[0]

    def measure(self, name: str) -> Measure:
        """The measure of this name."""
        return next(each for each in self.measures if each.name == name)

    def check_settings(self, *, strengths: Sequence[float], wordings: int, tunes: bool) -> None:
        """Refuse settings of a plan that have no meaning in the task.

        Raises:
            UsageError: for several wordings, for strengths that are to be chosen, or are below 0.
        """
        if not self.parts:
            return
        if wordings > 1:
            raise UsageError(
                f"task {self.name!r} has no wordings: concepts are reworded for task 'add' alone",
                remedy="Leave --wording out.",
            )
        if tunes:
            raise UsageError(
                f"strengths are chosen for task 'add' alone, not for {self.name!r}",
                remedy="Leave --tune-strength out, and run several strengths: --strength 0.5,1",
            )
        if min(strengths) < 0:
            raise UsageError(
                f"strength {min(strengths):g} in task {self.name!r}, whose strengths say how "
                f"strongly a method {self.verb}",
                remedy=f"Use {-min(strengths):g}.",
            )
