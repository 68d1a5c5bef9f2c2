"""From the rows of an export to canonical answers, by a profile and a key."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import combinations

from htbench.core.errors import UsageError
from htbench.study.answer import Answer, Choice, Item, Key
from htbench.study.collect.profile import FieldName, Profile
from htbench.study.collect.rows import Row, RowFile

_TIME_FORMATS = ("%m/%d/%Y %H:%M:%S", "%a %b %d %H:%M:%S %Z %Y", "%Y/%m/%d %I:%M:%S %p %Z")
_MAX_LISTED_ROWS = 5


@dataclass(frozen=True, kw_only=True)
class TrialColumns:
    """Where one trial's fields are."""

    columns: dict[FieldName, str]
    item: str = ""
    """Where the column of the choice names it."""


@dataclass(kw_only=True)
class UnknownTexts:
    """Texts that mean nothing, with the rows that have them."""

    rows: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def add(self, field_name: str, text: str, number: int) -> None:
        """One more."""
        if (field_name, text) in self.rows or len(self.rows) < 1000:
            listed = self.rows.setdefault((field_name, text), [])
            if len(listed) <= _MAX_LISTED_ROWS:
                listed.append(number)

    def check(self, row_file: RowFile) -> None:
        """Raise `UsageError` if there are any."""
        if self.rows:
            parts = []
            for (what, text), rows in list(self.rows.items())[:8]:
                more = ", …" if len(rows) > _MAX_LISTED_ROWS else ""
                parts.append(
                    f"{what} {text[:40]!r} (row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:_MAX_LISTED_ROWS]))}{more})"
                )
            rest = f" and {len(self.rows) - 8} more" if len(self.rows) > 8 else ""
            raise UsageError(
                f"{row_file.path.name!r} has what neither profile nor key knows: {'; '.join(parts)}{rest}",
                remedy="Add choices to the profile (htbench study sniff prints one), or give the study's own --key.",
            )


@dataclass(frozen=True, kw_only=True)
class Mapper:
    """How the answers of a study are read."""

    study: str
    profile: Profile
    key: Key
    pseudonym: Callable[[str], str]
    """Of a person's identifier."""

    def answers(self, row_file: RowFile) -> Iterator[Answer]:
        """All answers of a file, one at a time.

        Raises:
            UsageError: with the rows, if a column is missing or a text means nothing; the latter after the last row, so that all are named.
        """
        trials: list[TrialColumns] = []
        columns: list[str] = []
        unknown = UnknownTexts()
        for number, row in row_file.rows():
            if self.profile.ratings:
                yield from self._answers_from_ratings(row_file, number, row, unknown)
                continue
            kept = all(
                row.get(column, values[0]) in values for column, values in self.profile.keep.items()
            )
            if kept and (not trials or (row_file.has_varying_columns and list(row) != columns)):
                trials, columns = self._trial_columns(row_file, row), list(row)
            for trial in trials if kept else ():
                if found := self._answer(row_file, number, row, trial, unknown):
                    yield found
        unknown.check(row_file)

    def _trial_columns(self, sheet: RowFile, row: Row) -> list[TrialColumns]:
        """Where things are, by the names of the columns.

        Raises:
            UsageError: if a field is nowhere.
        """
        if not self.profile.trials:
            return [TrialColumns(columns=self._columns(sheet, row, {}))]
        found = []
        for column in row:
            if match := re.search(self.profile.trials, column):
                names = {name: text or "" for name, text in match.groupdict().items()}
                columns = self._columns(sheet, row, names, choice=column)
                found.append(TrialColumns(columns=columns, item=names.get("item", "")))
        if not found:
            raise sheet.error(
                1,
                f"no column is like {self.profile.trials}, as profile {self.profile.name!r} wants",
                remedy="Is it of another platform?",
            )
        return found

    def _columns(
        self, row_file: RowFile, row: Row, groups: Mapping[str, str], choice: str = ""
    ) -> dict[FieldName, str]:
        found: dict[FieldName, str] = {"choice": choice} if choice else {}
        for what, columns in self.profile.fields.items():
            if column := next(
                (
                    name
                    for column in columns
                    if (name := column.format_map(_TemplateFields(groups))) in row
                ),
                None,
            ):
                found.setdefault(what, column)
        by_item = ("item",) if self.key and not groups.get("item") else ()
        needed: tuple[FieldName, ...] = (
            *by_item,
            "choice",
            "rater",
            *(() if self.key else ("concept", "left", "right")),
        )
        for what in needed:
            if what not in found:
                wanted = [
                    column.format_map(_TemplateFields(groups))
                    for column in self.profile.fields.get(what, ())
                ]
                near = [close for name in wanted for close in get_close_matches(name, row, n=1)]
                hint = (
                    f"did you mean {near[0]!r}?"
                    if near
                    else f"profile {self.profile.name!r} looks for {' or '.join(map(repr, wanted)) or 'none'}"
                )
                keyless = (
                    ""
                    if self.key or what in ("choice", "rater")
                    else "Give --key, the file that the study's items were written to. "
                )
                raise row_file.error(
                    1,
                    f"no column for {what}; {hint}",
                    remedy=f"{keyless}htbench study sniff prints a profile to change.",
                )
        return found

    def _answer(
        self, row_file: RowFile, number: int, row: Row, trial: TrialColumns, unknown: UnknownTexts
    ) -> Answer | None:
        cells = {what: row.get(column, "").strip() for what, column in trial.columns.items()}
        if not cells["choice"] and self.profile.trials:
            return None  # not shown to this person
        choice = self.profile.choices.get(cells["choice"].lower())
        if choice is None:
            unknown.add("choice", cells["choice"], number)
        if not cells["rater"]:
            raise row_file.error(number, f"no rater in column {trial.columns['rater']!r}")
        shown = self._shown_item(
            row_file, number, trial.item or cells.get("item", ""), cells, unknown
        )
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

    def _shown_item(
        self,
        sheet: RowFile,
        number: int,
        item: str,
        cells: Mapping[FieldName, str],
        unknown: UnknownTexts,
    ) -> Item | None:
        """What was compared: as the key knows it, or else as the row tells."""
        if self.key:
            if item not in self.key:
                unknown.add("item", item, number)
            return self.key.get(item)
        sides: tuple[FieldName, ...] = ("concept", "left", "right")
        for side in sides:
            if not cells[side]:
                raise sheet.error(number, f"no {side}")
        if cells["left"] == cells["right"]:
            raise sheet.error(number, f"{cells['left'][:40]!r} meets itself")
        seed = _integer(sheet, number, "seed", cells.get("seed", "")) or 0
        criterion = cells.get("criterion") or "overall"
        return Item(
            item=item,
            criterion=criterion,
            concept=cells["concept"],
            prompt=cells.get("prompt", ""),
            seed=seed,
            left=cells["left"],
            right=cells["right"],
        )

    def _answers_from_ratings(
        self, sheet: RowFile, number: int, row: Row, unknown: UnknownTexts
    ) -> Iterator[Answer]:
        """Every pair of methods that this person rated for this item: the higher rating wins."""
        column = next((name for name in self.profile.fields["item"] if name in row), None)
        if column is None:
            raise sheet.error(1, f"no column {' or '.join(map(repr, self.profile.fields['item']))}")
        scores = {
            name: self._parse_ratings(sheet, number, name, text)
            for name, text in row.items()
            if name != column and text.strip()
        }
        known = self.key.get(row[column])
        where = known or Item(item=row[column], concept=row[column], left="", right="")
        if self.key and known is None:
            unknown.add("item", row[column], number)
        rater = self.pseudonym(sheet.path.stem)
        for k, criterion in enumerate(self.profile.criteria):
            for left, right in combinations(scores, 2):
                gap = scores[left][k] - scores[right][k]
                choice: Choice = "left" if gap > 0 else "right" if gap < 0 else "tie"
                answer = Answer(study=self.study, criterion=criterion, concept=where.concept, prompt=where.prompt, seed=where.seed, left=left, right=right,
                                choice=choice, rater=rater, source_row=number)  # fmt: skip
                yield answer

    def _parse_ratings(self, sheet: RowFile, number: int, name: str, text: str) -> list[float]:
        try:
            values = [float(value) for value in json.loads(text)]
        except (ValueError, TypeError):
            values = []
        if len(values) != len(self.profile.criteria):
            raise sheet.error(
                number,
                f"{name} has {text[:40]!r}, which is no list of {len(self.profile.criteria)} numbers",
            )
        return values

    def _milliseconds(self, row_file: RowFile, number: int, text: str) -> int | None:
        try:
            return (
                round(float(text) * (1000 if self.profile.unit == "s" else 1))
                if text and text != "null"
                else None
            )
        except (ValueError, OverflowError):
            raise row_file.error(
                number, f"{text[:40]!r} is no time in {self.profile.unit}"
            ) from None


class _TemplateFields(dict[str, str]):
    """Names for a column's template; what is not known stays as it is."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


def _integer(row_file: RowFile, number: int, field_name: str, text: str) -> int | None:
    try:
        return int(text) if text.lstrip("-").isdecimal() else int(float(text)) if text else None
    except (ValueError, OverflowError):
        raise row_file.error(number, f"{field_name} {text[:40]!r} is no whole number") from None


def _iso_time(text: str) -> str:
    """ISO 8601 with seconds; empty for what is no time, so that no other text gets through."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        for form in _TIME_FORMATS:
            try:
                found = datetime.strptime(
                    text.replace("PST", "UTC").replace("PDT", "UTC") if "%Z" in form else text, form
                )
                break
            except ValueError:
                continue
        else:
            return ""
    return (found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found).isoformat(
        timespec="seconds"
    )
