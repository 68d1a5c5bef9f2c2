"""Answers of people, and the key of the pictures they saw: the forms that exports are read into."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple, Self, get_args

from htbench.core import content
from htbench.core.content import digest
from htbench.core.csv_files import cell
from htbench.core.types import Digest
from htbench.study import csv_rows, records

Choice = Literal[
    "left", "right", "tie", "skip", "yes", "no", "1", "2", "3", "4", "5", "6", "7", "8"
]
"""The answer to a question; `htbench.study.task` says which each task has.

`skip`: the person declined to answer; it is missing, not a tie. A number is a rating, or the
position of the best of several pictures.
"""
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
BETWEEN_NAMES = " | "
"""Separates the names of several pictures in a cell."""
NUMBER_RANGES = {
    "seed": (-(2**63), 2**63 - 1),
    "rt_ms": (0, 10**10),
    "position": (0, 10**9),
    "source_row": (0, 2**63 - 1),
}
"""The least and the most of each number, which SQLite and numpy hold exactly."""


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
    """The method shown on the right; likewise `left`.

    Of pictures that are not a pair, `left` has all methods in the order in which they were shown,
    and `right` is empty. Where strengths are compared, it is METHOD@STRENGTH.
    """
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
        left, right = self.left, self.right
        if not right:
            left = BETWEEN_NAMES.join(sorted(self.shown))
        one, two = (left, right) if left < right else (right, left)
        cells = self.criterion, self.concept, self.prompt, self.seed, one, two
        return tuple.__new__(Pair, cells)  # half the time of `Pair(…)`

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of all pictures that were shown, in their order."""
        return _shown(self.left, self.right)

    @property
    def value(self) -> float | None:
        """The value of a pair, 1: the left won, 0: the right, 0.5: a tie, None: no verdict."""
        return _VALUES[self.choice]


_VALUES: Mapping[str, float | None] = {"left": 1.0, "right": 0.0, "tie": 0.5, "skip": None}
COLUMNS = tuple(field.name for field in fields(Answer))
cells_of = attrgetter(*COLUMNS)
"""Gives the values of an answer in the order of the columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """The pictures of a trial in the order in which they are shown, under a meaningless id.

    `left` and `right` are those of `Answer`.
    """

    item: str
    kind: TrialKind = "vote"
    expected: str = ""
    criterion: str = "overall"
    concept: str
    prompt: str = ""
    seed: int = 0
    left: str
    right: str

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of all pictures that are shown, in their order."""
        return _shown(self.left, self.right)


KEY_COLUMNS = tuple(field.name for field in fields(Item))
_KEY_REQUIRED = ("item", "concept", "left", "right")


class Key(dict[str, Item]):
    """The pictures of each item; the file stays with the researcher."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The key in a CSV with the columns of `Item`.

        The columns kind, expected, criterion, prompt and seed are optional.

        Raises:
            UsageError: if there is no such file, or a row is not valid.
        """
        key, columns = cls(), [cell.strip() for cell in csv_rows.header(path, noun="key")]
        names = tuple(name for name in KEY_COLUMNS if name in (*_KEY_REQUIRED, *columns))
        for number, cells in csv_rows.read_own(path, names, noun="key"):
            row = dict(zip(names, cells, strict=True))
            try:
                item = _item(row)
                if item.item in key:
                    raise ValueError(f"item {item.item[:40]!r} is there twice")
            except ValueError as error:
                raise csv_rows.row_error(path, number, str(error), noun="key") from None
            key[item.item] = item
        return key

    def write(self, path: Path) -> None:
        """Write the key as CSV, in the order of the ids, which does not reveal the design."""
        cells = attrgetter(*KEY_COLUMNS)
        write_rows(path, KEY_COLUMNS, (cells(self[item]) for item in sorted(self)))


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file at once or not at all; `csv_rows.read_own` reads it back."""
    with (
        content.replacing(path) as fresh,
        fresh.open("w", newline="", encoding="utf-8") as file,
    ):
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(columns)
        lines.writerows(
            [cell(value) if isinstance(value, str) else value for value in row] for row in rows
        )


def read(path: Path) -> Iterator[Answer]:
    """Rows of a canonical table; equal texts are one object, to save memory.

    Raises:
        Refused: if there is none, or a row is damaged.
    """
    texts: dict[str, str] = {}
    with records.refusing("Restore it, or delete it and import the votes again."):
        for number, cells in csv_rows.read_own(path, COLUMNS, noun="table"):
            try:
                yield _answer(list(map(texts.setdefault, cells, cells)))
            except ValueError as error:
                raise csv_rows.row_error(path, number, str(error), noun="table") from None


@lru_cache(maxsize=1 << 12)
def whole_number(name: str, text: str) -> int:
    """The whole number in a cell of the column `name`.

    Raises:
        ValueError: if it is none, or outside the range that the column has.
    """
    least, most = NUMBER_RANGES[name]
    try:
        exact = text.removeprefix("-").isdecimal() and len(text) <= 20
        number = int(text) if exact else int(float(text))
    except (ValueError, OverflowError):
        raise ValueError(f"{name} {text[:40]!r} is no whole number") from None
    if not least <= number <= most:
        raise ValueError(f"{name} {text[:40]!r} is not from {least:,} to {most:,}")
    return number


def content_digest(answers: list[Answer]) -> Digest:
    """Digest of the answers' content, whatever the platform, the order of rows and the times."""
    rows = ([str(getattr(answer, name)) for name in CONTENT_COLUMNS] for answer in answers)
    return digest(sorted(rows))


def _shown(left: str, right: str) -> tuple[str, ...]:
    return (left, right) if right else tuple(left.split(BETWEEN_NAMES))


def _answer(cells: Sequence[str]) -> Answer:
    """The answer in the cells of a row, in the order of the columns."""
    study, criterion, concept, prompt, seed, left, right, choice, rater, *rest = cells
    rt_ms, position, kind, expected, time, source_row = rest
    if choice not in CHOICES:
        raise ValueError(f"choice {choice[:40]!r} is none of {', '.join(CHOICES)}")
    if kind not in TRIAL_KINDS:
        raise ValueError(f"kind {kind[:40]!r} is none of {', '.join(TRIAL_KINDS)}")
    return Answer(
        study=study,
        criterion=criterion,
        concept=concept,
        prompt=prompt,
        seed=whole_number("seed", seed),
        left=left,
        right=right,
        choice=choice,
        rater=rater,
        rt_ms=whole_number("rt_ms", rt_ms) if rt_ms else None,
        position=whole_number("position", position) if position else None,
        kind=kind,
        expected=expected,
        time=time,
        source_row=whole_number("source_row", source_row),
    )


def _item(row: Mapping[str, str]) -> Item:
    kind = row.get("kind") or "vote"
    if kind not in TRIAL_KINDS:
        raise ValueError(f"kind {kind[:40]!r} is none of {', '.join(TRIAL_KINDS)}")
    if kind != "check" and row["left"] == row["right"]:
        raise ValueError(f"{row['left'][:40]!r} meets itself")
    return Item(
        item=row["item"],
        kind=kind,
        expected=row.get("expected", ""),
        criterion=row.get("criterion") or "overall",
        concept=row["concept"],
        prompt=row.get("prompt", ""),
        seed=whole_number("seed", row.get("seed") or "0"),
        left=row["left"],
        right=row["right"],
    )
