"""The cells of a bundle, against those that a report reads from the run."""

from pathlib import Path

import numpy as np
import pytest
from kit import edited_bundle, report_run

from htbench.board import cells
from htbench.bundles.archive import Archive
from htbench.bundles.pack import pack
from htbench.core.errors import Refused
from htbench.run.store import Store
from htbench.run.summary import Summary


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return report_run.build(tmp_path / "run", concepts=3, size=8, made=90, problem="no memory")


@pytest.fixture
def bundle(run: Path, tmp_path: Path) -> Path:
    return pack(run, tmp_path / "run.zip").path


def test_they_are_those_of_the_run(run: Path, bundle: Path) -> None:
    with Archive.open(bundle) as archive, Store.read(run) as store:
        own, summary = cells.read(archive), Summary(store)
        assert own.totals == summary._totals(summary.scorer)
        assert own.table.ids.tolist() == summary.table.ids.tolist()
        assert own.table.group_counts(own.table.failed) == summary.failed_cells
        assert sum(summary.failed_cells.values()) > 0
        assert own.facts == summary.facts


def test_scores_by_other_scorers_do_not_count(run: Path, tmp_path: Path) -> None:
    with Store.open(run) as store:
        store.add_scores((row.id, "presence", "other@1", 0.5) for row in store.rows() if row.file)
    with Archive.open(pack(run, tmp_path / "other.zip").path) as archive, Store.read(run) as store:
        summary = Summary(store)
        assert cells.read(archive).totals == summary._totals(summary.scorer)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'[999999,"presence","emoji-clip-b@1",0.5]', "a row that no run has"),
        (b'[1,"presence","emoji-clip-b@1","high"]', "a row that no run has"),
        (b'[1,"presence"]', "a row that no run has"),
        (b'[1,"presence","emoji-clip-b@1",1e300]', "impossible values"),
        (b'[1,"presence","emoji-clip-b@1",1e999]', "is not a finite number"),
        (b'{"cell": 1}', "is no list of values"),
        (b"[1,", "is no JSON"),
    ],
)
def test_a_row_that_no_run_has_is_refused(bundle: Path, line: bytes, reason: str) -> None:
    name = "run/tables/scores.jsonl"
    edited_bundle.forge(bundle, {name: edited_bundle.read(bundle)[name] + line + b"\n"})
    with Archive.open(bundle) as archive, pytest.raises(Refused, match=reason) as error:
        cells.read(archive)
    assert "\n" not in str(error.value)


def test_a_table_of_other_columns_is_refused(bundle: Path) -> None:
    edited_bundle.forge(bundle, {"run/tables/scores.jsonl": b'["cell","value"]\n'})
    with Archive.open(bundle) as archive, pytest.raises(Refused, match="other columns"):
        cells.read(archive)


def test_a_missing_table_is_refused(bundle: Path) -> None:
    edited_bundle.forge(bundle, {"run/tables/cells.jsonl": None})
    with (
        Archive.open(bundle) as archive,
        pytest.raises(Refused, match="it has no run/tables/cells"),
    ):
        cells.read(archive)


def test_a_cell_without_a_score_has_none(run: Path, tmp_path: Path) -> None:
    with Store.open(run) as store, store.writing() as (write, _):
        write.execute("DELETE FROM scores WHERE cell = 1")
    with Archive.open(pack(run, tmp_path / "less.zip").path) as archive, Store.read(run) as store:
        summary = Summary(store)
        assert cells.read(archive).totals.done == summary.done_cells
        assert np.isnan(summary.table_scores[0]).all()
