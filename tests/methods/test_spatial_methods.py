"""Maps with shifts per position that are trained end to end, on the toy model."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kit.toy import MAPS, SIDE, TOKENS, Toy
from safetensors.torch import load_file, save_file

from htbench.core.errors import Refused
from htbench.methods.hypertransport import HyperTransport, HyperTransportSpatial
from htbench.methods.lineas_spatial import LineasSpatial
from htbench.steering import steering_file
from htbench.steering.concept import Concept, load
from htbench.steering.fitting.end_to_end import Targets, distance
from htbench.steering.fitting.hypernetwork import TrainedHypernetwork
from htbench.steering.fitting.steered_means import (
    arriving_means,
    steer_means,
    unsteered_means,
)
from htbench.steering.fitting.trainer import Trainer
from htbench.steering.intervention import Intervention
from htbench.steering.layout import Layout
from htbench.steering.method import fitting_images
from htbench.steering.spatial import Spatial

TRAIN = load("emoji").splits["train"][:3]
SMALL = HyperTransportSpatial(
    steps=3, concepts=2, images=4, targets=4, width=16, rank=4, rate=1e-2, patterns=3
)
LAYOUT = Layout.of({site: info.channels for site, info in Toy.sites.items()})
FIT = LineasSpatial(steps=20, batch=8, samples=16, patterns=3)


@pytest.fixture(scope="module")
def trained() -> TrainedHypernetwork:
    return SMALL.train(Toy(), TRAIN, seed=0)


def _loss(model: Toy, change: Intervention, layout: Layout, concept: Concept) -> float:
    """LinEAS' distance of the means of all patterns, on fresh images."""
    sources, targets = fitting_images(concept, 32, seed=0, number=5)
    maps = layout.identity.expand(-1, layout.channels)
    if isinstance(change, Spatial):
        maps = torch.cat([change.maps.over(layout), layout.join(change.added)])
    with torch.no_grad():
        arrived = arriving_means(model, sources, maps[None], layout)
        steered = steer_means(arrived.view(1, -1, layout.channels), maps[None])
    wanted = Targets.of(unsteered_means(model, targets, layout), layout, samples=32)
    return float(distance(steered[0], wanted, layout))


def test_a_fit_lowers_the_loss(model: Toy, lemon: Concept) -> None:
    layout = FIT.arrange(model, [lemon], LAYOUT, seed=0)
    change = FIT.fit(model, lemon, seed=0)
    assert isinstance(change, Spatial)
    assert change.where[TOKENS].shape == (SIDE**2, 3)
    assert change.added[MAPS].any()
    assert _loss(model, change, layout, lemon) < _loss(model, Intervention(), layout, lemon)


def test_without_a_step_a_fit_is_the_identity(model: Toy, lemon: Concept) -> None:
    change, z = replace(FIT, steps=0).fit(model, lemon, seed=0), torch.randn(2, SIDE**2, 6)
    torch.testing.assert_close(change.apply(TOKENS, z, strength=1.0), z)


@pytest.mark.parametrize("setting", ["subsample", "fresh"])
def test_a_fit_with_other_samples_differs(model: Toy, lemon: Concept, setting: str) -> None:
    usual, other = (
        replace(FIT, steps=2, **{setting: on}).fit(model, lemon, seed=0) for on in (False, True)
    )
    assert not torch.equal(usual.added[TOKENS], other.added[TOKENS])


def test_strong_sparsity_leaves_the_identity(model: Toy, lemon: Concept) -> None:
    change = replace(FIT, steps=3, sparsity=100.0).fit(model, lemon, seed=0)
    assert not any(each.any() for each in change.added.values())


def test_a_network_predicts_shifts_per_position_of_a_concept(trained: TrainedHypernetwork) -> None:
    first, second = trained.predict(TRAIN[:2])
    assert isinstance(first, Spatial)
    assert first.where[TOKENS] is not None
    assert torch.equal(first.where[TOKENS], second.where[TOKENS])
    assert not torch.equal(first.added[TOKENS], second.added[TOKENS])


def test_its_file_in_half_precision_gives_the_same_maps(
    trained: TrainedHypernetwork, tmp_path: Path
) -> None:
    trained.save(tmp_path / "small")
    again = SMALL.load(Toy(), tmp_path / "small", seed=0)
    assert {each.dtype for each in load_file(tmp_path / "small").values()} == {torch.float16}
    assert again.settings["patterns"] == 3
    (before,), (after,) = trained.predict(TRAIN[:1]), again.predict(TRAIN[:1])
    for (name, one), two in zip(before.state()[0].items(), after.state()[0].values(), strict=True):
        assert torch.equal(one, two), name


def test_training_that_was_interrupted_ends_like_an_undisturbed_one(
    trained: TrainedHypernetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, run, calls = torch.save, Trainer.run, []

    def stop(*args: object) -> None:
        save(*args)
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", stop)
    monkeypatch.setattr(Trainer, "run", lambda self: run(self, save_every=0.0))
    with pytest.raises(KeyboardInterrupt):
        SMALL.train(Toy(), TRAIN, seed=0, folder=tmp_path)
    again = SMALL.train(Toy(), TRAIN, seed=0, folder=tmp_path)
    for one, two in zip(
        trained.network.state_dict().values(), again.network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two)


def test_a_file_whose_patterns_do_not_match_is_refused(
    trained: TrainedHypernetwork, tmp_path: Path
) -> None:
    trained.save(tmp_path / "small")
    tensors = load_file(tmp_path / "small")
    tensors["patterns_1"] = tensors["patterns_1"][:, :2].contiguous()
    with steering_file.safe_open(tmp_path / "small", framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors, tmp_path / "small", metadata=metadata)
    with pytest.raises(Refused, match="tables 'patterns' do not match"):
        SMALL.load(Toy(), tmp_path / "small", seed=0)


def test_training_lowers_the_loss_on_its_concepts(model: Toy) -> None:
    learnt = replace(SMALL, steps=60, images=8, targets=16).train(model, TRAIN, seed=0)
    layout = learnt.network.layout
    for concept in TRAIN:
        plain = _loss(model, Intervention(), layout, concept)
        assert _loss(model, learnt.towards(concept), layout, concept) < plain


def test_a_network_without_patterns_is_kept_in_single_precision(tmp_path: Path) -> None:
    settings = {"steps": 2, "concepts": 2, "images": 2, "targets": 2, "width": 16, "rank": 4}
    HyperTransport(**settings).train(Toy(), TRAIN, seed=0).save(tmp_path / "plain")
    assert {each.dtype for each in load_file(tmp_path / "plain").values()} == {torch.float32}
