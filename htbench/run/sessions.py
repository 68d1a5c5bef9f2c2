"""The table of a run's sessions: who made its images and timings, when, where and by which command.

A session is one process that made something; a process that finds everything there leaves none.
"""

import json
import os
import platform
import shlex
import sqlite3
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import distributions
from typing import Any

from htbench.core import content, secrets

TABLE = """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, command TEXT NOT NULL, environment TEXT NOT NULL,
    started TEXT NOT NULL, ended TEXT NOT NULL) STRICT;"""
COLUMNS = ("id", "run", "command", "environment", "started", "ended")
ADD_TO_OLDER = (
    TABLE,
    "ALTER TABLE images ADD COLUMN session INTEGER REFERENCES sessions",
    "ALTER TABLE timings ADD COLUMN session INTEGER REFERENCES sessions",
    "UPDATE images SET session = 1 WHERE file IS NOT NULL",
    "UPDATE timings SET session = 1",
    "DELETE FROM facts WHERE name IN ('command', 'environment')",
)
"""Statements for a run that has one command and one environment, among its facts."""
OLDER_VIEWS = {
    "images": "SELECT *, CASE WHEN file IS NOT NULL THEN 1 END AS session FROM main.images",
    "timings": "SELECT *, 1 AS session, 1 AS together FROM main.timings",
}
"""Tables of such a run as those of this version."""


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command_line() -> str:
    """The command that this process was started with, without secrets."""
    return secrets.scrub(shlex.join(["htbench", *sys.argv[1:]]))


def machine() -> dict[str, object]:
    """Versions of packages, and the processor of this machine."""
    installed = {package.metadata["Name"]: package.version for package in distributions()}
    packages = ("htbench", "torch", "diffusers", "transformers", "open_clip_torch")
    return {
        **{name: installed.get(name, "not installed") for name in packages},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
    }


@dataclass(frozen=True, kw_only=True)
class Session:
    """A process that made something, as its row is written."""

    id: int
    run: str = ""
    """Name of the run that its images were taken over from; empty for a run's own session."""
    command: str
    environment: dict[str, object]
    started: str = field(default_factory=now)
    ended: str = ""
    """Empty: not known."""

    def write(self, write: sqlite3.Connection) -> None:
        """Write the row, or set the end of the one that is there."""
        row = {**asdict(self), "environment": json.dumps(content.without_nan(self.environment))}
        write.execute(
            f"""INSERT INTO sessions ({", ".join(COLUMNS)})
                VALUES ({", ".join(f":{name}" for name in COLUMNS)})
                ON CONFLICT DO UPDATE SET ended = excluded.ended""",
            row,
        )


def from_facts(facts: Mapping[str, Any]) -> list[Session]:
    """The session of a run that has one command and one environment, among its `facts`."""
    if not facts.get("environment") and not facts.get("command"):
        return []
    stored = facts.get("environment")
    environment = dict(stored) if isinstance(stored, dict) else {}
    started = str(environment.pop("started", None) or "")
    command = str(facts.get("command") or "")
    return [Session(id=1, command=command, environment=environment, started=started)]
