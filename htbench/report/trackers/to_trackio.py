"""A run in trackio, in its database on this machine.

References:
    https://huggingface.co/docs/trackio
"""

import os
import sqlite3
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from htbench.core.errors import Missing, UsageError
from htbench.report.trackers.method_record import DIGEST, MethodRecord, Outcome

_REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")
_UNFINISHED = " (unfinished)"
"""End of a run's name until all of it is written."""


def write(project: str, records: Sequence[MethodRecord]) -> list[str]:
    """Write the methods as runs of a project; return a line per run on what became of it.

    Raises:
        Missing: if trackio is not installed, or cannot write.
        UsageError: if trackio has another meaning for the project's name, or is set to log to
            another machine.
    """
    trackio = _import_trackio()
    try:
        with redirect_stdout(StringIO()):  # trackio greets there
            return [
                record.describe(_write(trackio, project, record), project) for record in records
            ]
    except ValueError as error:
        raise UsageError(f"trackio refuses project {project[:200]!r}: {error}") from None
    except (OSError, sqlite3.Error) as error:
        raise Missing(
            f"trackio cannot write: {error}", remedy="TRACKIO_DIR names another folder."
        ) from None


def _import_trackio() -> Any:
    if variable := next((name for name in _REMOTE if os.environ.get(name)), None):
        raise UsageError(
            f"{variable} is set, and htbench exports to trackio on this machine",
            remedy="Unset it; then trackio sync sends the project to a Space.",
        )
    try:
        import trackio
    except ImportError:
        raise Missing("trackio is not installed", remedy="pip install 'htbench[trackio]'") from None
    return trackio


def _write(trackio: Any, project: str, record: MethodRecord) -> Outcome:
    """Write under another name, which takes the place of the former run once it is whole."""
    former = []
    for run in _runs(trackio, project):
        if run.name == record.name + _UNFINISHED:
            run.delete()
        elif run.name == record.name:
            former.append(run)
    if len(former) == 1 and (former[0].config or {}).get(DIGEST) == record.digest:
        return "unchanged"
    _log(trackio, project, record)
    for each in former:
        each.delete()
    for each in _runs(trackio, project):
        if each.name == record.name + _UNFINISHED:
            each.rename(record.name)
    return "replaced" if former else "new"


def _log(trackio: Any, project: str, record: MethodRecord) -> None:
    """Write the run under its name until it is whole.

    Raises:
        OSError: if anything could not be written, of which trackio only warns.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = trackio.init(
            project,
            name=record.name + _UNFINISHED,
            group=record.run,
            config={**record.settings, DIGEST: record.digest},
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        for step, metrics in enumerate(record.steps):
            pictures = record.pictures if step == record.leaderboard_step else ()
            shown = {
                f"pictures/{each.concept}": trackio.Image(each.image, caption=each.caption)
                for each in pictures
            }
            run.log({**metrics, **shown}, step=step)
        trackio.finish()
    if problems := [str(each.message) for each in caught if "trackio" in str(each.message)]:
        raise OSError(" ".join(problems[-1].split())[:300])


def _runs(trackio: Any, project: str) -> list[Any]:
    try:
        return list(trackio.Api().runs(project))
    except ValueError:  # there is no such project yet
        return []
