"""Bundles that were edited by hand: single entries, with and without a manifest that fits."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

MANIFEST = "manifest.json"
Entries = dict[str, bytes]


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


def edit(bundle: Path, changes: Mapping[str, bytes]) -> Path:
    """Replace entries and leave the manifest."""
    return write(bundle, {**read(bundle), **changes})


def forge(bundle: Path, changes: Mapping[str, bytes | None]) -> Path:
    """Replace entries, None deletes one, and give the manifest the digests of what is there."""
    entries = {name: data for name, data in {**read(bundle), **changes}.items() if data is not None}
    manifest = json.loads(entries.pop(MANIFEST))
    manifest["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in entries.items()}
    return write(bundle, {**entries, MANIFEST: json.dumps(manifest).encode()})


def table(
    bundle: Path, name: str, change: Callable[[dict[str, object]], object], *, part: str = "run"
) -> dict[str, bytes]:
    """The entry of a table in which `change` was called with every row, as a dictionary."""
    entry = f"{part}/tables/{name}.jsonl"
    columns, *rows = map(json.loads, read(bundle)[entry].splitlines())
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    for row in named:
        change(row)
    lines = [columns, *([row[column] for column in columns] for row in named)]
    return {entry: b"".join(json.dumps(line).encode() + b"\n" for line in lines)}


def fact(
    bundle: Path, name: str, change: Callable[[dict[str, object]], object], *, part: str = "run"
) -> dict[str, bytes]:
    """The table of facts in which `change` was called with the value of one."""

    def change_row(row: dict[str, object]) -> None:
        if row["name"] == name:
            value = json.loads(str(row["value"]))
            change(value)
            row["value"] = json.dumps(value)

    return table(bundle, "facts", change_row, part=part)
