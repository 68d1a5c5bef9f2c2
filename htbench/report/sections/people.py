"""What people said in studies of a run, as `htbench study report` left it in the run's folder."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ValidationError

from htbench.run.summary import Summary

FOLDER = "studies"

FloatOrNaN = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""NaN where a file has null: not known."""


class IntervalRecord(BaseModel):
    """A figure with its interval."""

    value: FloatOrNaN
    low: FloatOrNaN
    high: FloatOrNaN


class ShareRecord(IntervalRecord):
    """So many of so many."""

    count: int
    of: int


class StepRecord(BaseModel):
    """Who was left after a rule of exclusion."""

    name: str
    people: int
    answers: int


class StandingRecord(BaseModel):
    """A method's line."""

    name: str
    rank: int
    ranks: str
    tier: int
    limit: str | None
    rating: IntervalRecord
    win_rate: IntervalRecord
    votes: int


class PreferenceRecord(BaseModel):
    """How often one method is preferred to another, with ties as halves and with ties dropped."""

    one: str
    two: str
    votes: int
    ties: int
    forced: IntervalRecord
    forced_ratio: IntervalRecord
    decided: IntervalRecord
    decided_ratio: IntervalRecord


class AgreementRecord(BaseModel):
    """Of one person, a judge or a metric with the majority."""

    source: str
    name: str
    compared: int
    accuracy: IntervalRecord
    kappa: IntervalRecord
    ac1: IntervalRecord


class CriterionRecord(BaseModel):
    """One question."""

    name: str
    votes: int
    ties: int
    pairs: int
    concepts: int
    people: int
    unranked: str
    warnings: list[str]
    standings: list[StandingRecord]
    preferences: list[PreferenceRecord]
    alpha: IntervalRecord
    ac1: FloatOrNaN
    two_people: ShareRecord
    same_again: ShareRecord
    checks: ShareRecord
    catch_trials: ShareRecord
    left: ShareRecord
    agreement: list[AgreementRecord]


class StudyRecord(BaseModel):
    """One file; what it has beyond this is left alone."""

    version: Literal[1]
    study: str
    rules_changed: bool
    flow: list[StepRecord]
    criteria: list[CriterionRecord]


@dataclass(frozen=True, kw_only=True)
class People:
    """The section."""

    studies: list[StudyRecord]
    problems: list[str]
    """Files that cannot be read."""


def collect(summary: Summary) -> People:
    """All studies of the run, by name of the file."""
    studies, problems = [], []
    for path in sorted((summary.store.folder / FOLDER).glob("*.json")):
        found = _read(path)
        if isinstance(found, str):
            problems.append(found)
        else:
            studies.append(found)
    return People(studies=studies, problems=problems)


def _read(path: Path) -> StudyRecord | str:
    try:
        return StudyRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        return f"The study {path.name} cannot be read: {error.strerror}."
    except ValidationError:
        return f"The study {path.name} is damaged, or of another version of htbench: htbench study report writes it anew."
