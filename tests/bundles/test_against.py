"""A newcomer against a frozen bundle: the figures of a run of all methods, from its own cells."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kit import edited_bundle
from kit.commands import htbench

from htbench import run
from htbench.bundles import against
from htbench.bundles.pack import pack
from htbench.bundles.unpack import unpack
from htbench.core.errors import HtbenchError, Missing, Refused, UsageError
from htbench.run import check, fit_seeds, plan, runner
from htbench.run.diff import compare_runs
from htbench.run.fact_table import Facts
from htbench.run.finished import is_finished
from htbench.run.forecast import forecast
from htbench.run.plan import RunOptions
from htbench.run.store import CellRow, Failure, Store
from htbench.run.summary import METRICS, Summary

SETTINGS: dict[str, object] = {
    "model": "toy",
    "methods": ["prompt", "mean-shift"],
    "limit": 3,
    "prompts": 2,
    "strengths": [0.0, 0.5, 1.0],
    "batch": 4,
}
CELLS = 3 * 2
"""Concepts and prompts, which are the cells of a method at one strength."""
TUNED = {"tune_strength": True, "tune_concepts": 2, "tune_floor": 0.0, "fit_seeds": 2}


@pytest.fixture
def toy(toy_plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    return tmp_path


@pytest.fixture
def bundle(toy: Path) -> Path:
    return packed(toy / "base")


def made(folder: Path, **changes: object) -> Path:
    """A run of all methods together."""
    settings = plan.build(SETTINGS, changes)
    runner.run(settings, folder, RunOptions(threads=1, reuse=False))
    return folder


def packed(folder: Path, **changes: object) -> Path:
    """The bundle of such a run, which is deleted."""
    bundle = pack(made(folder, **changes), folder.with_suffix(".bundle.zip")).path
    shutil.rmtree(folder)
    (folder.parent / "log").unlink(missing_ok=True)
    return bundle


def placed(bundle: Path, *methods: str, **settings: object) -> Path:
    """The folder of a run of newcomers against a bundle."""
    options = RunOptions(
        threads=1, reuse=False, runs=str(bundle.parent / "runs"), **_names(settings)
    )
    newcomer = against.prepare(bundle, [{"methods": list(methods), **settings}], options)
    with against.seeding(newcomer):
        runner.run_resolved(newcomer.plan, newcomer.folder, options, against=newcomer.sha256)
    return newcomer.folder


def _names(settings: dict[str, Any]) -> Mapping[str, Any]:
    return {"name": settings.pop("name")} if "name" in settings else {}


def rows(folder: Path) -> list[CellRow]:
    with Store.read(folder) as store:
        return store.rows()


def images(folder: Path) -> dict[tuple[object, ...], str | None]:
    """Names of pictures, which are digests of their bytes, by cell."""
    return {(r.method, r.concept, r.prompt, r.seed, r.strength): r.file for r in rows(folder)}


def generated(folder: Path) -> int:
    """Number of different images that the toy model was asked for."""
    log = folder / "log"
    return sum(map(int, log.read_text().split())) if log.exists() else 0


def figures(folder: Path) -> dict[str, object]:
    """Ranks, and every estimate at every strength."""
    with Store.read(folder) as store:
        summary = Summary(store)
        assert summary.is_complete
        board = {
            f"{method} {strength}": [
                [f"{value:.6f}" for value in (each.mean, each.low, each.high)]
                for metric in METRICS
                if (each := summary.leaderboard_row(method, strength).scores[metric])
            ]
            for method in summary.methods
            for strength in summary.strengths
        }
        ranks = [(row.name, row.rank_range, row.tier) for row in summary.ranks.ranks]
        return {"board": board, "ranks": ranks, "scorer": summary.scorer}


def test_a_newcomer_has_the_pictures_and_figures_of_a_run_of_all_methods(toy: Path) -> None:
    newcomer = placed(packed(toy / "base", limit=12), "linear-act")
    whole = made(toy / "whole", limit=12, methods=["prompt", "mean-shift", "linear-act"])
    assert images(newcomer) == images(whole)
    assert figures(newcomer) == figures(whole)
    assert "nan" not in str(figures(whole)["board"])


def test_strengths_and_fit_seeds_of_a_newcomer_follow_the_plan_of_the_bundle(toy: Path) -> None:
    newcomer = placed(packed(toy / "base", **TUNED), "linear-act", "prompt-prefix")
    methods = ["prompt", "mean-shift", "linear-act", "prompt-prefix"]
    whole = made(toy / "whole", methods=methods, **TUNED)
    for part in (Path(), Path("tuning"), Path("fit-seeds/1")):
        assert images(newcomer / part) == images(whole / part)
    assert figures(newcomer) == figures(whole)
    with Store.read(newcomer) as store, Store.read(whole) as other:
        one, two = Facts.read(store), Facts.read(other)
    assert {name: each.strength for name, each in one.tuned.items()} == {
        name: each.strength for name, each in two.tuned.items()
    }
    assert one.fit_seeds == two.fit_seeds
    assert one.plan.stored == two.plan.stored


def test_a_newcomer_that_has_nothing_to_fit_keeps_the_fit_seeds_of_the_bundle(toy: Path) -> None:
    newcomer = placed(packed(toy / "base", fit_seeds=2), "prompt-prefix")
    with Store.read(newcomer) as store:
        further = [each.folder for each in fit_seeds.further_runs(store, Facts.read(store))]
    assert further == [newcomer / "fit-seeds" / "1"]


@pytest.mark.parametrize("methods", [["prompt"], ["prompt", "mean-shift", "gaussian-ot"]])
def test_images_generated_grow_with_the_newcomer_alone(toy: Path, methods: list[str]) -> None:
    placed(packed(toy / "base", methods=methods), "linear-act")
    assert generated(toy) == 2 * CELLS  # two strengths above 0


def test_rows_of_the_bundle_are_marked_by_its_digest(bundle: Path) -> None:
    newcomer = placed(bundle, "linear-act")
    with Store.read(newcomer) as store:
        marks = {row.method: row.bundle for row in Summary(store).leaderboard}
        taken = {each.run for each in store.sessions()}
    sha256 = against.file_sha256(bundle)
    assert marks == {"none": sha256, "prompt": sha256, "mean-shift": sha256, "linear-act": ""}
    assert taken == {"base", ""}


def test_rows_and_times_of_the_bundle_stay_as_they_are(bundle: Path, toy: Path) -> None:
    unpack(bundle, toy / "before")
    newcomer = placed(bundle, "linear-act")
    with Store.read(toy / "before") as store, Store.read(newcomer) as other:
        assert compare_runs(Summary(store), Summary(other)).identical == store.count()
        assert set(store.scores()) <= set(other.scores())
        assert {row for row in store.timings() if row[0] == "towards"} <= set(other.timings())


def test_failed_cells_of_the_bundle_stay_failed(toy: Path) -> None:
    base = made(toy / "base")
    failed = next(row for row in rows(base) if row.method == "mean-shift" and row.is_steered)
    with Store.open(base) as store:
        store.add_failure([failed.image], Failure(kind="nan", message="no numbers"))
        with store.writing() as (write, _):
            write.execute("DELETE FROM scores WHERE cell = ?", (failed.id,))
    newcomer = placed(pack(base, toy / "ill.zip").path, "linear-act")
    lost = [row for row in rows(newcomer) if row.file is None]
    assert [(row.method, row.failure_message) for row in lost] == [("mean-shift", "no numbers")]


def test_the_same_command_again_makes_nothing(bundle: Path, toy: Path) -> None:
    newcomer = placed(bundle, "linear-act")
    before = images(newcomer), generated(toy)
    placed(bundle, "linear-act")
    assert (images(newcomer), generated(toy)) == before
    options = RunOptions(runs=str(toy / "runs"))
    asked = against.prepare(bundle, [{"methods": ["linear-act"]}], options)
    left = forecast(asked.plan, folder=newcomer, runs=toy / "runs", against=asked.sha256)
    assert (left.images, left.cells) == (0, 3 * CELLS)


def test_a_finished_newcomer_of_the_embedded_model_is_known_without_its_model(
    tmp_path: Path,
) -> None:
    settings = {"methods": ["prompt"], "limit": 2, "prompts": 1, "strengths": [1.0]}
    runner.run(plan.build(settings), tmp_path / "base", RunOptions(threads=1))
    bundle = pack(tmp_path / "base", tmp_path / "base.zip").path
    newcomer = placed(bundle, "prompt-prefix")
    options = RunOptions(runs=str(tmp_path / "runs"))
    asked = against.prepare(bundle, [{"methods": ["prompt-prefix"]}], options)
    assert is_finished(asked.plan, newcomer, options, against=asked.sha256)
    assert not is_finished(asked.plan, newcomer, options)
    with Store.open(newcomer) as store, store.writing() as (write, _):
        own = "(SELECT id FROM cells WHERE method = 'prompt-prefix')"
        write.execute(f"DELETE FROM scores WHERE cell IN {own}")
    assert not is_finished(asked.plan, newcomer, options, against=asked.sha256)


def test_a_newcomer_that_was_killed_goes_on_and_ends_like_an_undisturbed_one(
    bundle: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (toy / "poison").touch()
    monkeypatch.setenv("TOY_POISON", str(toy / "poison"))
    words = ["run", "--against", bundle.name, "--method", "linear-act", "--no-reuse"]
    assert htbench(*words, "--threads", "1", cwd=toy).returncode == 1
    assert None in images(toy / "runs" / "base-with-linear-act").values()
    newcomer = placed(bundle, "linear-act")
    whole = made(toy / "whole", methods=["prompt", "mean-shift", "linear-act"])
    assert images(newcomer) == images(whole)
    assert figures(newcomer) == figures(whole)


def test_the_report_marks_the_rows_of_the_bundle(bundle: Path, toy: Path) -> None:
    result = run(against=bundle, methods=["linear-act"], runs=str(toy / "runs"), threads=1)
    digest = against.file_sha256(bundle)
    page = (result.folder / "report.html").read_text()
    table = (result.folder / "leaderboard.md").read_text()
    assert digest in page
    assert page.count(f"from bundle {digest[:16]}") == 3
    assert "`prompt`*" in table
    assert "`linear-act` |" in table
    assert f"from bundle base.bundle.zip, SHA-256 {digest[:16]}" in table


def test_a_newcomer_goes_on_after_another_scorer_was_added(bundle: Path) -> None:
    newcomer = placed(bundle, "linear-act")
    with Store.open(newcomer) as store:
        own = [each.stored for each in Facts.read(store).scorers]
        store.set_facts(scorers=[*own, {"name": "other", "id": "other@1"}])
    assert placed(bundle, "linear-act") == newcomer


def test_a_picture_of_the_bundle_that_is_lost_or_damaged_is_taken_from_it_again(
    bundle: Path, toy: Path
) -> None:
    newcomer = placed(bundle, "linear-act")
    before, made_before = images(newcomer), generated(toy)
    files = {row.method: str(row.file) for row in rows(newcomer)}
    (newcomer / "images" / files["mean-shift"]).unlink()
    (newcomer / "images" / files["none"]).write_bytes(b"no picture")
    placed(bundle, "linear-act")
    assert (images(newcomer), generated(toy)) == (before, made_before)
    assert not check.check(newcomer).is_damaged


def test_a_newcomer_is_packed_with_all_that_it_used(bundle: Path, toy: Path) -> None:
    newcomer = placed(bundle, "linear-act")
    unpack(pack(newcomer, toy / "newcomer.zip").path, toy / "unpacked")
    assert images(toy / "unpacked") == images(newcomer)
    assert figures(toy / "unpacked") == figures(newcomer)


def test_a_newcomer_of_a_newcomer_has_the_rows_of_both(bundle: Path, toy: Path) -> None:
    first = pack(placed(bundle, "linear-act"), toy / "first.zip").path
    second = placed(first, "prompt-prefix")
    methods = ["prompt", "mean-shift", "linear-act", "prompt-prefix"]
    assert figures(second) == figures(made(toy / "whole", methods=methods))


def test_several_newcomers_share_a_run(bundle: Path, toy: Path) -> None:
    both = placed(bundle, "linear-act", "prompt-prefix")
    assert {row.method for row in rows(both)} >= {"linear-act", "prompt-prefix"}


def refusal(kind: type[HtbenchError], bundle: Path, *methods: str, **settings: object) -> str:
    with pytest.raises(kind) as caught:
        placed(bundle, *methods, **settings)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_method_of_the_bundle_is_no_newcomer(bundle: Path) -> None:
    assert "is a method of bundle" in refusal(UsageError, bundle, "prompt")
    assert "no newcomer is named" in refusal(UsageError, bundle, "none")


def test_a_setting_that_is_not_the_bundles_is_named(bundle: Path) -> None:
    problem = refusal(UsageError, bundle, "linear-act", strengths=[0.0, 2.0])
    assert "'strengths' is that of the bundle, 0.0, 0.5, 1.0, and not 0.0, 2.0" in problem
    assert "lpips" in refusal(UsageError, bundle, "linear-act", scorers=["lpips"])


def test_a_bundle_without_pictures_is_refused(toy: Path) -> None:
    small = pack(made(toy / "base"), toy / "small.zip", with_pictures=False).path
    assert "has no pictures" in refusal(Missing, small, "linear-act")


def test_a_bundle_of_imported_pictures_is_refused(bundle: Path) -> None:
    def rename(row: dict[str, object]) -> None:
        if row["name"] == "repeats":
            row.update(name="imported", value='{"source": "pictures.csv"}')

    edited_bundle.forge(bundle, edited_bundle.table(bundle, "facts", rename))
    assert "another program" in refusal(Refused, bundle, "linear-act")


def test_a_bundle_of_several_wordings_is_refused(toy: Path) -> None:
    worded = packed(toy / "worded", wording=("canonical", "unknown"))
    assert "several wordings" in refusal(Refused, worded, "linear-act")


def test_a_damaged_bundle_is_refused_and_leaves_no_folder(bundle: Path) -> None:
    name = next(name for name in edited_bundle.read(bundle) if name.startswith("images/"))
    edited_bundle.edit(bundle, {name: b"other bytes"})
    assert "is refused" in refusal(Refused, bundle, "linear-act")
    assert not list((bundle.parent / "runs").iterdir())


def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no archive")
    assert "is no bundle" in refusal(UsageError, tmp_path / "text.zip", "linear-act")
    assert "is a folder" in refusal(UsageError, tmp_path, "linear-act")


@pytest.mark.parametrize(
    ("fact", "value", "problem"),
    [
        ("model", {"name": "toy", "revision": "0123"}, "the bundle's model is toy 0123"),
        ("concept_set", {"name": "emoji", "version": "0"}, "the bundle has concept set emoji 0"),
        ("gauges", [{"id": "lpips@1", "name": "lpips"}], "the bundle's scorers are lpips@1"),
    ],
)
def test_another_model_concept_set_or_scorer_is_refused_by_name(
    bundle: Path, fact: str, value: object, problem: str
) -> None:
    edited_bundle.forge(bundle, changed(bundle, fact, value))
    assert problem in refusal(Refused, bundle, "linear-act")
    assert not list((bundle.parent / "runs").glob("*"))


def test_encoders_of_another_revision_are_refused_by_name(bundle: Path) -> None:
    scores = edited_bundle.table(bundle, "scores", lambda row: row.update(encoder="toy-clip@0"))
    facts = changed(bundle, "scorers", [{"id": "toy-clip@0"}])
    edited_bundle.forge(bundle, {**facts, **scores})
    problem = refusal(Refused, bundle, "linear-act")
    assert "the bundle's encoders are toy-clip@0, and here are toy-clip@" in problem


def changed(bundle: Path, fact: str, value: object) -> dict[str, bytes | None]:
    """The table of facts of the bundle with another value of one."""

    def replace(row: dict[str, object]) -> None:
        if row["name"] == fact:
            row["value"] = json.dumps(value)

    return edited_bundle.table(bundle, "facts", replace)


def test_a_concept_of_other_words_is_refused(bundle: Path) -> None:
    edited_bundle.forge(
        bundle,
        edited_bundle.fact(
            bundle, "concepts", lambda each: min(each.items())[1].update(digest="0")
        ),
    )
    assert "1 concepts are not those of the bundle" in refusal(Refused, bundle, "linear-act")


def test_a_bundle_with_cells_that_were_not_tried_is_refused(bundle: Path) -> None:
    file = edited_bundle.rows(bundle, "images")[-1]["file"]

    def lose(image: dict[str, object]) -> None:
        image["file"] = None if image["file"] == file else image["file"]

    edited_bundle.forge(
        bundle, {**edited_bundle.table(bundle, "images", lose), f"images/{file}": None}
    )
    assert "cells of its run have no image yet" in refusal(Refused, bundle, "linear-act")


def test_a_bundle_with_cells_that_were_not_scored_is_refused(bundle: Path) -> None:
    last = edited_bundle.rows(bundle, "scores")[-1]
    edited_bundle.forge(bundle, edited_bundle.kept(bundle, "scores", lambda row: row != last))
    assert "1 cells of its run have no scores yet" in refusal(Refused, bundle, "linear-act")


def test_the_folder_of_another_run_is_left_alone(bundle: Path, toy: Path) -> None:
    made(toy / "runs" / "other")
    assert "was made against no bundle" in refusal(UsageError, bundle, "linear-act", name="other")


def test_a_newcomers_run_goes_on_against_its_bundle_alone(bundle: Path, toy: Path) -> None:
    newcomer = placed(bundle, "linear-act")
    settings = plan.build(SETTINGS, {"methods": ["prompt", "mean-shift", "linear-act"]})
    with pytest.raises(UsageError, match="has the cells of bundle"):
        runner.run(settings, newcomer, RunOptions(threads=1))
    (toy / "elsewhere").mkdir()
    other = packed(toy / "elsewhere" / "base", methods=["prompt"])
    shutil.copytree(toy / "runs", toy / "elsewhere" / "runs")
    problem = refusal(UsageError, other, "linear-act", name=newcomer.name)
    assert "was made against bundle 'base.bundle.zip'" in problem
