"""Mutations of files: of bytes, and of what JSON, CSV, TOML, SQLite and safetensors hold."""

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

BYTES = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"PK\x03\x04",
    b"[" * 5000,
    b'{"a":' * 5000,
    b"9" * 5000,
    b"1e999",
    b"-1",
    b"NaN",
    b'"',
    b"\n\n",
    b"\r",
    b",,,,",
    b"\t",
    b"\\ud800",
    b"<think>" * 2000,
    b"{{ cycler.__init__ }}",
    b"../../../etc/passwd",
    b"x" * 200_000,
)
TEXTS = (
    "",
    " ",
    "0",
    "-1",
    "1e30",
    "1e999",
    "nan",
    "inf",
    "9" * 23,
    "9" * 5000,
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59+14:00",
    "=1+1",
    "\x1b[31m",
    "\x00",
    "\ufeff",
    "😀" * 50,
    "é" * 3000,
    "<script>",
    "[[1, 2], [3]]",
    '{"a": {"b": []}}',
    "../..",
    "x" * 100_000,
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    10**30,
    2**63,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    [],
    {},
    [[[]]],
    {"a": None},
    "1e999",
    [None] * 1000,
    *TEXTS[:16],
)


def mutate_file(path: Path, random: Random) -> None:
    """Change the file in one to three places, in its own format or byte by byte."""
    structured: dict[str, Callable[[Path, Random], None]] = {
        ".json": _json,
        ".jsonl": _json_lines,
        ".csv": _table,
        ".tsv": _table,
        ".sqlite": _database,
        ".safetensors": _tensors,
    }
    change = structured.get(path.suffix, _bytes)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if change is not _bytes and random.random() < 0.7:
            try:
                change(path, random)
                continue
            except (
                ValueError,
                TypeError,
                AttributeError,
                LookupError,
                RecursionError,
                sqlite3.Error,
                csv.Error,
            ):
                pass  # an earlier change has broken its format
        _bytes(path, random)


def _bytes(path: Path, random: Random) -> None:
    data = path.read_bytes()
    at, until = (random.randrange(len(data) + 1) for _ in range(2))
    match random.randrange(6):
        case 0:
            data = data[:at]
        case 1:
            data = data[:at] + random.choice(BYTES) + data[at:]
        case 2:
            data = data[:at] + random.choice(BYTES) + data[max(at, until) :]
        case 3:
            data = data[:at] + random.randbytes(random.randrange(1, 9)) + data[at + 4 :]
        case 4:
            data = data[:at] + data[min(at, until) : max(at, until)] * random.randrange(1, 4)
        case 5:
            value = random.choice(TEXTS).encode()
            data = data[:at] + value + data[at + random.randrange(20) :]
    path.write_bytes(data)


def mutate_json(value: Any, random: Random) -> Any:
    """The value with one of its parts replaced, removed, renamed or doubled."""
    if not isinstance(value, dict | list) or not value or random.random() < 0.15:
        return random.choice(VALUES)
    if isinstance(value, list):
        k = random.randrange(len(value))
        parts = random.choice(([], [value[k]] * 2, [mutate_json(value[k], random)]))
        return [*value[:k], *parts, *value[k + 1 :]]
    key = random.choice(list(value))
    rest = {name: part for name, part in value.items() if name != key}
    match random.randrange(6):
        case 0:
            return rest
        case 1:
            return {**rest, random.choice(TEXTS): value[key]}
    return {**value, key: mutate_json(value[key], random)}


def _json(path: Path, random: Random) -> None:
    path.write_text(json.dumps(mutate_json(json.loads(path.read_text()), random)))


def _json_lines(path: Path, random: Random) -> None:
    lines = path.read_text().splitlines()
    k = random.randrange(len(lines))
    lines[k] = json.dumps(mutate_json(json.loads(lines[k]), random))
    path.write_text("\n".join(lines) + "\n")


def _table(path: Path, random: Random) -> None:
    delimiter = "\t" if path.suffix == ".tsv" else ","
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter=delimiter))
    row = random.randrange(len(rows))
    column = random.randrange(len(rows[row]))
    match random.randrange(7):
        case 0:
            rows[row] = rows[row][:column]
        case 1:
            rows[row] = [*rows[row], random.choice(TEXTS)]
        case 2:
            rows.insert(row, rows[row])
        case 3:
            rows = [cells[:column] + cells[column + 1 :] for cells in rows]
        case _:
            rows[row] = [*rows[row]]
            rows[row][column] = random.choice(TEXTS)
    text = StringIO()
    csv.writer(text, delimiter=random.choice((delimiter, delimiter, ";"))).writerows(rows)
    data = text.getvalue()
    path.write_bytes(data.encode(random.choice(("utf-8", "utf-8", "utf-16")), "replace"))


def _database(path: Path, random: Random) -> None:
    """Change a value in a random row of a random table; JSON is changed as such."""
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        (table,) = random.choice(tables)
        rows = database.execute(f"SELECT * FROM {table}").fetchall()
        names = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
        row, k = random.choice(rows), random.randrange(len(names))
        value: Any = random.choice(VALUES)
        if isinstance(row[k], str) and row[k][:1] in ("{", "["):
            value = json.dumps(mutate_json(json.loads(row[k]), random))
        if isinstance(value, list | dict | bool) or (isinstance(value, int) and value >= 2**63):
            value = 2**62 if isinstance(value, int) else None
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode()
        known = " AND ".join(f"{name} IS ?" for name in names)
        if random.random() < 0.2:
            database.execute(f"DELETE FROM {table} WHERE {known}", row)
        else:
            database.execute(f"UPDATE {table} SET {names[k]} = ? WHERE {known}", (value, *row))
        database.commit()


def _tensors(path: Path, random: Random) -> None:
    """Change the header of a safetensors file, or the JSON texts in its metadata."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    packed = [name for name, text in metadata.items() if text[:1] in ("{", "[")]
    if packed and random.random() < 0.5:
        name = random.choice(packed)
        metadata[name] = json.dumps(mutate_json(json.loads(metadata[name]), random))
    else:
        header = mutate_json(header, random)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
