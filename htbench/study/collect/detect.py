"""Guesses which platform a file comes from."""

import csv
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from htbench.core.errors import UsageError
from htbench.study.collect import profile
from htbench.study.collect.profile import Profile
from htbench.study.collect.rows import RowFile

_SAMPLE_ROWS = 200


@dataclass(frozen=True, kw_only=True)
class Guess:
    """The likeliest profile of a file."""

    profile: Profile
    columns: tuple[str, ...]
    sign_count: int
    """How many of the profile's signs are there."""
    unknown_choices: tuple[str, ...]
    """Texts of the choice's column, among the first rows, that the profile does not know."""


def detect_profile(path: Path) -> Guess:
    """By the columns that only one platform has; header rows by the row of import ids.

    Raises:
        UsageError: if the columns are like no platform's, naming them.
    """
    columns = _columns(path)
    known = [profile.find(name) for name in profile.names()]
    best = max(known, key=lambda each: (_sign_share(each, columns), len(each.signs)))
    if not _sign_share(best, columns) > 0.5:
        listed = ", ".join(repr(name[:40]) for name in columns[:10])
        raise UsageError(
            f"{path.name!r} is like no known platform's export: it has {listed}",
            remedy="Write a profile for it; see docs/studies.md.",
        )
    fitting = with_header_rows(best, path)
    return Guess(
        profile=fitting,
        columns=columns,
        sign_count=sum(sign in columns for sign in best.signs),
        unknown_choices=_unknown_choices(fitting, path),
    )


def with_header_rows(candidate: Profile, path: Path) -> Profile:
    """With as many header rows as the file has: old Qualtrics exports have two, without import ids."""
    if candidate.header_rows < 2 or path.suffix.lower() == ".json":
        return candidate
    sheet = RowFile(path=path, delimiter=candidate.delimiter)
    third = next(islice((row for _, row in sheet.rows()), 1, None), {})
    return (
        candidate
        if any("ImportId" in text for text in third.values())
        else candidate.model_copy(update={"header_rows": 2})
    )


def text(guess: Guess) -> str:
    """The profile as TOML, with what is to be filled in."""
    written = profile.text(guess.profile.name)
    if guess.profile.header_rows == 2:
        written = written.replace("header_rows = 3", "header_rows = 2")
    lines = [
        f"# {guess.profile.name}: {guess.sign_count} of {len(guess.profile.signs)} of its signs are there"
    ]
    lines += [
        f'# not known yet, add under [choices]: {value.lower()!r} = "left", "right", "tie" or "skip"'.replace(
            "'", '"'
        )
        for value in guess.unknown_choices
    ]
    return "\n".join([*lines, written])


def _sign_share(candidate: Profile, columns: tuple[str, ...]) -> float:
    return sum(sign in columns for sign in candidate.signs) / len(candidate.signs)


def _columns(path: Path) -> tuple[str, ...]:
    """Of a CSV, a TSV or JSON."""
    sheet = RowFile(path=path)
    if sheet.is_json:
        return tuple(
            dict.fromkeys(name for _, row in islice(sheet.rows(), _SAMPLE_ROWS) for name in row)
        )
    with path.open("rb") as file:
        start = file.readline(1 << 20)
    text_ = start.decode(
        "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", errors="replace"
    )
    delimiter = max(",\t;", key=text_.count)
    return tuple(name.strip() for name in next(csv.reader([text_], delimiter=delimiter), []))


def _unknown_choices(candidate: Profile, path: Path) -> tuple[str, ...]:
    sheet = RowFile(
        path=path,
        delimiter=candidate.delimiter,
        header_rows=candidate.header_rows,
        unpack=candidate.unpack,
    )
    kept = (
        row
        for _, row in sheet.rows()
        if all(row.get(column, values[0]) in values for column, values in candidate.keep.items())
    )
    seen: dict[str, None] = {}
    for row in islice(kept, _SAMPLE_ROWS):
        named = next(([name] for name in candidate.fields.get("choice", ()) if name in row), [])
        for column in (
            [name for name in row if re.search(candidate.trials, name)]
            if candidate.trials
            else named
        ):
            seen[row[column].strip().lower()] = None
    return tuple(value for value in seen if value and value not in candidate.choices)[:20]
