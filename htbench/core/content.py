"""Files: the content that is shipped as data, cards, digests, and whole or no writes."""

import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_native_id
from typing import TYPE_CHECKING, TypeVar

from htbench.core import reading
from htbench.core.errors import UsageError
from htbench.core.types import Digest

if TYPE_CHECKING:
    from pydantic import BaseModel

_PACKAGE = Path(__file__).parents[1]
Card = TypeVar("Card", bound="BaseModel")


class InvalidCard(UsageError):
    """A file that is not TOML, or not a card of its kind; the text is one line."""


def folder(name: str) -> Path:
    """The content folder `name`: `baselines`, `concepts`, `judges` or `reports`.

    The copy in the installed package if there is one, else the checkout's.
    """
    packaged = _PACKAGE / "_content" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def read_card(
    path: Path, kind: type[Card], *, defaults: Mapping[str, object] | None = None
) -> Card:
    """The TOML file `path` as a `kind`, with `defaults` for what the file leaves out.

    Raises:
        FileNotFoundError: if there is no such file.
        InvalidCard: if it cannot be read, or has a wrong, unknown or missing field.
    """
    from pydantic import ValidationError

    if not os.path.lexists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    try:
        values = reading.parse_toml(reading.read_text(path))
        return kind.model_validate({**(defaults or {}), **values})
    except ValidationError as error:
        raise InvalidCard(reading.first_problem(error)) from None
    except (reading.Malformed, UsageError) as error:
        raise InvalidCard(f"it cannot be read: {error}") from None


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file at once or not at all: whoever reads `path` never sees a part of it.

    Several processes and threads may write one file; that of the last one stays.
    """
    with replacing(path) as fresh:
        fresh.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes the place of `path` where nothing failed.

    It is one of this process and thread alone; a killed process leaves it there.
    """
    fresh = path.with_name(f".{os.getpid()}-{get_native_id()}-{path.name}")
    try:
        yield fresh
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise


def digest(value: object) -> Digest:
    """Digest of a JSON-like value; equal values have equal digests, whatever the order of keys."""
    text = json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return Digest(hashlib.sha256(text.encode()).hexdigest()[:16])


def file_digest(*paths: Path) -> Digest:
    """Digest of the bytes of files, in the order given."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return Digest(total.hexdigest()[:16])


def full_file_digest(path: Path) -> str:
    """SHA-256 digest of a file in 64 hexadecimal digits, as `sha256sum` prints it.

    Raises:
        UnreadableFile: if the system refuses to read it.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise reading.UnreadableFile(
            f"{str(path)[:300]!r} cannot be read: {error.strerror}"
        ) from None


def without_nan(value: object) -> object:
    """A JSON-like value with NaN and infinity as None, which strict JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
