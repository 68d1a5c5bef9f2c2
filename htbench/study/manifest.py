"""The manifest of a study, `export.json`: its run, the options of its export, rehearsal or not."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from htbench.core import content
from htbench.study import records
from htbench.study.task import TaskName

FILE = "export.json"
REHEARSAL_PREFIX = "rehearsal-"
"""The prefix of the ids of simulated people."""


class Manifest(BaseModel):
    """The facts of an export; the defaults are those of a study whose items were made elsewhere."""

    model_config = ConfigDict(frozen=True)

    run: str = ""
    task: TaskName = "pairs"
    strength: float | None = Field(default=None, allow_inf_nan=False)
    """The strength of the compared pictures; None: the full strength of the run, or all of them
    where the task compares strengths."""
    wish: dict[str, Any] = {}
    families: dict[str, tuple[str, ...]] = {}
    """Families of each concept."""
    rehearsal: bool = False


def write(study: Path, manifest: Manifest) -> None:
    """Write the manifest of a study into its folder."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True)
    content.write_whole(study / FILE, f"{text}\n")


def read(study: Path) -> Manifest:
    """The manifest of a study; that of items made elsewhere if there is none.

    Raises:
        Refused: if it is damaged.
    """
    return (
        records.read_json(
            study / FILE,
            Manifest,
            noun="manifest",
            remedy="Restore it, or delete it: the run's full strength is taken then.",
        )
        or Manifest()
    )
