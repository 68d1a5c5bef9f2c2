"""Bundles that were edited by hand: single entries, with and without a manifest that fits."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

MANIFEST = "manifest.json"
Entries = dict[str, bytes]
Row = dict[str, Any]


def read(bundle: Path) -> Entries:
    """The entries of a bundle by name."""
    with ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(bundle: Path, entries: Mapping[str, bytes]) -> Path:
    """Write entries as they are."""
    with ZipFile(bundle, "w", ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(ZipInfo(name), data)
    return bundle


def edit(bundle: Path, changes: Mapping[str, bytes | None]) -> Path:
    """Replace entries, None deletes one, and leave the manifest."""
    return write(bundle, _changed(bundle, changes))


def forge(bundle: Path, changes: Mapping[str, bytes | None]) -> Path:
    """Replace entries, None deletes one, and give the manifest the digests of what is there."""
    entries = {name: data for name, data in {**read(bundle), **changes}.items() if data is not None}
    manifest = json.loads(entries.pop(MANIFEST))
    manifest["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in entries.items()}
    return write(bundle, {**entries, MANIFEST: json.dumps(manifest).encode()})


def rows(bundle: Path, table: str, *, part: str = "run") -> list[Row]:
    """The rows of a table."""
    columns, *values = map(json.loads, read(bundle)[f"{part}/tables/{table}.jsonl"].splitlines())
    return [dict(zip(columns, row, strict=True)) for row in values]


def table(
    bundle: Path, name: str, change: Callable[[Row], object], *, part: str = "run"
) -> dict[str, bytes | None]:
    """The entry of a table in which `change` was called with every row."""

    def kept_changed(row: Row) -> bool:
        change(row)
        return True

    return kept(bundle, name, kept_changed, part=part)


def kept(
    bundle: Path, name: str, is_kept: Callable[[Row], bool], *, part: str = "run"
) -> dict[str, bytes | None]:
    """The entry of a table with the rows that `is_kept` is true for."""
    every = rows(bundle, name, part=part)
    lines = [list(every[0]), *(list(row.values()) for row in every if is_kept(row))]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return {f"{part}/tables/{name}.jsonl": data}


def fact(
    bundle: Path, name: str, change: Callable[[Row], object], *, part: str = "run"
) -> dict[str, bytes | None]:
    """The table of facts in which `change` was called with the value of one."""

    def change_row(row: Row) -> None:
        if row["name"] == name:
            value = json.loads(row["value"])
            change(value)
            row["value"] = json.dumps(value)

    return table(bundle, "facts", change_row, part=part)


def _changed(bundle: Path, changes: Mapping[str, bytes | None]) -> Entries:
    entries = {**read(bundle), **changes}
    return {name: data for name, data in entries.items() if data is not None}
