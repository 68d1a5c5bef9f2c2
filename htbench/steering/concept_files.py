"""The rows of a user's own concept set, with defaults filled in.

They are read from a CSV, JSON lines, a folder of these, or a Hugging Face data set.
"""

import csv
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import NoReturn

from htbench.core import content, reading
from htbench.core.errors import Missing, UnknownName, UsageError

HUB_PREFIX = "hf:"
COLUMNS = ("text", "kind", "template", "split", "synonyms", "paraphrases", "id", "family")
_LISTS = ("synonyms", "paraphrases", "family")
"""Columns of several texts."""
HUB_SPLITS = {"train": "train", "validation": "dev", "dev": "dev", "test": "test"}
"""Splits by the names that the parts of a Hugging Face data set have."""
MAX_ROWS = 100_000
"""The most rows of a concept or prompt file."""
MAX_CELL = 10_000
"""The most characters of a cell."""
Values = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class ConceptFileRow:
    """One row of a file, with its location for error messages."""

    location: str
    """File and row, such as `mine.csv row 3`, counted as spreadsheets and editors do."""
    values: Values

    def fail(self, problem: str, *, remedy: str = "") -> NoReturn:
        """Raise `UsageError` with the row's location."""
        raise UsageError(f"{self.location}: {problem}", remedy=remedy)


@dataclass(frozen=True, kw_only=True)
class ConceptFiles:
    """The contents of a set's files, before they are validated."""

    card: Mapping[str, object]
    concepts: tuple[ConceptFileRow, ...]
    prompts: tuple[ConceptFileRow, ...]
    """Empty: those of a shipped set are used."""
    reference_archive: Path | None
    """An archive of reference images; None: there is none."""


def is_user_set(name: str) -> bool:
    """True for a path with a slash, a `.csv` or `.jsonl` file, and `hf:owner/name`."""
    return (
        name.startswith(HUB_PREFIX)
        or "/" in name
        or "\\" in name
        or name.endswith((".csv", ".jsonl"))
    )


def read(name: str) -> ConceptFiles:
    """The set at `name`.

    Raises:
        Missing: if nothing is there, or the package `datasets` is needed and not installed.
        UsageError: for the first invalid row, with its location.
    """
    if name.startswith(HUB_PREFIX):
        return _concept_files(name, _read_dataset(name))
    path = Path(name).absolute()
    try:
        is_folder, is_there = path.is_dir(), os.path.lexists(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"concept set {name[:80]!r} cannot be read: {reason}") from None
    if is_folder:
        return _read_folder(path)
    if not is_there:
        raise Missing(
            f"no concept set {name[:200]!r}",
            remedy="Give a CSV, a folder, hf:owner/name, or a name from: htbench list concepts",
        )
    return _concept_files(path.stem, _read_rows(path, columns=COLUMNS))


def _read_folder(folder: Path) -> ConceptFiles:
    concepts, prompts = _rows_file(folder, "concepts"), _rows_file(folder, "prompts")
    rows = (
        list(_read_rows(concepts, columns=COLUMNS, within=folder))
        if concepts
        else _read_dataset(str(folder))
    )
    card_file, archive = folder / "card.toml", folder / "references.zip"
    card = (
        reading.read_toml(card_file, noun="card of the concept set", within=folder)
        if os.path.lexists(card_file)
        else {}
    )
    if os.path.lexists(archive):
        reading.find_file(archive, noun="archive", within=folder)
    return _concept_files(
        folder.resolve().name,
        rows,
        _read_rows(prompts, columns=("text", "use"), within=folder) if prompts else (),
        card=card,
        reference_archive=archive if os.path.lexists(archive) else None,
    )


def _concept_files(
    name: str,
    concepts: Iterable[ConceptFileRow],
    prompts: Iterable[ConceptFileRow] = (),
    *,
    card: Values | None = None,
    reference_archive: Path | None = None,
) -> ConceptFiles:
    """The set with a default card if it has none; an id that occurs twice is refused."""
    rows = tuple(_with_defaults(row) for row in concepts)
    prompt_rows = tuple(prompts)
    if not rows:
        raise UsageError(
            f"{name[:200]!r} has no concepts", remedy="Write a line for each below the line: text"
        )
    first: dict[object, ConceptFileRow] = {}
    for row in rows:
        if (before := first.setdefault(row.values["id"], row)) is not row:
            row.fail(f"concept {str(row.values['id'])[:80]!r} is there already: {before.location}")
    version = content.digest(
        [[dict(row.values) for row in rows], [dict(row.values) for row in prompt_rows]]
    )
    default = {
        "name": name[:80],
        "version": version,
        "licence": "not stated",
        "about": "A user's own concepts.",
    }
    return ConceptFiles(
        card=card or default,
        concepts=rows,
        prompts=prompt_rows,
        reference_archive=reference_archive,
    )


def _with_defaults(row: ConceptFileRow) -> ConceptFileRow:
    """The row of a concept with defaults for its empty cells."""
    cells = {key: value for key, value in row.values.items() if value not in (None, "", [])}
    for key in ("text", "kind", "template", "split", "id"):
        if not isinstance(cells.get(key, ""), str):
            row.fail(f"{key} {str(cells[key])[:80]!r} is not text")
    words = {key: " ".join(str(value).split()) for key, value in cells.items() if key not in _LISTS}
    text, kind = words.get("text", ""), words.get("kind", "own")
    split = words.get("split", "test").lower()
    if not text:
        row.fail("text is empty")
    if split not in HUB_SPLITS.values():
        row.fail(f"no split {split[:80]!r}; there are train, dev and test")
    template = words.get("template", "{prompt}, {concept}").replace("{concept}", text)
    if "{prompt}" not in template:
        row.fail(
            f"template {template[:80]!r} has no {{prompt}}",
            remedy="Write it as {prompt} with {concept}",
        )
    texts = {column: _parse_texts(row, cells, column) for column in _LISTS}
    for column in ("paraphrases", "synonyms"):
        if texts[column] and text not in template:
            row.fail(
                f"template {template[:80]!r} does not hold the text, "
                f"so {column} cannot take its place",
                remedy="Write {concept} where the text goes.",
            )
    id_ = words.get("id") or f"{kind}/{_slug(text)}"
    return ConceptFileRow(
        location=row.location,
        values={
            "id": id_,
            "kind": kind,
            "split": split,
            "text": text,
            "template": template,
            "paraphrases": texts["paraphrases"],
            **{column: texts[column] for column in ("synonyms", "family") if texts[column]},
        },
    )


def _parse_texts(row: ConceptFileRow, cells: Values, column: str) -> list[str]:
    """Texts of a list, or of a table's cell, where `|` separates them."""
    value = cells.get(column, [])
    parts = value.split("|") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        row.fail(f"{column}: neither a list of texts nor texts separated by |")
    return [" ".join(part.split()) for part in parts if part.strip()]


def _slug(text: str) -> str:
    return "-".join(re.findall(r"\w+", text.casefold()))[:80] or content.digest(text)


def _rows_file(folder: Path, stem: str) -> Path | None:
    return next(
        (
            path
            for path in (folder / f"{stem}.jsonl", folder / f"{stem}.csv")
            if os.path.lexists(path)
        ),
        None,
    )


def _read_rows(
    path: Path, *, columns: tuple[str, ...], within: Path | None = None
) -> Iterator[ConceptFileRow]:
    read = _read_json_lines if path.suffix == ".jsonl" else _read_csv
    for number, row in enumerate(read(path, columns, within), start=1):
        if number > MAX_ROWS:
            row.fail(f"a set has at most {MAX_ROWS:,} rows")
        for name, value in row.values.items():
            if len(str(value)) > MAX_CELL:
                row.fail(f"{name} has more than {MAX_CELL:,} characters")
            if "\x00" in str(value):
                row.fail(f"{name} has a NUL character")
        yield row


def _read_csv(
    path: Path, columns: tuple[str, ...], within: Path | None
) -> Iterator[ConceptFileRow]:
    """Rows below a line of column names; its commonest of comma, semicolon and tab separates."""
    text = reading.read_text(path, noun="concept file", within=within)
    lines = StringIO(text, newline="")
    separator = max(",;\t", key=lines.readline().count)
    lines.seek(0)
    reader = csv.DictReader(lines, delimiter=separator, strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = names
        if "text" not in names:
            raise UsageError(
                f"{path.name!r} has no column 'text'",
                remedy="Its first line names the columns, of which there can be: "
                + ", ".join(columns),
            )
        for name in names:
            if name not in columns:
                raise UnknownName(f"column of {path.name}", name, columns)
            if names.count(name) > 1:
                raise UsageError(f"{path.name!r} has two columns {name!r}")
        for values in reader:
            row = ConceptFileRow(location=f"{path.name} row {reader.line_num}", values=values)
            if None in values:
                row.fail(
                    f"has more than {len(names)} fields",
                    remedy=f"Put texts with {separator!r} in them in double quotes.",
                )
            yield row
    except csv.Error as error:
        location = f"{path.name!r} row {reader.line_num}"
        raise UsageError(f"{location} cannot be read: {str(error)[:200]}") from None


def _read_json_lines(
    path: Path, columns: tuple[str, ...], within: Path | None
) -> Iterator[ConceptFileRow]:
    for number, values in reading.json_lines(path, noun="concept file", within=within):
        row = ConceptFileRow(location=f"{path.name} row {number}", values={})
        if not isinstance(values, dict):
            row.fail("is not a JSON object", remedy='Write it as {"text": "with a lemon"}')
        for name in values:
            if name not in columns:
                raise UnknownName(f"field of {row.location}", name, columns)
        yield ConceptFileRow(location=row.location, values=values)


def _read_dataset(name: str) -> list[ConceptFileRow]:
    """Rows of a Hugging Face data set: a folder, or `hf:owner/name` with or without `@revision`.

    Columns that are not in `COLUMNS` are ignored.
    """
    folder = Path(name)
    if not name.startswith(HUB_PREFIX) and not any(
        next(folder.glob(pattern), None)
        for pattern in ("dataset_dict.json", "dataset_info.json", "**/*.parquet")
    ):
        raise UsageError(
            f"{name[:200]!r} has no concepts.csv or concepts.jsonl",
            remedy="Or give the folder of a Hugging Face data set.",
        )
    try:
        import datasets
    except ImportError:
        raise Missing(
            "data sets of Hugging Face are read by the package datasets",
            remedy="pip install 'htbench[hub]'",
        ) from None
    datasets.disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    address, _, revision = name.removeprefix(HUB_PREFIX).partition("@")
    try:
        if name.startswith(HUB_PREFIX):
            dataset = datasets.load_dataset(address, revision=revision or None)
        else:
            saved = any(
                (folder / file).exists() for file in ("dataset_dict.json", "dataset_info.json")
            )
            dataset = datasets.load_from_disk(name) if saved else datasets.load_dataset(name)
    # The hub, the network, the cache or a damaged file: the error's own words say which.
    except Exception as error:
        raise Missing(
            f"data set {name[:200]!r} cannot be loaded: {' '.join(str(error).split())[:200]}"
        ) from None
    parts = dict(dataset) if isinstance(dataset, dict) else {"": dataset}
    rows = []
    for part, table in parts.items():
        if "text" not in table.column_names:
            raise UsageError(
                f"data set {name[:200]!r} has no column 'text'",
                remedy=f"Its columns: {', '.join(table.column_names)[:200]}",
            )
        split = HUB_SPLITS.get(part) if len(parts) > 1 else None
        columns = [column for column in COLUMNS if column in table.column_names]
        for number, values in enumerate(table.select_columns(columns), start=1):
            location = f"{name} {part} row {number}".replace("  ", " ")
            rows.append(ConceptFileRow(location=location, values={"split": split, **values}))
    return rows
