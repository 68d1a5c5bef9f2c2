"""Detection of the platform that a file was exported from."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from htbench.core.errors import UsageError
from htbench.study import csv_rows
from htbench.study.collect import profile
from htbench.study.collect.profile import Profile
from htbench.study.collect.rows import Row, RowFile

_SAMPLE_ROWS = 200
_TRIALS_SHARE = 0.6
"""The weight of a profile's columns of choices, where its signs are in another language."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """The likeliest profile of a file."""

    profile: Profile
    columns: tuple[str, ...]
    sign_count: int
    """Number of the profile's signs that the file has."""
    unknown_choices: tuple[str, ...]
    """Texts in the columns of choices, among the first rows, that the profile does not know."""


def detect_profile(path: Path) -> Guess:
    """Guess the profile of a file by its columns.

    Raises:
        UsageError: if no platform has such columns; the message names them.
    """
    columns = _columns(path)
    if not columns:
        raise UsageError(f"{path.name!r} is empty")
    profiles = [profile.find(name) for name in profile.names()]
    best = max(profiles, key=lambda each: (_sign_share(each, columns), len(each.signs)))
    if not _sign_share(best, columns) > 0.5:
        listed = ", ".join(repr(name[:40]) for name in columns[:10])
        raise UsageError(
            f"{path.name!r} is like no known platform's export: it has {listed}",
            remedy="Write a profile for it; see docs/studies.md.",
        )
    adjusted = with_header_rows(best, path)
    if not adjusted.delimiter and not RowFile(path=path).is_json:
        adjusted = adjusted.model_copy(update={"delimiter": csv_rows.detect_delimiter(path)})
    return Guess(
        profile=adjusted,
        columns=columns,
        sign_count=round(_sign_share(best, columns) * len(best.signs))
        if "score" in best.fields
        else sum(sign in columns for sign in best.signs),
        unknown_choices=_unknown_choices(adjusted, path),
    )


def detect_common_profile(paths: Sequence[Path]) -> Profile:
    """The profile of files of one platform, by the first that has any columns.

    A session in which nothing was answered yet has none.

    Raises:
        UsageError: as `detect_profile` does.
    """
    return detect_profile(next(filter(_columns, paths), paths[0])).profile


def with_header_rows(candidate: Profile, path: Path) -> Profile:
    """The profile with the file's number of header rows.

    Old Qualtrics exports have two, without the row of import ids.
    """
    if candidate.header_rows < 2 or path.suffix.lower() == ".json":
        return candidate
    row_file = RowFile(path=path, delimiter=candidate.delimiter)
    third = next(islice((row for _, row in row_file.rows()), 1, None), {})
    if any("ImportId" in text for text in third.values()):
        return candidate
    return candidate.model_copy(update={"header_rows": 2})


def text(guess: Guess) -> str:
    """The profile as TOML, with comments on the choices that it does not know."""
    toml = profile.text(guess.profile.name)
    if guess.profile.header_rows == 2:
        toml = toml.replace("header_rows = 3", "header_rows = 2")
    if guess.profile.delimiter not in ("", ",") and "delimiter = " not in toml:
        toml = toml.replace(
            "signs = ", f"delimiter = {json.dumps(guess.profile.delimiter)}\nsigns = "
        )
    signs = f"{guess.sign_count} of {len(guess.profile.signs)} of its signs are there"
    lines = [f"# {guess.profile.name}: {signs}"]
    for value in guess.unknown_choices:
        example = f'{value.lower()!r} = "left", "right", "tie" or "skip"'.replace("'", '"')
        lines.append(f"# not known yet, add under [choices]: {example}")
    return "\n".join([*lines, toml])


def _sign_share(candidate: Profile, columns: tuple[str, ...]) -> float:
    if "score" in candidate.fields:
        names = (candidate.fields.get(sign, ()) for sign in candidate.signs)  # type: ignore[call-overload]
        return float(all(any(name in columns for name in each) for each in names))
    share = sum(sign in columns for sign in candidate.signs) / len(candidate.signs)
    has_trials = candidate.header_rows == 1 and any(
        re.search(candidate.trials or "$^", name[:1000]) for name in columns
    )
    return max(share, _TRIALS_SHARE) if has_trials else share


def _columns(path: Path) -> tuple[str, ...]:
    """The columns of a CSV, TSV or JSON file."""
    row_file = RowFile(path=path)
    if row_file.is_json:
        rows = islice(row_file.rows(), _SAMPLE_ROWS)
        return tuple(dict.fromkeys(name for _, row in rows for name in row))
    return tuple(name.strip() for name in csv_rows.header(path))


def _unknown_choices(candidate: Profile, path: Path) -> tuple[str, ...]:
    row_file = RowFile(
        path=path,
        delimiter=candidate.delimiter,
        header_rows=candidate.header_rows,
        unpack=candidate.unpack,
    )
    kept = (
        row
        for _, row in row_file.rows()
        if all(row.get(column, values[0]) in values for column, values in candidate.keep.items())
    )
    seen: dict[str, None] = {}
    for row in islice(kept, _SAMPLE_ROWS):
        for column in _choice_columns(candidate, row):
            seen[row[column].strip().lower()] = None
    return tuple(value for value in seen if value and value not in candidate.choices)[:20]


def _choice_columns(candidate: Profile, row: Row) -> list[str]:
    if candidate.trials:
        return [name for name in row if re.search(candidate.trials, name)]
    return [name for name in candidate.fields.get("choice", ()) if name in row][:1]
