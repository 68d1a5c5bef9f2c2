"""Rows of pictures: the checked values of one picture, whatever kind of source names it."""

import math
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from htbench.core import reading
from htbench.core.errors import UnknownName, UsageError
from htbench.core.types import UNSTEERED

COLUMNS = (
    "file",
    "method",
    "concept",
    "prompt",
    "seed",
    "strength",
    "unsteered",
    "step",
    "seconds",
)
"""Columns of a table of pictures."""
MAX_TEXT = 10_000
"""The most characters of a value."""
_MAX_NAME = 200
"""The most characters of a method's name."""
_MAX_STRENGTH = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureRow:
    """One picture, with what another program made it of."""

    location: str
    """The row of its table, or its file, for messages."""
    file: str
    """Absolute path."""
    method: str
    """`none` for an unsteered picture."""
    concept: str
    """Words or an id; empty for an unsteered picture of any concept."""
    prompt: str
    seed: int
    strength: float
    unsteered: str
    """Absolute path of the unsteered picture of the same prompt and seed; empty if unknown."""
    step: int
    """Training step of the method; -1 if it has none."""
    seconds: float | None
    """Time in seconds that the picture took; None if unknown."""

    @property
    def label(self) -> str:
        """The method as the run names it: with its step, so that a report has a row per step."""
        return self.method if self.step < 0 else f"{self.method} step {self.step}"


@dataclass(frozen=True, kw_only=True)
class RowReader:
    """Checks raw values of a source.

    Raises from `read`:
        UsageError: for the first wrong value, with its location.
    """

    root: Path
    """The folder that pictures must lie in; relative paths begin there."""
    fixed: Mapping[str, str]
    """Values of columns that the source does not have."""
    unsteered_name: str = UNSTEERED
    """The method of the source whose pictures are unsteered."""

    def read(self, location: str, values: Mapping[str, object]) -> PictureRow:
        """The row of these values, which are text, numbers, or missing."""
        cells = {name: _text(location, name, value) for name, value in values.items()}
        cells = {**self.fixed, **{name: cell for name, cell in cells.items() if cell}}
        method = " ".join(self._need(location, cells, "method").split())
        is_unsteered = method == self.unsteered_name
        if len(method) > _MAX_NAME:
            fail(location, f"method {method[:60]!r} has more than {_MAX_NAME} characters")
        if not is_unsteered and method == UNSTEERED:
            fail(
                location,
                f"method {UNSTEERED!r} is steered, and {self.unsteered_name!r} is not",
                remedy=f"{UNSTEERED!r} is the name of unsteered pictures: rename the method.",
            )
        strength = 0.0 if is_unsteered else _number(location, cells, "strength", 1.0)
        if abs(strength) > _MAX_STRENGTH:
            fail(location, f"strength {strength:g} is not within -{_MAX_STRENGTH:g} to 10")
        concept = words(cells.get("concept", ""))
        if strength and not concept:
            self._need(location, cells, "concept")
        step = _whole(location, cells, "step", -1) if cells.get("step") else -1
        seconds = _number(location, cells, "seconds", 0.0) if cells.get("seconds") else None
        if seconds is not None and not 0 <= seconds <= 1e9:
            fail(location, f"seconds {seconds:g} is no time that a picture takes")
        unsteered = cells.get("unsteered", "")
        return PictureRow(
            location=location,
            file=self.path(location, self._need(location, cells, "file")),
            method=UNSTEERED if is_unsteered else method,
            concept=concept,
            prompt=words(self._need(location, cells, "prompt")),
            seed=_whole(location, cells, "seed", 0),
            strength=strength + 0.0,
            unsteered=self.path(location, unsteered) if unsteered else "",
            step=-1 if is_unsteered else step,
            seconds=seconds,
        )

    def path(self, location: str, name: str) -> str:
        """The absolute path of a file below the root, in the Unicode form that it has there.

        Raises:
            UsageError: for an address, and for a path or a link that leads out of the root.
        """
        if "://" in name:
            fail(location, f"{name[:100]!r} is an address", remedy="Download the pictures first.")
        path = os.path.join(self.root, name)  # noqa: PTH118 - a million rows have no time for Path
        if not name.isascii():
            forms = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
            paths = [os.path.join(self.root, form) for form in forms]  # noqa: PTH118
            path = next(filter(os.path.lexists, paths), path)
        try:
            real = _real_path(path)
        except (OSError, ValueError) as error:
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())
            fail(location, f"file {name[:200]!r} cannot be found: {reason}")
        root = _real_folder(str(self.root))
        if not real.startswith(root.rstrip(os.sep) + os.sep):
            fail(
                location,
                f"file {name[:200]!r} leads out of {str(self.root)[:200]!r}",
                remedy="Name the folder that has all pictures: --root FOLDER",
            )
        return path

    def _need(self, location: str, cells: Mapping[str, str], name: str) -> str:
        if not (cell := cells.get(name, "")):
            fail(
                location,
                f"{name} is empty",
                remedy=f"For all pictures alike: --set {name}=VALUE" if name != "file" else "",
            )
        return cell


@lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _real_path(path: str) -> str:
    """The path without links; links of a folder are followed once for all its files."""
    folder, name = os.path.split(path)
    if name in ("", os.curdir, os.pardir) or os.path.islink(path):  # noqa: PTH114
        return os.path.realpath(path)
    return os.path.join(_real_folder(folder), name)  # noqa: PTH118


def fail(location: str, problem: str, *, remedy: str = "") -> NoReturn:
    """Raise `UsageError` with the location of a row."""
    raise UsageError(f"{location}: {problem}", remedy=remedy)


def words(text: str) -> str:
    """A text in composed Unicode, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def fixed_values(options: list[str]) -> dict[str, str]:
    """The values of `--set NAME=VALUE`, by column.

    Raises:
        UsageError: for one without a value.
        UnknownName: for a column that there is not, with the nearest one.
    """
    values = {}
    for option in options:
        name, _, value = (part.strip() for part in option.partition("="))
        if not (name and value):
            raise UsageError(f"--set {option[:60]!r} has no value", remedy="Write: --set seed=0")
        if name not in COLUMNS[1:]:
            raise UnknownName("column", name, COLUMNS[1:])
        values[name] = value
    return values


def _text(location: str, name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        fail(location, f"{name} {str(value)[:60]!r} is neither text nor a number")
    text = str(value).strip()
    if len(text) > MAX_TEXT:
        fail(location, f"{name} has more than {MAX_TEXT:,} characters")
    if "\x00" in text:
        fail(location, f"{name} has a NUL character")
    if reading.without_surrogates(text) != text:
        fail(location, f"{name} is not UTF-8", remedy="Save the table as UTF-8.")
    return text


def _number(location: str, cells: Mapping[str, str], name: str, default: float) -> float:
    text = cells.get(name, "")
    try:
        number = float(text) if text else default
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        fail(location, f"{name} {text[:60]!r} is not a number")
    return number


def _whole(location: str, cells: Mapping[str, str], name: str, default: int) -> int:
    """A whole number from 0; a table that once had gaps may write it as `12.0`."""
    text = cells.get(name, "")
    digits = text.removesuffix(".0")
    if not text:
        return default
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19 or int(digits) >= 2**63:
        fail(location, f"{name} {text[:60]!r} is not a whole number from 0 to 2^63 - 1")
    return int(digits)
