"""The promises that every shipped baseline keeps on the embedded model."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from htbench import concept, intervention, registry
from htbench.emoji.scenes import LATENT
from htbench.errors import UnknownName
from htbench.hooks import activations, steer
from htbench.intervention import Affine, Intervention
from htbench.method import Learnt, learn_shared
from htbench.model import Request
from htbench.models.emoji import Emoji, load
from htbench.types import Site

CARDS = sorted(registry.cards())
WANTED = concept.load("emoji").splits["dev"][1]
SEED = 11


@pytest.fixture(scope="session")
def emoji() -> Emoji:
    return load("cpu")


@pytest.fixture(scope="session", params=CARDS)
def learnt(request: pytest.FixtureRequest, emoji: Emoji, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    return learn_shared(registry.card(request.param), emoji, concept.load("emoji").splits["train"], folder=tmp_path_factory.mktemp("maps"), seed=0)


@pytest.fixture(scope="session")
def change(learnt: Learnt) -> Intervention:
    return learnt.steering.towards(WANTED)


def images(emoji: Emoji, changes: Sequence[tuple[Intervention, float]], prompt: str = "panda") -> list[bytes]:
    requests = [Request(prompt=prompt, seed=SEED, intervention=change, strength=strength) for change, strength in changes]
    return [image.tobytes() for image in emoji.generate(requests)]


def test_strength_0_changes_no_bit(emoji: Emoji, change: Intervention) -> None:
    assert images(emoji, [(change, 0.0)] * 4) == images(emoji, [(Intervention(), 0.0)] * 4)


def test_the_sign_of_the_strength_matters(emoji: Emoji, change: Intervention) -> None:
    up, down = images(emoji, [(change, 1.0), (change, -1.0)])
    assert (up != down) is (type(change) is not Intervention)


def test_an_image_depends_on_its_own_request_alone(emoji: Emoji, change: Intervention) -> None:
    neighbours = [(Intervention(), 0.0), (change, -0.5), (change, 2.0)]
    first = images(emoji, [(change, 1.0), *neighbours])[0]
    last = images(emoji, [*reversed(neighbours), (change, 1.0)])[-1]
    assert first == last


def test_inputs_are_not_written_to(emoji: Emoji, change: Intervention) -> None:
    z = torch.randn(2, 5, 192)
    before = z.clone()
    for site in emoji.sites:
        change.apply(site, z, strength=1.0)
        steer([change, change], [1.0, 0.5])(site, z)
    assert torch.equal(z, before)


def test_a_batch_is_steered_as_each_image_alone(emoji: Emoji, change: Intervention) -> None:
    z = torch.randn(3, 5, 192)
    strengths = [1.0, 0.0, -2.0]
    for site in emoji.sites:
        together = steer([change] * 3, strengths)(site, z)
        alone = torch.cat([change.apply(site, z[k : k + 1], strength=strength) for k, strength in enumerate(strengths)])
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_a_saved_and_loaded_steering_gives_the_same_images(emoji: Emoji, learnt: Learnt, change: Intervention, tmp_path: Path) -> None:
    learnt.steering.save(tmp_path / "steering")
    again = registry.method(learnt.card).load(emoji, tmp_path / "steering", seed=0).towards(WANTED)
    assert images(emoji, [(again, 1.0)]) == images(emoji, [(change, 1.0)])


def test_a_saved_and_loaded_intervention_gives_the_same_images(emoji: Emoji, change: Intervention, tmp_path: Path) -> None:
    intervention.save(change, tmp_path / "change.safetensors")
    assert images(emoji, [(intervention.load(tmp_path / "change.safetensors"), 0.7)]) == images(emoji, [(change, 0.7)])


def test_hooks_are_gone_after_an_exception(emoji: Emoji, change: Intervention) -> None:
    class Breaks(Intervention):
        sites = frozenset(list(emoji.sites)[-1:])

        def apply(self, site: Site, z: torch.Tensor, *, strength: float) -> torch.Tensor:
            raise ZeroDivisionError

    before = images(emoji, [(Intervention(), 0.0)])
    with pytest.raises(ZeroDivisionError):
        images(emoji, [(change, 1.0), (Breaks(), 1.0)])
    assert images(emoji, [(Intervention(), 0.0)]) == before
    assert not [module for module in emoji._network.modules() if module._forward_hooks]


def test_it_acts_only_on_sites_of_the_model(emoji: Emoji, change: Intervention) -> None:
    assert change.sites <= emoji.sites.keys()


def test_a_steering_declares_what_it_was_trained_on(learnt: Learnt) -> None:
    train = {each.id for each in concept.load("emoji").splits["train"]}
    assert set(learnt.steering.training.concepts) <= train
    assert bool(learnt.steering.training.concepts) == bool(learnt.steering.training.seconds)


def test_a_foreign_site_is_refused_with_the_nearest_names(emoji: Emoji) -> None:
    stranger = Affine({Site("transformer.transformer_blocks.0.norm3"): torch.ones(192)}, {Site("transformer.transformer_blocks.0.norm3"): torch.zeros(192)})
    with pytest.raises(UnknownName, match=r"transformer_blocks\.0\.norm"):
        images(emoji, [(stranger, 1.0)])


def test_every_site_fires_in_a_run(emoji: Emoji) -> None:
    seen = activations(emoji, ["panda"], [1])
    assert {site: tuple(values.shape) for site, values in seen.items()} == dict.fromkeys(emoji.sites, (1, 192))


def test_a_prompt_first_met_in_half_precision_gives_the_same_image(emoji: Emoji) -> None:
    other = load("cpu")
    with torch.autocast("cpu", torch.bfloat16):
        activations(other, ["koala"], [1])
    assert images(other, [(Intervention(), 0.0)], prompt="koala") == images(emoji, [(Intervention(), 0.0)], prompt="koala")


def test_another_seed_gives_another_image(emoji: Emoji) -> None:
    first, second = emoji.generate([Request(prompt="panda", seed=seed, intervention=Intervention(), strength=0.0) for seed in (1, 2)])
    assert first.tobytes() != second.tobytes()


def test_images_have_the_size_of_scenes(emoji: Emoji) -> None:
    (image,) = emoji.generate([Request(prompt="panda", seed=1, intervention=Intervention(), strength=0.0)])
    assert isinstance(image, Image.Image)
    assert image.size == (LATENT[1] * 8, LATENT[2] * 8)
