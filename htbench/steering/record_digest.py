"""The digest that binds the record of a trained steering to its training; without torch."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from htbench.core import content, reading
from htbench.core.errors import Refused
from htbench.core.types import Digest

_EDITED = "its record was changed after the training"
_NO_DIGEST = "its file is older than digests of the training concepts"


def digest(record: Mapping[str, object]) -> Digest:
    """Digest of all in a record but its own `digest`."""
    return content.digest({key: value for key, value in record.items() if key != "digest"})


def digest_of_tensors(file: BinaryIO) -> Digest:
    """Digest of names, number formats, shapes and numbers, whatever the metadata are."""
    header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    while block := file.read(1 << 20):
        total.update(block)
    return Digest(total.hexdigest()[:16])


def why_unverified(record: Mapping[str, object]) -> str:
    """The reason why a record cannot be relied on; empty: it has the digest it was written with."""
    if not (record.get("tensors") and record.get("digest")):
        return _NO_DIGEST
    return "" if digest(record) == record["digest"] else _EDITED


def why_file_unverified(path: Path) -> str:
    """`why_unverified` of the record in a file.

    Raises:
        Refused: if the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    reading.find_file(path, noun="steering")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
        records = [reading.parse_json(text) for text in metadata.values()]
    except (SafetensorError, OSError, ValueError) as error:
        problem = " ".join(str(error).split())[:300]
        raise Refused(f"{str(path)[:300]!r} cannot be read: {problem}") from None
    record = next((each for each in records if isinstance(each, dict)), {})
    return why_unverified(record)
