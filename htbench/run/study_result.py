"""A study's result as its run keeps it: `RUN/studies/NAME-DIGEST.json`, one file per study.

`htbench study report RUN` writes it, replacing an earlier one of the same study, and the report of
the run shows it. What is not known is null in the file and NaN here; no pseudonym is in it.

The module belongs to `run` because `study` writes it and `report` reads it, and neither may import
the other.
"""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from htbench.stats.proportions import Proportion

FOLDER = "studies"
VERSION: Literal[1] = 1

FloatOrNaN = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class IntervalRecord(_Record):
    """An estimate with its 95 % interval."""

    value: FloatOrNaN
    low: FloatOrNaN
    high: FloatOrNaN


class ShareRecord(IntervalRecord):
    """A proportion, `count` out of `of`, with its 95 % interval."""

    count: int
    of: int

    @classmethod
    def from_proportion(cls, share: Proportion) -> "ShareRecord":
        """The record of a proportion."""
        low, high = share.interval
        return cls(count=share.count, of=share.of, value=share.value, low=low, high=high)


class StepRecord(_Record):
    """The people and answers that are left after a rule of exclusion."""

    name: str
    people: int
    answers: int


class StandingRecord(_Record):
    """A method's line in the leaderboard."""

    name: str
    rank: int
    ranks: str
    """The range of ranks, such as `1–2`."""
    tier: int
    limit: str | None
    rating: IntervalRecord
    win_rate: IntervalRecord
    votes: int


class PreferenceRecord(_Record):
    """The rate at which one method is preferred to another, under both conventions for ties."""

    one: str
    two: str
    votes: int
    ties: int
    forced: IntervalRecord
    """The rate with a tie as half a vote for each."""
    forced_ratio: IntervalRecord
    decided: IntervalRecord
    """The rate with ties dropped."""
    decided_ratio: IntervalRecord
    least: FloatOrNaN
    """The smallest rate that such a study would show."""
    needed: int | None
    """Votes that it takes to show this rate; None for a rate of a half."""


class AgreementRecord(_Record):
    """Agreement of one person, a judge or a metric with the majority of people.

    That of one person with the majority of the others is the ceiling.
    """

    source: str
    """`person`, `judge` or `metric`."""
    name: str
    compared: int
    accuracy: IntervalRecord
    kappa: IntervalRecord
    ac1: IntervalRecord


class PairVotesRecord(_Record):
    """The votes on one pair of pictures, without names of people."""

    one: str
    two: str
    """Methods, in alphabetical order."""
    concept: str
    prompt: str
    seed: int
    for_one: int = Field(ge=0, le=10**6)
    ties: int = Field(ge=0, le=10**6)
    for_two: int = Field(ge=0, le=10**6)


class CriterionRecord(_Record):
    """The result for one question."""

    name: str
    votes: int
    ties: int
    pairs: int
    concepts: int
    people: int
    unranked: str
    """The reason why there is no ranking; empty where there is one."""
    warnings: list[str]
    standings: list[StandingRecord]
    """The best first."""
    preferences: list[PreferenceRecord]
    alpha: IntervalRecord
    ac1: FloatOrNaN
    two_people: ShareRecord
    same_again: ShareRecord
    checks: ShareRecord
    catch_trials: ShareRecord = Field(alias="sentinels")
    left: ShareRecord
    agreement: list[AgreementRecord]
    pair_votes: list[PairVotesRecord] = []
    """The votes on each pair of pictures; earlier versions of htbench wrote none."""


class NoticedRecord(_Record):
    """The precision with which people tell the strengths of a method apart."""

    method: str
    noticeable: IntervalRecord
    """The difference of strength that is noticed in three of four cases; an end is null where no
    difference that was shown bounds it."""
    right_order: ShareRecord
    """Answers that took the picture of the higher strength for the stronger one."""


class TableRecord(_Record):
    """A table of a task that is no choice between two methods, ready to be shown."""

    title: str
    columns: list[str]
    """The first is of names, the others of figures with their intervals."""
    rows: list[list[str]]

    @property
    def is_of_methods(self) -> bool:
        """True if the names are of methods, and not of judges and metrics."""
        return self.columns[0] == "Method"


class StudyRecord(_Record):
    """One file; fields that a later version added are ignored."""

    version: Literal[1]
    study: str
    rules_changed: bool
    strength: float | None
    """The strength of the compared pictures; None: the full strength of the run."""
    flow: list[StepRecord]
    criteria: list[CriterionRecord]
    """Those of a choice between two methods; empty for another task."""
    question: str = ""
    """The criterion of another task; likewise `tables`, and `notes` on how they were made."""
    tables: list[TableRecord] = []
    notes: list[str] = []
    noticed: list[NoticedRecord] = []
    """For a study of strengths, a record per method."""
