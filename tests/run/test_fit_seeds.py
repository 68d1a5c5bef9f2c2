"""Several fit seeds: the run is repeated for each, and stays what it was."""

import csv
from pathlib import Path

import numpy as np
import pytest

from htbench import report
from htbench.core.types import Digest
from htbench.report import format
from htbench.run import fit_seeds, plan, runner
from htbench.run.forecast import forecast
from htbench.run.plan import RunOptions, build
from htbench.run.store import CellRow, Failure, Store
from htbench.run.summary import HEADLINE, LeaderboardRow, Summary

SETTINGS = {
    "model": "toy",
    "methods": ["prompt", "mean-shift"],
    "limit": 3,
    "prompts": 2,
    "strengths": [0.0, 1.0],
    "batch": 4,
}


def run(folder: Path, **changes: object) -> Path:
    runner.run(build(SETTINGS, changes), folder, RunOptions(threads=1, reuse=False))
    return folder


def rows(folder: Path) -> list[CellRow]:
    with Store.read(folder) as store:
        return store.rows()


def keys(folder: Path, method: str) -> list[Digest]:
    return [row.image for row in rows(folder) if row.method == method]


@pytest.fixture
def whole(toy_plugins: Path, tmp_path: Path) -> Path:
    """A run with three fit seeds."""
    return run(tmp_path / "whole", fit_seeds=3)


def test_further_fit_seeds_leave_the_run_as_it_is(whole: Path, tmp_path: Path) -> None:
    assert rows(whole) == rows(run(tmp_path / "single"))


def test_a_further_fit_seed_is_the_run_with_the_seed_after(whole: Path, tmp_path: Path) -> None:
    alone = run(tmp_path / "alone", seed=2)
    assert keys(fit_seeds.folder(whole, 2), "mean-shift") == keys(alone, "mean-shift")
    assert keys(alone, "mean-shift") != keys(whole, "mean-shift")


def test_images_of_all_fit_seeds_have_the_same_prompts_and_seeds(whole: Path) -> None:
    first, second = (
        [
            (row.concept, row.prompt, row.seed, row.strength)
            for row in rows(folder)
            if row.method == "mean-shift"
        ]
        for folder in (whole, fit_seeds.folder(whole, 1))
    )
    assert first == second


def test_a_method_with_nothing_to_fit_is_not_repeated(whole: Path) -> None:
    assert {row.method for row in rows(fit_seeds.folder(whole, 1))} == {"none", "mean-shift"}


def test_a_run_goes_on_with_more_fit_seeds(
    toy_plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(tmp_path / "run", fit_seeds=2)
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    run(folder, fit_seeds=2)
    assert not (tmp_path / "log").exists()
    run(folder, fit_seeds=3)
    made = sum(map(int, (tmp_path / "log").read_text().split()))
    assert made == 2 + 3 * 2, "unsteered images, and those of mean-shift"


def test_strengths_are_chosen_at_the_first_fit_seed(toy_plugins: Path, tmp_path: Path) -> None:
    folder = run(
        tmp_path / "run",
        fit_seeds=2,
        tune_strength=True,
        tune_concepts=2,
        strengths=[0.25, 0.5],
        tune_floor=-1,
    )
    again = fit_seeds.folder(folder, 1)
    assert not (again / "tuning").exists()
    with Store.read(folder) as first, Store.read(again) as second:
        assert second.facts()["tuned"] == {
            name: choice for name, choice in first.facts()["tuned"].items() if name == "mean-shift"
        }


def row(folder: Path, method: str = "mean-shift") -> LeaderboardRow:
    with Store.read(folder) as store:
        return Summary(store).leaderboard_row(method, 1.0)


def means(folder: Path) -> dict[str, float]:
    with Store.read(folder) as store:
        return Summary(store).means("mean-shift", 1.0)


def test_a_concepts_score_is_its_mean_over_fit_seeds(whole: Path, tmp_path: Path) -> None:
    alone = [means(run(tmp_path / f"alone-{seed}", seed=seed)) for seed in range(3)]
    expected = {concept: np.mean([each[concept] for each in alone]) for concept in alone[0]}
    assert means(whole) == pytest.approx(expected)
    found, seed_means = row(whole).scores[HEADLINE], [np.mean(list(m.values())) for m in alone]
    assert (found.fit_seeds, found.mean) == (3, pytest.approx(np.mean(seed_means)))
    assert found.seed_sd == pytest.approx(np.std(seed_means, ddof=1))


def test_a_row_counts_the_cells_of_all_its_fit_seeds(whole: Path) -> None:
    assert [(row(whole, name).done, row(whole, name).planned) for name in SETTINGS["methods"]] == [
        (6, 6),
        (18, 18),
    ]


def test_a_run_with_fit_seeds_is_complete_with_the_unsteered_cells_of_the_first(
    whole: Path,
) -> None:
    with Store.read(whole) as store:
        summary = Summary(store)
        assert summary.is_complete
        unsteered = summary.leaderboard_row("none", 0.0)
        assert (unsteered.done, unsteered.planned) == (6, 6)


def test_a_failed_cell_of_a_further_fit_seed_scores_worst(whole: Path) -> None:
    before = row(whole).scores["presence"].mean
    with Store.open(fit_seeds.folder(whole, 1)) as store:
        lost = next(each for each in store.rows() if each.strength and each.method != "none")
        scores = {metric: value for cell, metric, _, value in store.scores() if cell == lost.id}
        store.add_failure([lost.image], Failure(kind="nan", message="not finite"))
    after = row(whole)
    assert (after.done, after.failed, after.planned) == (17, 1, 18)
    assert before - after.scores["presence"].mean == pytest.approx(scores["presence"] / 18)


def test_a_fit_seed_that_is_not_finished_is_missed(whole: Path) -> None:
    with Store.open(fit_seeds.folder(whole, 2)) as store:
        store.drop_scores({each.concept for each in store.rows()})
    found = row(whole)
    assert (found.done, found.planned, found.scores[HEADLINE].fit_seeds) == (12, 18, 2)
    assert found.unranked == "6 of 18 cells have no scores yet"
    with Store.read(whole) as store:
        assert not Summary(store).is_complete


def test_fit_seeds_of_another_grid_do_not_count(whole: Path) -> None:
    with Store.open(whole) as store:
        store.set_facts(grid="another")
    assert row(whole).scores[HEADLINE].fit_seeds == 1


def test_methods_with_different_numbers_of_fit_seeds_are_compared_on_all_cells(
    whole: Path,
) -> None:
    with Store.read(whole) as store:
        summary = Summary(store)
        shared = summary.paired_means({"prompt": 1.0, "mean-shift": 1.0})
        assert (shared.cells, summary.ranked_cells) == (6, 6)
        assert shared.means["mean-shift"] == summary.means("mean-shift", 1.0)


def test_files_and_page_have_the_number_of_fit_seeds_and_their_spread(whole: Path) -> None:
    page = report.write(whole).read_text(encoding="utf-8")
    with (whole / "leaderboard.csv").open(newline="") as file:
        lines = {(line["method"], line["strength"]): line for line in csv.DictReader(file)}
    found, single = lines["mean-shift", "1.0"], lines["prompt", "1.0"]
    spread = row(whole).scores[HEADLINE].seed_sd
    assert (found["fit_seeds"], float(found["concept_gain_seed_sd"])) == ("3", spread)
    assert (single["fit_seeds"], single["concept_gain_seed_sd"]) == ("1", "")
    shown = format.score(spread)
    assert f"3 fit seeds, SD {shown}" in page
    sentence = f"`mean-shift`: mean over 3 fit seeds, between which concept gain has SD {shown}"
    assert sentence in (whole / "leaderboard.md").read_text()


@pytest.mark.usefixtures("toy_plugins")
def test_a_forecast_counts_every_fit_seed(tmp_path: Path) -> None:
    def cells(fit_seeds: int) -> int:
        settings = build(SETTINGS, {"fit_seeds": fit_seeds})
        return forecast(plan.resolve(settings), folder=tmp_path / "run", runs=tmp_path).cells

    assert cells(3) - cells(1) == 2 * 3 * 2 * (1 + 2)


def test_a_trained_file_keeps_its_one_training_and_the_run_says_how_to_make_others(
    toy_plugins: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "mine.toml"
    card.write_text(
        'name = "mine"\nmethod = "mean-shift"\nsummary = "s"\ncost = "prediction"\n'
        '[artifacts]\ntoy = "mine.trained"\n'
    )
    (tmp_path / "mine.trained").write_text("{}")
    folder = run(tmp_path / "run", methods=[str(card)], fit_seeds=2)
    assert not fit_seeds.folder(folder, 1).exists()
    assert f"htbench train {card} --model toy --seed 1" in capfd.readouterr().err
