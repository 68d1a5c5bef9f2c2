"""The charts of a run as figures for papers."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from kit import report_run, study_people
from markupsafe import Markup

from htbench import report
from htbench.core.errors import Missing
from htbench.report import figure_files, figures
from htbench.study.analyse import publish
from htbench.study.analyse.result import compute_result
from htbench.study.exclusions import Rules, apply_rules


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a study."""
    folder = tmp_path_factory.mktemp("runs")
    run = report_run.build(folder / "run", concepts=4, prompts=("a cat",))
    answers = study_people.study(np.random.default_rng(0), concepts=12, each=10, raters=6)
    result = compute_result(apply_rules(answers, Rules()), rounds=100)
    publish.write_to_run(result, run, study=folder, rules_changed=False)
    return run


@pytest.fixture(scope="module")
def files(run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    with report.open_run(run) as summary:
        return figure_files.write(summary, tmp_path_factory.mktemp("out") / "figures")


def test_every_chart_of_the_page_has_a_figure(run: Path) -> None:
    page = report.write(run).read_text(encoding="utf-8")
    with report.open_run(run) as summary:
        drawn = [str(Markup(chart)) for chart in figures.collect(summary).values()]
    assert page.count('<svg class="chart"') == sum(chart in page for chart in drawn)


def test_figures_are_one_column_wide(files: list[Path]) -> None:
    widths = {ElementTree.parse(file).getroot().get("width") for file in files[1::2]}
    assert widths == {"237.6pt"}


def test_each_figure_is_a_pdf_and_an_svg(files: list[Path]) -> None:
    assert all(file.read_bytes().startswith(b"%PDF") for file in files[::2])
    assert [file.stem for file in files[::2]] == [file.stem for file in files[1::2]]


def test_figures_of_equal_runs_are_equal(run: Path, files: list[Path], tmp_path: Path) -> None:
    with report.open_run(run) as summary:
        again = figure_files.write(summary, tmp_path / "again")
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]


def test_without_matplotlib_the_command_that_installs_it_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with report.open_run(run) as summary, pytest.raises(Missing, match="matplotlib") as caught:
        figure_files.write(summary, tmp_path / "out")
    assert caught.value.remedy == "pip install 'htbench[figures]'"
    assert not (tmp_path / "out").exists()
