"""The section on wording, on runs with planted presences."""

import csv
from pathlib import Path

import numpy as np
import pytest
from kit import report_run, worded_run

from htbench import report
from htbench.report import csv_tables, figures, merge, text_tables
from htbench.report.sections import wording
from htbench.report.sections.wording import WordingSection
from htbench.report.terminal import show
from htbench.run import wording_runs
from htbench.run.store import Failure, Store
from htbench.run.summary import Summary

PLANTED: worded_run.Planted = {
    ("canonical", "prompt"): 0.8,
    ("canonical", "hypertransport"): 0.7,
    ("canonical", "lineas"): 0.6,
    ("synonym", "prompt"): 0.1,
    ("synonym", "hypertransport"): 0.65,
    ("image", "hypertransport-image"): 0.5,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worded_run.build(tmp_path_factory.mktemp("worded") / "run", PLANTED)


def section(run: Path) -> WordingSection:
    with Store.read(run) as store:
        found = wording.collect(Summary(store))
    assert found is not None
    return found


def planted(run: Path, method: str) -> dict[tuple[str, str, int], float]:
    query = """SELECT concept, prompt, seed, value FROM cells JOIN scores ON cell = id
               WHERE method = ? AND strength = 1 AND metric = 'presence'"""
    with Store.read(run) as store:
        return {(c, p, s): value for c, p, s, value in store.select(query, method)}


def test_a_change_is_the_mean_of_differences_on_the_same_concepts(run: Path) -> None:
    before = planted(run, "prompt")
    after = planted(wording_runs.folder(run, "synonym"), "prompt")
    own = section(run).row("prompt", "synonym").scores["presence"]
    assert own is not None
    assert own.change is not None
    assert own.score.mean == pytest.approx(np.mean(list(after.values())))
    assert own.change.mean == pytest.approx(np.mean([after[c] - before[c] for c in after]))
    assert (len(before), own.change.n) == (12, 11)
    assert own.change.low < own.change.mean < own.change.high < 0


def test_a_method_fitted_per_concept_has_its_canonical_score_and_no_change(run: Path) -> None:
    row = section(run).row("lineas", "synonym")
    own = row.scores["presence"]
    assert row.treatment == "same"
    assert own is not None
    assert own.change is not None
    assert (own.score.n, own.change.mean) == (11, 0.0)


def test_a_method_that_reads_words_alone_is_absent_from_images(run: Path) -> None:
    row = section(run).row("prompt", "image")
    assert (row.treatment, row.scores["presence"]) == ("absent", None)


def test_a_failed_cell_counts_as_no_presence(tmp_path: Path) -> None:
    run = worded_run.build(tmp_path / "run", PLANTED)
    own = section(run).row("hypertransport", "synonym").scores["presence"]
    folder = wording_runs.folder(run, "synonym")
    with Store.open(folder) as store:
        lost = next(row for row in store.rows() if row.method == "hypertransport")
        store.add_failure([lost.image], Failure(kind="nan", message="not finite"))
    value = planted(folder, "hypertransport")[lost.concept, lost.prompt, lost.seed]
    failed = section(run).row("hypertransport", "synonym").scores["presence"]
    assert own is not None
    assert failed is not None
    assert own.score.mean - failed.score.mean == pytest.approx(value / 11)


def test_a_run_in_canonical_words_has_no_section(tmp_path: Path) -> None:
    report_run.build(tmp_path / "run", concepts=3, size=8)
    with Store.read(tmp_path / "run") as store:
        assert wording.collect(Summary(store)) is None
    assert 'id="wording"' not in report.write(tmp_path / "run").read_text(encoding="utf-8")


def test_the_page_has_scores_pictures_and_what_is_so_by_construction(run: Path) -> None:
    page = report.write(run).read_text(encoding="utf-8")
    _, _, part = page.partition('<section id="wording">')
    part, _, _ = part.partition("</section>")
    assert part.count("<img ") >= 5
    assert "By construction of the embedded world" in part
    assert "not read" in part
    assert 'href="#wording"' in page


def test_pictures_of_the_folder_form_may_be_shown(run: Path) -> None:
    page = report.write_folder(run).read_text(encoding="utf-8")
    assert "img-src &#39;self&#39; data:" in page or "img-src 'self' data:" in page


def test_files_have_the_figures_of_the_section(run: Path, tmp_path: Path) -> None:
    with Store.read(run) as store:
        summary = Summary(store)
        csv_tables.write(summary, tmp_path / "csv")
        text_tables.write(summary, tmp_path / "md", "markdown")
        text_tables.write(summary, tmp_path / "tex", "latex")
        charts = figures.collect(summary)
    with (tmp_path / "csv" / "wording.csv").open(newline="") as file:
        lines = {(line["method"], line["wording"]): line for line in csv.DictReader(file)}
    own = section(run).row("prompt", "synonym").scores["presence"]
    assert own is not None
    assert own.change is not None
    line = lines["prompt", "synonym"]
    assert float(line["presence"]) == own.score.mean
    assert float(line["presence_change_high"]) == own.change.high
    assert "not read" in (tmp_path / "md" / "wording-presence.md").read_text()
    assert r"\toprule" in (tmp_path / "tex" / "wording-concept-gain.tex").read_text()
    assert {"wording-presence", "wording-concept-gain"} <= charts.keys()


def test_the_terminal_has_a_table_of_80_columns(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with Store.read(run) as store:
        show(Summary(store))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "Presence by wording" in text
    assert "(same)" in text


def test_methods_of_two_runs_stand_in_one_section(tmp_path: Path) -> None:
    parts = [
        worded_run.build(tmp_path / name, PLANTED, methods=("none", method))
        for name, method in (("a", "prompt"), ("b", "hypertransport"))
    ]
    alone = [
        section(part).row(method, "synonym")
        for part, method in zip(parts, ("prompt", "hypertransport"), strict=True)
    ]
    with merge.model_reports(parts) as (board,):
        merged = wording.collect(board.summary)
        assert merged is not None
        assert merged.pictures is not None
        assert [merged.row(each.method, "synonym").scores for each in alone] == [
            each.scores for each in alone
        ]


def test_no_change_of_presence_is_below_minus_1(tmp_path: Path) -> None:
    run = worded_run.build(tmp_path / "run", PLANTED, concepts=4, noise=0.4)
    own = section(run).row("prompt", "synonym").scores["presence"]
    assert own is not None
    assert own.change is not None
    assert (own.change.n, own.change.low) == (3, -1.0)
