"""Mapping of the rows of an export to canonical answers, by a profile and a key."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import combinations

from htbench.core import reading
from htbench.core.errors import UsageError
from htbench.study.answer import (
    CHOICES,
    NUMBER_RANGES,
    Answer,
    Choice,
    Item,
    Key,
    whole_number,
)
from htbench.study.collect.profile import FieldName, Profile
from htbench.study.collect.rows import Row, RowFile
from htbench.study.task import MAX_SET, PAIRS, Task

_TIME_FORMATS = (
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%a %b %d %H:%M:%S %z %Y",
    "%Y/%m/%d %I:%M:%S %p %z",
)
_ZONES = {"UTC": 0, "GMT": 0, "PST": -8, "PDT": -7}
"""Hours from UTC of the zones that MTurk and Google Forms name; other names are not guessed."""
_ZONE = re.compile(
    r"\b(?:(?:GMT|UTC)(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?"
    rf"|(?P<name>{'|'.join(_ZONES)}))(?![\w+-])"
)
_DAY_AND_MONTH = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}\b.*)", re.DOTALL)
_DECIMAL_COMMA = re.compile(r"-?\d+,(?:\d{1,2}|\d{4,15})")
_MAX_CHARS = 20_000
"""The most characters of a text that is read into the table."""
_MAX_METHODS = 200
"""The most methods that a person rates at once, of which all pairs are made."""
_MAX_LISTED_ROWS, _MAX_LISTED_TEXTS = 5, 8


@dataclass(frozen=True, kw_only=True)
class TrialColumns:
    """The columns of one trial's fields."""

    columns: dict[FieldName, str]
    item: str = ""
    """The item, if the name of the choice's column contains it."""


@dataclass(kw_only=True)
class UnknownTexts:
    """Texts that neither profile nor key knows, with the rows that have them."""

    rows: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def add(self, field_name: str, text: str, number: int) -> None:
        """Add a text of a row."""
        text = text[:100]
        if (field_name, text) in self.rows or len(self.rows) < 1000:
            listed = self.rows.setdefault((field_name, text), [])
            if len(listed) <= _MAX_LISTED_ROWS:
                listed.append(number)

    def check(self, row_file: RowFile) -> None:
        """Raise `UsageError` if there are any."""
        if not self.rows:
            return
        parts = "; ".join(
            f"{field_name} {text[:40]!r} ({_list_rows(rows)})"
            for (field_name, text), rows in list(self.rows.items())[:_MAX_LISTED_TEXTS]
        )
        hidden = len(self.rows) - _MAX_LISTED_TEXTS
        rest = f" and {hidden} more" if hidden > 0 else ""
        raise UsageError(
            f"{row_file.path.name!r} has what neither profile nor key knows: {parts}{rest}",
            remedy="Add choices to the profile (htbench study sniff prints one), "
            "or give the study's own --key.",
        )


def _list_rows(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, numbers[:_MAX_LISTED_ROWS]))
    more = ", …" if len(numbers) > _MAX_LISTED_ROWS else ""
    return f"row{'s' if len(numbers) > 1 else ''} {listed}{more}"


@dataclass(frozen=True, kw_only=True)
class Mapper:
    """Reads the answers of a study from its rows."""

    study: str
    profile: Profile
    key: Key
    pseudonym: Callable[[str], str]
    """Gives the pseudonym of a person's identifier."""
    task: Task = PAIRS

    def answers(self, row_file: RowFile) -> Iterator[Answer]:
        """All answers of a file, one at a time.

        Raises:
            UsageError: if a column is missing, or if texts are not known; the latter is raised
                after the last row and names all of them.
        """
        if "score" in self.profile.fields:
            yield from self._answers_from_scores(row_file)
            return
        trials: list[TrialColumns] = []
        columns: list[str] = []
        unknown = UnknownTexts()
        for number, row in row_file.rows():
            if self.profile.ratings:
                yield from self._answers_from_ratings(row_file, number, row, unknown)
                continue
            kept = self._is_kept(row)
            if kept and (not trials or (row_file.has_varying_columns and list(row) != columns)):
                trials, columns = self._trial_columns(row_file, row), list(row)
            for trial in trials if kept else ():
                if answer := self._answer(row_file, number, row, trial, unknown):
                    yield answer
        unknown.check(row_file)

    def _is_kept(self, row: Row) -> bool:
        """True if the row has only values that the profile keeps."""
        return all(
            row.get(column, values[0]) in values for column, values in self.profile.keep.items()
        )

    def _trial_columns(self, row_file: RowFile, row: Row) -> list[TrialColumns]:
        """The columns of each trial in a row.

        Raises:
            UsageError: if a field has no column.
        """
        if not self.profile.trials:
            return [TrialColumns(columns=self._columns(row_file, row, {}))]
        trials = []
        for column in row:
            if match := re.search(self.profile.trials, column):
                names = {name: text or "" for name, text in match.groupdict().items()}
                columns = self._columns(row_file, row, names, choice=column)
                trials.append(TrialColumns(columns=columns, item=names.get("item", "")))
        if not trials:
            raise row_file.error(
                1,
                f"no column is like {self.profile.trials}, as profile {self.profile.name!r} wants",
                remedy="Is it of another platform?",
            )
        return trials

    def _columns(
        self, row_file: RowFile, row: Row, groups: Mapping[str, str], choice: str = ""
    ) -> dict[FieldName, str]:
        columns: dict[FieldName, str] = {"choice": choice} if choice else {}
        for field_name in self.profile.fields:
            candidates = self.profile.columns_of(field_name, groups)
            if column := next((name for name in candidates if name in row), None):
                columns.setdefault(field_name, column)
        by_item = ("item",) if self.key and not groups.get("item") else ()
        by_row = () if self.key else ("concept", "left", "right")
        required: tuple[FieldName, ...] = (*by_item, "choice", "rater", *by_row)
        for field_name in required:
            if field_name not in columns:
                raise self._missing_column(row_file, row, groups, field_name)
        return columns

    def _missing_column(
        self, row_file: RowFile, row: Row, groups: Mapping[str, str], field_name: FieldName
    ) -> UsageError:
        names = self.profile.columns_of(field_name, groups)
        known = [name for name in row if len(name) < 100][:1000]
        near = [close for name in names for close in get_close_matches(name, known, n=1)]
        listed = " or ".join(map(repr, names)) or "none"
        expected = f"profile {self.profile.name!r} looks for {listed}"
        hint = f"did you mean {near[0]!r}?" if near else expected
        remedy = "htbench study sniff prints a profile to change."
        if not self.key and field_name not in ("choice", "rater"):
            remedy = f"Give --key, the file that the study's items were written to. {remedy}"
        return row_file.error(1, f"no column for {field_name}; {hint}", remedy=remedy)

    def _answer(
        self, row_file: RowFile, number: int, row: Row, trial: TrialColumns, unknown: UnknownTexts
    ) -> Answer | None:
        cells = {name: row.get(column, "").strip() for name, column in trial.columns.items()}
        if not cells["choice"] and self.profile.trials:
            return None  # not shown to this person
        if long := [name for name, text in cells.items() if len(text) > _MAX_CHARS]:
            raise row_file.error(number, f"{long[0]} has more than {_MAX_CHARS:,} characters")
        if not cells["rater"]:
            raise row_file.error(number, f"no rater in column {trial.columns['rater']!r}")
        id_ = trial.item or cells.get("item", "")
        shown = self._shown_item(row_file, number, id_, cells, unknown)
        choice = self._choice(cells["choice"].lower(), shown)
        if choice is None:
            unknown.add("choice", cells["choice"], number)
        if choice is None or shown is None:
            return None
        return Answer(
            study=self.study,
            choice=choice,
            rater=self.pseudonym(cells["rater"]),
            criterion=shown.criterion,
            concept=shown.concept,
            prompt=shown.prompt,
            seed=shown.seed,
            left=shown.left,
            right=shown.right,
            kind=shown.kind,
            expected=shown.expected,
            rt_ms=self._milliseconds(row_file, number, cells.get("rt", "")),
            position=_integer(row_file, number, "position", cells.get("position", "")),
            time=_iso_time(cells.get("time", "")),
            source_row=number,
        )

    def _choice(self, text: str, shown: Item | None) -> Choice | None:
        """The choice that a text in small letters means; None if the task has none like it."""
        choice = self.profile.choices.get(text)
        if self.task.pictures != "pair":
            choice = next((each for each in CHOICES if each == text), choice)
        pictures = len(shown.shown) if shown else MAX_SET
        return choice if choice and self.task.allows(choice, pictures) else None

    def _shown_item(
        self,
        row_file: RowFile,
        number: int,
        item: str,
        cells: Mapping[FieldName, str],
        unknown: UnknownTexts,
    ) -> Item | None:
        """The item that was shown, from the key or else from the row."""
        if self.key:
            if item not in self.key:
                unknown.add("item", item, number)
            return self.key.get(item)
        sides: tuple[FieldName, ...] = ("concept", "left", "right")
        for side in sides:
            if not cells[side]:
                raise row_file.error(number, f"no {side}")
        if cells["left"] == cells["right"]:
            raise row_file.error(number, f"{cells['left'][:40]!r} meets itself")
        return Item(
            item=item,
            criterion=cells.get("criterion") or "overall",
            concept=cells["concept"],
            prompt=cells.get("prompt", ""),
            seed=_integer(row_file, number, "seed", cells.get("seed", "")) or 0,
            left=cells["left"],
            right=cells["right"],
        )

    def _answers_from_ratings(
        self, row_file: RowFile, number: int, row: Row, unknown: UnknownTexts
    ) -> Iterator[Answer]:
        """An answer for each pair of methods that a person rated: the higher rating wins."""
        names = self.profile.fields["item"]
        column = next((name for name in names if name in row), None)
        if column is None:
            raise row_file.error(1, f"no column {' or '.join(map(repr, names))}")
        ratings = {
            method: self._parse_ratings(row_file, number, method, text)
            for method, text in row.items()
            if method != column and text.strip()
        }
        if len(ratings) > _MAX_METHODS:
            raise row_file.error(number, f"ratings of more than {_MAX_METHODS} methods")
        id_ = row[column]
        if self.key and id_ not in self.key:
            unknown.add("item", id_, number)
        item = self.key.get(id_) or Item(item=id_, concept=id_, left="", right="")
        rater = self.pseudonym(row_file.path.stem)
        for k, criterion in enumerate(self.profile.criteria):
            for left, right in combinations(ratings, 2):
                difference = ratings[left][k] - ratings[right][k]
                choice: Choice = "left" if difference > 0 else "right" if difference < 0 else "tie"
                yield Answer(
                    study=self.study,
                    criterion=criterion,
                    concept=item.concept,
                    prompt=item.prompt,
                    seed=item.seed,
                    left=left,
                    right=right,
                    choice=choice,
                    rater=rater,
                    source_row=number,
                )

    def _answers_from_scores(self, row_file: RowFile) -> Iterator[Answer]:
        """An answer for each pair of methods that a person scored on an item, wherever the rows.

        Raises:
            UsageError: also for a second, different score of the same method.
        """
        unknown, sets = UnknownTexts(), dict[tuple[str, str, Item], dict[str, tuple[float, int]]]()
        columns: dict[FieldName, str] = {}
        for number, row in row_file.rows():
            if any(
                row.get(name, texts[0]) not in texts for name, texts in self.profile.keep.items()
            ):
                continue
            if not columns or row_file.has_varying_columns:
                columns = self._score_columns(row_file, row)
            cells = {name: row[column].strip() for name, column in columns.items()}
            item = self._scored_item(row_file, number, cells, unknown)
            score = _score(row_file, number, cells["score"]) if cells["score"] else None
            if item is None or score is None:
                continue
            rater = self.pseudonym(cells["rater"])
            scores = sets.setdefault((rater, cells.get("criterion") or "overall", item), {})
            known, _ = scores.setdefault(cells["method"], (score, number))
            if known != score:
                raise row_file.error(
                    number, f"{cells['method'][:40]!r} has the scores {known:g} and {score:g}"
                )
            if len(scores) > _MAX_METHODS:
                raise row_file.error(number, f"scores of more than {_MAX_METHODS} methods")
        unknown.check(row_file)
        for (rater, criterion, item), scores in sets.items():
            for left, right in combinations(sorted(scores), 2):
                difference = scores[left][0] - scores[right][0]
                yield Answer(
                    study=self.study,
                    criterion=criterion,
                    concept=item.concept,
                    prompt=item.prompt,
                    seed=item.seed,
                    left=left,
                    right=right,
                    choice="left" if difference > 0 else "right" if difference < 0 else "tie",
                    rater=rater,
                    source_row=max(scores[left][1], scores[right][1]),
                )

    def _score_columns(self, row_file: RowFile, row: Row) -> dict[FieldName, str]:
        """The columns of the fields of a file with a row per person, item and method."""
        columns: dict[FieldName, str] = {}
        for field_name, names in self.profile.fields.items():
            if column := next((name for name in names if name in row), None):
                columns[field_name] = column
        required: tuple[FieldName, ...] = ("rater", "item", "method", "score")
        for field_name in required:
            if field_name not in columns:
                raise self._missing_column(row_file, row, {}, field_name)
        return columns

    def _scored_item(
        self,
        row_file: RowFile,
        number: int,
        cells: Mapping[FieldName, str],
        unknown: UnknownTexts,
    ) -> Item | None:
        """The item of a row, from the key or else of its own name; methods stay empty."""
        required: tuple[FieldName, ...] = ("rater", "item", "method")
        for name in required:
            if not cells[name]:
                raise row_file.error(number, f"no {name}")
        if long := [name for name, text in cells.items() if len(text) > _MAX_CHARS]:
            raise row_file.error(number, f"{long[0]} has more than {_MAX_CHARS:,} characters")
        id_ = cells["item"]
        if self.key and id_ not in self.key:
            unknown.add("item", id_, number)
            return None
        known = self.key.get(id_)
        return Item(
            item=id_,
            concept=known.concept if known else cells.get("concept") or id_,
            prompt=known.prompt if known else cells.get("prompt", ""),
            seed=known.seed if known else 0,
            left="",
            right="",
        )

    def _parse_ratings(self, row_file: RowFile, number: int, name: str, text: str) -> list[float]:
        try:
            values = [float(value) for value in reading.parse_json(text)]
        except (ValueError, TypeError, OverflowError):
            values = []
        if len(values) != (length := len(self.profile.criteria)):
            raise row_file.error(
                number, f"{name} has {text[:40]!r}, which is no list of {length} numbers"
            )
        return values

    def _milliseconds(self, row_file: RowFile, number: int, text: str) -> int | None:
        if not text or text == "null":
            return None
        unit, (least, most) = self.profile.unit, NUMBER_RANGES["rt_ms"]
        try:
            time = round(float(text) * (1000 if unit == "s" else 1))
        except (ValueError, OverflowError):
            raise row_file.error(number, f"{text[:40]!r} is no time in {unit}") from None
        if not least <= time <= most:
            raise row_file.error(number, f"{text[:40]!r} is no time of an answer in {unit}")
        return time


def _score(row_file: RowFile, number: int, text: str) -> float:
    """A score, with a point or a comma before its decimals; `1,000` is not guessed."""
    try:
        score = float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise row_file.error(number, f"score {text[:40]!r} is no number")
    return score


def _integer(row_file: RowFile, number: int, field_name: str, text: str) -> int | None:
    try:
        return whole_number(field_name, text) if text else None
    except ValueError as error:
        raise row_file.error(number, str(error)) from None


def _iso_time(text: str) -> str:
    """The time as ISO 8601 with seconds; empty for any other text, so that none gets through."""
    time = _parse_time(text)
    if time is None:
        return ""
    if time.tzinfo:
        try:
            time = time.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:  # the first or the last day of all that have a date
            return ""
    return time.isoformat(timespec="seconds")


def _parse_time(text: str) -> datetime | None:
    """The time in a text; None for one whose day could be the month, rather than a guess."""
    with suppress(ValueError):
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    if date := _DAY_AND_MONTH.fullmatch(text):
        month, day = int(date[1]), int(date[2])
        if month != day and max(month, day) <= 12:
            return None
        if month > 12:
            month, day = day, month
        text = f"{month}/{day}/{date[3]}"
    zoned = _ZONE.sub(_offset, text)
    for form in _TIME_FORMATS:
        with suppress(ValueError):
            return datetime.strptime(zoned, form)
    return None


def _offset(zone: re.Match[str]) -> str:
    """A time zone as hours and minutes from UTC: GMT+5:30 is +0530."""
    if name := zone["name"]:
        hours = _ZONES[name]
        return f"{'-' if hours < 0 else '+'}{abs(hours):02}00"
    return f"{zone['sign']}{int(zone['hours']):02}{zone['minutes'] or '00'}"
