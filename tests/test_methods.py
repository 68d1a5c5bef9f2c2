"""Methods against procedures that are written another way."""

from pathlib import Path

import numpy as np
import pytest
import torch

from htbench import concept, transport
from htbench.errors import Refused, UsageError
from htbench.hooks import activations, steer
from htbench.hypernetwork import Hypernetwork
from htbench.intervention import Affine, Intervention
from htbench.method import fitting_images
from htbench.methods.hypertransport import HyperTransport
from htbench.methods.linear_act import LinearAct
from htbench.methods.lineas import Lineas
from htbench.methods.mean_shift import MeanShift
from htbench.methods.prompt import Prompt, PromptInterpolation
from htbench.model import Request
from htbench.models.emoji import Emoji, load
from htbench.types import Site

DEV = concept.load("emoji").splits["dev"][:2]
WANTED = DEV[0]


@pytest.fixture(scope="module")
def emoji() -> Emoji:
    return load("cpu")


def loss(emoji: Emoji, change: Affine, number: int = 5) -> float:
    """LinEAS' loss on fresh images."""
    (sources, seeds), target = fitting_images(WANTED, 32, seed=0, number=number)
    with torch.no_grad():
        reached = activations(emoji, sources, seeds, change=steer([change] * 32, [1.0] * 32))
        wanted = activations(emoji, *target)
    return sum(float(transport.wasserstein(reached[site], wanted[site]).mean()) for site in reached)


def identity(emoji: Emoji) -> Affine:
    return Affine({site: torch.ones(192) for site in emoji.sites}, {site: torch.zeros(192) for site in emoji.sites})


def test_linear_act_in_one_pass_equals_the_site_by_site_procedure(emoji: Emoji) -> None:
    source, target = fitting_images(WANTED, 8, seed=0)
    scale: dict[Site, torch.Tensor] = {}
    shift: dict[Site, torch.Tensor] = {}
    with torch.no_grad():
        after = activations(emoji, *target)
        for site in emoji.sites:
            before = activations(emoji, *source, change=steer([Affine(scale, shift)] * 8, [1.0] * 8))
            a, b = np.sort(before[site].double().numpy(), 0), np.sort(after[site].double().numpy(), 0)
            slope = ((a - a.mean(0)) * (b - b.mean(0))).sum(0) / ((a - a.mean(0)) ** 2).sum(0)
            scale[site], shift[site] = torch.tensor(slope).float(), torch.tensor(b.mean(0) - slope * a.mean(0)).float()
    one_pass = LinearAct(samples=8).fit(emoji, (), seed=0).towards(WANTED)
    for site in emoji.sites:
        torch.testing.assert_close(one_pass.scale[site], scale[site], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(one_pass.shift[site], shift[site], rtol=1e-5, atol=1e-5)


def test_mean_shift_brings_pooled_means_to_the_targets(emoji: Emoji) -> None:
    source, target = fitting_images(WANTED, 16, seed=0)
    change = MeanShift(samples=16).fit(emoji, (), seed=0).towards(WANTED)
    with torch.no_grad():
        reached, wanted = activations(emoji, *source, change=steer([change] * 16, [1.0] * 16)), activations(emoji, *target)
    for site in emoji.sites:
        torch.testing.assert_close(reached[site].mean(0), wanted[site].mean(0), rtol=1e-3, atol=1e-3)


def test_more_steps_of_lineas_lower_its_loss(emoji: Emoji) -> None:
    few, more = (Lineas(steps=steps, batch=8).fit(emoji, (), seed=0).towards(WANTED) for steps in (2, 15))
    assert loss(emoji, more) < loss(emoji, few) < loss(emoji, identity(emoji))


def test_lineas_gives_the_same_map_twice(emoji: Emoji) -> None:
    first, second = (Lineas(steps=2, batch=4).fit(emoji, (), seed=3).towards(WANTED) for _ in range(2))
    assert all(torch.equal(first.scale[site], second.scale[site]) for site in emoji.sites)


def test_an_untrained_hypernetwork_is_the_identity() -> None:
    maps = Hypernetwork(6, {Site("a"): 4, Site("b"): 3}, width=16, rank=5)(torch.randn(2, 6))
    assert all(not gain.any() and not shift.any() for gain, shift in maps.values())


def test_a_hypernetwork_gives_each_concept_a_map_of_its_own() -> None:
    network = Hypernetwork(6, {Site("a"): 4}, width=16, rank=5)
    torch.nn.init.normal_(network.directions[0])
    gain, shift = network(torch.randn(2, 6))[Site("a")]
    assert gain.shape == shift.shape == (2, 4)
    assert not torch.equal(gain[0], gain[1])


def test_a_concept_does_not_depend_on_those_predicted_beside_it() -> None:
    network = Hypernetwork(6, {Site("a"): 4}, width=16, rank=5)
    torch.nn.init.normal_(network.directions[0])
    vectors = torch.randn(3, 6)
    torch.testing.assert_close(network(vectors)[Site("a")][0][:1], network(vectors[:1])[Site("a")][0])


def test_a_hypernetwork_is_its_mixture_of_directions_at_every_site() -> None:
    network = Hypernetwork(6, {Site("a"): 4, Site("b"): 3}, width=16, rank=5)
    torch.nn.init.normal_(network.mix[0].weight)
    torch.nn.init.normal_(network.mix[0].bias)
    torch.nn.init.normal_(network.directions[1])
    vectors = torch.randn(3, 6)
    plain = network.mix(network.trunk(vectors) + network.site[1]) @ network.directions[1]
    torch.testing.assert_close(torch.cat(network(vectors)[Site("b")], -1), plain)


def test_training_a_hypernetwork_lowers_the_loss_on_its_concepts(emoji: Emoji) -> None:
    few = HyperTransport(steps=25, concepts=2, images=8, targets=8, rate=5e-3, width=32, rank=8).fit(emoji, DEV, seed=0)
    assert loss(emoji, few.towards(WANTED)) < loss(emoji, identity(emoji))


def test_a_hypernetwork_for_another_model_is_refused(emoji: Emoji, tmp_path: Path) -> None:
    small = HyperTransport(steps=1, concepts=1, images=2, targets=2, width=8, rank=2).fit(emoji, DEV, seed=0)
    small.save(tmp_path / "small.safetensors")
    other = load("cpu")
    other.revision = type(other.revision)("0" * 16)
    with pytest.raises(Refused, match="another model"):
        HyperTransport().load(other, tmp_path / "small.safetensors", seed=0)


def test_a_concept_without_pictures_cannot_be_read_from_pictures(emoji: Emoji) -> None:
    blind = concept.Concept(id="x", kind="style", text="x style", template="{prompt}, x style", sources=WANTED.sources)
    small = HyperTransport(steps=1, concepts=1, images=2, targets=2, width=8, rank=2, condition="image").fit(emoji, DEV, seed=0)
    with pytest.raises(UsageError, match="no reference images"):
        small.towards(blind)


def test_sources_and_targets_are_other_images_than_those_of_another_number() -> None:
    (_, first), (_, target) = fitting_images(WANTED, 16, seed=0)
    (_, second), _ = fitting_images(WANTED, 16, seed=0, number=1)
    assert not set(first) & set(second)
    assert not set(first) & set(target)


def test_prompt_interpolation_at_full_strength_is_prompting(emoji: Emoji) -> None:
    mixed, asked = PromptInterpolation().fit(emoji, (), seed=0).towards(WANTED), Prompt().fit(emoji, (), seed=0).towards(WANTED)
    assert picture(emoji, mixed, 1.0) == picture(emoji, asked, 1.0)


def test_prompt_interpolation_goes_on_beyond_both_ends(emoji: Emoji) -> None:
    change = PromptInterpolation().fit(emoji, (), seed=0).towards(WANTED)
    assert len({picture(emoji, change, strength) for strength in (-1.0, 0.0, 0.5, 1.0, 2.0)}) == 5


def picture(emoji: Emoji, change: Intervention, strength: float) -> bytes:
    return emoji.generate([Request(prompt="panda", seed=4, intervention=change, strength=strength)])[0].tobytes()
