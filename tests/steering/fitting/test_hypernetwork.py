"""Hypernetworks: the network, its training on the toy model, and a warm start from it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kit.plain_maps import plain_tap
from kit.toy import TOKENS, Toy
from kit.waits import Waits
from torch import Tensor

from htbench.core import content, registry
from htbench.core.device import autocast_bfloat16
from htbench.core.errors import Refused, UsageError
from htbench.core.types import Site
from htbench.methods.hypertransport import HyperTransport, TransportTask
from htbench.methods.warm_start import WarmStart
from htbench.steering.baseline import Card, load_card
from htbench.steering.concept import Concept, load
from htbench.steering.fitting.end_to_end import EndToEnd, Targets, shrinkage
from htbench.steering.fitting.hypernetwork import (
    ConceptEmbeddings,
    TrainedHypernetwork,
    _training_key,
    embed_training_concepts,
)
from htbench.steering.fitting.map_network import Hypernetwork
from htbench.steering.fitting.steered_means import unsteered_means
from htbench.steering.hooks import activations
from htbench.steering.intervention import Affine
from htbench.steering.layout import Layout
from htbench.steering.method import fitting_images

TRAIN = load("emoji").splits["train"][:3]
SMALL = HyperTransport(steps=3, concepts=2, images=4, targets=4, width=16, rank=4, rate=1e-2)


@pytest.fixture
def trained(model: Toy) -> TrainedHypernetwork:
    return SMALL.train(model, TRAIN, seed=0)


def _loss(model: Toy, change: Affine, concept: Concept) -> float:
    """LinEAS' loss on fresh images."""
    sources, targets = fitting_images(concept, 16, seed=0, number=5)
    layout = Layout.of({site: info.channels for site, info in model.sites.items()})
    wanted = Targets.of(unsteered_means(model, targets, layout), layout, samples=16)
    return float(
        EndToEnd().backward(
            model, sources, wanted, change.over(layout)[None].requires_grad_(), layout
        )
    )


def test_an_untrained_hypernetwork_is_the_identity() -> None:
    maps = Hypernetwork(6, {Site("a"): 4, Site("b"): 3}, width=16, rank=5)(torch.randn(2, 6))
    assert maps.shape == (2, 2, 7)
    assert not maps.any()


def test_a_hypernetwork_gives_each_concept_a_map_of_its_own() -> None:
    network = Hypernetwork(6, {Site("a"): 4}, width=16, rank=5)
    torch.nn.init.normal_(network.directions[0])
    maps = network(torch.randn(2, 6))
    assert maps.shape == (2, 2, 4)
    assert not torch.equal(maps[0], maps[1])


def test_a_concept_does_not_depend_on_those_predicted_beside_it() -> None:
    network = Hypernetwork(6, {Site("a"): 4}, width=16, rank=5)
    torch.nn.init.normal_(network.directions[0])
    vectors = torch.randn(3, 6)
    torch.testing.assert_close(network(vectors)[:1], network(vectors[:1]))


@pytest.mark.parametrize("is_frozen", [False, True], ids=["training", "frozen"])
def test_a_hypernetwork_is_its_mixture_of_directions_at_every_site(is_frozen: bool) -> None:
    network = _network_of_widths(4, 3, 4, 5, 3)
    network = network.freeze() if is_frozen else network
    vectors = torch.randn(3, 6)
    maps = network.layout.split(network(vectors))
    for k, site in enumerate(network.site_names):
        plain = network.mix(network.trunk(vectors) + network.site[k]) @ network.directions[k]
        torch.testing.assert_close(maps[site].flatten(1), plain, rtol=1e-6, atol=1e-6)


def test_few_predictions_run_on_one_thread_of_a_cpu(trained: TrainedHypernetwork) -> None:
    counts = []
    trained.network.register_forward_hook(lambda *_: counts.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    trained.predict(TRAIN)
    torch.set_num_threads(before)
    assert counts == [1]


@pytest.mark.parametrize("steps", [1, 2])
def test_target_activations_of_several_concepts_in_a_batch_are_those_one_by_one(
    steps: int,
) -> None:
    model = Toy(steps=steps)
    task = _task(model, replace(SMALL, targets=4))
    for concept, found in zip(TRAIN, task.target_samples, strict=True):
        alone = unsteered_means(model, fitting_images(concept, 4, seed=0)[1], task.network.layout)
        torch.testing.assert_close(found, alone.sort(0)[0])


def test_target_images_fill_batches(model: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    batches, trace = [], Toy.trace

    def count(self: Toy, prompts: list[str], seeds: list[int], tap: object) -> None:
        batches.append(len(prompts))
        trace(self, prompts, seeds, tap)

    monkeypatch.setattr(Toy, "trace", count)
    _task(model, replace(SMALL, targets=16))
    assert batches == [16, 32, 16]


def test_sites_of_equal_width_get_gradients_of_their_own() -> None:
    network, vectors = _network_of_widths(4, 3, 4), torch.randn(3, 6)
    network.layout.split(network(vectors))[network.site_names[2]].sum().backward()
    assert [bool(directions.grad.any()) for directions in network.directions] == [
        False,
        False,
        True,
    ]


def test_a_frozen_network_saves_the_same_weights() -> None:
    network = _network_of_widths(4, 3, 4)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    torch.testing.assert_close(network.freeze().state_dict(), before, rtol=0, atol=0)


def _network_of_widths(*widths: int) -> Hypernetwork:
    """A network with random weights for sites of these widths."""
    sites = {Site(f"site {k}"): width for k, width in enumerate(widths)}
    network = Hypernetwork(6, sites, width=16, rank=5)
    for weight in [network.mix[0].weight, network.mix[0].bias, *network.directions]:
        torch.nn.init.normal_(weight)
    return network


def test_training_lowers_the_loss_on_its_concepts(model: Toy) -> None:
    learnt = replace(SMALL, steps=60, images=8, targets=8).train(model, TRAIN, seed=0)
    for concept in TRAIN:
        assert _loss(model, learnt.towards(concept), concept) < _loss(
            model, Affine({}, {}), concept
        )


def test_training_that_was_interrupted_ends_like_an_undisturbed_one(
    model: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SMALL.train(model, TRAIN, seed=0)
    SMALL.train(model, TRAIN, seed=0, folder=tmp_path)
    monkeypatch.setattr(Toy, "trace", _only_without_gradients)
    again = SMALL.train(model, TRAIN, seed=0, folder=tmp_path)
    torch.testing.assert_close(
        again.towards(TRAIN[0]).shift, whole.towards(TRAIN[0]).shift, rtol=0, atol=0
    )


def _only_without_gradients(self: Toy, prompts: list[str], seeds: list[int], tap: object) -> None:
    assert not torch.is_grad_enabled(), "trains again"
    self._run([{prompt: 1.0} for prompt in prompts], seeds, tap)


def _task(model: Toy, method: HyperTransport) -> TransportTask:
    """The task of a network whose maps are not the identity."""
    encoder = registry.load("encoders", model.concept_encoder)(model.device)
    sites = {site: info.channels for site, info in model.sites.items()}
    torch.manual_seed(0)  # rounding to bfloat16 moves a loss by more for some weights than others
    network = Hypernetwork(encoder.width, sites, width=16, rank=4)
    for directions in network.directions:
        torch.nn.init.normal_(directions, std=0.1)
    embeddings = embed_training_concepts(network, encoder, model, TRAIN, seed=0)
    return TransportTask(method, model, network, embeddings, TRAIN, seed=0)


@pytest.mark.parametrize("relative", [True, False])
def test_the_loss_is_the_mean_of_that_of_lineas_and_a_penalty(model: Toy, relative: bool) -> None:
    method = replace(SMALL, ridge=0.7, relative=relative)
    task = _task(model, method)
    drawn = task.embeddings.train_step(0, task.network, method, seed=0)

    targets = [activations(model, *fitting_images(concept, 4, seed=0)[1]) for concept in TRAIN]
    plain = activations(model, *fitting_images(TRAIN[0], 4, seed=0)[0])

    def distance_by_sorting(reached: dict[Site, torch.Tensor], k: int) -> float:
        pairs = [(reached[site].sort(0)[0], targets[k][site].sort(0)[0]) for site in reached]
        return sum(float((x - y).square().mean()) for x, y in pairs)

    expected = 0.0
    for row, k in enumerate(drawn.concept_indices):
        gains, shift = map(task.network.layout.split, drawn.maps[row].detach())
        scale = {site: 1 + gain for site, gain in gains.items()}
        sources = fitting_images(TRAIN[k], 4, seed=0, number=1)[0]
        with autocast_bfloat16("cpu"):
            reached = activations(model, *sources, change=plain_tap(scale, shift))
        unsteered = distance_by_sorting(plain, k) if relative else 1.0
        expected += distance_by_sorting(reached, k) / unsteered / 2
        expected += 0.7 * sum(float(gain.square().mean()) for gain in gains.values()) / 2
    # Here outputs are rounded to bfloat16 before their means are taken.
    assert task.loss(0).item() == pytest.approx(expected, rel=2e-3)


def test_the_loss_waits_for_nothing_but_random_numbers_of_the_cpu(model: Toy) -> None:
    task = _task(model, SMALL)
    with Waits() as draws:
        for k in torch.randperm(3, generator=torch.Generator().manual_seed(0))[:2].tolist():
            task.embeddings.sample(k, of="both", random=torch.Generator().manual_seed(k))
    with Waits() as waits:
        task.loss(0).backward()
    assert waits.count <= draws.count + 2


@pytest.mark.parametrize("steps", [1, 2])
def test_targets_are_spread_for_the_samples_of_a_training_step(steps: int) -> None:
    plain, spread = (
        _task(Toy(steps=steps), replace(SMALL, images=2, unshrunk=on)) for on in (False, True)
    )
    torch.testing.assert_close(
        spread.target_samples.std(1) * shrinkage(2 * steps, 4 * steps),
        plain.target_samples.std(1),
    )
    torch.testing.assert_close(spread.unsteered_distances, plain.unsteered_distances)


def test_a_training_of_version_0_1_0_has_the_same_key(trained: TrainedHypernetwork) -> None:
    old = {
        "condition": "text", "learn_from": "both", "encoder": "", "width": 16, "rank": 4,
        "steps": 3, "concepts": 2, "rate": 1e-2, "noise": 0.1, "sites": ["*"], "images": 4,
        "targets": 4, "ridge": 0.3,
    }  # fmt: skip
    model, encoder = trained.model, trained.encoder
    digests = [concept.digest for concept in TRAIN]
    expected = content.digest(["HyperTransport", old, model.revision, encoder.revision, digests, 0])
    keys = [
        _training_key(method, model, encoder, TRAIN, seed=0)
        for method in (SMALL, replace(SMALL, unshrunk=True), replace(SMALL, unit_means=True))
    ]
    assert keys[0] == expected
    assert len(set(keys)) == 3


@pytest.mark.parametrize(("unit_means", "least"), [(False, 2), (True, 1)])
def test_unit_means_are_of_one_to_eight_images(unit_means: bool, least: int) -> None:
    images = torch.eye(10)
    embeddings = ConceptEmbeddings(texts=images, images=[images], unit_means=unit_means)
    random = torch.Generator().manual_seed(0)
    drawn = [embeddings.sample(0, of="image", random=random)[1] for _ in range(200)]
    counts = [int((vector > 0).sum()) for vector in drawn]
    assert {*counts} == {*range(least, 9)}
    for vector, count in zip(drawn, counts, strict=True):
        assert float(vector.norm()) == pytest.approx(1 if unit_means else count**-0.5)


def test_synonyms_are_drawn_in_every_second_step_that_embeds_words() -> None:
    texts, synonyms = torch.eye(4)[:1], torch.eye(4)[1:3]
    embeddings = ConceptEmbeddings(texts=texts, images=[], synonyms=[synonyms])
    random = torch.Generator().manual_seed(0)
    drawn = [embeddings.sample(0, of="text", random=random)[1].argmax() for _ in range(400)]
    counts = torch.bincount(torch.stack(drawn), minlength=4)
    assert counts[3] == 0
    assert 160 < counts[0] < 240
    assert counts[1:3].min() > 60


def test_what_it_learns_changes_with_synonyms_only_if_it_learns_from_them(model: Toy) -> None:
    plain, worded = (
        [replace(concept, synonyms=synonyms) for concept in TRAIN]
        for synonyms in ((), ("something else",))
    )

    def shift(method: HyperTransport, concepts: Sequence[Concept]) -> Tensor:
        return method.train(model, concepts, seed=0).towards(TRAIN[0]).shift[TOKENS]

    learning = replace(SMALL, learn_synonyms=True)
    assert torch.equal(shift(SMALL, worded), shift(SMALL, plain))
    assert torch.equal(shift(learning, plain), shift(SMALL, plain))
    assert not torch.equal(shift(learning, worded), shift(SMALL, plain))


def test_unit_means_are_predicted_from_as_the_file_was_trained(model: Toy, tmp_path: Path) -> None:
    replace(SMALL, unit_means=True).train(model, TRAIN, seed=0).save(tmp_path / "small")
    steering = HyperTransport(condition="image").load(model, tmp_path / "small", seed=0)
    several = replace(TRAIN[0], references=TRAIN[0].references[:2])
    images = [reference.open() for reference in several.references]
    mean = steering.encoder.images(images).mean(0)
    vector = steering.network.centre("image", mean / mean.norm())
    (expected,) = steering.maps(vector[None])
    torch.testing.assert_close(steering.towards(several).shift, expected.shift)


def test_many_predictions_at_once_are_those_one_by_one(trained: TrainedHypernetwork) -> None:
    for concept, change in zip(TRAIN, trained.predict(TRAIN), strict=True):
        torch.testing.assert_close(change.shift, trained.towards(concept).shift)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_it_can_learn_from_words_or_pictures_alone(model: Toy, modality: str) -> None:
    alone = replace(SMALL, learn_from=modality).train(model, TRAIN, seed=0)
    assert alone.settings["learn_from"] == modality
    assert not torch.equal(
        alone.towards(TRAIN[0]).shift[TOKENS],
        SMALL.train(model, TRAIN, seed=0).towards(TRAIN[0]).shift[TOKENS],
    )


def test_several_pictures_are_averaged(trained: TrainedHypernetwork) -> None:
    by_image = replace(trained, condition="image")
    one, two = (
        replace(TRAIN[0], references=references)
        for references in (TRAIN[0].references[:1], TRAIN[0].references[:2])
    )
    vectors = [
        trained.encoder.images([reference.open() for reference in concept.references]).mean(0)
        for concept in (one, two)
    ]
    for concept, vector in zip((one, two), vectors, strict=True):
        (expected,) = by_image.maps(trained.network.centre("image", vector)[None])
        torch.testing.assert_close(by_image.towards(concept).shift, expected.shift)


def test_one_trained_for_another_model_is_refused(
    model: Toy, trained: TrainedHypernetwork, tmp_path: Path
) -> None:
    trained.save(tmp_path / "small")
    model.revision = type(model.revision)("0" * 16)
    with pytest.raises(Refused, match="another model"):
        HyperTransport().load(model, tmp_path / "small", seed=0)


def test_a_damaged_file_is_refused(
    model: Toy, trained: TrainedHypernetwork, tmp_path: Path
) -> None:
    trained.save(tmp_path / "small")
    (tmp_path / "small").write_bytes((tmp_path / "small").read_bytes()[:-9])
    with pytest.raises(Refused, match="cannot be read"):
        HyperTransport().load(model, tmp_path / "small", seed=0)


def test_a_concept_without_pictures_cannot_be_read_from_pictures(
    trained: TrainedHypernetwork,
) -> None:
    with pytest.raises(UsageError, match="no reference images"):
        replace(trained, condition="image").towards(replace(TRAIN[0], references=()))


def test_one_concept_is_too_few(model: Toy) -> None:
    with pytest.raises(UsageError, match="many concepts, not 1"):
        SMALL.train(model, TRAIN[:1], seed=0)


@pytest.fixture
def warm(
    model: Toy, trained: TrainedHypernetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> WarmStart:
    trained.save(tmp_path / "small")
    ready: Card = load_card("hypertransport").model_copy(
        update={"artifacts": {"toy": tmp_path / "small"}}
    )
    monkeypatch.setattr("htbench.steering.baseline.load_card", lambda _: ready)
    return WarmStart(steps=20, batch=8, samples=16, rate=0.02)


def test_steps_after_a_prediction_lower_the_loss(
    model: Toy, trained: TrainedHypernetwork, warm: WarmStart
) -> None:
    refined = warm.train(model, TRAIN, seed=0).towards(TRAIN[0])
    assert _loss(model, refined, TRAIN[0]) < _loss(model, trained.towards(TRAIN[0]), TRAIN[0])


def test_no_step_after_a_prediction_leaves_it_as_it_is(
    model: Toy, trained: TrainedHypernetwork, warm: WarmStart, tmp_path: Path
) -> None:
    steering = replace(warm, steps=0).load(model, tmp_path / "small", seed=0)
    torch.testing.assert_close(steering.towards(TRAIN[0]).shift, trained.towards(TRAIN[0]).shift)
    assert steering.training == trained.training
