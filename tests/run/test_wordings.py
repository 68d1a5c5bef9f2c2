"""Several wordings: steered cells are repeated in each, and the run stays what it was."""

import csv
import shutil
from pathlib import Path

import pytest
from pyarrow import parquet

from htbench.bundles.pack import pack
from htbench.bundles.remake import RemakeOptions
from htbench.bundles.verify import VerifyOptions, verify
from htbench.core.errors import UsageError
from htbench.core.types import Digest
from htbench.report import csv_tables
from htbench.run import export, plan, runner, wording_runs
from htbench.run.check import check
from htbench.run.diff import compare_runs
from htbench.run.fact_table import Facts
from htbench.run.finished import is_finished
from htbench.run.forecast import forecast
from htbench.run.plan import Cell, Plan, ResolvedPlan, RunOptions, build
from htbench.run.run_folder import widen
from htbench.run.settings import origins
from htbench.run.store import CellRow, Store
from htbench.run.summary import Summary
from htbench.steering.concept import Concept
from htbench.steering.wording import Wording, phrasings

CONCEPTS = """\
text,kind,template,split,synonyms,paraphrases
in fog,weather,"{prompt}, in fog",test,in mist | in haze,in murk
in rain,weather,"{prompt}, in rain",test,in drizzle,in wet
with a kite,thing,,test,,with a flier
in snow,weather,,dev,,
"""


@pytest.fixture(scope="module")
def concepts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("set") / "mine.csv"
    path.write_text(CONCEPTS)
    return path


@pytest.fixture
def settings(toy_plugins: Path, concepts: Path) -> dict[str, object]:
    return {
        "model": "toy",
        "methods": ["prompt", "mean-shift"],
        "concept_set": str(concepts),
        "prompts": 2,
        "seeds": 2,
        "strengths": [0.0, 1.0],
        "batch": 4,
    }


def made(settings: dict[str, object], folder: Path, **changes: object) -> Path:
    runner.run(build(settings, changes), folder, RunOptions(threads=1, reuse=False))
    return folder


def rows(folder: Path) -> list[CellRow]:
    with Store.read(folder) as store:
        return store.rows()


def part(folder: Path, wording: Wording) -> Path:
    return wording_runs.folder(folder, wording)


def resolved(settings: dict[str, object], **changes: object) -> ResolvedPlan:
    return plan.resolve(build(settings, changes))


BOTH = ["canonical", "synonym", "unknown"]


@pytest.fixture
def whole(settings: dict[str, object], tmp_path: Path) -> Path:
    """A run in three wordings."""
    return made(settings, tmp_path / "whole", wording=BOTH)


def test_a_plan_in_canonical_words_is_written_as_before_there_were_others() -> None:
    written = Plan().model_dump(mode="json")
    assert "wording" not in written
    assert "per_concept_words" not in written
    assert build({"wording": ["canonical"]}) == Plan()
    assert build({"wording": ["unknown", "synonym"]}).model_dump()["wording"] == tuple(BOTH)


def test_other_wordings_leave_the_run_as_it_is(
    whole: Path, settings: dict[str, object], tmp_path: Path
) -> None:
    assert rows(whole) == rows(made(settings, tmp_path / "single"))


def test_prompting_in_a_wording_makes_the_pictures_of_those_words(
    whole: Path, settings: dict[str, object], tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    other.write_text(
        "text,id,kind,template,split\n"
        'in mist,weather/in-fog,weather,"{prompt}, in mist",test\n'
        'in drizzle,weather/in-rain,weather,"{prompt}, in drizzle",test\n'
    )
    alone = made({**settings, "concept_set": str(other), "seeds": 1}, tmp_path / "alone")
    first = {(row.concept, row.prompt, row.seed): row.file for row in prompted(alone)}
    said = {
        (row.concept, row.prompt, row.seed): row.file for row in prompted(part(whole, "synonym"))
    }
    assert len(first) == 4
    assert first.items() <= said.items()


def prompted(folder: Path) -> list[CellRow]:
    return [row for row in rows(folder) if row.method == "prompt" and row.is_steered]


def test_pictures_of_two_synonyms_of_a_concept_differ_in_the_words_alone(whole: Path) -> None:
    with Store.read(part(whole, "synonym")) as store:
        facts = Facts.read(store)
    assert facts.phrasings["weather/in-fog"] == ["in mist", "in haze"]
    said = wording_runs.SaidWords(facts)
    words = {
        (row.seed, said.of(row.concept, row.prompt, row.seed))
        for row in prompted(part(whole, "synonym"))
        if row.concept == "weather/in-fog"
    }
    numbers = {
        (plan.image_seed(row.prompt, number), ("in mist", "in haze")[number])
        for row in prompted(whole)
        for number in range(2)
    }
    assert words == numbers


def test_a_concept_without_synonyms_has_no_cells_of_them(whole: Path) -> None:
    assert {row.concept for row in rows(part(whole, "synonym"))} == {
        "weather/in-fog",
        "weather/in-rain",
    }
    assert "thing/with-a-kite" in {row.concept for row in rows(part(whole, "unknown"))}


def test_a_method_that_is_fitted_per_concept_is_fitted_once(whole: Path) -> None:
    assert {row.method for row in rows(part(whole, "synonym"))} == {"none", "prompt"}


def test_per_concept_methods_are_fitted_on_the_wordings_own_words_if_asked(
    settings: dict[str, object], tmp_path: Path
) -> None:
    folder = made(settings, tmp_path / "own", wording=BOTH, per_concept_words="own")
    canonical, said = (
        {
            (row.concept, row.prompt, row.seed): row.image
            for row in rows(each)
            if row.method == "mean-shift" and row.is_steered
        }
        for each in (folder, part(folder, "synonym"))
    )
    assert len(said) == 8
    assert all(canonical[cell] != image for cell, image in said.items())


def test_scores_ask_about_the_canonical_words(
    whole: Path, settings: dict[str, object], concepts: Path, tmp_path: Path
) -> None:
    """The same picture has the same presence, whatever its method was given."""
    same = tmp_path / "same.csv"
    same.write_text(CONCEPTS.replace("in mist | in haze", "in fog"))
    folder = made(
        {**settings, "concept_set": str(same)}, tmp_path / "same", wording=["canonical", "synonym"]
    )
    before, after = (
        {
            (row.prompt, row.seed): scores[row.id]
            for row in prompted(each)
            if row.concept == "weather/in-fog"
        }
        for each in (folder, part(folder, "synonym"))
        for scores in [presences(each)]
    )
    assert before == after
    assert len(before) == 4


def presences(folder: Path) -> dict[int, float | None]:
    with Store.read(folder) as store:
        return {cell: value for cell, name, _, value in store.scores() if name == "presence"}


def test_a_wording_that_no_concept_has_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="has reference images") as error:
        resolved(settings, wording=["image"])
    assert "canonical, synonym, unknown" in (error.value.remedy or "")


def test_a_forecast_counts_every_wording(settings: dict[str, object], tmp_path: Path) -> None:
    one, three = (
        forecast(resolved(settings, wording=each), folder=tmp_path / "run", runs=tmp_path)
        for each in (["canonical"], BOTH)
    )
    steered = 2 * 2 * (2 + 3)
    assert three.cells - one.cells == 2 * steered, "none, and prompting at strength 1"


def test_a_finished_run_has_nothing_left_to_do_in_any_wording(
    whole: Path, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    made(settings, whole, wording=BOTH)
    assert not (tmp_path / "log").exists()
    with Store.read(whole) as store:
        assert Summary(store).is_complete


def test_a_run_in_canonical_words_goes_on_in_others(
    settings: dict[str, object], tmp_path: Path
) -> None:
    narrow, wide = build(settings), build(settings, {"wording": BOTH})
    assert widen(narrow, wide) == wide
    assert widen(wide, narrow) == wide


def test_a_run_that_lacks_cells_of_a_wording_is_not_complete(whole: Path) -> None:
    with Store.open(part(whole, "unknown")) as store:
        store.drop_scores({"thing/with-a-kite"})
    with Store.read(whole) as store:
        summary = Summary(store)
        cells = summary.wording_cells["unknown"]
        assert cells.planned - cells.done == 2 * 2 * 2
        assert not summary.is_complete
    status = check(whole)
    assert (status.wordings["unknown"].unscored, status.is_complete) == (8, False)


def test_runs_are_compared_in_every_wording(whole: Path, tmp_path: Path) -> None:
    with Store.read(whole) as one, Store.read(whole) as two:
        assert compare_runs(Summary(one), Summary(two)).paired == 12 + 2 * 24 + 8 + 12
    other = Path(shutil.copytree(whole, tmp_path / "other"))
    with Store.open(part(other, "synonym")) as store:
        store.add_scores(
            (cell, name, encoder, value + 0.5)
            for cell, name, encoder, value in store.scores()
            if name == "presence" and value is not None
        )
    with Store.read(whole) as one, Store.read(other) as two:
        (change,) = [
            each
            for each in compare_runs(Summary(one), Summary(two)).changes
            if each.method == "prompt"
        ]
    assert (change.wording, change.metric, change.pairs) == ("synonym", "presence", 8)
    assert change.estimate.mean == pytest.approx(0.5)


def test_a_bundle_of_several_wordings_is_what_it_says(
    whole: Path, concepts: Path, tmp_path: Path
) -> None:
    bundle = pack(whole, tmp_path / "mine.zip").path
    options = VerifyOptions(again=RemakeOptions(number=200, refit=True), concept_set=str(concepts))
    found = list(verify(bundle, options))
    assert [each.what for each in found if each.kind == "differs"] == []
    texts = [each.what for each in found]
    assert "wording synonym: 16 cells are those of the plan" in texts
    assert any("pictures made again have the same bytes" in text for text in texts)


def test_an_export_says_the_wording_and_the_words(whole: Path, tmp_path: Path) -> None:
    with Store.read(whole) as store:
        csv_tables.write(Summary(store), tmp_path / "csv")
    with (tmp_path / "csv" / "cells.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    said = {
        (row["wording"], row["words"])
        for row in cells
        if row["concept"] == "weather/in-fog" and row["strength"] == "1.0"
    }
    assert said == {
        ("canonical", "in fog"),
        ("synonym", "in mist"),
        ("synonym", "in haze"),
        ("unknown", "in murk"),
    }


def test_a_method_that_reads_words_alone_has_no_cells_of_images(
    settings: dict[str, object], concepts: Path
) -> None:
    whole = plan.resolve(
        build({"methods": ["prompt", "lineas", "hypertransport"], "limit": 2, "wording": ["image"]})
    )
    (images,) = whole.wordings
    assert list(images.cards) == ["none", "hypertransport"]
    assert all(each.text == "" and each.references for each in images.said)
    assert [each.id for each in images.concepts] == [each.id for each in whole.concepts]
    assert phrasings(whole.concepts[0], "image")[0] == images.said[0]


def test_a_run_that_is_done_in_all_wordings_is_finished(
    settings: dict[str, object], tmp_path: Path
) -> None:
    """Asked of the embedded model, since a plug-in's version is not known."""
    own = {"methods": ["prompt"], "limit": 1, "prompts": 1, "strengths": [1.0], "batch": 2}
    folder = tmp_path / "run"
    runner.run(build(own, {"wording": ["unknown"]}), folder, RunOptions(threads=1, reuse=False))
    options = RunOptions()
    assert is_finished(plan.resolve(build(own, {"wording": ["unknown"]})), folder, options)
    (folder / "wordings" / "unknown" / "run.sqlite").unlink()
    assert not is_finished(plan.resolve(build(own, {"wording": ["unknown"]})), folder, options)


def test_a_data_set_has_the_images_of_every_wording(whole: Path, tmp_path: Path) -> None:
    with Store.read(whole) as store:
        export.write(Summary(store), tmp_path / "out", "datasets")
        export.write(Summary(store), tmp_path / "tables", "parquet")
    table = parquet.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")
    found = {
        (
            row["wording"],
            row["method"],
            row["concept"],
            row["prompt"],
            row["seed"],
            row["strength"],
        ): row["image"]["bytes"]
        for row in table.to_pylist()
    }
    for wording, folder in (("canonical", whole), ("synonym", part(whole, "synonym"))):
        for row in rows(folder):
            cell = (wording, row.method, row.concept, row.prompt, row.seed, row.strength)
            assert found[cell] == (folder / "images" / str(row.file)).read_bytes()
    cells = parquet.read_table(tmp_path / "tables" / "cells.parquet")["wording"].to_pylist()
    assert {each: cells.count(each) for each in cells} == {
        "canonical": 60,
        "synonym": 16,
        "unknown": 24,
    }


def test_the_key_of_a_picture_in_canonical_words_is_what_it_was_before_other_wordings() -> None:
    """The digest was made by the code of commit f2b7b16."""
    fog = Concept(id="weather/fog", kind="weather", text="in fog", template="{prompt}, in fog")
    cell = Cell(method="act", concept=fog, prompt="a cat", seed=7, strength=1.0, said=fog)
    key = plan.image_key(cell, model=Digest("m"), method_digest=Digest("d"), batch=16)
    assert key == "5096a5936142547e"


def test_the_key_of_a_picture_changes_with_the_words_that_its_method_is_given() -> None:
    fog = Concept(
        id="weather/fog",
        kind="weather",
        text="in fog",
        template="{prompt}, in fog",
        synonyms=("in mist", "in haze"),
    )
    said = [*phrasings(fog, "canonical"), *phrasings(fog, "synonym")]
    keys = {
        plan.image_key(
            Cell(method="act", concept=fog, prompt="a cat", seed=7, strength=1.0, said=each),
            model=Digest("m"),
            method_digest=Digest("d"),
            batch=16,
        )
        for each in said
    }
    assert len(keys) == 3


def test_the_shown_settings_of_a_plan_have_the_wording_also_where_it_is_not_written() -> None:
    shown = {each.name: (each.value, each.origin) for each in origins([Plan()], {})}
    assert shown["wording"] == (["canonical"], "default")
    assert shown.keys() == Plan.model_fields.keys()
