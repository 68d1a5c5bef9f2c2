"""Strengths chosen on dev concepts, from a store that is filled by hand and in a run."""

from pathlib import Path

import pytest

from htbench.core.errors import UsageError
from htbench.core.types import Digest
from htbench.run import runner, tune
from htbench.run.plan import build
from htbench.run.store import Failure, GeneratedImage, Store
from htbench.run.summary import METRICS, Summary

CURVE = {0.5: (0.1, 0.9), 1.0: (0.3, 0.6), 1.5: (0.5, 0.2)}
"""Concept gain and image preservation by strength."""


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    store = Store.open(tmp_path / "run")
    store.plan_cells(
        ("act", "lemon", "a cat", 1, strength, Digest(f"k{strength}")) for strength in CURVE
    )
    store.set_facts(scorer={"id": "clip@1"})
    store.add_images(
        [GeneratedImage(key=row.image, png=b"png") for row in store.rows()], seconds=2.0, batch=1
    )
    store.add_timing("towards", "act", "lemon", 10.0, "cpu")
    for row in store.rows():
        gain, kept = CURVE[row.strength]
        store.add_scores(
            (row.id, metric, "clip@1", gain if metric == "concept_gain" else kept)
            for metric in METRICS
        )
    return Summary(store)


@pytest.mark.parametrize(("floor", "strength"), [(0.5, 1.0), (0.0, 1.5), (0.7, 0.5), (0.95, 0.5)])
def test_the_highest_gain_above_the_floor_is_chosen_and_without_one_the_best_kept(
    summary: Summary, floor: float, strength: float
) -> None:
    assert tune.choose_strengths(summary, floor=floor)["act"].strength == strength


def test_a_strength_at_which_cells_fail_does_not_win(summary: Summary) -> None:
    summary.store.add_failure([Digest("k1.0")], Failure(kind="nan", message="no numbers"))
    choice = tune.choose_strengths(Summary(summary.store), floor=0.5)["act"]
    assert (choice.strength, choice.curve[1]) == (0.5, (1.0, -2.0, -1.0))


def test_learning_and_images_of_dev_concepts_are_charged(summary: Summary) -> None:
    assert tune.choose_strengths(summary, floor=0.5)["act"].seconds == 10.0 + 3 * 2.0


def test_a_plan_without_positive_strengths_has_nothing_to_choose_from() -> None:
    with pytest.raises(UsageError, match="no strength above 0"):
        tune.dev_plan(build({"strengths": [-1.0, 0.0]}))


@pytest.mark.parametrize(("given", "limit"), [({}, None), ({"tune_concepts": 8}, 8)])
def test_all_dev_concepts_choose_unless_the_plan_limits_them(
    given: dict[str, object], limit: int | None
) -> None:
    assert tune.dev_plan(build(given)).limit == limit


SMALL = {
    "model": "toy",
    "methods": ["mean-shift"],
    "limit": 2,
    "prompts": 2,
    "strengths": [0.0, 0.5, 1.0],
    "batch": 4,
}
TUNED = {**SMALL, "tune_strength": True, "tune_concepts": 2}


def test_a_run_keeps_what_was_chosen_and_on_which_concepts(
    toy_plugins: Path, tmp_path: Path
) -> None:
    runner.run(build(TUNED, {"strengths": [0.5, 1.0]}), tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        summary = Summary(store)
        (line,) = summary.tuned
        assert (line.method, line.strength in (0.5, 1.0), line.done) == ("mean-shift", True, 4)
        assert summary.tuning_seconds("mean-shift") > 0
    with Store.read(tmp_path / "run" / "tuning") as dev:
        assert {fact["split"] for fact in dev.facts()["concepts"].values()} == {"dev"}


def test_strengths_are_not_chosen_on_what_is_evaluated(toy_plugins: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="chosen on 2 concepts that are evaluated on"):
        runner.run(build(TUNED, {"concepts": "dev"}), tmp_path / "run")
