"""A run in an experiment tracker: one tracker run per method."""

import re
from collections.abc import Callable, Sequence

from htbench.core.errors import UsageError
from htbench.report.trackers import to_mlflow, to_trackio, to_wandb
from htbench.report.trackers.method_record import MethodRecord, collect
from htbench.run.summary import Summary

_PROJECT = re.compile(r"[A-Za-z0-9][\w .-]{0,99}", re.ASCII)
_WRITERS: dict[str, Callable[[str, Sequence[MethodRecord]], list[str]]] = {
    "trackio": to_trackio.write,
    "wandb": to_wandb.write,
    "mlflow": to_mlflow.write,
}


def write(summary: Summary, tracker: str, project: str) -> list[str]:
    """Write a run to a project of a tracker; return a line per tracker run on what became of it.

    Exporting equal results again changes nothing.

    Args:
        tracker: `trackio`, `wandb` or `mlflow`.
        project: name of a project, or in mlflow of an experiment.

    Raises:
        UsageError: if a tracker would not take the project's name.
        Missing: if the tracker is not installed, or cannot be reached or written.
    """
    if not _PROJECT.fullmatch(project):
        raise UsageError(
            f"project {project[:200]!r} is no name that trackers take",
            remedy="Use at most 100 letters, digits, spaces and '_-.', a letter or digit first.",
        )
    return _WRITERS[tracker](project, collect(summary))
