"""Results of user studies of a run, as `htbench study report` left them in the run's folder."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

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
        return StudyRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        return f"The study {path.name} cannot be read: {error.strerror}."
    except ValidationError:
        cause = f"The study {path.name} is damaged, or of another version of htbench"
        return f"{cause}: htbench study report writes it anew."
