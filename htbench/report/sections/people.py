"""Results of user studies of a run, as `htbench study report` left them in the run's folder."""

from dataclasses import dataclass
from pathlib import Path

from htbench.core import reading
from htbench.core.errors import UsageError
from htbench.report.charts import ForestPlot, Funnel, HeatMap, Stage
from htbench.report.sections import vote_charts
from htbench.report.sections.vote_charts import Bounded, Tone
from htbench.run.study_result import FOLDER, CriterionRecord, IntervalRecord, StudyRecord
from htbench.run.summary import Summary


@dataclass(frozen=True, kw_only=True)
class People:
    """The section on user studies."""

    studies: list[StudyRecord]
    problems: list[str]
    """One sentence for each file that cannot be read."""

    @staticmethod
    def exclusions(study: StudyRecord) -> list[Stage]:
        """The rules of exclusion in the order in which they were applied."""
        return vote_charts.stages(study.flow)

    @staticmethod
    def funnel(study: StudyRecord) -> Funnel | None:
        """The exclusions of a study; None where no rule was applied."""
        return vote_charts.funnel(study.study, study.flow) if len(study.flow) > 1 else None

    @staticmethod
    def rating_plot(study: StudyRecord, criterion: CriterionRecord, tone: Tone) -> ForestPlot:
        """The ratings by the people of a study."""
        return vote_charts.rating_plot(
            f"{study.study}: {criterion.name}", criterion.standings, tone
        )

    @staticmethod
    def win_matrix(study: StudyRecord, criterion: CriterionRecord) -> HeatMap:
        """Win rates of each against each, in the order of ranks."""
        rates: dict[tuple[str, str], Bounded] = {}
        for pair in criterion.preferences:
            rates[pair.one, pair.two] = pair.forced
            rates[pair.two, pair.one] = _reverse(pair.forced)
        names = [entry.name for entry in criterion.standings]
        return vote_charts.win_matrix(f"{study.study}: {criterion.name}", names, rates)


def collect(summary: Summary) -> People:
    """Read all studies of the run, in the order of their file names."""
    return read_studies(summary.store.folder)


def read_studies(folder: Path) -> People:
    """The same of the run in `folder`."""
    studies, problems = [], []
    for path in sorted((folder / FOLDER).glob("*.json")):
        study = _read(path)
        if isinstance(study, str):
            problems.append(study)
        else:
            studies.append(study)
    return People(studies=studies, problems=problems)


def _reverse(rate: IntervalRecord) -> IntervalRecord:
    """The rate of the other side."""
    return IntervalRecord(value=1 - rate.value, low=1 - rate.high, high=1 - rate.low)


def _read(path: Path) -> StudyRecord | str:
    try:
        return reading.read_record(path, StudyRecord, noun="study")
    except UsageError:
        cause = f"The study {path.name} is damaged, or of another version of htbench"
        return f"{cause}: htbench study report writes it anew."
