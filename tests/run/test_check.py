"""Check, comparison and export of made-up runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from kit import report_run
from pyarrow import parquet

from htbench.core.errors import UsageError
from htbench.run import check, export
from htbench.run.diff import compare_runs
from htbench.run.store import Failure, Store
from htbench.run.summary import METRICS, Summary

SMALL: dict[str, Any] = {
    "methods": ("none", "mean-shift"),
    "concepts": 2,
    "prompts": report_run.PROMPTS[:1],
    "strengths": (0.0, 1.0),
    "size": 8,
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return report_run.build(tmp_path / "run", **SMALL)


def _damage(run: Path) -> list[str]:
    return [
        finding.what.split(maxsplit=2)[2]
        for finding in check.check(run).findings
        if finding.kind == "damaged"
    ]


def test_a_whole_run_is_done_and_not_damaged(run: Path) -> None:
    found = check.check(run)
    assert (
        found.done,
        found.planned,
        found.failed,
        found.pending,
        found.images,
        found.is_damaged,
    ) == (6, 6, 0, 0, 3, False)


def test_failed_pending_and_unscored_cells_are_counted_apart(tmp_path: Path) -> None:
    found = check.check(
        report_run.build(tmp_path / "half", **SMALL, made=1, problem="no", scored=False)
    )
    assert (found.done, found.failed, found.pending, found.unscored) == (0, 1, 1, 4)


def test_a_changed_image_is_found(run: Path) -> None:
    next((run / "images").glob("*.png")).write_bytes(b"other")
    assert _damage(run) == ["is not what was written"]


def test_a_lost_image_is_found(run: Path) -> None:
    next((run / "images").glob("*.png")).unlink()
    assert _damage(run) == ["is gone"]


def test_an_empty_image_is_found_without_reading_the_others(run: Path) -> None:
    next((run / "images").glob("*.png")).write_bytes(b"")
    assert check.check(run, hashes=False).is_damaged


def test_methods_and_concepts_that_have_changed_since_are_stale(run: Path) -> None:
    with Store.open(run) as store:
        store.set_facts(
            methods={"mean-shift": {"card": "old"}, "gone": {}},
            concept_set={"name": "emoji"},
            concepts={"companion/lemon": {"digest": "old"}},
        )
    what = " ".join(
        finding.what for finding in check.check(run).findings if finding.kind == "stale"
    )
    assert "mean-shift: its card has changed" in what
    assert "no method 'gone'" in what
    assert "1 concepts have changed" in what


def test_images_of_earlier_plans_are_left_over(run: Path) -> None:
    with Store.open(run) as store:
        store.plan_cells(
            [
                (row.method, row.concept, row.prompt, row.seed, row.strength, row.image)
                for row in store.rows()
                if row.strength == 0
            ]
        )
    assert [
        finding.what for finding in check.check(run).findings if finding.kind == "left over"
    ] == ["2 images of earlier plans"]


def test_a_run_does_not_differ_from_itself(run: Path) -> None:
    with Store.read(run) as store:
        found = compare_runs(Summary(store), Summary(store))
    assert (found.paired, found.only_first, found.settings) == (6, 0, {})
    assert (found.sentence, found.changes) == ("Identical on all 6 shared cells.", [])


def test_shared_cells_that_are_identical_are_counted(run: Path, tmp_path: Path) -> None:
    report_run.build(tmp_path / "other", **SMALL)
    with Store.open(tmp_path / "other") as store:
        store.add_scores([(store.rows()[0].id, "presence", "emoji-clip-b@1", 0.5)])
    with Store.read(run) as first, Store.read(tmp_path / "other") as second:
        found = compare_runs(Summary(first), Summary(second))
    assert found.sentence.startswith("Identical on 5 of 6 shared cells;")
    assert [change.metric for change in found.changes] == ["presence"]


def test_a_difference_is_the_mean_of_paired_differences(run: Path, tmp_path: Path) -> None:
    report_run.build(tmp_path / "other", **SMALL)
    with Store.open(tmp_path / "other") as store:
        store.add_scores(
            [
                (row.id, metric, "emoji-clip-b@1", value + 0.25)
                for row in store.rows()
                for metric, value in Summary(store).scores[row.id].items()
            ]
        )
    with Store.read(run) as first, Store.read(tmp_path / "other") as second:
        change = next(
            change
            for change in compare_runs(Summary(first), Summary(second)).changes
            if change.strength == 1.0
        )
    assert (change.estimate.mean, change.pairs, change.same_images) == (pytest.approx(0.25), 2, 2)


def test_a_cell_that_failed_in_one_run_differs_by_the_worst_score(
    run: Path, tmp_path: Path
) -> None:
    report_run.build(tmp_path / "other", **SMALL)
    with Store.open(tmp_path / "other") as store:
        lost = next(row for row in store.rows() if row.strength == 1.0)
        gain = Summary(store).scores[lost.id]["concept_gain"]
        store.add_failure([lost.image], Failure(kind="nan", message="no numbers"))
    with Store.read(run) as first, Store.read(tmp_path / "other") as second:
        change = next(
            change
            for change in compare_runs(Summary(first), Summary(second)).changes
            if (change.method, change.strength) == (lost.method, 1.0)
        )
    assert (change.pairs, change.failed) == (2, 1)
    assert change.estimate.mean == pytest.approx((-2 - gain) / 2)


def test_runs_with_no_cell_in_common_are_not_compared(run: Path, tmp_path: Path) -> None:
    report_run.build(tmp_path / "other", **{**SMALL, "prompts": ("another prompt",)})
    with (
        Store.read(run) as first,
        Store.read(tmp_path / "other") as second,
        pytest.raises(UsageError, match="no cell in common"),
    ):
        compare_runs(Summary(first), Summary(second))


def test_parquet_has_every_cell_and_score(run: Path, tmp_path: Path) -> None:
    with Store.read(run) as store:
        export.write(Summary(store), tmp_path / "out", "parquet")
    tables = {
        name: parquet.read_table(tmp_path / "out" / f"{name}.parquet").num_rows
        for name in ("cells", "scores", "timings")
    }
    assert tables == {"cells": 6, "scores": 6 * len(METRICS), "timings": 4}


def test_a_data_set_holds_the_images_as_they_are(run: Path, tmp_path: Path) -> None:
    with Store.read(run) as store:
        export.write(Summary(store), tmp_path / "out", "datasets")
        table = parquet.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")
        assert [row["bytes"] for row in table["image"].to_pylist()] == [
            (run / "images" / str(row.file)).read_bytes() for row in store.rows()
        ]
    assert json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]["image"] == {
        "_type": "Image"
    }


def test_a_folder_that_holds_something_is_not_written_to(run: Path) -> None:
    with Store.read(run) as store, pytest.raises(UsageError, match="is not empty"):
        export.write(Summary(store), run, "parquet")
