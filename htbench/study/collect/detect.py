"""Guesses which platform a file comes from."""

import csv
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from htbench.core.errors import UsageError
from htbench.study.collect import profile
from htbench.study.collect.profile import Profile
from htbench.study.collect.rows import Sheet

_SAMPLE = 200


@dataclass(frozen=True, kw_only=True)
class Guess:
    """The likeliest profile of a file."""

    profile: Profile
    columns: tuple[str, ...]
    found: int
    """How many of the profile's signs are there."""
    values: tuple[str, ...]
    """Texts of the choice's column, among the first rows, that the profile does not know."""


def sniff(path: Path) -> Guess:
    """By the columns that only one platform has; header rows by the row of import ids.

    Raises:
        UsageError: if the columns are like no platform's, naming them.
    """
    columns = _columns(path)
    known = [profile.find(name) for name in profile.known()]
    best = max(known, key=lambda each: (_share(each, columns), len(each.signs)))
    if not _share(best, columns) > 0.5:
        listed = ", ".join(repr(name[:40]) for name in columns[:10])
        raise UsageError(f"{path.name!r} is like no known platform's export: it has {listed}", remedy="Write a profile for it; see docs/studies.md.")
    fitting = with_headers(best, path)
    return Guess(profile=fitting, columns=columns, found=sum(sign in columns for sign in best.signs), values=_strange(fitting, path))


def with_headers(found: Profile, path: Path) -> Profile:
    """With as many header rows as the file has: old Qualtrics exports have two, without import ids."""
    if found.header_rows < 2 or path.suffix.lower() == ".json":
        return found
    sheet = Sheet(path=path, delimiter=found.delimiter)
    third = next(islice((row for _, row in sheet.rows()), 1, None), {})
    return found if any("ImportId" in text for text in third.values()) else found.model_copy(update={"header_rows": 2})


def text(guess: Guess) -> str:
    """The profile as TOML, with what is to be filled in."""
    written = profile.text(guess.profile.name)
    if guess.profile.header_rows == 2:
        written = written.replace("header_rows = 3", "header_rows = 2")
    lines = [f"# {guess.profile.name}: {guess.found} of {len(guess.profile.signs)} of its signs are there"]
    lines += [f'# not known yet, add under [choices]: {value.lower()!r} = "left", "right", "tie" or "skip"'.replace("'", '"') for value in guess.values]
    return "\n".join([*lines, written])


def _share(found: Profile, columns: tuple[str, ...]) -> float:
    return sum(sign in columns for sign in found.signs) / len(found.signs)


def _columns(path: Path) -> tuple[str, ...]:
    """Of a CSV, a TSV or JSON."""
    sheet = Sheet(path=path)
    if sheet.is_json:
        return tuple(dict.fromkeys(name for _, row in islice(sheet.rows(), _SAMPLE) for name in row))
    with path.open("rb") as file:
        start = file.readline(1 << 20)
    text_ = start.decode("utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", errors="replace")
    delimiter = max(",\t;", key=text_.count)
    return tuple(name.strip() for name in next(csv.reader([text_], delimiter=delimiter), []))


def _strange(found: Profile, path: Path) -> tuple[str, ...]:
    sheet = Sheet(path=path, delimiter=found.delimiter, header_rows=found.header_rows, unpack=found.unpack)
    kept = (row for _, row in sheet.rows() if all(row.get(column, values[0]) in values for column, values in found.keep.items()))
    seen: dict[str, None] = {}
    for row in islice(kept, _SAMPLE):
        named = next(([name] for name in found.fields.get("choice", ()) if name in row), [])
        for column in [name for name in row if re.search(found.trials, name)] if found.trials else named:
            seen[row[column].strip().lower()] = None
    return tuple(value for value in seen if value and value not in found.choices)[:20]
