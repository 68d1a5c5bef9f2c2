"""A user's own concept set as rows: read from a CSV, JSON lines, a folder of them or a Hugging Face data set, gaps filled in."""

import csv
import json
import logging
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from htbench.core import content
from htbench.core.errors import Missing, UnknownName, UsageError

HUB = "hf:"
COLUMNS = ("text", "kind", "template", "split", "paraphrases", "id")
SPLITS = {"train": "train", "validation": "dev", "dev": "dev", "test": "test"}
"""What the parts of a Hugging Face data set are called here."""
Values = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one row says, and where it stands: `mine.csv row 3`, counted as spreadsheets and editors do."""

    where: str
    values: Values

    def refuse(self, problem: str, *, remedy: str = "") -> NoReturn:
        """Raise `UsageError` with where this is."""
        raise UsageError(f"{self.where}: {problem}", remedy=remedy)


@dataclass(frozen=True, kw_only=True)
class Own:
    """All that was found."""

    card: Mapping[str, object]
    concepts: tuple[Row, ...]
    prompts: tuple[Row, ...]
    """Empty: those of a shipped set are used."""
    pictures: Path | None
    """An archive of reference pictures."""


def is_own(name: str) -> bool:
    """Whether `name` is that of something of the user's own: a path with a slash or a known ending, or `hf:owner/name`."""
    return name.startswith(HUB) or "/" in name or "\\" in name or name.endswith((".csv", ".jsonl"))


def read(name: str) -> Own:
    """The set at `name`.

    Raises:
        Missing: if nothing is there, or `datasets` is needed and not installed.
        UsageError: for the first row that makes no sense, with where it stands.
    """
    if name.startswith(HUB):
        return _own(name, _dataset(name))
    path = Path(name)
    try:
        found = (path.is_dir(), path.is_file())
    except OSError as error:
        raise UsageError(f"concept set {name[:80]!r} cannot be read: {error.strerror}") from None
    if found == (True, False):
        return _folder(path)
    if found == (False, False):
        raise Missing(f"no concept set {name[:200]!r}", remedy="Give a CSV, a folder, hf:owner/name, or a name from: htbench list concepts")
    return _own(path.stem, _file(path, columns=COLUMNS))


def _folder(folder: Path) -> Own:
    concepts = _either(folder, "concepts")
    rows = list(_file(concepts, columns=COLUMNS)) if concepts else _dataset(str(folder))
    prompts = _either(folder, "prompts")
    card = folder / "card.toml"
    try:
        told = tomllib.loads(card.read_text(encoding="utf-8")) if card.exists() else {}
    except (ValueError, OSError, RecursionError) as error:
        raise UsageError(f"{str(card)!r} cannot be read: {str(error)[:200]}") from None
    pictures = folder / "references.zip"
    asked = _file(prompts, columns=("text", "use")) if prompts else ()
    return _own(folder.resolve().name, rows, asked, card=told, pictures=pictures if pictures.exists() else None)


def _own(name: str, concepts: Iterable[Row], prompts: Iterable[Row] = (), *, card: Values | None = None, pictures: Path | None = None) -> Own:
    """What was read, with a card that says so if there is none, and ids that differ."""
    rows = tuple(_filled(row) for row in concepts)
    asked = tuple(prompts)
    if not rows:
        raise UsageError(f"{name[:200]!r} has no concepts", remedy="Write a line for each below the line: text")
    first: dict[object, Row] = {}
    for row in rows:
        if (before := first.setdefault(row.values["id"], row)) is not row:
            row.refuse(f"concept {str(row.values['id'])[:80]!r} is there already: {before.where}")
    version = content.digest([[dict(row.values) for row in rows], [dict(row.values) for row in asked]])
    default = {"name": name[:80], "version": version, "licence": "not stated", "about": "A user's own concepts."}
    return Own(card=card or default, concepts=rows, prompts=asked, pictures=pictures)


def _filled(row: Row) -> Row:
    """A row of a concept with nothing left out."""
    given = {key: value for key, value in row.values.items() if value not in (None, "", [])}
    for key in ("text", "kind", "template", "split", "id"):
        if not isinstance(given.get(key, ""), str):
            row.refuse(f"{key} {str(given[key])[:80]!r} is not text")
    words = {key: " ".join(str(value).split()) for key, value in given.items() if key != "paraphrases"}
    text, kind, split = words.get("text", ""), words.get("kind", "own"), words.get("split", "test").lower()
    if not text:
        row.refuse("text is empty")
    if split not in SPLITS.values():
        row.refuse(f"no split {split[:80]!r}; there are train, dev and test")
    template = words.get("template", "{prompt}, {concept}").replace("{concept}", text)
    if "{prompt}" not in template:
        row.refuse(f"template {template[:80]!r} has no {{prompt}}", remedy="Write it as {prompt} with {concept}")
    paraphrases = _several(row, given.get("paraphrases", []))
    if paraphrases and text not in template:
        row.refuse(f"template {template[:80]!r} does not hold the text, so paraphrases cannot take its place", remedy="Write {concept} where the text goes.")
    id_ = words.get("id") or f"{kind}/{_slug(text)}"
    return Row(where=row.where, values={"id": id_, "kind": kind, "split": split, "text": text, "template": template, "paraphrases": paraphrases})


def _several(row: Row, given: object) -> list[str]:
    """Paraphrases, in a table separated by `|`."""
    parts = given.split("|") if isinstance(given, str) else given
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        row.refuse("paraphrases are neither a list of texts nor texts separated by |")
    return [" ".join(part.split()) for part in parts if part.strip()]


def _slug(text: str) -> str:
    return "-".join(re.findall(r"\w+", text.casefold()))[:80] or content.digest(text)


def _either(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / f"{stem}.jsonl", folder / f"{stem}.csv") if path.is_file()), None)


def _file(path: Path, *, columns: tuple[str, ...]) -> Iterator[Row]:
    try:
        yield from (_json if path.suffix == ".jsonl" else _csv)(path, columns)
    except UnicodeDecodeError:
        raise UsageError(f"{path.name!r} is not UTF-8 text", remedy="Save it as CSV UTF-8.") from None
    except (csv.Error, OSError) as error:
        raise UsageError(f"{path.name!r} cannot be read: {str(error)[:200]}") from None


def _csv(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    """Rows below a line of column names; separated by commas, semicolons or tabs, whichever that line has."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        separator = max(",;\t", key=file.readline().count)
        file.seek(0)
        reader = csv.DictReader(file, delimiter=separator, strict=True)
        names = [name.strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = names
        if "text" not in names:
            raise UsageError(f"{path.name!r} has no column 'text'", remedy=f"Its first line names the columns, of which there can be: {', '.join(columns)}")
        for name in names:
            if name not in columns:
                raise UnknownName(f"column of {path.name}", name, columns)
        for values in reader:
            row = Row(where=f"{path.name} row {reader.line_num}", values=values)
            if None in values:
                row.refuse(f"has more than {len(names)} fields", remedy=f"Put texts with {separator!r} in them in double quotes.")
            yield row


def _json(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        row = Row(where=f"{path.name} row {number}", values={})
        try:
            values = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            row.refuse("is not JSON")
        if values is not None and not isinstance(values, dict):
            row.refuse("is not a JSON object", remedy='Write it as {"text": "with a lemon"}')
        for name in values or {}:
            if name not in columns:
                raise UnknownName(f"field of {row.where}", name, columns)
        if values is not None:
            yield Row(where=row.where, values=values)


def _dataset(name: str) -> list[Row]:
    """Rows of a Hugging Face data set: a folder, or `hf:owner/name` with `@revision` or without; other columns are left aside."""
    folder = Path(name)
    if not name.startswith(HUB) and not any(next(folder.glob(pattern), None) for pattern in ("dataset_dict.json", "dataset_info.json", "**/*.parquet")):
        raise UsageError(f"{name[:200]!r} has no concepts.csv or concepts.jsonl", remedy="Or give the folder of a Hugging Face data set.")
    try:
        import datasets
    except ImportError:
        raise Missing("data sets of Hugging Face are read by the package datasets", remedy="pip install 'htbench[hub]'") from None
    datasets.disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    address, _, revision = name.removeprefix(HUB).partition("@")
    try:
        if name.startswith(HUB):
            found = datasets.load_dataset(address, revision=revision or None)
        else:
            saved = any((folder / file).exists() for file in ("dataset_dict.json", "dataset_info.json"))
            found = datasets.load_from_disk(name) if saved else datasets.load_dataset(name)
    except Exception as error:  # of a hub, a network, a cache or a damaged file: its own words say which
        raise Missing(f"data set {name[:200]!r} cannot be loaded: {' '.join(str(error).split())[:200]}") from None
    parts = dict(found) if isinstance(found, dict) else {"": found}
    rows = []
    for part, table in parts.items():
        if "text" not in table.column_names:
            raise UsageError(f"data set {name[:200]!r} has no column 'text'", remedy=f"Its columns: {', '.join(table.column_names)[:200]}")
        split = SPLITS.get(part) if len(parts) > 1 else None
        for number, values in enumerate(table.select_columns([each for each in COLUMNS if each in table.column_names]), start=1):
            where = f"{name} {part} row {number}".replace("  ", " ")
            rows.append(Row(where=where, values={"split": split, **values}))
    return rows
