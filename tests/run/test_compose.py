"""Task `compose`: two concepts are added to one image, and each of them alone."""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from kit import toy_plugin
from kit.toy_plugin import ToyEncoder

from htbench import report
from htbench.bundles.pack import pack
from htbench.bundles.remake import RemakeOptions
from htbench.bundles.verify import VerifyOptions, verify
from htbench.core import registry
from htbench.core.errors import UsageError
from htbench.core.pictures import read_picture
from htbench.methods.mean_shift import MeanShift
from htbench.report import csv_tables
from htbench.report.sections import task as task_section
from htbench.report.sections import task_tables
from htbench.results.run_result import RunResult
from htbench.run import plan, runner
from htbench.run.plan import RunOptions, build
from htbench.run.store import CellRow, Failure, Store
from htbench.run.summary import Summary
from htbench.steering.concept import Concept
from htbench.steering.intervention import Affine
from htbench.steering.model import Model

CONCEPTS = """\
text,kind,template,split
in fog,weather,"{prompt}, in fog",test
with a kite,thing,"{prompt} with a kite",test
in rain,weather,"{prompt}, in rain",test
with a boat,thing,"{prompt} with a boat",test
in snow,weather,"{prompt}, in snow",test
in hail,weather,"{prompt}, in hail",dev
"""
PAIR = "thing/with-a-kite + weather/in-fog"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    folder = tmp_path_factory.mktemp("compose")
    path = folder / "mine.csv"
    path.write_text(CONCEPTS)
    ways = ("", "@sum", "@sequence", "@backwards")
    with pytest.MonkeyPatch.context() as patch:
        toy_plugin.install(folder / "plugins", patch)
        yield {
            "model": "toy",
            "task": "compose",
            "methods": ["prompt", *(f"mean-shift{way}" for way in ways)],
            "concept_set": str(path),
            "prompts": 2,
            "strengths": [1.0],
            "batch": 4,
        }
    registry.plugins.cache_clear()


def made(settings: dict[str, object], folder: Path, **changes: object) -> Path:
    runner.run(build(settings, changes), folder, RunOptions(threads=1, reuse=False))
    return folder


@pytest.fixture(scope="module")
def run(settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(settings, tmp_path_factory.mktemp("run") / "run")


def rows(folder: Path, method: str) -> list[CellRow]:
    with Store.read(folder) as store:
        return [row for row in store.rows() if row.method == method]


def scores_of(folder: Path) -> dict[tuple[int, str], float | None]:
    with Store.read(folder) as store:
        return {(cell, metric): value for cell, metric, _, value in store.scores()}


def test_a_run_has_pairs_and_each_of_their_concepts_alone(settings: dict[str, object]) -> None:
    resolved = plan.resolve(build(settings))
    assert list(resolved.concepts_by_id) == [
        PAIR,
        "thing/with-a-boat + weather/in-rain",
        "thing/with-a-kite",
        "weather/in-fog",
        "thing/with-a-boat",
        "weather/in-rain",
    ]
    assert [concept.id for concept in resolved.left_out] == ["weather/in-snow"]


def test_all_images_have_the_prompts_and_seeds_of_a_run_that_adds(
    settings: dict[str, object],
) -> None:
    resolved = plan.resolve(build(settings))
    every = {each.text for own in resolved.task_prompts.values() for each in own}
    assert every == set(resolved.prompts)


def test_concepts_of_one_kind_make_no_pairs(settings: dict[str, object]) -> None:
    chosen = {"concepts": "weather/in-fog,weather/in-rain"}
    with pytest.raises(UsageError, match="2 in number, make a pair"):
        plan.resolve(build(settings, chosen))


def test_prompting_asks_for_both_concepts(
    run: Path, settings: dict[str, object], tmp_path: Path
) -> None:
    row = next(row for row in rows(run, "prompt") if row.concept == PAIR)
    both = tmp_path / "both.csv"
    both.write_text(
        'text,kind,template,split\n"kite, fog",both,"{prompt} with a kite, in fog",test\n'
        '"hail",both,"{prompt}, in hail",dev\n'
    )
    added = made(
        settings, tmp_path / "added", task="add", methods=["prompt"], concept_set=str(both)
    )
    files = {(each.prompt, each.seed): each.file for each in rows(added, "prompt")}
    assert row.file == files[row.prompt, row.seed]


def test_the_presence_of_both_is_the_smaller_one(run: Path) -> None:
    encoder, scores = ToyEncoder("cpu"), scores_of(run)
    for row in rows(run, "mean-shift@sum"):
        if row.concept != PAIR:
            continue
        image = encoder.images([read_picture(run / "images" / str(row.file))])[0].numpy()
        words = [f"{row.prompt} with a kite", f"{row.prompt}, in fog", row.prompt]
        kite, fog, neutral = encoder.texts(words).numpy()
        first, second = (
            1 / (1 + np.exp(-encoder.scale * image @ (each - neutral))) for each in (kite, fog)
        )
        assert scores[row.id, "presence_first"] == pytest.approx(first, abs=1e-5)
        assert scores[row.id, "presence_second"] == pytest.approx(second, abs=1e-5)
        assert scores[row.id, "presence_both"] == pytest.approx(min(first, second), abs=1e-5)


def test_interference_is_what_a_concept_loses_beside_the_other(run: Path) -> None:
    scores = scores_of(run)
    with Store.read(run) as store:
        summary = Summary(store)
        members = summary.facts.task.members
        section = task_section.collect(summary)
    assert section
    own = rows(run, "mean-shift")
    alone = {
        (row.concept, row.prompt, row.seed): scores[row.id, "presence"]
        for row in own
        if row.concept not in members
    }
    lost = defaultdict(list)
    for row in own:
        for one, metric in zip(
            members.get(row.concept, ()), ("presence_first", "presence_second"), strict=False
        ):
            before, after = alone[one, row.prompt, row.seed], scores[row.id, metric]
            assert before is not None
            assert after is not None
            lost[row.concept].append(before - after)
    found = next(row for row in section.rows if row.method == "mean-shift").scores["interference"]
    assert found
    assert found.mean == pytest.approx(np.mean([np.mean(each) for each in lost.values()]))
    assert found.n == 2


def test_unsteered_images_lose_nothing(run: Path) -> None:
    with Store.read(run) as store:
        section = task_section.collect(Summary(store))
    assert section
    none = section.rows[-1]
    assert none.method == "none"
    value = none.scores["interference"]
    assert value
    assert value.mean == pytest.approx(0, abs=1e-6)


def test_a_failed_image_of_one_concept_counts_as_the_worst_interference(
    settings: dict[str, object], tmp_path: Path
) -> None:
    one_pair = {"concepts": "weather/in-fog,thing/with-a-kite", "prompts": 1}
    folder = made(settings, tmp_path / "run", methods=["prompt"], **one_pair)
    scores = scores_of(folder)
    of_concept = {row.concept: row for row in rows(folder, "prompt")}
    of_fog = scores[of_concept["weather/in-fog"].id, "presence"]
    beside = scores[of_concept[PAIR].id, "presence_second"]
    assert of_fog is not None
    assert beside is not None
    with Store.open(folder) as store:
        lost = Failure(kind="error", message="it is lost")
        store.add_failure([of_concept["thing/with-a-kite"].image], lost)
    with Store.read(folder) as store:
        section = task_section.collect(Summary(store))
    assert section
    value = section.rows[0].scores["interference"]
    assert value
    assert value.mean == pytest.approx((1 + of_fog - beside) / 2)


def test_a_packed_run_is_verified(run: Path, settings: dict[str, object], tmp_path: Path) -> None:
    bundle = tmp_path / "run.htbench"
    pack(run, bundle)
    again = RemakeOptions(number=8, refit=True)
    options = VerifyOptions(again=again, concept_set=str(settings["concept_set"]))
    found = list(verify(bundle, options))
    assert not [each.what for each in found if each.kind == "differs"]
    assert any("pictures" in each.what for each in found if each.kind == "holds")


def test_the_same_command_changes_nothing(run: Path, settings: dict[str, object]) -> None:
    with Store.read(run) as store:
        before = store.rows(), list(store.scores()), store.sessions()
    made(settings, run)
    with Store.read(run) as store:
        assert (store.rows(), list(store.scores()), store.sessions()) == before
        assert Summary(store).is_complete


def test_the_report_and_the_table_have_the_measures_of_the_task(run: Path) -> None:
    page = report.write(run).read_text()
    assert "Task compose" in page
    assert "Both present" in page
    board = RunResult(folder=run).leaderboard()
    assert {"both_present", "interference_low", "subject_kept"} <= set(board.columns)


def test_settings_without_a_meaning_in_the_task_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        plan.resolve(build(settings, {"strengths": [-1.0]}))
    assert "how strongly a method adds both concepts" in str(caught.value)


def test_concepts_are_fitted_once_for_all_ways_of_a_method_and_charged_to_each(
    settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, fit = Counter[str](), MeanShift.fit

    def counted(self: MeanShift, model: Model, concept: Concept, *, seed: int) -> Affine:
        fits[concept.id] += 1
        return fit(self, model, concept, seed=seed)

    monkeypatch.setattr(MeanShift, "fit", counted)
    one_pair = {"concepts": "weather/in-fog,thing/with-a-kite", "prompts": 1}
    folder = made(settings, tmp_path / "run", **one_pair)
    evaluated = [PAIR, "thing/with-a-kite", "weather/in-fog"]
    assert [fits[concept] for concept in evaluated] == [1, 1, 1]
    with Store.read(folder) as store:
        seconds = {(each.method, each.concept): each.seconds for each in store.fit_timings()}
    alone = sum(seconds["mean-shift", concept] for concept in evaluated[1:])
    assert seconds["mean-shift@sum", PAIR] > alone
    assert seconds["mean-shift@sequence", PAIR] > alone


def test_shifts_in_either_order_are_the_same_to_the_last_bit(run: Path) -> None:
    with Store.read(run) as store:
        tables = {each.name: each for each in task_tables.collect(Summary(store))}
    own = tables["order"].rows["mean-shift"]
    effect = own["per image"]
    assert effect
    assert effect.mean == pytest.approx(0, abs=1e-6)
    both = own["first, then second"]
    assert both
    assert both.n == 2


def test_interference_is_told_by_the_kinds_of_both_concepts(run: Path) -> None:
    scores = scores_of(run)
    with Store.read(run) as store:
        summary = Summary(store)
        members, tables = summary.facts.task.members, task_tables.collect(summary)
    own = rows(run, "mean-shift@sum")
    alone = {
        (row.concept, row.prompt): scores[row.id, "presence"]
        for row in own
        if row.concept not in members
    }
    changes = defaultdict(list)
    for row in own:
        if row.concept in members:  # the thing is named first
            beside = scores[row.id, "presence_first"]
            before = alone[members[row.concept][0], row.prompt]
            assert beside is not None
            assert before is not None
            changes[row.concept].append(beside - before)
    table = next(each for each in tables if each.method == "mean-shift@sum")
    assert list(table.rows) == ["thing", "weather"]
    found = table.rows["thing"]["weather"]
    assert found
    assert found.mean == pytest.approx(np.mean([np.mean(each) for each in changes.values()]))
    assert found.n == 2
    assert "thing" not in table.rows["thing"]


def test_tables_of_the_task_are_in_the_report_and_in_files(run: Path, tmp_path: Path) -> None:
    page = report.write(run).read_text()
    assert "Interference by kind" in page
    assert "Order of the two maps" in page
    board = json.loads((run / "leaderboard.json").read_text())
    assert {each["table"] for each in board["task_tables"]} == {"interference", "order"}
    assert "Order of the two maps" in (run / "leaderboard.md").read_text()
    with report.open_run(run) as summary:
        csv_tables.write(summary, tmp_path / "csv")
    with (tmp_path / "csv" / "task.csv").open() as file:
        assert next(iter(csv.DictReader(file))).keys() == set(task_tables.FILE_COLUMNS)
