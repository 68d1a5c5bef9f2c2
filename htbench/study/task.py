"""The tasks of studies: what a trial shows, what it asks, and which answers it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from htbench.core.errors import UnknownName
from htbench.study.answer import Choice

TaskName = Literal["pairs", "strength", "rating", "yes-no", "best"]
"""`pairs`: which of two methods is better. `strength`: which of two strengths of one method is
stronger. `rating`: one picture, 1 to 5. `yes-no`: one picture. `best`: the best of several methods.
"""
MAX_SET = 8
"""The most pictures of which the best is chosen."""
_RATINGS: tuple[Choice, ...] = ("1", "2", "3", "4", "5")
_POSITIONS: tuple[Choice, ...] = (*_RATINGS, "6", "7", "8")
_FIT = ("not at all", "a little", "partly", "mostly", "completely")
_MERIT = ("very bad", "bad", "fair", "good", "very good")
_WITHDRAW = (
    "Taking part is voluntary: you can stop at any time by closing this page. We keep your "
    "answers, how long each took, and your participant id, which is replaced by a pseudonym when "
    "the answers are read. You can have your answers removed later by naming that id, which the "
    "last page shows."
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One kind of question about pictures."""

    name: TaskName
    questions: Mapping[str, str]
    """The question of each criterion, with `{prompt}` and `{concept}`; the first is the default."""
    noun: str
    """The noun for the images of a trial, in the plural."""
    instruction: str
    """The question of an attention check; SIDE stands for the answer that it asks for."""
    consent: str
    debrief: str
    pictures: Literal["pair", "one", "set"]

    @property
    def short_noun(self) -> str:
        """The first word of `noun`."""
        return self.noun.partition(" ")[0]

    def answers(self, pictures: int) -> tuple[Choice, ...]:
        """The decided answers to a trial of so many pictures; `tie` and `skip` come to them."""
        if self.pictures == "pair":
            return "left", "right"
        if self.pictures == "set":
            return _POSITIONS[:pictures]
        return _RATINGS if self.name == "rating" else ("yes", "no")

    @property
    def ascending_answers(self) -> tuple[Choice, ...]:
        """The decided answers to one picture, the lowest first."""
        return self.answers(1) if self.name == "rating" else ("no", "yes")

    @property
    def undecided(self) -> tuple[Choice, ...]:
        """The other choices."""
        return ("tie", "skip") if self.name == "pairs" else ("skip",)

    def allows(self, choice: Choice, pictures: int) -> bool:
        """True if a trial of so many pictures has this answer."""
        return choice in self.answers(pictures) or choice in self.undecided

    def catch_answers(self, pictures: int) -> tuple[Choice, ...]:
        """The right answers to catch trials: where the only picture is, or the least for noise."""
        if self.pictures == "one":
            return ("1",) if self.name == "rating" else ("no",)
        return self.answers(pictures)

    def check_answers(self, pictures: int) -> tuple[Choice, ...]:
        """The answers that attention checks ask for.

        Of one picture, none that is right for noise: so whoever gives one answer to everything
        fails either the checks or the catch trials.
        """
        if self.pictures != "one":
            return self.answers(pictures)
        noise = self.catch_answers(pictures)
        return tuple(each for each in self.answers(pictures) if each not in noise)

    def labels(self, criterion: str) -> tuple[str, ...]:
        """The words of the answers about one picture, in the order of `answers`; else empty."""
        if self.name == "yes-no":
            return "Yes", "No"
        if self.name == "rating":
            return _MERIT if criterion in ("quality", "overall") else _FIT
        return ()


PAIRS = Task(
    name="pairs",
    questions={
        "presence": "Which picture looks more like {prompt}, {concept}?",
        "preservation": "Which picture looks more like {prompt}?",
        "quality": "Which picture is of better quality?",
        "overall": "Which is the better picture of {prompt}, {concept}?",
    },
    noun="pairs of pictures",
    instruction=(
        "To show that you are reading: please choose the SIDE picture here, whatever it shows."
    ),
    consent=f"You will compare pictures that a computer made. {_WITHDRAW}",
    debrief=(
        "The pictures of each pair were made by the same program from the same description, "
        "changed in two different ways. Your answers show which way works better. Some pairs may "
        "have been there twice, or with a picture of noise, to see how steady answers are."
    ),
    pictures="pair",
)
_STRENGTH = Task(
    name="strength",
    questions={"strength": "In which of the two pictures is it stronger: {concept}?"},
    noun=PAIRS.noun,
    instruction=PAIRS.instruction,
    consent=PAIRS.consent,
    debrief=(
        "The pictures of each pair were made by the same program from the same description, "
        "changed in the same way, once more strongly than the other time. Your answers show how "
        "large a difference people notice. Some pairs may have been there twice, or with a picture "
        "of noise, to see how steady answers are."
    ),
    pictures="pair",
)
_ONE_CONSENT = f"You will judge pictures that a computer made. {_WITHDRAW}"
_ONE_DEBRIEF = (
    "The pictures were made by the same program from descriptions, changed in different ways. Your "
    "answers show which way works better. Some pictures may have been there twice, or have shown "
    "only noise, to see how steady answers are."
)
_RATING = Task(
    name="rating",
    questions={
        "presence": "How much does the picture look like {prompt}, {concept}?",
        "preservation": "How much does the picture look like {prompt}?",
        "quality": "How good is the quality of the picture?",
        "overall": "How good is this picture of {prompt}, {concept}?",
    },
    noun="pictures",
    instruction=(
        "To show that you are reading: please answer SIDE here, whatever the picture shows."
    ),
    consent=_ONE_CONSENT,
    debrief=_ONE_DEBRIEF,
    pictures="one",
)
_YES_NO = Task(
    name="yes-no",
    questions={
        "presence": "Does the picture show {prompt}, {concept}?",
        "preservation": "Does the picture show {prompt}?",
        "quality": "Is the picture of good quality?",
        "overall": "Is this a good picture of {prompt}, {concept}?",
    },
    noun="pictures",
    instruction=_RATING.instruction,
    consent=_ONE_CONSENT,
    debrief=_ONE_DEBRIEF,
    pictures="one",
)
_BEST = Task(
    name="best",
    questions={
        "presence": "Which picture looks most like {prompt}, {concept}?",
        "preservation": "Which picture looks most like {prompt}?",
        "quality": "Which picture is of the best quality?",
        "overall": "Which is the best picture of {prompt}, {concept}?",
    },
    noun="sets of pictures",
    instruction=(
        "To show that you are reading: please choose picture SIDE here, whatever it shows."
    ),
    consent=PAIRS.consent,
    debrief=(
        "The pictures of each set were made by the same program from the same description, changed "
        "in different ways. Your answers show which way works best. Some sets may have been there "
        "twice, or with pictures of noise, to see how steady answers are."
    ),
    pictures="set",
)
_TASKS: Mapping[str, Task] = {
    each.name: each for each in (PAIRS, _STRENGTH, _RATING, _YES_NO, _BEST)
}


def find(name: str) -> Task:
    """The task of a name.

    Raises:
        UnknownName: if there is none, with the nearest.
    """
    if name not in _TASKS:
        raise UnknownName("task", name, _TASKS)
    return _TASKS[name]
