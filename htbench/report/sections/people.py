"""What people said in studies of a run, as `htbench study report` left it in the run's folder."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ValidationError

from htbench.run.summary import Summary

FOLDER = "studies"

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""NaN where a file has null: not known."""


class Figure(BaseModel):
    """A figure with its interval."""

    value: Number
    low: Number
    high: Number


class Share(Figure):
    """So many of so many."""

    count: int
    of: int


class Step(BaseModel):
    """Who was left after a rule of exclusion."""

    name: str
    people: int
    answers: int


class Standing(BaseModel):
    """A method's line."""

    name: str
    rank: int
    ranks: str
    tier: int
    limit: str | None
    rating: Figure
    win_rate: Figure
    votes: int


class Preference(BaseModel):
    """How often one method is preferred to another, with ties as halves and with ties dropped."""

    one: str
    two: str
    votes: int
    ties: int
    forced: Figure
    forced_ratio: Figure
    decided: Figure
    decided_ratio: Figure


class Agreement(BaseModel):
    """Of one person, a judge or a metric with the majority."""

    source: str
    name: str
    compared: int
    accuracy: Figure
    kappa: Figure
    ac1: Figure


class Criterion(BaseModel):
    """One question."""

    name: str
    votes: int
    ties: int
    pairs: int
    concepts: int
    people: int
    unranked: str
    warnings: list[str]
    standings: list[Standing]
    preferences: list[Preference]
    alpha: Figure
    ac1: Number
    two_people: Share
    same_again: Share
    checks: Share
    sentinels: Share
    left: Share
    agreement: list[Agreement]


class Study(BaseModel):
    """One file; what it has beyond this is left alone."""

    version: Literal[1]
    study: str
    rules_changed: bool
    flow: list[Step]
    criteria: list[Criterion]


@dataclass(frozen=True, kw_only=True)
class People:
    """The section."""

    studies: list[Study]
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


def _read(path: Path) -> Study | str:
    try:
        return Study.model_validate_json(path.read_bytes())
    except OSError as error:
        return f"The study {path.name} cannot be read: {error.strerror}."
    except ValidationError:
        return f"The study {path.name} is damaged, or of another version of htbench: htbench study report writes it anew."
