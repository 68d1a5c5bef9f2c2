"""The page of a run that was made already, if nothing that it shows has changed since."""

from importlib.metadata import version
from pathlib import Path

_INPUTS = (
    "*.sqlite*",
    "studies/*.json",
    "fit-seeds/*/run.sqlite*",
    "tuning/run.sqlite*",
    "wordings/*/run.sqlite*",
)
"""Files that a report is made from, besides pictures, which have digests as names."""
PAGES = ("report.html", "report/index.html")
"""Paths of a run's page below its folder, of which it has one."""
GENERATOR = f"htbench {version('htbench')}"
"""The text by which a page names this version of htbench."""
_START = 1000
"""Number of characters of a page in which its generator is named."""


def find_current_page(folder: Path) -> Path | None:
    """The run's page if this version made it after everything that it shows; else None."""
    inputs = [path for pattern in _INPUTS for path in folder.glob(pattern)]
    try:
        newest = max(path.stat().st_mtime_ns for path in inputs if not path.name.endswith("-shm"))
        for page in (folder / name for name in PAGES):
            if page.is_file() and page.stat().st_mtime_ns > newest:
                with page.open(encoding="utf-8") as file:
                    return page if f'content="{GENERATOR}"' in file.read(_START) else None
    except (OSError, ValueError):
        return None
    return None
