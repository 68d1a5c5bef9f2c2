"""Which columns of a platform's export hold what: a card in `reports/studies/platforms`, or a TOML file of the user's own."""

import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

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
]
"""What a column may hold; fields of an item that no column holds come from the key."""


class Profile(BaseModel):
    """How to read one kind of export."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str
    delimiter: str = ","
    header_rows: int = 1
    fields: dict[FieldName, tuple[str, ...]]
    """Columns by field, the first that is there counts; `{item}` and `{trial}` stand for what `trials` found."""
    trials: str = ""
    """Where one row is one person: a regular expression for the columns that hold choices, with groups `item` or `trial`."""
    choices: dict[str, Choice]
    """What a cell's text means, in small letters."""
    keep: dict[str, tuple[str, ...]] = {}
    """Only rows that have one of these values, in a column that need not be there."""
    unpack: tuple[str, ...] = ()
    """Columns with JSON inside."""
    unit: Literal["ms", "s"] = "ms"
    sides: Literal["shown", "unknown"] = "shown"
    """Whether left and right are as they were shown; if not, nothing can be said of a liking for a side."""
    ratings: bool = False
    """Whether columns are methods and cells ratings, from which each person's pairs are derived."""
    criteria: tuple[str, ...] = ()
    """Of ratings: what each number of a cell's list rates."""
    signs: tuple[str, ...] = ()
    """Columns that tell that a file is of this kind."""

    @field_validator("trials")
    @classmethod
    def _check_pattern(cls, value: str) -> str:
        names = set(re.compile(value).groupindex) if value else {"item"}
        if not names & {"item", "trial"}:
            raise ValueError("the expression has no group named item or trial")
        return value

    @cached_property
    def digest(self) -> Digest:
        """Changes with anything that could change what is read."""
        return digest(self.model_dump())


def names() -> list[str]:
    """Names of the profiles that are shipped."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def find(name: str) -> Profile:
    """A shipped profile by name, or one in a file.

    Raises:
        UnknownName: if there is none, with the nearest.
        Missing: if there is no such file.
        UsageError: if the file is no profile.
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
        return Profile.model_validate(
            {"name": path.stem, **tomllib.loads(path.read_text(encoding="utf-8"))}
        )
    except FileNotFoundError:
        raise Missing(f"no profile {str(path)!r}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"profile {str(path)!r}: {place}: {first['msg']}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, re.error) as error:
        raise UsageError(f"profile {str(path)!r} cannot be read: {error}") from None


def text(name: str) -> str:
    """A shipped profile as it is written, to be changed into one's own."""
    return (_folder() / f"{name}.toml").read_text(encoding="utf-8")


def _folder() -> Path:
    return content.folder("reports") / "studies" / "platforms"
