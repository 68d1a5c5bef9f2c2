"""Task `replace`: one concept of a kind takes the place of another."""

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
from htbench.report.sections import task as task_section
from htbench.report.sections import task_tables
from htbench.results.run_result import RunResult
from htbench.run import plan, runner
from htbench.run.plan import RunOptions, build
from htbench.run.store import CellRow, Store
from htbench.run.summary import Summary

CONCEPTS = """\
text,kind,template,split
in fog,weather,"{prompt}, in fog",test
with a kite,thing,"{prompt} with a kite",test
in rain,weather,"{prompt}, in rain",test
with a kite and rod,thing,"{prompt} with a kite and rod",test
in snow,weather,"{prompt}, in snow",test
in hail,weather,"{prompt}, in hail",dev
"""
FOG_TO_RAIN = "weather/in-fog -> weather/in-rain"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    folder = tmp_path_factory.mktemp("replace")
    path = folder / "mine.csv"
    path.write_text(CONCEPTS)
    with pytest.MonkeyPatch.context() as patch:
        toy_plugin.install(folder / "plugins", patch)
        yield {
            "model": "toy",
            "task": "replace",
            "methods": ["prompt", "prompt@swap", "prompt@instead", "mean-shift@swap"],
            "concept_set": str(path),
            "prompts": 2,
            "strengths": [1.0],
            "batch": 4,
        }
    registry.plugins.cache_clear()


@pytest.fixture(scope="module")
def run(settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    runner.run(build(settings), folder, RunOptions(threads=1, reuse=False))
    return folder


def rows(folder: Path, method: str, part: str) -> list[CellRow]:
    with Store.read(folder) as store:
        parts = Summary(store).facts.task.parts
        every = [row for row in store.rows() if row.method == method]
    return [row for row in every if parts[row.concept][row.prompt] == part]


def test_a_concept_is_replaced_by_the_next_free_one_of_its_kind(
    settings: dict[str, object],
) -> None:
    resolved = plan.resolve(build(settings))
    assert list(resolved.concepts_by_id) == [FOG_TO_RAIN]
    assert {concept.id for concept in resolved.left_out} == {
        "thing/with-a-kite",
        "thing/with-a-kite-and-rod",  # they share a word
        "weather/in-snow",
    }


def test_concepts_of_different_kinds_take_no_place(settings: dict[str, object]) -> None:
    chosen = {"concepts": "weather/in-fog,thing/with-a-kite"}
    with pytest.raises(UsageError, match="2 in number, none can take the place"):
        plan.resolve(build(settings, chosen))


def test_prompts_carry_the_old_concept_the_new_one_a_third_or_none(
    settings: dict[str, object],
) -> None:
    resolved = plan.resolve(build(settings))
    neutral = resolved.prompts[0]
    own = resolved.task_prompts[FOG_TO_RAIN]
    assert {each.part: each.text for each in own if each.neutral == neutral} == {
        "plain": f"{neutral}, in fog",
        "wanted": f"{neutral}, in rain",
        "neighbour": f"{neutral}, in snow",
        "beside": f"{neutral} with a kite, in fog",
        "unrelated": neutral,
    }


def test_exchanged_words_give_the_picture_that_is_wanted_and_change_no_other(run: Path) -> None:
    wanted = [row.file for row in rows(run, "none", "wanted")]
    assert [row.file for row in rows(run, "prompt@swap", "plain")] == wanted
    for part in ("wanted", "neighbour", "unrelated"):
        assert [row.file for row in rows(run, "prompt@swap", part)] == [
            row.file for row in rows(run, "none", part)
        ]


def test_the_probabilities_are_of_the_new_prompt_the_old_one_and_that_without(run: Path) -> None:
    encoder = ToyEncoder("cpu")
    with Store.read(run) as store:
        scores = {(cell, metric): value for cell, metric, _, value in store.scores()}
    for row in rows(run, "mean-shift@swap", "plain"):
        neutral = row.prompt.removesuffix(", in fog")
        image = encoder.images([read_picture(run / "images" / str(row.file))])[0].numpy()
        texts = encoder.texts([neutral, row.prompt, f"{neutral}, in rain"]).numpy()
        odds = np.exp(encoder.scale * (texts @ image))
        assert scores[row.id, "old_left"] == pytest.approx(odds[1] / odds.sum(), abs=1e-5)
        assert scores[row.id, "replaced"] == pytest.approx(odds[2] / odds.sum(), abs=1e-5)


def test_the_headline_is_the_mean_probability_of_the_new_prompt(run: Path) -> None:
    with Store.read(run) as store:
        section = task_section.collect(Summary(store))
        scores = {(cell, metric): value for cell, metric, _, value in store.scores()}
    assert section
    own = next(row for row in section.rows if row.method == "mean-shift@swap")
    values = [scores[row.id, "replaced"] for row in rows(run, "mean-shift@swap", "plain")]
    assert own.means[FOG_TO_RAIN] == pytest.approx(np.mean(values))


def test_an_exchange_of_words_leaves_all_else_bit_for_bit(run: Path) -> None:
    with Store.read(run) as store:
        section = task_section.collect(Summary(store))
    assert section
    own = next(row for row in section.rows if row.method == "prompt@swap").scores
    for name, expected in (("selectivity", 1), ("neighbour_loss", 0), ("new_loss", 0)):
        value = own[name]
        assert value
        assert value.mean == pytest.approx(expected, abs=1e-6)


def test_what_is_to_stay_has_its_loss_by_method_and_kind(run: Path) -> None:
    with Store.read(run) as store:
        (table,) = task_tables.collect(Summary(store))
        scores = {(cell, metric): value for cell, metric, _, value in store.scores()}
    assert table.columns == ("Unrelated noun", "Neighbour lost", "thing")
    falls = []
    for before, after in zip(
        rows(run, "none", "beside"), rows(run, "mean-shift@swap", "beside"), strict=True
    ):
        one, other = scores[before.id, "presence"], scores[after.id, "presence"]
        assert one is not None
        assert other is not None
        falls.append(one - other)
    value = table.rows["mean-shift@swap"]["thing"]
    assert value
    assert value.mean == pytest.approx(np.mean(falls))


def test_both_concepts_of_a_replacement_count(run: Path) -> None:
    with Store.read(run) as store:
        assert Summary(store).concepts == 2


def test_the_report_and_the_table_have_the_measures_of_the_task(run: Path) -> None:
    page = report.write(run).read_text()
    assert "Task replace" in page
    assert "Old one left" in page
    assert {"replaced", "old_left_low"} <= set(RunResult(folder=run).leaderboard().columns)


def test_a_packed_run_is_verified(run: Path, settings: dict[str, object], tmp_path: Path) -> None:
    bundle = tmp_path / "run.htbench"
    pack(run, bundle)
    again = RemakeOptions(number=8, refit=True)
    options = VerifyOptions(again=again, concept_set=str(settings["concept_set"]))
    found = list(verify(bundle, options))
    assert not [each.what for each in found if each.kind == "differs"]
    assert any("pictures" in each.what for each in found if each.kind == "holds")
