"""Removal of absolute paths and secrets from the texts of a run, before they are packed."""

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from htbench.core import reading, secrets

_PUBLIC = frozenset(
    {
        "about",
        "audit",
        "bibtex",
        "concepts",
        "families",
        "licence",
        "paper",
        "published",
        "summary",
    }
)
"""Names of facts that cards and concept sets define, in which no path of this machine is."""
_ENDS = r"\s'\"<>|:;,()\[\]{}"
_QUOTED = re.compile(
    r"""(?P<quote>['"])(?:file://)?(?:/|[A-Za-z]:\\)"""
    r"""[^'"\n]*?(?P<last>[^'"\n/\\]*)[/\\]?(?P=quote)"""
)
_POSIX = re.compile(
    rf"(?:file://|(?<![\w/.~-]))/(?=[^/{_ENDS}]*\w{{2}}|[^/{_ENDS}]+/[^/{_ENDS}])"
    rf"(?:[^/{_ENDS}]+/)*(?P<last>[^/{_ENDS}]*)"
)
_WINDOWS = re.compile(rf"\b[A-Za-z]:\\(?:[^\\{_ENDS}]+\\)*(?P<last>[^\\{_ENDS}]*)")
_Columns = Mapping[str, Mapping[str, Sequence[str]]]
_TEXTS: _Columns = {
    "run": {"sessions": ("command",), "failures": ("message", "trace")},
    "ledger": {"calls": ("endpoint", "message")},
}
_VALUES: _Columns = {
    "run": {"facts": ("value",), "sessions": ("environment",)},
    "ledger": {"notes": ("value",), "tournaments": ("about",)},
}
"""Columns that may hold paths, by database and table: texts, and values as JSON."""


def redact(text: str) -> str:
    """The text with `.../NAME` for absolute paths that end in NAME, and `***` for secrets."""
    text = _QUOTED.sub(lambda found: f"{found['quote']}.../{found['last']}{found['quote']}", text)
    for pattern in (_POSIX, _WINDOWS):
        text = pattern.sub(lambda found: f".../{found['last']}", text)
    return secrets.scrub(text)


def redact_value(value: Any) -> Any:
    """A JSON-like value, its texts as `redact` gives them but those that cards and sets define."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [redact_value(part) for part in value]
    if isinstance(value, dict):
        return {
            name: part if name in _PUBLIC else redact_value(part) for name, part in value.items()
        }
    return value


def redact_database(database: sqlite3.Connection, kind: str) -> None:
    """Redact all columns of a database of this `kind`, `run` or `ledger`, that may hold paths."""
    database.create_function("redact", 1, redact, deterministic=True)
    database.create_function("redact_json", 1, _redact_json, deterministic=True)
    for function, by_kind in (("redact", _TEXTS), ("redact_json", _VALUES)):
        for table, columns in by_kind[kind].items():
            where = "WHERE name <> 'concepts' AND name <> 'concept_set'" * (table == "facts")
            for column in columns:
                database.execute(f"UPDATE {table} SET {column} = {function}({column}) {where}")


def _redact_json(text: str) -> str:
    try:
        value = reading.parse_json(text)
    except reading.Malformed:
        return redact(text)
    redacted = redact_value(value)
    return text if redacted == value else json.dumps(redacted)
