"""A bundle on the board, against the report of its run."""

import dataclasses
import math
import shutil
from pathlib import Path

import pytest
from kit import bundle_folder, edited_bundle, report_run

from htbench.board import entry
from htbench.board.entry import Entry
from htbench.board.mark import Mark
from htbench.bundles.pack import pack
from htbench.core.errors import Refused
from htbench.core.types import UNSTEERED
from htbench.run.store import Store
from htbench.run.summary import Summary

LEADERBOARD = "leaderboard.csv"


def read(bundle: Path) -> Entry:
    return entry.read(bundle, sha256="0" * 64, mark=Mark())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return report_run.build(tmp_path / "run", size=8, prompts=report_run.PROMPTS[:2])


@pytest.fixture
def bundle(run: Path, tmp_path: Path) -> Path:
    return pack(run, tmp_path / "run.zip").path


def test_its_rows_are_those_of_the_report(run: Path, bundle: Path) -> None:
    rows = read(bundle).rows
    with Store.read(run) as store:
        summary = Summary(store)
        assert [row.method for row in rows] == [line.method for line in summary.leaderboard]
        for row, line in zip(rows, summary.leaderboard, strict=True):
            assert row.strength == line.strength
            for metric, score in line.scores.items():
                own = row.scores[metric]
                assert score
                assert own
                assert dataclasses.astuple(own) == pytest.approx(
                    dataclasses.astuple(score), nan_ok=True
                )
            place = summary.ranks.get(row.method) if summary.ranks else None
            assert (row.rank.rank_range if row.rank else None) == (
                place.rank_range if place else None
            )
            assert (row.rank.tier if row.rank else None) == (place.tier if place else None)
            time = summary.times[row.method]
            assert time
            assert row.seconds == pytest.approx(time.median)


def test_its_means_of_concepts_are_those_of_the_report(run: Path, bundle: Path) -> None:
    own = read(bundle)
    with Store.read(run) as store:
        summary = Summary(store)
        for row in own.rows:
            for k, metric in enumerate(summary.metrics):
                means = {name: each[k] for name, each in own.concept_means[row.method].items()}
                assert means == summary.means(row.method, row.strength, metric)


def test_a_score_over_several_fit_seeds_is_that_of_the_report(run: Path, tmp_path: Path) -> None:
    with Store.open(run) as store:
        store.set_facts(fit_seeds={"lineas": [0, 1]}, grid="abc")
    shutil.copytree(run, tmp_path / "other")
    with Store.open(tmp_path / "other") as store:
        store.set_facts(repeats="abc", fit_seeds={})
        with store.writing() as (write, _):
            write.execute("UPDATE scores SET value = value * 0.9")
    shutil.copytree(tmp_path / "other", run / "fit-seeds" / "1")
    own = read(pack(run, tmp_path / "seeds.zip").path)
    with Store.read(run) as store:
        (line,) = [each for each in Summary(store).leaderboard if each.method == "lineas"]
    (row,) = [each for each in own.rows if each.method == "lineas"]
    score = row.scores["concept_gain"]
    assert score
    assert line.headline
    assert score.fit_seeds == 2
    assert (score.mean, score.low) == pytest.approx((line.headline.mean, line.headline.low))


def test_it_tells_when_its_run_ended(tmp_path: Path) -> None:
    bundle = bundle_folder.add(tmp_path / "bundles", "a", made="2026-05-04")
    assert read(bundle).made == "2026-05-04 11:00"


@pytest.mark.parametrize("time", ["<b>now</b>", "yesterday", ""])
def test_a_time_that_is_none_is_not_told(run: Path, tmp_path: Path, time: str) -> None:
    with Store.open(run) as store:
        store.start_session(command="x", environment={})
        with store.writing() as (write, _):
            write.execute("UPDATE sessions SET started = ?, ended = ?", (time, time))
    assert read(pack(run, tmp_path / "b.zip").path).made == ""


@pytest.mark.parametrize("column", ["concept_gain", "presence_low", "image_preservation_high"])
def test_a_table_that_does_not_follow_from_its_scores_is_refused(bundle: Path, column: str) -> None:
    text = edited_bundle.read(bundle)[LEADERBOARD].decode()
    head, first, *others = text.splitlines()
    cells = first.split(",")
    place = head.split(",").index(column)
    cells[place] = str(float(cells[place]) + 0.01)
    changed = "\n".join([head, ",".join(cells), *others]) + "\n"
    edited_bundle.forge(bundle, {LEADERBOARD: changed.encode()})
    with pytest.raises(Refused, match=f"does not follow from its scores: {column}"):
        read(bundle)


def test_scores_that_were_raised_are_noticed(bundle: Path) -> None:
    def cheat(row: edited_bundle.Row) -> None:
        if row["metric"] == "concept_gain" and row["cell"] < 100:
            row["value"] += 0.1

    edited_bundle.forge(bundle, edited_bundle.table(bundle, "scores", cheat))
    with pytest.raises(Refused, match="does not follow from its scores"):
        read(bundle)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "has no rows"),
        (b"method,strength\na,1\n", "has no done"),
        (b"a,b\n1\n", "other columns"),
        (b'a,"b\n', "is no table"),
        (b"\xff", "is no table"),
    ],
)
def test_a_table_that_is_none_is_refused(bundle: Path, text: bytes, reason: str) -> None:
    edited_bundle.forge(bundle, {LEADERBOARD: text})
    with pytest.raises(Refused, match=reason):
        read(bundle)


def test_its_pictures_are_of_the_same_concepts_for_every_method(bundle: Path) -> None:
    own = read(bundle)
    chosen = {
        tuple(each.concept for each in samples)
        for method, samples in own.samples.items()
        if method != UNSTEERED
    }
    assert len(chosen) == 1
    assert len(own.samples[UNSTEERED]) == 1
    files = set(edited_bundle.read(bundle))
    assert all(f"images/{each.file}" in files for each in own.samples["lineas"])


def test_its_concepts_are_spread_from_the_highest_score_to_the_lowest(bundle: Path) -> None:
    own = read(bundle)
    methods = [row.method for row in own.rows if row.rank]

    def total(concept: str) -> float:
        return math.fsum(own.concept_means[method][concept][0] or 0.0 for method in methods)

    totals = [total(each.concept) for each in own.samples["lineas"]]
    assert len(totals) == 4
    assert totals == sorted(totals, reverse=True)


def test_a_bundle_without_pictures_has_no_samples(run: Path, tmp_path: Path) -> None:
    small = pack(run, tmp_path / "small.zip", with_pictures=False).path
    assert read(small).samples == {}
    assert len(read(small).rows) == len(report_run.METHODS)
