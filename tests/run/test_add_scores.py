"""`htbench score`: scores of further scorers on images that are there."""

import shutil
from pathlib import Path

import pytest
from kit.commands import htbench
from kit.scorer_cards import command_card

from htbench.core.errors import Missing, Refused
from htbench.run import runner
from htbench.run.add_scores import add_scores
from htbench.run.fact_table import Facts
from htbench.run.plan import RunOptions, build
from htbench.run.store import Store

SMALL = {"methods": ["prompt"], "limit": 1, "prompts": 1, "strengths": [0.0, 1.0]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "made"
    runner.run(build(SMALL), folder, RunOptions(threads=1))
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A finished run, and beside its folder the card of a command that scores."""
    command_card(tmp_path, "good")
    return Path(shutil.copytree(made, tmp_path / "runs" / "made"))


def scores(run: Path) -> list[tuple[object, ...]]:
    with Store.read(run) as store:
        return sorted(store.scores(), key=str)


def test_the_command_says_what_it_added_and_shows_it_in_the_report(run: Path) -> None:
    answer = htbench("score", "made", "--scorer", "words.toml", cwd=run.parents[1])
    assert answer.returncode == 0, answer.stderr
    assert "words: 3 cells scored" in answer.stderr
    assert "words" in (run / "report.html").read_text(encoding="utf-8")


def test_a_card_adds_its_scores_and_leaves_all_others(run: Path, made: Path) -> None:
    added = add_scores(run, [str(run.parents[1] / "words.toml")])
    assert added.cells == {"words": 3}
    assert set(scores(made)) < set(scores(run))


def test_an_encoder_scores_as_it_does_in_a_run(run: Path, tmp_path: Path) -> None:
    add_scores(run, ["emoji-clip-a"])
    whole = tmp_path / "elsewhere" / "whole"
    runner.run(build(SMALL, {"scorers": ["emoji-clip-b", "emoji-clip-a"]}), whole)
    with Store.read(run) as store, Store.read(whole) as other:
        assert [each.stored for each in Facts.read(store).scorers] == [
            each.stored for each in Facts.read(other).scorers
        ]
    assert set(scores(whole)) < set(scores(run)), "the run also has its detector's"


def test_no_model_is_loaded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("htbench.core.registry.load_model", None)
    assert add_scores(run, ["emoji-clip-a"]).cells == {"emoji-clip-a": 3}


def test_the_run_goes_on_with_its_new_scorers(run: Path) -> None:
    add_scores(run, ["emoji-clip-a"])
    with Store.read(run) as store:
        facts = Facts.read(store)
    assert facts.plan.stored["scorers"] == ["emoji-clip-b", "emoji-detector", "emoji-clip-a"]
    assert len(facts.sessions) == 2


def test_a_second_time_adds_nothing(run: Path) -> None:
    add_scores(run, ["emoji-clip-a"])
    before = scores(run)
    assert add_scores(run, ["emoji-clip-a"]).cells == {"emoji-clip-a": 0}
    assert scores(run) == before


def test_a_folder_without_a_plan_has_nothing_to_score(tmp_path: Path) -> None:
    Store.open(tmp_path / "run").close()
    with pytest.raises(Missing, match="no images to score"):
        add_scores(tmp_path / "run", ["emoji-clip-a"])


def test_concepts_that_have_changed_are_refused(run: Path) -> None:
    with Store.open(run) as store:
        concepts = store.facts()["concepts"]
        store.set_facts(
            concepts={name: {**fact, "digest": "other"} for name, fact in concepts.items()}
        )
    with pytest.raises(Refused, match="have changed since"):
        add_scores(run, ["emoji-clip-a"])
