"""What one person said of one pair of pictures, and the key that tells which pictures those were: the forms that every export is read into."""

import csv
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple, Self, get_args

from htbench.core.content import digest
from htbench.core.errors import Missing, Refused, UsageError
from htbench.core.types import Digest

Choice = Literal["left", "right", "tie", "skip"]
"""`skip`: looked, and would not say; it is missing, not a tie."""
CHOICES: tuple[Choice, ...] = get_args(Choice)
TrialKind = Literal["vote", "repeat", "check", "sentinel"]
"""`repeat`: a pair that the person has seen before, now with its sides swapped. `check`: it is said what to answer. `sentinel`: a picture beside noise."""
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
"""Columns that say what was answered; the others say how and when, which not every platform tells."""


NOISE = "noise"
"""What stands for a method in a sentinel."""


class Pair(NamedTuple):
    """Which pictures were compared by which criterion, whatever the side each was on."""

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
    """Methods, as they were shown."""
    choice: Choice
    rater: str
    """A pseudonym."""
    rt_ms: int | None = None
    """From the pair's appearance to the answer."""
    position: int | None = None
    """In the person's session, from 1."""
    kind: TrialKind = "vote"
    expected: str = ""
    """Of a check or a sentinel: the choice that is right."""
    time: str = ""
    """When it was given: ISO 8601, UTC where the platform says so."""
    source_row: int = 0

    @property
    def pair(self) -> Pair:
        """What was compared."""
        one, two = sorted((self.left, self.right))
        return Pair(self.criterion, self.concept, self.prompt, self.seed, one, two)

    @property
    def value(self) -> float | None:
        """1: the left won, 0: the right, 0.5: a tie, None: no verdict."""
        return {"left": 1.0, "right": 0.0, "tie": 0.5, "skip": None}[self.choice]


COLUMNS = tuple(field.name for field in fields(Answer))


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A pair of pictures in the order in which they are shown; its id tells nothing of them."""

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
    """What each item shows: the file that stays with the researcher."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a CSV with the columns of `Item`; kind, expected, criterion, prompt and seed may be left out.

        Raises:
            Missing: if there is no such file.
            UsageError: with the row that makes no sense.
        """
        found = cls()
        for number, row in _rows(
            path, required=("item", "concept", "left", "right"), allowed=KEY_COLUMNS
        ):
            if row["item"] in found:
                raise UsageError(
                    f"row {number} of {str(path)!r}: item {row['item']!r} is there twice"
                )
            found[row["item"]] = _item(row, f"row {number} of {str(path)!r}")
        return found

    def write(self, path: Path) -> None:
        """In the order of the ids, which says nothing of how they were made."""
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(KEY_COLUMNS)
            rows.writerows(astuple(self[item]) for item in sorted(self))


def read(path: Path) -> Iterator[Answer]:
    """Rows of a canonical table.

    Raises:
        Missing: if there is none.
        Refused: if it is not one.
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
    """A row whose cells are text."""
    choice, kind = row["choice"], row["kind"]
    if choice not in CHOICES or kind not in TRIAL_KINDS:
        raise ValueError(f"choice {choice[:40]!r}, kind {kind[:40]!r}")
    return Answer(
        **{
            name: row[name]
            for name in (
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
        },
        choice=choice,
        kind=kind,
        seed=int(row["seed"]),
        rt_ms=int(row["rt_ms"]) if row["rt_ms"] else None,
        position=int(row["position"]) if row["position"] else None,
        source_row=int(row["source_row"]),
    )


def content_digest(answers: list[Answer]) -> Digest:
    """Digest of what was answered, whatever the platform, the order of the rows and the clock."""
    return digest(
        sorted([str(getattr(answer, name)) for name in CONTENT_COLUMNS] for answer in answers)
    )


def _rows(
    path: Path, *, required: tuple[str, ...], allowed: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            if lost := [name for name in required if name not in (rows.fieldnames or ())]:
                raise UsageError(
                    f"{str(path)!r} has no column {lost[0]!r}",
                    remedy=f"It must have {', '.join(required)}.",
                )
            for number, row in enumerate(rows, start=2):
                if None in row or None in row.values():
                    raise UsageError(
                        f"row {number} of {str(path)!r} does not have {len(rows.fieldnames or ())} cells"
                    )
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
