"""Export of a run as Parquet, or as a folder that Hugging Face `datasets` loads, with images."""

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, Literal

from htbench.core import content
from htbench.core.errors import Missing, UsageError, no_space
from htbench.run import activation_rows, cell_sets, wording_runs
from htbench.run.store import CellRow, Store
from htbench.run.summary import Summary
from htbench.steering.wording import CANONICAL

if TYPE_CHECKING:
    import pyarrow

ExportFormat = Literal["parquet", "datasets"]
_README = """---
configs:
- config_name: default
  data_files: data/*.parquet
---
# {name}

A run of htbench: one row a planned cell, done or not, with its image and its scores. \
The facts of the run are in `facts.json`.

    {command}
"""
_TABLES = {
    "cells": (
        (
            "cells.id",
            "method",
            "concept",
            "prompt",
            "seed",
            "strength",
            "image",
            "file",
            "flaw",
            "kind",
            "message",
        ),
        "FROM cells JOIN images ON images.key = image "
        "LEFT JOIN failures ON failures.key = image ORDER BY place",
    ),
    "scores": (("cell", "metric", "encoder", "value"), "FROM scores ORDER BY cell, metric"),
    "timings": (
        ("phase", "method", "concept", "seconds", "together", "device"),
        "FROM timings ORDER BY id",
    ),
}
_CELLS_PER_FILE = 2000
"""Cells per file of the `datasets` form: an image in memory takes up to some MB."""


def write(summary: Summary, folder: Path, export_format: ExportFormat) -> list[Path]:
    """Write the run to the new or empty `folder`, whole or not at all; return the files.

    Raises:
        UsageError: if the folder holds something or cannot be written.
        Missing: if pyarrow is not installed.
    """
    arrow = _import_pyarrow()
    with new_folder(folder) as fresh:
        text = json.dumps(summary.facts.stored, indent=1, ensure_ascii=False)
        (fresh / "facts.json").write_text(text, encoding="utf-8")
        write_files = _parquet if export_format == "parquet" else _dataset
        files = [fresh / "facts.json", *write_files(summary, fresh, arrow)]
    return [folder / file.relative_to(fresh) for file in files]


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of the new or empty `folder` where nothing failed.

    Raises:
        UsageError: if `folder` holds something or cannot be written.
        Missing: if the disk is full.
    """
    fresh = folder.with_name(f".{os.getpid()}-{folder.name}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise _not_empty(folder)
        fresh.mkdir()
        yield fresh
        folder.rmdir()  # fails where another export has filled it meanwhile
        fresh.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise _not_empty(folder) from None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space() from None
        raise UsageError(
            f"cannot write {str(folder)[:300]!r}: {error.strerror}", remedy="Choose another --out."
        ) from None
    finally:
        rmtree(fresh, ignore_errors=True)


def _not_empty(folder: Path) -> UsageError:
    return UsageError(f"folder {str(folder)!r} is not empty", remedy="Choose another --out.")


def _import_pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise Missing("pyarrow is not installed", remedy="pip install 'htbench[export]'") from None
    return pyarrow


def _parquet(summary: Summary, folder: Path, arrow: Any) -> Iterator[Path]:
    """Write one file each for cells, scores, timings, and scores of sets and of activations if
    there are any."""
    for name, (columns, query) in _TABLES.items():
        rows = [
            (*row, wording)
            for wording, store in wording_runs.every_run(summary.store, summary.facts)
            for row in store.iterate(f"SELECT {', '.join(columns)} {query}")
        ]
        path = folder / f"{name}.parquet"
        _write(
            arrow,
            arrow.table(
                {
                    column.rpartition(".")[2]: [row[k] for row in rows]
                    for k, column in enumerate((*columns, "wording"))
                }
            ),
            path,
        )
        yield path
    for name, head, made in (
        ("set_scores", cell_sets.FILE_COLUMNS, cell_sets.file_rows(summary.facts)),
        (
            "activation_scores",
            activation_rows.FILE_COLUMNS,
            activation_rows.file_rows(summary.facts),
        ),
    ):
        if lines := list(made):
            path = folder / f"{name}.parquet"
            by_column = {column: [line[k] for line in lines] for k, column in enumerate(head)}
            _write(arrow, arrow.table(by_column), path)
            yield path


def _dataset(summary: Summary, folder: Path, arrow: Any) -> Iterator[Path]:
    """Write one row per cell, with its image as bytes, and a README."""
    (folder / "data").mkdir()
    metrics = sorted({metric for scores in summary.scores.values() for metric in scores})
    schema = _schema(arrow, metrics)
    count = -(-_cell_count(summary) // _CELLS_PER_FILE)
    parts = _in_parts(_dataset_rows(summary, metrics))
    for number, rows in enumerate(parts if count else [[]]):
        path = folder / "data" / f"train-{number:05d}-of-{max(1, count):05d}.parquet"
        _write(arrow, arrow.Table.from_pylist(rows, schema=schema), path)
        yield path
    readme = folder / "README.md"
    command = summary.facts.command.replace("\n", " ")
    text = _README.format(name=summary.store.folder.name, command=command)
    readme.write_text(text, encoding="utf-8")
    yield readme


def _cell_count(summary: Summary) -> int:
    """Number of cells in all wordings."""
    every = wording_runs.every_run(summary.store, summary.facts)
    return sum(store.count() for _, store in every)


def _in_parts(rows: Iterator[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    while part := list(islice(rows, _CELLS_PER_FILE)):
        yield part


def _dataset_rows(summary: Summary, metrics: Sequence[str]) -> Iterator[dict[str, object]]:
    """A row per cell, canonical words first, each with its scores by the headline's scorer."""
    for wording, store in wording_runs.every_run(summary.store, summary.facts):
        own = summary if wording == CANONICAL else Summary(store)
        said = wording_runs.SaidWords(own.facts)
        ids = [id_ for (id_,) in store.select("SELECT id FROM cells ORDER BY place")]
        for start in range(0, len(ids), _CELLS_PER_FILE):
            for cell in store.cells(ids[start : start + _CELLS_PER_FILE]):
                words = said.of(cell.concept, cell.prompt, cell.seed)
                yield {
                    **_dataset_row(own, cell, metrics),
                    "wording": wording,
                    "words": words if cell.is_steered else "",
                }


def _schema(arrow: Any, metrics: Sequence[str]) -> Any:
    """Columns of a dataset, with the metadata by which `datasets` recognises images."""
    columns = (
        *("method", "concept", "wording", "words", "prompt", "seed", "strength"),
        *("flaw", "failure", "message"),
    )
    text, number = arrow.string(), arrow.float64()
    types = {"seed": arrow.int64(), "strength": number}
    schema = arrow.schema(
        [
            ("image", arrow.struct([("bytes", arrow.binary()), ("path", text)])),
            *((name, types.get(name, text)) for name in columns),
            *((metric, number) for metric in metrics),
        ]
    )
    features = {
        field.name: {"dtype": str(field.type).replace("double", "float64"), "_type": "Value"}
        for field in schema
        if field.name != "image"
    }
    info = {"info": {"features": {"image": {"_type": "Image"}, **features}}}
    return schema.with_metadata({"huggingface": json.dumps(info)})


def _dataset_row(summary: Summary, cell: CellRow, metrics: Sequence[str]) -> dict[str, object]:
    scores = summary.scores.get(cell.id, {})
    return {
        "image": _image(summary.store, cell.file),
        "method": cell.method,
        "concept": cell.concept,
        "prompt": cell.prompt,
        "seed": cell.seed,
        "strength": cell.strength,
        "flaw": cell.blank,
        "failure": cell.failure_kind,
        "message": cell.failure_message,
        **{metric: scores.get(metric) for metric in metrics},
    }


def _image(store: Store, file: str | None) -> dict[str, object] | None:
    """The image of a cell; None where there is none, or it cannot be read."""
    with suppress(UsageError, Missing):
        return {"bytes": store.image_bytes(file), "path": file} if file else None
    return None


def _write(arrow: Any, table: "pyarrow.Table", path: Path) -> None:
    with content.replacing(path) as fresh:
        arrow.parquet.write_table(table, fresh)
