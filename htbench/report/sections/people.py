"""Results of user studies of a run, as `htbench study report` left them in the run's folder."""

from dataclasses import dataclass
from pathlib import Path

from htbench.core import reading
from htbench.core.errors import UsageError
from htbench.run.study_result import FOLDER, StudyRecord
from htbench.run.summary import Summary


@dataclass(frozen=True, kw_only=True)
class People:
    """The section on user studies."""

    studies: list[StudyRecord]
    problems: list[str]
    """One sentence for each file that cannot be read."""


def collect(summary: Summary) -> People:
    """Read all studies of the run, in the order of their file names."""
    studies, problems = [], []
    for path in sorted((summary.store.folder / FOLDER).glob("*.json")):
        study = _read(path)
        if isinstance(study, str):
            problems.append(study)
        else:
            studies.append(study)
    return People(studies=studies, problems=problems)


def _read(path: Path) -> StudyRecord | str:
    try:
        return reading.read_record(path, StudyRecord, noun="study")
    except UsageError:
        cause = f"The study {path.name} is damaged, or of another version of htbench"
        return f"{cause}: htbench study report writes it anew."
