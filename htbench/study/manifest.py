"""The manifest of a study, `export.json`: its run, the options of its export, rehearsal or not."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from htbench.core.errors import Refused

FILE = "export.json"
REHEARSAL_PREFIX = "rehearsal-"
"""The prefix of the ids of simulated people."""


def write(
    study: Path,
    *,
    run: str,
    strength: float,
    wish: dict[str, Any],
    families: Mapping[str, Collection[str]] | None = None,
    rehearsal: bool = False,
) -> None:
    """Write the manifest of a study into its folder; `families` are those of its concepts."""
    facts = {
        "run": run,
        "strength": strength,
        "wish": wish,
        "families": {name: list(own) for name, own in (families or {}).items()},
        "rehearsal": rehearsal,
    }
    (study / FILE).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read(study: Path) -> dict[str, Any]:
    """The manifest of a study; empty for a study whose items were made elsewhere.

    Raises:
        Refused: if it is damaged.
    """
    path = study / FILE
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        raise Refused(
            f"{str(path)!r} is damaged", remedy="Delete it; the run's full strength is taken then."
        ) from None
