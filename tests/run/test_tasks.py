"""Tasks of a run: a concept is removed from images of prompts that carry it."""

import csv
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import toy_plugin
from kit.toy_plugin import ToyEncoder

from htbench import report
from htbench.bundles.pack import pack
from htbench.bundles.remake import RemakeOptions
from htbench.bundles.verify import VerifyOptions, verify
from htbench.core import registry
from htbench.core.errors import Refused, UnknownName, UsageError
from htbench.core.pictures import read_picture
from htbench.judging.pairs import find_pictures
from htbench.report import requirements
from htbench.report.merge import model_reports
from htbench.report.sections import task as task_section
from htbench.report.sections import task_tables
from htbench.results.run_result import RunResult
from htbench.run import plan, runner
from htbench.run.add_scores import add_scores
from htbench.run.plan import Plan, RunOptions, build
from htbench.run.store import CellRow, Store
from htbench.run.summary import Summary
from htbench.run.tasks.remove import beside, find_neighbour
from htbench.run.workers.local import LocalPool
from htbench.run.workers.messages import Task
from htbench.steering import concept

CONCEPTS = """\
text,kind,template,split,synonyms,paraphrases
in fog,weather,"{prompt}, in fog",test,in mist | in haze,in murk
in rain,weather,"{prompt}, in rain",test,,in wet
with a kite,thing,"{prompt} with a kite",test,,
in snow,weather,"{prompt}, in snow",dev,,
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    folder = tmp_path_factory.mktemp("remove")
    path = folder / "mine.csv"
    path.write_text(CONCEPTS)
    with pytest.MonkeyPatch.context() as patch:
        toy_plugin.install(folder / "plugins", patch)
        yield {
            "model": "toy",
            "task": "remove",
            "methods": ["prompt", "prompt@inverse", "mean-shift"],
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


def test_a_pool_at_work_is_asked_for_nothing_else(
    settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_tasks, at_work = LocalPool.run_tasks, [False]

    def alone(self: LocalPool, supply: Callable[[], Task | None]) -> Iterator[tuple[Any, Any]]:
        assert not at_work[0], "with several workers it would give the results of other tasks"
        at_work[0] = True
        yield from run_tasks(self, supply)
        at_work[0] = False

    monkeypatch.setattr(LocalPool, "run_tasks", alone)
    made(settings, tmp_path / "run", methods=["prompt"])


def rows(folder: Path, method: str) -> list[CellRow]:
    with Store.read(folder) as store:
        return [row for row in store.rows() if row.method == method]


def by_part(folder: Path, cells: list[CellRow]) -> dict[str, list[CellRow]]:
    with Store.read(folder) as store:
        parts = Summary(store).facts.task.parts
    found = defaultdict(list)
    for row in cells:
        found[parts[row.concept][row.prompt]].append(row)
    return found


def test_a_plan_that_adds_concepts_is_written_as_before_there_were_tasks() -> None:
    assert "task" not in Plan().model_dump(mode="json")
    assert build({"task": "add"}) == Plan()
    assert build({"task": "remove"}).model_dump(mode="json")["task"] == "remove"


def test_prompts_carry_the_concept_its_synonym_its_neighbour_another_kind_or_nothing(
    settings: dict[str, object],
) -> None:
    resolved = plan.resolve(build(settings))
    neutral = resolved.prompts[0]
    own = resolved.task_prompts["weather/in-fog"]
    assert {each.part: each.text for each in own if each.neutral == neutral} == {
        "plain": f"{neutral}, in fog",
        "paraphrased": f"{neutral}, in mist",
        "neighbour": f"{neutral}, in rain",
        "beside": f"{neutral} with a kite, in fog",
        "unrelated": neutral,
    }
    kite = resolved.task_prompts["thing/with-a-kite"]
    assert {each.part for each in kite} == {"plain", "beside", "unrelated"}


def test_a_neighbour_shares_words_and_no_whole_part() -> None:
    emoji = concept.load("emoji")
    by_id = {each.id: each for split in emoji.splits.values() for each in split}
    near = find_neighbour(by_id["background/black"], emoji)
    assert near
    assert near.kind == "background"
    assert "black" in near.families
    look = next(each for each in by_id.values() if each.kind == "look")
    other = find_neighbour(look, emoji)
    assert other
    assert not set(other.text.split(", ")) & set(look.text.split(", "))


def test_images_have_the_seeds_of_their_neutral_prompts(run: Path) -> None:
    unsteered = by_part(run, [row for row in rows(run, "none") if row.concept == "weather/in-fog"])
    seeds = [[row.seed for row in part] for part in unsteered.values()]
    assert len(seeds) == 5
    assert all(each == seeds[0] for each in seeds)


def test_removing_is_steering_at_negative_strength(
    run: Path, settings: dict[str, object], tmp_path: Path
) -> None:
    added = made(settings, tmp_path / "added", task="add", strengths=[-1.0])
    images = {(row.concept, row.prompt): row.file for row in rows(added, "mean-shift")}
    own = by_part(run, rows(run, "mean-shift"))["unrelated"]
    assert [row.file for row in own] == [images[row.concept, row.prompt] for row in own]
    assert own[0].strength == 1


def test_a_prompt_without_the_words_is_the_known_good_image(run: Path) -> None:
    plain = by_part(run, rows(run, "none"))["unrelated"]
    omitted = by_part(run, rows(run, "prompt@inverse"))["plain"]
    assert [row.file for row in omitted] == [row.file for row in plain]


def test_scores_ask_for_the_concept_and_for_the_rest(run: Path) -> None:
    encoder = ToyEncoder("cpu")
    with Store.read(run) as store:
        scores = {(cell, metric): value for cell, metric, _, value in store.scores()}

    def picture(row: CellRow) -> np.ndarray:
        return encoder.images([read_picture(run / "images" / str(row.file))])[0].numpy()

    good = {(row.concept, row.seed): row for row in by_part(run, rows(run, "none"))["unrelated"]}
    for row in by_part(run, rows(run, "mean-shift"))["plain"]:
        image, rest = picture(row), good[row.concept, row.seed]
        with_it, without = encoder.texts([row.prompt, rest.prompt]).numpy()
        presence = 1 / (1 + np.exp(-encoder.scale * image @ (with_it - without)))
        assert scores[row.id, "presence"] == pytest.approx(presence, abs=1e-5)
        assert scores[row.id, "rest_kept"] == pytest.approx(image @ picture(rest), abs=1e-5)


def test_removal_is_the_fall_of_presence_over_concepts(run: Path) -> None:
    with Store.read(run) as store:
        summary = Summary(store)
        presence = {cell: own["presence"] for cell, own in summary.scores.items()}
        section = task_section.collect(summary)
    assert section
    before = {(row.concept, row.prompt): presence[row.id] for row in rows(run, "none")}
    falls = defaultdict(list)
    for row in by_part(run, rows(run, "mean-shift"))["plain"]:
        falls[row.concept].append(before[row.concept, row.prompt] - presence[row.id])
    own = next(row for row in section.rows if row.method == "mean-shift").scores
    removal = own["removal"]
    assert removal
    assert removal.mean == pytest.approx(np.mean([np.mean(each) for each in falls.values()]))
    assert removal.n == 3


def test_leaving_the_words_out_keeps_the_rest_and_all_else(run: Path) -> None:
    with Store.read(run) as store:
        section = task_section.collect(Summary(store))
    assert section
    own = {row.method: row.scores for row in section.rows}
    for measure in ("rest_kept", "selectivity", "unrelated_kept"):
        value = own["prompt@inverse"][measure]
        assert value
        assert value.mean == pytest.approx(1, abs=1e-6)
    assert section.rows[-1].method == "none"


def test_a_failed_cell_has_the_worst_value(
    settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    neutral = plan.resolve(build(settings)).prompts[0]
    monkeypatch.setenv("TOY_FEARS", f"{neutral}, in fog")
    folder = made(settings, tmp_path / "run", methods=["mean-shift"])
    with Store.read(folder) as store:
        section = task_section.collect(Summary(store))
    assert section
    row = next(row for row in section.rows if row.method == "mean-shift")
    assert row.failed == 1
    assert row.means["weather/in-fog"] < 0
    assert row.unranked


def test_the_report_has_the_task_in_place_of_the_claims(run: Path) -> None:
    page = report.write(run).read_text()
    assert 'id="task"' in page
    assert "Over-removal" in page
    assert 'id="claims"' not in page
    with (run / "leaderboard.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["method"] for line in lines][-1] == "none"
    assert {"removal", "rest_kept_low", "selectivity_high"} <= lines[0].keys()
    assert "Removal" not in (run / "leaderboard.md").read_text().splitlines()[0]


def test_kinds_beside_a_concept_take_turns_over_prompts() -> None:
    emoji = concept.load("emoji")
    black = next(
        each for own in emoji.splits.values() for each in own if each.id == "background/black"
    )
    prompts = beside(black, emoji.prompts[:5], emoji)
    assert sorted(each.asked.kind for each in prompts[:4]) == [
        "companion",
        "frame",
        "style",
        "weather",
    ]
    assert prompts[4].asked == prompts[0].asked


def test_what_is_to_stay_is_a_table_of_methods_and_kinds(run: Path) -> None:
    with Store.read(run) as store:
        (table,) = task_tables.collect(Summary(store))
    assert table.columns == (
        *("Unrelated noun", "Over-removal", "Neighbour lost"),
        *("thing", "weather"),
    )
    left_out = table.rows["prompt@inverse"]
    for column in ("Unrelated noun", "Neighbour lost"):
        value = left_out[column]
        assert value
        assert value.mean == pytest.approx(0, abs=1e-6)
    assert "Losses of what is to stay" in report.write(run).read_text()


def test_locality_is_a_table_of_plain_prompts_by_method_and_kind(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    places = {"weather/in-fog": 0.5, "thing/with-a-kite": -0.25}
    with Store.open(copy) as store:
        parts = Summary(store).facts.task.parts
        cells = [row for row in store.rows() if row.method != "none"]
        store.add_scores(
            (
                row.id,
                "emoji-locality",
                "emoji-locality@1",
                places.get(row.concept) if parts[row.concept][row.prompt] == "plain" else -1.0,
            )
            for row in cells
        )
        store.set_facts(gauges=[{"id": "emoji-locality@1", "name": "emoji-locality"}])
    with Store.read(copy) as store:
        _, table = task_tables.collect(Summary(store))
    assert table.name == "locality"
    assert table.columns == ("all", "thing", "weather")
    assert table.rows.keys() == {"prompt", "prompt@inverse", "mean-shift"}
    means = {name: value and value.mean for name, value in table.rows["mean-shift"].items()}
    assert means == pytest.approx({"all": 0.125, "thing": -0.25, "weather": 0.5})


def test_the_same_command_changes_nothing(run: Path, settings: dict[str, object]) -> None:
    with Store.read(run) as store:
        before = store.rows(), list(store.scores()), store.sessions()
    made(settings, run)
    with Store.read(run) as store:
        assert (store.rows(), list(store.scores()), store.sessions()) == before
        assert Summary(store).is_complete


def test_a_packed_run_is_verified(run: Path, settings: dict[str, object], tmp_path: Path) -> None:
    bundle = tmp_path / "run.htbench"
    pack(run, bundle)
    again = RemakeOptions(number=8, refit=True)
    options = VerifyOptions(again=again, concept_set=str(settings["concept_set"]))
    found = list(verify(bundle, options))
    assert not [each.what for each in found if each.kind == "differs"]
    assert any("pictures" in each.what for each in found if each.kind == "holds")


def test_another_scorer_scores_the_run_for_the_task(run: Path, settings: dict[str, object]) -> None:
    with Store.open(run) as store, store.writing() as (write, _):
        write.execute("DELETE FROM scores")
    add_scores(run, ["toy-clip"])
    with Store.read(run) as store:
        assert {metric for _, metric, _, _ in store.scores()} >= {"rest_kept", "subject"}


def test_judges_refuse_a_run_that_adds_nothing(run: Path) -> None:
    with Store.read(run) as store, pytest.raises(UsageError, match="task 'remove'"):
        find_pictures(store)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"strengths": [-1.0]}, "Use 1"),
        ({"tune_strength": True}, "chosen for task 'add' alone"),
        ({"wording": ["synonym"]}, "has no wordings"),
    ],
)
def test_settings_without_a_meaning_in_the_task_are_refused(
    settings: dict[str, object], changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(UsageError) as caught:
        plan.resolve(build(settings, changes))
    assert reason in f"{caught.value} {caught.value.remedy}"


def test_an_unknown_task_has_its_nearest_name(settings: dict[str, object]) -> None:
    with pytest.raises(UnknownName, match="remove"):
        plan.resolve(build(settings, {"task": "remov"}))


def test_the_command_says_so_on_the_terminal(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from htbench.report import terminal

    with report.open_run(run) as summary:
        terminal.show(summary)
    shown = capsys.readouterr().out
    assert "Task remove" in shown
    assert "Ranked by removal at strength 1" in shown


def test_a_rule_may_be_about_a_measure_of_the_task(run: Path) -> None:
    rule = requirements.parse("rest_kept[prompt@inverse] >= 0.9")
    with report.open_run(run) as summary:
        (verdict,) = requirements.check(summary, [rule])
    assert verdict.reason.startswith("it is 1")


def test_the_leaderboard_in_python_has_the_measures_of_the_task(run: Path) -> None:
    board = RunResult(folder=run).leaderboard()
    assert list(board["method"])[-1] == "none"
    assert {"removal", "selectivity_low", "concept_seconds"} <= set(board.columns)
    assert "concept_gain" not in board.columns


def test_a_report_of_several_runs_refuses_one_of_another_task(
    run: Path, settings: dict[str, object], tmp_path: Path
) -> None:
    added = made(settings, tmp_path / "added", task="add", methods=["prompt"])
    with pytest.raises(Refused, match="task 'remove'"), model_reports([added, run]):
        pass
