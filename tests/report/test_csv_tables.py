"""A run as a folder of CSV files."""

import csv
from pathlib import Path

import pytest
from kit import claims_run, judged_run, report_run
from kit.judge_servers import Endpoint, fair, serving

from htbench import report
from htbench.core import csv_files
from htbench.core.errors import UsageError
from htbench.report import csv_tables
from htbench.run.summary import METRICS


def exported(run: Path, folder: Path) -> dict[str, list[dict[str, str]]]:
    with report.open_run(run) as summary:
        files = csv_tables.write(summary, folder)
    tables = {}
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            tables[path.stem] = list(csv.DictReader(file))
    return tables


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return report_run.build(folder, concepts=3, prompts=("a cat",), made=20, problem="=no, memory")


def test_there_is_a_row_per_planned_cell_with_its_scores_in_full(run: Path, tmp_path: Path) -> None:
    cells = exported(run, tmp_path / "csv")["cells"]
    with report.open_run(run) as summary:
        assert len(cells) == summary.planned
        scores = summary.scores[int(cells[0]["cell"])]
    assert {metric: float(cells[0][metric]) for metric in METRICS} == scores


def test_a_text_that_begins_a_formula_is_quoted(run: Path, tmp_path: Path) -> None:
    messages = {row["message"] for row in exported(run, tmp_path / "csv")["cells"]}
    assert messages == {"", csv_files.cell("=no, memory")}


def test_what_is_not_known_is_an_empty_cell(run: Path, tmp_path: Path) -> None:
    tables = exported(run, tmp_path / "csv")
    values = {value for rows in tables.values() for row in rows for value in row.values()}
    assert not {"nan", "inf", "None"} & values


def test_votes_and_ratings_of_judges_are_there(tmp_path: Path) -> None:
    judged_run.build(tmp_path / "run", concepts=4)
    with serving(Endpoint(mind=fair)) as endpoint:
        judged_run.judged(tmp_path / "run", judged_run.card(tmp_path / "judge", endpoint.url))
    tables = exported(tmp_path / "run", tmp_path / "csv")
    assert {row["prefers_one"] for row in tables["votes"]} <= {"0.0", "0.5", "1.0"}
    assert [row["rank"] for row in tables["ratings"]][:1] == ["1"]
    assert {row["source"] for row in tables["ratings"]} == {"openai scripted"}


def test_a_study_without_ratings_leaves_the_file_with_its_head(tmp_path: Path) -> None:
    run = claims_run.build(tmp_path / "run", concepts=3)
    claims_run.add_study(run, (0.6, 0.5, 0.7))
    assert exported(run, tmp_path / "csv")["ratings"] == []
    assert (tmp_path / "csv" / "ratings.csv").read_text().startswith("source,criterion,method,")


def test_a_folder_that_holds_something_is_left_as_it_is(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="not empty"):
        exported(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
