"""What to issue next: a run's own command with something more."""

import shlex
from collections.abc import Sequence

from htbench.report import format
from htbench.run.summary import Summary


def with_methods(summary: Summary, *more: str) -> str:
    """With methods beside those that the run has."""
    known = [
        str(method)
        for method in format.as_list(format.as_mapping(summary.facts.get("plan")).get("methods"))
    ]
    return _with(summary, "--method", [*known, *(method for method in more if method not in known)])


def with_strengths(summary: Summary, *more: float) -> str:
    """With strengths beside those that the run has."""
    known = [
        format.as_number(value)
        for value in format.as_list(format.as_mapping(summary.facts.get("plan")).get("strengths"))
    ]
    return _with(
        summary, "--strength", [",".join(f"{value:g}" for value in sorted({*known, *more}))]
    )


def for_run(summary: Summary, command: str, *options: str) -> str:
    """A command that takes the run's folder."""
    return shlex.join(["htbench", *command.split(), summary.store.folder.name or "RUN", *options])


def _with(summary: Summary, option: str, values: Sequence[str]) -> str:
    try:
        parts = shlex.split(str(summary.facts.get("command") or "htbench run"))
    except ValueError:
        parts = ["htbench", "run"]
    kept = [
        part
        for k, part in enumerate(parts)
        if part != option
        and not part.startswith(f"{option}=")
        and not (k and parts[k - 1] == option)
    ]
    return shlex.join([*kept, *(part for value in values for part in (option, value))])
