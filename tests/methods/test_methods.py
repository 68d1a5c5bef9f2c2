"""Methods against procedures that are written another way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from htbench.core.types import Site
from htbench.methods.linear_act import LinearAct
from htbench.methods.lineas import Lineas
from htbench.methods.mean_shift import MeanShift
from htbench.methods.prompt import Prompting, PromptInterpolation
from htbench.models.emoji.model import EmojiModel, load
from htbench.steering import baseline, concept
from htbench.steering.encoder import embed
from htbench.steering.fitting import transport
from htbench.steering.hooks import activations, steer
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import fitting_images
from htbench.steering.model import Request

WANTED = concept.load("emoji").splits["dev"][0]


@pytest.fixture(scope="module")
def emoji() -> EmojiModel:
    return load("cpu")


def loss(emoji: EmojiModel, change: Affine, number: int = 5) -> float:
    """LinEAS' loss on fresh images."""
    (sources, seeds), target = fitting_images(WANTED, 32, seed=0, number=number)
    with torch.no_grad():
        reached = activations(emoji, sources, seeds, change=steer([change] * 32, [1.0] * 32))
        wanted = activations(emoji, *target)
    return sum(float(transport.wasserstein(reached[site], wanted[site]).mean()) for site in reached)


def identity(emoji: EmojiModel) -> Affine:
    return Affine(
        {site: torch.ones(192) for site in emoji.sites},
        {site: torch.zeros(192) for site in emoji.sites},
    )


def test_linear_act_in_one_pass_equals_the_site_by_site_procedure(emoji: EmojiModel) -> None:
    source, target = fitting_images(WANTED, 8, seed=0)
    scale: dict[Site, torch.Tensor] = {}
    shift: dict[Site, torch.Tensor] = {}
    with torch.no_grad():
        after = activations(emoji, *target)
        for site in emoji.sites:
            before = activations(
                emoji, *source, change=steer([Affine(scale, shift)] * 8, [1.0] * 8)
            )
            a, b = (
                np.sort(before[site].double().numpy(), 0),
                np.sort(after[site].double().numpy(), 0),
            )
            slope = ((a - a.mean(0)) * (b - b.mean(0))).sum(0) / ((a - a.mean(0)) ** 2).sum(0)
            scale[site], shift[site] = (
                torch.tensor(slope).float(),
                torch.tensor(b.mean(0) - slope * a.mean(0)).float(),
            )
    one_pass = LinearAct(samples=8).train(emoji, (), seed=0).towards(WANTED)
    for site in emoji.sites:
        torch.testing.assert_close(one_pass.scale[site], scale[site], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(one_pass.shift[site], shift[site], rtol=1e-5, atol=1e-5)


def test_mean_shift_brings_pooled_means_to_the_targets(emoji: EmojiModel) -> None:
    source, target = fitting_images(WANTED, 16, seed=0)
    change = MeanShift(samples=16).train(emoji, (), seed=0).towards(WANTED)
    with torch.no_grad():
        reached, wanted = (
            activations(emoji, *source, change=steer([change] * 16, [1.0] * 16)),
            activations(emoji, *target),
        )
    for site in emoji.sites:
        torch.testing.assert_close(
            reached[site].mean(0), wanted[site].mean(0), rtol=1e-3, atol=1e-3
        )


def test_more_steps_of_lineas_lower_its_loss(emoji: EmojiModel) -> None:
    few, more = (
        Lineas(steps=steps, batch=8).train(emoji, (), seed=0).towards(WANTED) for steps in (2, 15)
    )
    assert loss(emoji, more) < loss(emoji, few) < loss(emoji, identity(emoji))


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("lineas", "6d2a79caa6b25f27"),
        ("lineas-1000", "f016f4874d99538d"),
        ("lineas-50", "c17daec12cf96985"),
        ("hypertransport-warm", "85f65dd4c0b7fa21"),
        ("ridge", "dd4ba8e9bdbc7479"),
        ("nearest-concept", "704d495b61272906"),
        ("mean-of-maps", "4b994688bca1e6fa"),
    ],
)
def test_a_card_of_version_0_1_0_has_the_same_digest(name: str, digest: str) -> None:
    assert baseline.load_card(name).digest == digest


@pytest.mark.parametrize(
    "other", ["hypertransport-image", "hypertransport-both", "regression", "regression-l2"]
)
def test_hypernetworks_learn_from_the_same_words(other: str) -> None:
    names = ("learn_from", "learn_synonyms", "noise", "width", "rank")
    own, reference = (baseline.load_method(name) for name in (other, "hypertransport"))
    assert [getattr(own, name) for name in names] == [getattr(reference, name) for name in names]


def test_words_and_pictures_are_read_by_one_training_of_hypertransport() -> None:
    words, pictures = (
        baseline.load_method(name) for name in ("hypertransport", "hypertransport-image")
    )
    assert replace(pictures, condition="text") == words


def test_a_concept_in_words_and_pictures_is_between_both(emoji: EmojiModel) -> None:
    known = next(each for each in concept.load("emoji").splits["dev"] if each.references)
    card = baseline.load_card("hypertransport-both")
    steering = baseline.load_method(card).load(emoji, card.artifacts["emoji"], seed=0)
    words, pictures = (
        steering.network.centre(modality, embed(steering.encoder, [known], modality))
        for modality in ("text", "image")
    )
    (between,) = steering.maps((words + pictures) / 2)
    assert repr(steering.towards(known).state()) == repr(between.state())
    only_words = replace(known, references=())
    assert repr(steering.towards(only_words).state()) == repr(steering.maps(words)[0].state())


def test_maps_learnt_end_to_end_have_one_objective() -> None:
    amortised = baseline.load_method("hypertransport")
    fitted = [
        baseline.load_method(name)
        for name in ("lineas-l2", "lineas-fresh", "lineas-unshrunk", "hypertransport-warm-l2")
    ]
    assert {(method.ridge, method.relative) for method in (amortised, *fitted)} == {(0.3, True)}
    banks = ("regression-l2", "ridge-l2", "nearest-concept-l2", "mean-of-maps-l2")
    assert {baseline.load_method(name).base for name in banks} == {"lineas-l2"}


def test_lineas_gives_the_same_map_twice(emoji: EmojiModel) -> None:
    first, second = (
        Lineas(steps=2, batch=4).train(emoji, (), seed=3).towards(WANTED) for _ in range(2)
    )
    assert all(torch.equal(first.scale[site], second.scale[site]) for site in emoji.sites)


def test_sources_and_targets_are_other_images_than_those_of_another_number() -> None:
    (_, first), (_, target) = fitting_images(WANTED, 16, seed=0)
    (_, second), _ = fitting_images(WANTED, 16, seed=0, number=1)
    assert not set(first) & set(second)
    assert not set(first) & set(target)


def test_prompt_interpolation_at_full_strength_is_prompting(emoji: EmojiModel) -> None:
    mixed, asked = (
        PromptInterpolation().train(emoji, (), seed=0).towards(WANTED),
        Prompting().train(emoji, (), seed=0).towards(WANTED),
    )
    assert picture(emoji, mixed, 1.0) == picture(emoji, asked, 1.0)


def test_prompt_interpolation_goes_on_beyond_both_ends(emoji: EmojiModel) -> None:
    change = PromptInterpolation().train(emoji, (), seed=0).towards(WANTED)
    assert len({picture(emoji, change, strength) for strength in (-1.0, 0.0, 0.5, 1.0, 2.0)}) == 5


def picture(emoji: EmojiModel, change: Intervention, strength: float) -> bytes:
    return emoji.generate(
        [Request(prompt="panda", seed=4, intervention=change, strength=strength)]
    )[0].tobytes()
