"""Perceptual scales learnt from a store that is filled by hand, and in a run."""

from pathlib import Path

import numpy as np
import pytest

from htbench.core.errors import UsageError
from htbench.core.types import Digest
from htbench.run import plan as plans
from htbench.run import runner, strength_scale, tune
from htbench.run.finished import is_finished
from htbench.run.plan import Plan, RunOptions, build, comparable
from htbench.run.run_folder import widen
from htbench.run.store import GeneratedImage, Store
from htbench.run.summary import METRICS, Summary

PERCEPTUAL = {"strengths": [0.0, 0.25, 0.5, 0.75, 1.0], "strength_scale": "perceptual"}
SMALL = {
    **PERCEPTUAL,
    "model": "toy",
    "methods": ["mean-shift"],
    "strengths": [0.0, 0.5, 1.0],
    "limit": 2,
    "tune_concepts": 2,
    "prompts": 2,
    "batch": 4,
}


@pytest.fixture
def dev(tmp_path: Path) -> Summary:
    """A run on dev concepts whose gain is s² by the headline's encoder and √s by another; beyond
    strength 1 neither grows."""
    store = Store.open(tmp_path / "dev")
    strengths = strength_scale.scale_strengths(build(PERCEPTUAL))
    store.plan_cells(
        ("act", f"c{k}", "a cat", 1, at, Digest(f"k{k}{at}")) for k in range(3) for at in strengths
    )
    store.set_facts(scorer={"id": "b@1"}, scorers=[{"id": "b@1"}, {"id": "a@1"}])
    rows = store.rows()
    images = [GeneratedImage(key=row.image, png=b"png") for row in rows]
    store.add_images(images, seconds=2.0, batch=1)
    store.add_timing("towards", "act", "c0", 10.0, "cpu")
    store.add_scores(
        (row.id, metric, encoder, min(row.strength, 1.0) ** power)
        for row in rows
        for metric in METRICS
        for encoder, power in (("b@1", 2.0), ("a@1", 0.5))
    )
    return Summary(store)


def test_a_scale_is_learnt_by_the_encoder_that_is_not_the_headlines(dev: Summary) -> None:
    scale = strength_scale.learn_scales(dev, build(PERCEPTUAL))["act"]
    assert scale.encoder == "a@1"
    requested = np.array([0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(scale.strengths, requested**2, atol=0.02)
    assert scale.strengths[-1] == 1.0


def test_without_a_second_encoder_the_headlines_learns_it(dev: Summary) -> None:
    dev.store.set_facts(scorers=[{"id": "b@1"}])
    scale = strength_scale.learn_scales(Summary(dev.store), build(PERCEPTUAL))["act"]
    assert scale.encoder == "b@1"
    np.testing.assert_allclose(scale.strengths[:2], [0.5, 0.5**0.5], atol=0.02)


def test_fits_and_images_on_dev_concepts_are_charged(dev: Summary) -> None:
    scale = strength_scale.learn_scales(dev, build(PERCEPTUAL))["act"]
    assert scale.seconds == 10.0 + 3 * 10 * 2.0


def test_a_scale_is_learnt_at_eighths_and_its_end_is_looked_for_beyond() -> None:
    strengths = strength_scale.scale_strengths(build(PERCEPTUAL, {"strengths": [0.0, 0.3, 1.0]}))
    assert strengths == (0.125, 0.25, 0.3, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.5, 2.0)
    largest = strength_scale.scale_strengths(build(PERCEPTUAL, {"strengths": [5.0, 8.0]}))
    assert max(largest) == 8.0, "1.5 times the largest is beyond what a plan may have"


def test_a_plain_plan_is_written_as_before_there_were_scales() -> None:
    assert "strength_scale" not in build().model_dump(mode="json")
    plain, perceptual = (
        comparable(build({"strength_scale": scale}).model_dump(mode="json"))
        for scale in ("plain", "perceptual")
    )
    assert plain != perceptual


def test_a_scale_of_one_step_is_refused() -> None:
    with pytest.raises(UsageError, match="needs two strengths above 0, not 0, 1"):
        plans.resolve(build({"strengths": [0.0, 1.0], "strength_scale": "perceptual"}))


def test_another_scale_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="'plain' or 'perceptual', not 'percept'"):
        build({"strength_scale": "percept"})


@pytest.mark.parametrize(("stored", "asked"), [({}, PERCEPTUAL), (PERCEPTUAL, {})])
def test_a_run_can_be_given_a_scale_and_keeps_it(
    stored: dict[str, object], asked: dict[str, object]
) -> None:
    wider = widen(build(stored), build(asked))
    assert wider
    assert wider.is_perceptual


def test_a_scale_gives_each_method_strengths_of_its_own(lemon: object) -> None:
    plan = Plan(methods=("none", "act"), strengths=(0.0, 0.5, 1.0), prompts=1)
    made = plans.cells(plan, [lemon], ["a cat"], scaled={"act": [0.3, 1.0]})  # type: ignore[list-item]
    assert [(cell.method, cell.strength) for cell in made] == [
        ("none", 0.0),
        *(("act", at) for at in (0.0, 0.3, 0.5, 1.0)),
    ]


def test_a_run_keeps_its_scale_and_has_nothing_left_to_do(
    toy_plugins: Path, tmp_path: Path
) -> None:
    plan, folder = build(SMALL), tmp_path / "run"
    runner.run(plan, folder)
    with Store.read(folder) as store:
        summary = Summary(store)
        scale = summary.facts.strength_scales["mean-shift"]
        own = {at for method, at in summary.planned_by_row if method == "mean-shift"}
        assert own == {0.0, 0.5, 1.0, *scale.strengths}
        assert len(summary.facts.scorers) == 2, "the encoder of methods measures the effect"
        assert summary.done == summary.planned
        assert summary.tuning_seconds("mean-shift") == scale.seconds > 0
        before = store.facts()
    with Store.read(folder / "tuning") as dev_store:
        assert {fact["split"] for fact in dev_store.facts()["concepts"].values()} == {"dev"}
        again = tune.choose(Summary(dev_store), plan)
    assert again.scales["mean-shift"].strengths == scale.strengths
    runner.run(plan, folder)
    with Store.read(folder) as store:
        assert store.facts()["strength_scales"] == before["strength_scales"]


def test_a_scale_changes_no_key_of_the_plain_cells(toy_plugins: Path, tmp_path: Path) -> None:
    keys = []
    for name in ("plain", "perceptual"):
        runner.run(build(SMALL, {"strength_scale": name}), tmp_path / name / "run")
        with Store.read(tmp_path / name / "run") as store:
            keys.append({(r.concept, r.prompt, r.seed, r.strength): r.image for r in store.rows()})
    plain, perceptual = keys
    assert plain.items() <= perceptual.items()


def test_a_plan_with_a_scale_that_is_done_is_finished(tmp_path: Path) -> None:
    settings = {**SMALL, "model": "emoji", "methods": ["prompt"], "limit": 1, "prompts": 1}
    plan = build(settings, {"tune_concepts": 1})
    runner.run(plan, tmp_path / "run", RunOptions(threads=1))
    assert is_finished(plans.resolve(plan), tmp_path / "run", RunOptions(threads=1))
    plain = build(settings, {"tune_concepts": 1, "strength_scale": "plain"})
    assert not is_finished(plans.resolve(plain), tmp_path / "run", RunOptions(threads=1))
