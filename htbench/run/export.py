"""A run as Parquet, or as a folder that Hugging Face `datasets` loads, images included."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from htbench.core.errors import Missing, UsageError
from htbench.run.summary import Summary

if TYPE_CHECKING:
    import pyarrow

ExportFormat = Literal["parquet", "datasets"]
_README = """---
configs:
- config_name: default
  data_files: data/*.parquet
---
# {name}

A run of htbench: one row a planned cell, done or not, with its image and its scores. The facts of the run are in `facts.json`.

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
        "FROM cells JOIN images ON images.key = image LEFT JOIN failures ON failures.key = image ORDER BY place",
    ),
    "scores": (("cell", "metric", "encoder", "value"), "FROM scores ORDER BY cell, metric"),
    "timings": (("phase", "method", "concept", "seconds", "device"), "FROM timings ORDER BY id"),
}
_CELLS_PER_FILE = 2000
"""Cells a file of the `datasets` form: an image in memory takes up to some MB."""


def write(summary: Summary, folder: Path, export_format: ExportFormat) -> list[Path]:
    """Write the run to the new or empty `folder`; gives the files.

    Raises:
        UsageError: if the folder holds something or cannot be written.
        Missing: if pyarrow is not installed.
    """
    arrow = _import_pyarrow()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(
                f"folder {str(folder)!r} is not empty", remedy="Choose another --into."
            )
        (folder / "facts.json").write_text(
            json.dumps(summary.facts, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        files = list(
            _parquet(summary, folder, arrow)
            if export_format == "parquet"
            else _dataset(summary, folder, arrow)
        )
    except OSError as error:
        raise UsageError(
            f"cannot write {str(folder)[:300]!r}: {error.strerror}", remedy="Choose another --into."
        ) from None
    return [folder / "facts.json", *files]


def _import_pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise Missing("pyarrow is not installed", remedy="pip install 'htbench[export]'") from None
    return pyarrow


def _parquet(summary: Summary, folder: Path, arrow: Any) -> Iterator[Path]:
    """One table each: cells, scores, timings."""
    for name, (columns, query) in _TABLES.items():
        rows = summary.store.select(f"SELECT {', '.join(columns)} {query}")
        path = folder / f"{name}.parquet"
        _write(
            arrow,
            arrow.table(
                {
                    column.rpartition(".")[2]: [row[k] for row in rows]
                    for k, column in enumerate(columns)
                }
            ),
            path,
        )
        yield path


def _dataset(summary: Summary, folder: Path, arrow: Any) -> Iterator[Path]:
    """One row a cell, with its image as bytes, under the metadata by which `datasets` knows that they are images."""
    (folder / "data").mkdir()
    names = ["method", "concept", "prompt", "seed", "strength", "flaw", "failure", "message"]
    metrics = sorted({metric for scores in summary.scores.values() for metric in scores})
    strings = arrow.string()
    kinds = {"seed": arrow.int64(), "strength": arrow.float64()}
    image = arrow.struct([("bytes", arrow.binary()), ("path", strings)])
    schema = arrow.schema(
        [
            ("image", image),
            *((name, kinds.get(name, strings)) for name in names),
            *((metric, arrow.float64()) for metric in metrics),
        ]
    )
    values = {"string": "Value", "int64": "Value", "double": "Value"}
    features = {
        field.name: {
            "dtype": str(field.type).replace("double", "float64"),
            "_type": values[str(field.type)],
        }
        for field in schema
        if field.name != "image"
    }
    schema = schema.with_metadata(
        {
            "huggingface": json.dumps(
                {"info": {"features": {"image": {"_type": "Image"}, **features}}}
            )
        }
    )
    ids = [id_ for (id_,) in summary.store.select("SELECT id FROM cells ORDER BY place")]
    shards = max(1, -(-len(ids) // _CELLS_PER_FILE))
    for shard in range(shards):
        rows = [
            {
                "image": _image(summary.store.folder / "images", row.file), "method": row.method, "concept": row.concept, "prompt": row.prompt,
                "seed": row.seed, "strength": row.strength, "flaw": row.blank, "failure": row.failure_kind, "message": row.failure_message,
                **{metric: summary.scores.get(row.id, {}).get(metric) for metric in metrics},
            }
            for row in summary.store.cells(ids[shard * _CELLS_PER_FILE : (shard + 1) * _CELLS_PER_FILE])
        ]  # fmt: skip
        path = folder / "data" / f"train-{shard:05d}-of-{shards:05d}.parquet"
        _write(arrow, arrow.Table.from_pylist(rows, schema=schema), path)
        yield path
    card = folder / "README.md"
    card.write_text(
        _README.format(
            name=summary.store.folder.name,
            command=str(summary.facts.get("command") or "").replace("\n", " "),
        ),
        encoding="utf-8",
    )
    yield card


def _image(folder: Path, file: str | None) -> dict[str, object] | None:
    return (
        {"bytes": (folder / file).read_bytes(), "path": file}
        if file and (folder / file).is_file()
        else None
    )


def _write(arrow: Any, table: "pyarrow.Table", path: Path) -> None:
    fresh = path.with_name(f".{path.name}")
    arrow.parquet.write_table(table, fresh)
    fresh.replace(path)
