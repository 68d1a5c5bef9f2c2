"""Promises of models: sound ones keep them all, a planted fault breaks the one that names it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from kit.toy import MAPS, TOKENS, Toy
from PIL import Image
from torch import Tensor, nn

from htbench.core import registry
from htbench.core.promises import name
from htbench.core.types import Site, SiteInfo
from htbench.steering import concept, model_contracts
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.model import Model, Request, Tap
from htbench.steering.model_contracts import PROMISES, ModelCase

PROMPTS = ("a cat", "seven boats", "panda")


def broken(model: Model, prompts: Sequence[str] = PROMPTS) -> dict[str, str]:
    """The promises that a model breaks, with the problems."""
    results = model_contracts.check(ModelCase(model=model, prompts=prompts))
    return {each.promise: each.problem for each in results if each.problem}


class Timed(Toy):
    """A model of declared timesteps."""

    timesteps = (999, 499)

    def asked_timesteps(self, prompt: str, seed: int) -> list[float]:
        return [999.0, 499.0]


class WrongSignOfTimesteps(Timed):
    def asked_timesteps(self, prompt: str, seed: int) -> list[float]:
        return [-each for each in super().asked_timesteps(prompt, seed)]


class TooFewTimesteps(Timed):
    def asked_timesteps(self, prompt: str, seed: int) -> list[float]:
        return [999.0]


class NoiseOfTheBatch(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        return super().generate([replace(each, seed=requests[0].seed) for each in requests])


class DependsOnItsPlace(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        images = super().generate(requests)
        return [
            image.point([min(255, v + 9 * k) for v in range(256)] * 3)
            for k, image in enumerate(images)
        ]


class DependsOnTheNumberOfImages(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        images = super().generate(requests)
        return images if len(images) > 1 else [images[0].point(lambda v: v ^ 8)]


class IgnoresSeeds(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        return super().generate([replace(each, seed=1) for each in requests])


class IgnoresPrompts(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        return super().generate([replace(each, prompt="cat") for each in requests])


class WidensWhereItIsSteered(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        if any(isinstance(each.intervention, Affine) or each.strength for each in requests):
            recorder = requests[0].intervention
            if getattr(recorder, "_change", Intervention()).sites:
                self.network.double()
        try:
            return super().generate(requests)
        finally:
            self.network.float()


class NamesASiteThatNeverFires(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.sites = {**Toy.sites, Site("maps.leave"): SiteInfo(channels=3, channel_axis=1)}


class DeclaresOtherChannels(Toy):
    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        super().trace(
            prompts, seeds, lambda site, z: tap(site, torch.cat([z, z], -1))[..., : z.shape[-1]]
        )


class HasNoGradient(Toy):
    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        with torch.no_grad():
            super().trace(prompts, seeds, tap)


class _TurnsGradients(Toy):
    factor = -1.0

    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        def turned(site: Site, z: Tensor) -> Tensor:
            result = tap(site, z)
            return result.detach() + self.factor * (result - result.detach())

        super().trace(prompts, seeds, turned)


class HasGradientsOfTheWrongSign(_TurnsGradients):
    factor = -1.0


class HasGradientsOfTheWrongSize(_TurnsGradients):
    factor = 1.5


class _Wave(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z + (300 * z).sin() / 20


def test_a_model_whose_answers_are_straight_over_small_steps_alone_keeps_every_promise() -> None:
    model = Toy()
    model.network.maps["enter"] = nn.Sequential(model.network.maps["enter"], _Wave())
    assert broken(model) == {}


class ChangesABitAtStrength0(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        return super().generate(
            [replace(each, strength=each.strength or 0.01) for each in requests]
        )


class HoldsNan(Toy):
    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        super().trace(prompts, seeds, lambda site, z: tap(site, z / z.new_zeros(())))


class HasADeadSite(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        return super().generate(
            [replace(each, intervention=_without(each.intervention, MAPS)) for each in requests]
        )


class IgnoresTheSign(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        return super().generate([replace(each, strength=abs(each.strength)) for each in requests])


class IsNotRepeatable(Toy):
    calls = 0

    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        self.calls += 1
        return super().generate([replace(each, seed=each.seed + self.calls) for each in requests])


class HasAnotherSize(Toy):
    size = 8


class IsGrey(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        return [image.convert("L") for image in super().generate(requests)]


class FitsOnOtherNoise(Toy):
    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        super().trace(prompts, [seed + 1 for seed in seeds], tap)


class SwallowsExceptions(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        try:
            return super().generate(requests)
        except Exception:
            return super().generate(
                [replace(each, intervention=Intervention()) for each in requests]
            )


class MakesNothing(Toy):
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        return []


def _without(change: Intervention, site: Site) -> Intervention:
    if not isinstance(change, Affine):
        return change
    left = change.sites - {site}
    return (
        Affine(
            {each: change.scale[each] for each in left}, {each: change.shift[each] for each in left}
        )
        if left
        else Intervention()
    )


FAULTS = {
    WrongSignOfTimesteps: "its timesteps are those that it declares",
    TooFewTimesteps: "its timesteps are those that it declares",
    NoiseOfTheBatch: "an image does not depend on its batch",
    DependsOnItsPlace: "an image does not depend on its batch",
    DependsOnTheNumberOfImages: "an image does not depend on its batch",
    IgnoresSeeds: "different seeds give different images",
    IgnoresPrompts: "different prompts give different images",
    WidensWhereItIsSteered: "interventions keep the number format",
    NamesASiteThatNeverFires: "every site fires",
    DeclaresOtherChannels: "sites have the declared channels",
    HasNoGradient: "gradients reach every site",
    HasGradientsOfTheWrongSign: "gradients are those of finite differences",
    HasGradientsOfTheWrongSize: "gradients are those of finite differences",
    ChangesABitAtStrength0: "strength 0 changes no bit",
    HoldsNan: "hidden states are finite",
    HasADeadSite: "an intervention at each site changes the image",
    IgnoresTheSign: "the sign of the strength matters",
    IsNotRepeatable: "the same request gives the same image",
    HasAnotherSize: "images are rgb and of the declared size",
    IsGrey: "images are rgb and of the declared size",
    FitsOnOtherNoise: "fitting sees what generating does",
    SwallowsExceptions: "hooks are gone after an exception",
    MakesNothing: "it makes an image",
}


@pytest.mark.parametrize("make", [Toy, lambda: Toy(steps=2), Timed], ids=["one", "two", "timed"])
def test_a_sound_model_keeps_every_promise(make: Callable[[], Model]) -> None:
    assert broken(make()) == {}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_breaks_the_promise_that_names_it(fault: Callable[[], Model]) -> None:
    assert FAULTS[fault] in broken(fault())


def test_every_promise_is_broken_by_some_fault() -> None:
    assert set(FAULTS.values()) == {name(promise) for promise in PROMISES}


def test_the_wrong_sign_of_a_gradient_is_named() -> None:
    problems = broken(HasGradientsOfTheWrongSign())
    assert "of the wrong sign" in problems["gradients are those of finite differences"]
    assert TOKENS in problems["gradients are those of finite differences"]


def test_nothing_else_is_checked_of_a_model_that_makes_no_image() -> None:
    assert list(broken(MakesNothing())) == ["it makes an image"]


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("emoji", {}),
        ("nitro-1-pixart", {"weights": "tiny"}),
        pytest.param("dmd2", {"weights": "tiny"}, marks=pytest.mark.slow),
        pytest.param("dmd2-4step", {"weights": "tiny"}, marks=pytest.mark.slow),
        pytest.param("flux-schnell", {"weights": "tiny"}, marks=pytest.mark.slow),
    ],
)
def test_models_of_htbench_keep_every_promise(
    model: str, options: dict[str, str], own_cache: None
) -> None:
    prompts = concept.load("emoji").prompts
    assert broken(registry.load_model(model, "cpu", options), prompts) == {}
