"""Scores of sets in a bundle: honest ones follow from the pictures, forged ones do not."""

import shutil
from pathlib import Path

import pytest
from kit import toy_plugin
from typer.testing import CliRunner

from htbench.bundles.findings import Finding
from htbench.bundles.records import Part
from htbench.bundles.set_scores import rescore_sets
from htbench.cli import app
from htbench.core import registry
from htbench.core.display import Display
from htbench.run.fact_table import Facts
from htbench.run.store import Store

RUN = [
    "run", "--model", "toy", "--method", "prompt", "--prompts", "2", "--seeds", "2",
    "--strength", "1", "--device", "cpu", "--limit", "4", "--name", "made",
    "--scorer", "emoji-clip-b", "--scorer", "cmmd", "--scorer", "vendi",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        toy_plugin.install(folder / "plugins", patch)
        patch.chdir(folder)
        assert CliRunner().invoke(app, RUN, catch_exceptions=False).exit_code == 0
    registry.plugins.cache_clear()
    return folder / "runs" / "made"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "made"))


def findings(run: Path) -> list[Finding]:
    with Store.read(run) as store:
        facts = Facts.read(store)
    part = Part(folder=run, title="", facts=facts, concept_set=None)
    return list(rescore_sets([part], device="cpu", display=Display()))


def forge(run: Path, **values: object) -> None:
    """Change the CMMD of the steered pictures."""
    with Store.open(run) as store:
        scores = store.facts()["set_scores"]
        (cmmd,) = [each for each in scores if each["name"] == "cmmd"]
        cmmd["rows"][1].update(values)
        store.set_facts(set_scores=scores)


def test_honest_scores_follow_from_the_pictures(run: Path) -> None:
    (found,) = findings(run)
    assert (found.kind, found.what) == ("holds", "4 scores of sets follow from the pictures")


@pytest.mark.parametrize("values", [{"value": 0.0}, {"high": 0.0}, {"floor": 50.0}])
def test_a_forged_score_does_not(run: Path, values: dict[str, float]) -> None:
    forge(run, **values)
    (found,) = findings(run)
    assert found.kind == "differs"
    assert found.what.startswith("cmmd of prompt at 1 is ")


def test_a_score_that_was_left_out_is_missing(run: Path) -> None:
    with Store.open(run) as store:
        scores = store.facts()["set_scores"]
        scores[0]["rows"].pop()
        store.set_facts(set_scores=scores)
    assert "is missing in the bundle" in findings(run)[0].what


def test_a_scorer_that_is_not_installed_leaves_its_scores_unchecked(run: Path) -> None:
    with Store.open(run) as store:
        store.set_facts(set_scores=[{"id": "mine@1", "name": "mine", "rows": [{"method": "none"}]}])
    (found,) = findings(run)
    assert (found.kind, found.what) == ("unchecked", "1 scores of sets: 'mine' is not installed")
