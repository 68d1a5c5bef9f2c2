"""Answers of people, and the key of the pictures they saw: the forms that exports are read into."""

import csv
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple, Self, get_args

from htbench.core.content import digest
from htbench.core.errors import Missing, Refused, UsageError
from htbench.core.types import Digest

Choice = Literal["left", "right", "tie", "skip"]
"""`skip`: the person declined to answer; it is missing, not a tie."""
CHOICES: tuple[Choice, ...] = get_args(Choice)
TrialKind = Literal["vote", "repeat", "check", "sentinel"]
"""The purpose of a trial.

`repeat`: a pair that the person has seen before, with its sides swapped. `check`: an attention
check that states the answer. `sentinel`: a catch trial, a picture beside noise.
"""
TRIAL_KINDS: tuple[TrialKind, ...] = get_args(TrialKind)
CONTENT_COLUMNS = (
    "criterion",
    "concept",
    "prompt",
    "seed",
    "left",
    "right",
    "choice",
    "rater",
    "kind",
    "expected",
)
"""Columns with the content of an answer; the others are not exported by every platform."""
NOISE = "noise"
"""The name in place of a method in a sentinel."""
_TEXT_FIELDS = (
    "study",
    "criterion",
    "concept",
    "prompt",
    "left",
    "right",
    "rater",
    "expected",
    "time",
)


class Pair(NamedTuple):
    """Two pictures that are compared by a criterion, whatever their sides."""

    criterion: str
    concept: str
    prompt: str
    seed: int
    one: str
    two: str
    """Methods, in alphabetical order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A row of the canonical table."""

    study: str
    criterion: str
    concept: str
    prompt: str
    seed: int
    left: str
    right: str
    """The method shown on the right; likewise `left`."""
    choice: Choice
    rater: str
    """A pseudonym."""
    rt_ms: int | None = None
    """Milliseconds from the pair's appearance to the answer."""
    position: int | None = None
    """The position in the person's session, from 1."""
    kind: TrialKind = "vote"
    expected: str = ""
    """The right choice of a check or a sentinel."""
    time: str = ""
    """The time of the answer: ISO 8601, in UTC if the platform gives the time zone."""
    source_row: int = 0

    @property
    def pair(self) -> Pair:
        """The pair that was compared."""
        one, two = sorted((self.left, self.right))
        return Pair(self.criterion, self.concept, self.prompt, self.seed, one, two)

    @property
    def value(self) -> float | None:
        """1: the left won, 0: the right, 0.5: a tie, None: no verdict."""
        return {"left": 1.0, "right": 0.0, "tie": 0.5, "skip": None}[self.choice]


COLUMNS = tuple(field.name for field in fields(Answer))


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A pair of pictures in the order in which they are shown, under a meaningless id."""

    item: str
    kind: TrialKind = "vote"
    expected: str = ""
    criterion: str = "overall"
    concept: str
    prompt: str = ""
    seed: int = 0
    left: str
    right: str


KEY_COLUMNS = tuple(field.name for field in fields(Item))


class Key(dict[str, Item]):
    """The pictures of each item; the file stays with the researcher."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The key in a CSV with the columns of `Item`.

        The columns kind, expected, criterion, prompt and seed are optional.

        Raises:
            Missing: if there is no such file.
            UsageError: for a row that is not valid.
        """
        key, required = cls(), ("item", "concept", "left", "right")
        for number, row in _rows(path, required=required, allowed=KEY_COLUMNS):
            location, item = f"row {number} of {str(path)!r}", row["item"]
            if item in key:
                raise UsageError(f"{location}: item {item!r} is there twice")
            key[item] = _item(row, location)
        return key

    def write(self, path: Path) -> None:
        """Write the key as CSV, in the order of the ids, which does not reveal the design."""
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(KEY_COLUMNS)
            rows.writerows(astuple(self[item]) for item in sorted(self))


def read(path: Path) -> Iterator[Answer]:
    """Rows of a canonical table.

    Raises:
        Missing: if there is no such file.
        Refused: if it is not a canonical table.
    """
    for number, row in _rows(path, required=COLUMNS, allowed=COLUMNS):
        try:
            yield parse_row(row)
        except (KeyError, ValueError) as error:
            raise Refused(
                f"row {number} of {str(path)!r} is no row of a canonical table: {error}",
                remedy="Import the votes again.",
            ) from None


def parse_row(row: dict[str, str]) -> Answer:
    """The answer in a row whose cells are text."""
    choice, kind = row["choice"], row["kind"]
    if choice not in CHOICES or kind not in TRIAL_KINDS:
        raise ValueError(f"choice {choice[:40]!r}, kind {kind[:40]!r}")
    return Answer(
        **{name: row[name] for name in _TEXT_FIELDS},
        choice=choice,
        kind=kind,
        seed=int(row["seed"]),
        rt_ms=int(row["rt_ms"]) if row["rt_ms"] else None,
        position=int(row["position"]) if row["position"] else None,
        source_row=int(row["source_row"]),
    )


def content_digest(answers: list[Answer]) -> Digest:
    """Digest of the answers' content, whatever the platform, the order of rows and the times."""
    rows = ([str(getattr(answer, name)) for name in CONTENT_COLUMNS] for answer in answers)
    return digest(sorted(rows))


def _rows(
    path: Path, *, required: tuple[str, ...], allowed: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            names = rows.fieldnames or ()
            if missing := [name for name in required if name not in names]:
                raise UsageError(
                    f"{str(path)!r} has no column {missing[0]!r}",
                    remedy=f"It must have {', '.join(required)}.",
                )
            for number, row in enumerate(rows, start=2):
                if None in row or None in row.values():
                    location = f"row {number} of {str(path)!r}"
                    raise UsageError(f"{location} does not have {len(names)} cells")
                yield number, {name: value for name, value in row.items() if name in allowed}
    except FileNotFoundError:
        raise Missing(f"no file {str(path)!r}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{str(path)!r} cannot be read: {error}", remedy="It is a CSV in UTF-8."
        ) from None


def _item(row: dict[str, str], location: str) -> Item:
    kind = row.get("kind") or "vote"
    if kind not in TRIAL_KINDS:
        raise UsageError(f"{location}: kind {kind[:40]!r} is none of {', '.join(TRIAL_KINDS)}")
    if kind != "check" and row["left"] == row["right"]:
        raise UsageError(f"{location}: {row['left'][:40]!r} meets itself")
    try:
        seed = int(row.get("seed") or 0)
    except ValueError:
        raise UsageError(f"{location}: seed {row['seed'][:40]!r} is not a whole number") from None
    criterion = row.get("criterion") or "overall"
    more = {name: row.get(name, "") for name in ("expected", "prompt")}
    return Item(
        item=row["item"],
        kind=kind,
        criterion=criterion,
        concept=row["concept"],
        seed=seed,
        left=row["left"],
        right=row["right"],
        **more,
    )
