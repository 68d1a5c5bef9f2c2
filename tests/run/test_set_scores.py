"""Scores of sets of pictures: in runs, added later, continued, listed and exported."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from htbench import report
from htbench.cli import app
from htbench.core import registry
from htbench.core.errors import Refused, UnknownName
from htbench.report import csv_tables
from htbench.run import cell_sets, export, set_scores
from htbench.run.add_scores import add_scores
from htbench.run.fact_table import Facts, SetScoreRowFacts
from htbench.run.store import Store
from htbench.scorers import scorer
from htbench.scorers.picture_sets.diversity import vendi
from htbench.scorers.picture_sets.frechet import frechet

RUN = [
    "run", "--model", "toy", "--method", "prompt", "--prompts", "2", "--seeds", "2",
    "--strength", "1", "--device", "cpu", "--limit", "5", "--name", "made",
    "--scorer", "emoji-clip-b",
]  # fmt: skip
ALL = ("vendi", "pairwise-distance", "cmmd", "frechet", "wasserstein")
pytestmark = pytest.mark.usefixtures("toy_plugins")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*RUN, *words], catch_exceptions=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the toy with five concepts, two prompts and two seeds."""
    from kit import toy_plugin

    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        toy_plugin.install(folder / "plugins", patch)
        patch.chdir(folder)
        assert run().exit_code == 0
    registry.plugins.cache_clear()
    return folder / "runs" / "made"


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(made, tmp_path / "runs" / "made"))


def row(folder: Path, name: str, method: str = "prompt", strength: float = 1) -> SetScoreRowFacts:
    with Store.read(folder) as store:
        (scores,) = [each for each in Facts.read(store).set_scores if each.name == name]
    found = scores.row(method, strength)
    assert found is not None
    return found


def embeddings(folder: Path, method: str) -> dict[tuple[str, str, int], np.ndarray]:
    """By concept, prompt and seed: the encoder's embedding of each picture, one by one."""
    encoder = registry.load("encoders", "emoji-clip-b")("cpu")
    with Store.read(folder) as store:
        return {
            (cell.concept, cell.prompt, cell.seed): encoder.images(
                [Image.open(store.image_path(str(cell.file)))]
            )[0]
            .double()
            .numpy()
            for cell in store.rows()
            if cell.method == method and cell.is_steered == (method != "none")
        }


def test_scores_are_those_of_the_headline_s_embeddings(folder: Path) -> None:
    added = add_scores(folder, ["vendi", "frechet"])
    assert (added.cells, added.sets) == ({}, {"vendi": 2, "frechet": 2})
    steered, plain = embeddings(folder, "prompt"), embeddings(folder, "none")
    groups: dict[tuple[str, str], list[np.ndarray]] = {}
    for (concept, prompt, _), vector in steered.items():
        groups.setdefault((concept, prompt), []).append(vector)
    expected = np.mean([vendi(np.stack(rows)) for rows in groups.values()])
    assert row(folder, "vendi").value == pytest.approx(expected, abs=1e-4)
    x, y = np.stack(list(steered.values())), np.stack([plain[key] for key in steered])
    distance = frechet(x, y, np.full(len(y), 1 / len(y))).value
    found = row(folder, "frechet")
    assert found.value == pytest.approx(distance, abs=1e-4)
    assert (found.pictures, found.planned, found.concepts) == (20, 20, 5)
    assert found.low < found.value < found.high


def test_unsteered_pictures_are_at_no_distance_from_themselves(folder: Path) -> None:
    add_scores(folder, ["cmmd"])
    assert row(folder, "cmmd", "none", 0).value == pytest.approx(0, abs=1e-9)
    assert row(folder, "cmmd").floor > 0


def test_a_run_scores_them_and_a_second_command_does_nothing(folder: Path) -> None:
    answer = run("--scorer", "cmmd")
    assert answer.exit_code == 0
    assert "Sets of pictures" in answer.stdout
    before = (folder / "run.sqlite").read_bytes()
    assert run("--scorer", "cmmd").exit_code == 0
    assert (folder / "run.sqlite").read_bytes() == before
    assert add_scores(folder, ["cmmd"]).sets == {"cmmd": 0}


def test_a_killed_run_scores_the_sets_that_are_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("htbench.scorers.picture_sets.cmmd.Cmmd.measure", _fails_at_the_second())
        with pytest.raises(KeyboardInterrupt):
            add_scores(folder, ["cmmd"])
    assert add_scores(folder, ["cmmd"]).sets == {"cmmd": 1}


def _fails_at_the_second() -> object:
    from htbench.scorers.picture_sets.cmmd import cmmd
    from htbench.scorers.set_scorer import distance_score

    calls: list[object] = []

    def measure(self: object, pictures: object) -> object:
        calls.append(pictures)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return distance_score(pictures, cmmd)  # type: ignore[arg-type]

    return measure


def test_other_pictures_are_scored_again(folder: Path) -> None:
    add_scores(folder, ["cmmd"])
    few = row(folder, "cmmd")
    assert run("--seeds", "3", "--scorer", "cmmd").exit_code == 0
    more = row(folder, "cmmd")
    assert (few.pictures, more.pictures) == (20, 30)
    assert few.digest != more.digest


def test_a_set_that_lacks_pictures_has_a_reason_in_place_of_a_score(folder: Path) -> None:
    with Store.open(folder) as store, store.writing() as (write, _):
        cells = [cell.image for cell in store.rows() if cell.is_steered][:3]
        write.executemany("UPDATE images SET file = NULL WHERE key = ?", [(key,) for key in cells])
    add_scores(folder, ["cmmd"])
    found = row(folder, "cmmd")
    assert found.reason == "3 of 20 cells lack their picture or its unsteered one"
    page = report.write(folder).read_text(encoding="utf-8")
    assert "No CMMD: 3 of 20 cells lack their picture" in page


def test_one_seed_has_no_diversity_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = run("--seeds", "1", "--limit", "2", "--scorer", "vendi")
    assert answer.exit_code == 0
    assert "No Vendi score: one seed per prompt, and two are needed" in answer.stdout


def test_a_damaged_picture_is_a_reason_and_is_tried_again(folder: Path) -> None:
    with Store.read(folder) as store:
        path = store.image_path(str(next(c.file for c in store.rows() if c.is_steered)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    add_scores(folder, ["cmmd"])
    assert "is not what was written" in row(folder, "cmmd").reason
    path.write_bytes(whole)
    assert add_scores(folder, ["cmmd"]).sets == {"cmmd": 1}
    assert row(folder, "cmmd").reason == ""


def test_another_encoder_than_the_headline_s_is_refused(folder: Path) -> None:
    with Store.open(folder) as store:
        headline = store.facts()["scorer"]
        store.set_facts(scorer={**headline, "id": "emoji-clip-b@other"})
    with pytest.raises(Refused, match="emoji-clip-b@other, and here is emoji-clip-b@"):
        add_scores(folder, ["cmmd"])


def test_a_large_set_keeps_the_same_prompts_for_all_concepts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_sets, "MAX_PICTURES", 12)
    add_scores(folder, ["vendi"])
    assert (row(folder, "vendi").pictures, row(folder, "vendi").concepts) == (10, 5)


def test_pictures_are_read_a_few_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_scores(folder, ["cmmd"])
    together = row(folder, "cmmd").value
    with Store.open(folder) as store:
        store.set_facts(set_scores=[])
    monkeypatch.setattr(set_scores, "_BATCH_SIZE", 3)
    add_scores(folder, ["cmmd"])
    assert row(folder, "cmmd").value == pytest.approx(together, abs=1e-3)


def test_they_are_in_every_file_and_never_the_headline(folder: Path, tmp_path: Path) -> None:
    add_scores(folder, ALL)
    with report.open_run(folder) as summary:
        assert summary.headline == "concept_gain"
        csv_tables.write(summary, tmp_path / "csv")
        export.write(summary, tmp_path / "parquet", "parquet")
    with (tmp_path / "csv" / "set_scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    frame = pd.read_parquet(tmp_path / "parquet" / "set_scores.parquet")
    assert [each["score"] for each in rows] == list(frame["score"])
    assert set(frame["score"]) == set(ALL)
    assert float(rows[1]["value"]) == pytest.approx(frame["value"][1])


def test_they_are_listed_and_shown_with_the_other_scorers() -> None:
    listed = CliRunner().invoke(app, ["list", "scorers"]).stdout
    for name in ALL:
        assert f"{name} " in listed
        assert CliRunner().invoke(app, ["show", "scorer", name]).exit_code == 0


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="wasserstein"):
        scorer.check("waserstein")


def test_pictures_are_embedded_once_for_the_headline_and_all_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise AssertionError("a picture is read again")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("htbench.run.set_scores._read", fail)
    assert run("--scorer", "cmmd", "--limit", "2").exit_code == 0
    folder = tmp_path / "runs" / "made"
    assert row(folder, "cmmd").concepts == 2
    before = row(folder, "cmmd").value
    add_scores(folder, ["frechet"])
    monkeypatch.undo()
    (folder / "embeddings.sqlite").unlink()
    with Store.open(folder) as store:
        store.set_facts(set_scores=[])
    add_scores(folder, ["cmmd"])
    assert row(folder, "cmmd").value == pytest.approx(before, abs=1e-12)
