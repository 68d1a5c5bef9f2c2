"""Profiles of platforms' exports: a card in `reports/studies/platforms`, or a user's TOML file."""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from htbench.core import content
from htbench.core.content import digest
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.core.types import Digest
from htbench.study.answer import Choice

FieldName = Literal[
    "rater",
    "item",
    "choice",
    "criterion",
    "concept",
    "prompt",
    "seed",
    "left",
    "right",
    "kind",
    "expected",
    "rt",
    "position",
    "time",
    "method",
    "score",
]
"""The fields of an answer; those of its item are taken from the key if no column has them.

`method` and `score` are those of ratings in long form, from which pairs are derived.
"""


_GROUP = re.compile(r"\{(\w+)\}")


class Profile(BaseModel):
    """The meaning of the columns of one kind of export."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str
    delimiter: str = Field(default="", max_length=1, pattern=r"^[^\"\r\n\x00]?$")
    """Empty: the one that the file's first rows show."""
    header_rows: int = Field(default=1, ge=1, le=100)
    fields: dict[FieldName, tuple[str, ...]]
    """Possible columns of each field; the first that exists counts.

    `{item}` and `{trial}` stand for the groups of `trials`.
    """
    trials: str = ""
    """A regular expression for the columns of choices, with a group `item` or `trial`.

    For exports with one row per person; empty: one row per answer.
    """
    choices: dict[str, Choice]
    """The meaning of each text of a choice, in lower case."""
    keep: dict[str, tuple[str, ...]] = {}
    """Allowed values by column; rows with another value are skipped, if the column exists."""
    unpack: tuple[str, ...] = ()
    """Columns that hold JSON."""
    unit: Literal["ms", "s"] = "ms"
    sides: Literal["shown", "unknown"] = "shown"
    """`unknown`: left and right are not as they were shown, and side bias is not estimated."""
    ratings: bool = False
    """True: columns are methods and cells ratings, from which each person's pairs are derived."""
    criteria: tuple[str, ...] = ()
    """The criteria of the numbers in a cell with ratings."""
    signs: tuple[str, ...] = ()
    """Columns by which the platform is recognised."""

    @field_validator("trials")
    @classmethod
    def _check_pattern(cls, value: str) -> str:
        try:
            names = set(re.compile(value).groupindex) if value else {"item"}
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"it is no regular expression: {error}") from None
        if not names & {"item", "trial"}:
            raise ValueError("the expression has no group named item or trial")
        return value

    def columns_of(self, field_name: FieldName, groups: Mapping[str, str]) -> list[str]:
        """Possible columns of a field, with the groups of `trials` filled in."""
        templates = self.fields.get(field_name, ())
        return [
            _GROUP.sub(lambda match: groups.get(match[1], match[0]), each) for each in templates
        ]

    def needs(self, column: str) -> bool:
        """True if the meaning of a row may depend on a column of this name."""
        return self.ratings or column in self.keep or self._needed.search(column) is not None

    @cached_property
    def _needed(self) -> re.Pattern[str]:
        names = [name for names in (*self.fields.values(), self.unpack) for name in names]
        patterns = [".*".join(map(re.escape, _GROUP.split(name)[::2])) for name in names]
        trials = [f"(?:{self.trials})"] if self.trials else []
        return re.compile("|".join([f"^(?:{'|'.join(patterns)})$", *trials]), re.DOTALL)

    @cached_property
    def digest(self) -> Digest:
        """Digest of the profile."""
        return digest(self.model_dump())


def names() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def find(name: str) -> Profile:
    """A shipped profile by its name, or a user's by the path of its file.

    Raises:
        UnknownName: if there is none of that name, with the nearest.
        Missing: if there is no such file.
        UsageError: if the file is not a valid profile.
    """
    path = Path(name) if name.endswith(".toml") else _folder() / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        raise UnknownName(
            "profile",
            name,
            names(),
            remedy="Or give the path of a TOML file; htbench study sniff prints one.",
        )
    try:
        return content.read_card(path, Profile, defaults={"name": path.stem})
    except FileNotFoundError:
        raise Missing(f"no profile {str(path)!r}") from None
    except content.InvalidCard as error:
        raise UsageError(f"profile {str(path)!r}: {error}") from None


def text(name: str) -> str:
    """The TOML text of a shipped profile, as a start for one's own."""
    return (_folder() / f"{name}.toml").read_text(encoding="utf-8")


def _folder() -> Path:
    return content.folder("reports") / "studies" / "platforms"
