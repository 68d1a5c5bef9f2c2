"""Finds the content that is shipped as data: baselines, concepts, judges, reports. The packaged copy if there is one, else the checkout's."""

import hashlib
import json
from pathlib import Path

from htbench.core.types import Digest

_PACKAGE = Path(__file__).parents[1]


def folder(name: str) -> Path:
    """The content folder `name`: `baselines`, `concepts`, `judges` or `reports`."""
    packaged = _PACKAGE / "_content" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def digest(value: object) -> Digest:
    """Digest of a JSON-like value; equal values have equal digests whatever the order of their keys."""
    text = json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return Digest(hashlib.sha256(text.encode()).hexdigest()[:16])


def file_digest(*paths: Path) -> Digest:
    """Digest of the bytes of files, in the order given."""
    total = hashlib.sha256()
    for path in paths:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return Digest(total.hexdigest()[:16])
