"""Folders of pictures, whose paths say by a pattern what each picture is."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.importing.rows import PictureRow, RowReader

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""Ends of the names of pictures, in small letters."""
EXAMPLE = "{method}/{concept}/{prompt}-{seed}-{strength}.png"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
_FIELDS = {
    "method": r"[^/]+",
    "concept": r"[^/]+",
    "prompt": r"[^/]+",
    "seed": r"\d+",
    "step": r"\d+",
    "strength": _NUMBER,
    "seconds": _NUMBER,
}
"""Expressions of the fields of a pattern, by name."""
_WITH_UNDERSCORES = ("concept", "prompt")
"""Fields in which underscores stand for spaces, where the name has no space."""
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A pattern of paths, such as `EXAMPLE`; `*` stands for anything but a slash."""

    text: str

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """The pattern as a regular expression.

        Raises:
            UnknownName: for a field that there is not, with the nearest one.
            UsageError: for a field that occurs twice.
        """
        parts, names = [], list[str]()
        for part in re.split(r"(\{[^{}]*\}|\*)", self.text.strip("/")):
            name = part[1:-1]
            if part == "*":
                parts.append("[^/]*")
            elif not part.startswith("{"):
                parts.append(re.escape(part))
            elif name not in _FIELDS:
                raise UnknownName("field of a pattern", name, _FIELDS, remedy=f"As in {EXAMPLE}")
            elif name in names:
                raise UsageError(f"--pattern has the field {name!r} twice")
            else:
                names.append(name)
                parts.append(f"(?P<{name}>{_FIELDS[name]})")
        return re.compile("".join(parts))

    def values(self, path: str) -> dict[str, str] | None:
        """The fields of a path below the root; None where it does not have the form."""
        match = self.expression.fullmatch(path)
        if match is None:
            return None
        return {
            name: value.replace("_", " ")
            if name in _WITH_UNDERSCORES and " " not in value
            else value
            for name, value in match.groupdict().items()
        }


@dataclass(frozen=True, kw_only=True)
class PictureFolder:
    """The pictures below a folder whose paths have the form of a pattern."""

    pattern: Pattern
    reader: RowReader
    others: list[str] = field(default_factory=list)
    """Paths of the first pictures whose paths do not have the form, once `rows` has ended."""

    def rows(self) -> Iterator[PictureRow]:
        """The rows of the pictures, in the order of their paths."""
        self.others.clear()
        for name in self.names():
            values = self.pattern.values(name)
            if values is not None:
                yield self.reader.read(name, {**values, "file": name})
            elif len(self.others) <= _SHOWN:
                self.others.append(name)

    def names(self) -> Iterator[str]:
        """The paths of all pictures below the root, folder by folder, each in order.

        Raises:
            Missing: if there is no such folder.
        """
        root = self.reader.root
        if not root.is_dir():
            raise Missing(f"no folder {str(root)[:300]!r}")
        for folder, inner, files in os.walk(root):
            inner.sort()
            inner[:] = [name for name in inner if not name.startswith(".")]
            below = Path(folder).relative_to(root)
            for name in sorted(files):
                if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                    yield (below / name).as_posix()

    @property
    def note(self) -> str:
        """A sentence on pictures whose paths do not have the form; empty where all do."""
        if not self.others:
            return ""
        shown = ", ".join(repr(name[:80]) for name in self.others[:_SHOWN])
        more = " and more" if len(self.others) > _SHOWN else ""
        return f"left out, since their paths are not {self.pattern.text}: {shown}{more}"
