"""The page of a run's interventions."""

from pathlib import Path

import pytest

from htbench.core import content
from htbench.core.errors import UsageError
from htbench.play import page, run_maps
from htbench.play.engine import Engine, Row
from htbench.play.run_maps import RunMaps
from htbench.play.view import ConceptSource, View
from htbench.run.store import Store
from htbench.steering import intervention
from htbench.steering.intervention import InterventionOrigin

LEMON = ConceptSource(words="with lemon")


def _rows(engine: Engine, words: str = LEMON.words) -> list[Row]:
    concepts = (ConceptSource(words=words),)
    view = View(prompt="horse", methods=("mean-shift",), concepts=concepts, points=((1.0,),))
    return engine.rows(view)


@pytest.fixture
def run(engine: Engine, tmp_path: Path) -> Path:
    """A run with what `mean-shift` learns for a concept, in 12 seconds as its file says."""
    folder, model = tmp_path / "run", engine.model
    with Store.open(folder) as store:
        store.set_facts(
            model={"name": model.name, "revision": model.revision},
            methods={"mean-shift": {"digest": "aa"}, "none": {"digest": "cc"}},
            concepts={"lemon": {"text": LEMON.words, "digest": "bb"}, "dog": {"digest": "dd"}},
        )
    (folder / "maps").mkdir(exist_ok=True)
    intervention.save(
        engine.fit("mean-shift", LEMON).change,
        folder / "maps" / f"{content.digest(['aa', model.revision, 'bb'])}.safetensors",
        origin=InterventionOrigin(
            model=model.name, revision=model.revision, method="mean-shift",
            concept=LEMON.words, seed=0, seconds=12.0,
        ),
    )  # fmt: skip
    return folder


@pytest.fixture
def maps(run: Path) -> RunMaps:
    return run_maps.read(run, name="run")


@pytest.fixture
def of_run(engine: Engine, maps: RunMaps, tmp_path: Path) -> Engine:
    return Engine(
        engine.model, engine.learner, engine.scorer, engine.cards, engine.concepts,
        tmp_path / "other", run_maps=maps,
    )  # fmt: skip


def test_pictures_are_those_of_the_runs_interventions(engine: Engine, of_run: Engine) -> None:
    engine.fit("mean-shift", LEMON)
    expected, found = _rows(engine)[1], _rows(of_run)[1]
    assert found.images[0].tobytes() == expected.images[0].tobytes()
    assert found.images[0].tobytes() != _rows(of_run)[0].images[0].tobytes()


def test_the_time_to_learn_is_that_of_the_run(of_run: Engine) -> None:
    assert _rows(of_run)[1].learning_seconds == 12.0


def test_nothing_is_learnt_that_the_run_has_not(of_run: Engine) -> None:
    row = _rows(of_run, "with umbrella")[1]
    assert (row.note, row.needs_fit) == ("run 'run' learnt no such concept", False)
    assert list((of_run.folder / "learnt").iterdir()) == []


def test_the_page_offers_the_concepts_of_the_run(of_run: Engine) -> None:
    assert page.facts(of_run, [])["examples"] == [LEMON.words]


def test_a_damaged_file_is_told_in_one_line(of_run: Engine, maps: RunMaps) -> None:
    (path,) = maps.files.values()
    path.write_bytes(path.read_bytes()[:-1])
    row = _rows(of_run)[1]
    assert not row.images
    assert len(row.note.splitlines()) == 1


def test_a_run_without_interventions_is_refused(engine: Engine, run: Path) -> None:
    with Store.open(run) as store:
        store.set_facts(model={"name": engine.model.name, "revision": "other"})
    with pytest.raises(UsageError, match="has no interventions"):
        run_maps.read(run, name="run")


def test_a_run_of_another_model_is_refused(engine: Engine, maps: RunMaps) -> None:
    other = RunMaps(**{**vars(maps), "revision": "other"})
    maps.check_model(engine.model)
    with pytest.raises(UsageError, match=r"run 'run' is of model .* \(other\)"):
        other.check_model(engine.model)
