"""The log of a study's imports, `import.json`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from htbench.core import content
from htbench.study import records

FILE = "import.json"
Sides = Literal["shown", "unknown"]
"""`unknown`: left and right are not as they were shown, and nothing is said of a liking for one."""


class FileRecord(BaseModel):
    """The profile by which a file was read, with its digest."""

    model_config = ConfigDict(frozen=True)

    profile: str
    digest: str


class ImportLog(BaseModel):
    """The files that were imported, and the rules that were declared before the first."""

    model_config = ConfigDict(frozen=True)

    rules: str
    """Digest of the rules."""
    files: dict[str, FileRecord] = {}
    """By the digests of the files, since their names may hold identifiers."""
    sides: Sides = "shown"
    withdrawn: tuple[str, ...] = ()
    """A keyed digest of each person who withdrew, by which no import brings them back."""

    @classmethod
    def read(cls, study: Path) -> Self | None:
        """The log of a study; None before its first import.

        Raises:
            Refused: if it is damaged.
        """
        return records.read_json(
            study / FILE,
            cls,
            noun="log of imports",
            remedy="Restore it, or delete it and import the votes again.",
        )

    def with_files(self, files: Mapping[str, FileRecord], *, sides: Sides) -> Self:
        """The log with more files; sides that are unknown in one are unknown in all."""
        unknown = "unknown" in (sides, self.sides)
        return self.model_copy(
            update={
                "files": {**self.files, **files},
                "sides": "unknown" if unknown else "shown",
            }
        )

    def with_withdrawn(self, mark: str) -> Self:
        """The log with the digest of one more person who withdrew; the same one counts once."""
        return self.model_copy(update={"withdrawn": tuple(sorted({*self.withdrawn, mark}))})

    def write(self, study: Path) -> None:
        """Write the log into the folder of its study."""
        text = json.dumps(self.model_dump(), indent=1, sort_keys=True)
        content.write_whole(study / FILE, f"{text}\n")
