"""Gates fitted on the toy model, and their discriminant against a few lines of NumPy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, cast

import numpy as np
import pytest
import torch
from kit.toy import MAPS, TOKENS, Toy

from htbench.core.errors import UsageError
from htbench.core.types import Site, SiteInfo
from htbench.methods.lineas import Lineas
from htbench.methods.mean_shift import MeanShift
from htbench.steering.concept import Concept
from htbench.steering.fitting.gates import CanBeGated, discriminant, gate_images
from htbench.steering.gates import ImageGated, TokensGated
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.model import Model, Request, Tap

MANY = " and" * 12
"""Words by which the toy model keeps prompts well apart from the sources."""
CONCEPT = Concept(
    id="weather/snow",
    kind="weather",
    text="snow",
    template=f"{{prompt}}{MANY} snow",
    sources=tuple(
        f"{word} {noun}" for noun in ("cat", "dog", "bus") for word in ("a", "my", "red")
    ),
)
APART = (f"{{prompt}}{MANY} hat", f"{{prompt}}{MANY} fog")
GATED = MeanShift(gate="image", unrelated=APART, gate_samples=32, samples=8)


def test_the_discriminant_is_that_of_numpy() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(20, 3)) * [1, 2, 3], rng.normal(size=(14, 3)) + 1
    centred = np.concatenate([a - a.mean(0), b - b.mean(0)])
    covariance = centred.T @ centred / 34
    covariance += 0.1 * np.trace(covariance) / 3 * np.eye(3)
    weights = np.linalg.inv(covariance) @ (b.mean(0) - a.mean(0))
    found = discriminant(torch.tensor(a), torch.tensor(b)).numpy()
    np.testing.assert_allclose(found[:-1], weights)
    np.testing.assert_allclose(found[-1], -weights @ (a.mean(0) + b.mean(0)) / 2)


def test_images_are_in_pairs_of_one_noise_and_two_wordings() -> None:
    (prompts, seeds), (reworded, same) = gate_images(CONCEPT, APART, 6, seed=1)
    assert seeds == same
    assert reworded == [
        CONCEPT.target(prompts[0]),
        f"{prompts[1]}{MANY} hat",
        CONCEPT.target(prompts[2]),
        f"{prompts[3]}{MANY} fog",
        CONCEPT.target(prompts[4]),
        f"{prompts[5]}{MANY} hat",
    ]


def test_other_prompts_keep_every_bit_and_neutral_ones_get_the_maps(model: Toy) -> None:
    change = GATED.fit(model, CONCEPT, seed=0)
    assert isinstance(change, ImageGated)

    def images(prompts: list[str], each: Intervention) -> list[bytes]:
        requests = [
            Request(prompt=prompt, seed=seed, intervention=each, strength=1.0)
            for seed, prompt in enumerate(prompts)
        ]
        return [image.tobytes() for image in model.generate(requests)]

    others = [f"old bird{MANY} mug", CONCEPT.target("old bird")]
    assert images(others, change) == images(others, Intervention())
    assert images(["old bird"], change) == images(["old bird"], change.change)
    assert images(["old bird"], change) != images(["old bird"], Intervention())


def test_behind_a_gate_are_the_maps_of_the_method(model: Toy) -> None:
    change = GATED.fit(model, CONCEPT, seed=0)
    assert isinstance(change, ImageGated)
    assert change.gates.keys() == {TOKENS}
    plain = replace(GATED, gate="none").fit(model, CONCEPT, seed=0)
    assert isinstance(change.change, Affine)
    assert isinstance(plain, Affine)
    assert torch.equal(change.change.maps, plain.maps)


class Late:
    """Nine sites; words of the prompt are read from the second on, more of them at the third."""

    name, device = "late", "cpu"
    sites: Mapping[Site, SiteInfo] = MappingProxyType(
        {Site(f"site{k}"): SiteInfo(channels=3, channel_axis=-1) for k in range(9)}
    )

    def __init__(self, *steps: float) -> None:
        self.steps = steps

    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        noise = [torch.randn(4, 3, generator=torch.Generator().manual_seed(k)) for k in seeds]
        words = torch.tensor([float("and" in prompt) for prompt in prompts])
        z = torch.stack(noise)
        for site, step in zip(self.sites, self.steps, strict=True):
            z = tap(site, z + words[:, None, None] * step)


def scores(gate: torch.Tensor, model: Late, site: Site, *, asks: bool) -> torch.Tensor:
    found: list[torch.Tensor] = []

    def tap(each: Site, z: torch.Tensor) -> torch.Tensor:
        if each == site:
            found.append(z.mean(1) @ gate[:-1] + gate[-1])
        return z

    model.trace(["cat and" if asks else "cat"] * 200, range(1000, 1200), tap)
    return found[0]


def test_no_site_before_the_first_gate_is_steered() -> None:
    model = Late(0, 5, *[0] * 7)
    change = GATED.fit(cast(Model, model), CONCEPT, seed=0)
    assert isinstance(change, ImageGated)
    assert change.gates.keys() == {"site1"}
    z = torch.randn(1, 4, 3)
    first, second = (Site(f"site{k}") for k in range(2))
    apply, opener = change.begin(), -100 * change.gates[second][:-1].sign()
    assert torch.equal(apply(first, z, strength=1.0), z)
    assert torch.equal(apply(second, z + opener, strength=1.0), z + opener)


def test_the_earlier_gate_opens_for_sure_images_alone_and_the_later_one_for_the_rest() -> None:
    model = Late(0, 1.2, 5, *[0] * 6)
    change = GATED.fit(cast(Model, model), CONCEPT, seed=0)
    assert isinstance(change, ImageGated)
    assert change.gates.keys() == {"site1", "site2"}
    (early, first), (late, second) = sorted(change.gates.items())
    for asks in (False, True):
        opened = scores(first, model, early, asks=asks) > 0
        decided = scores(second, model, late, asks=asks) > 0
        share = (opened | decided).float().mean()
        assert share < 0.01 if asks else share > 0.99
        assert opened.float().mean() < (0.005 if asks else 0.6)


def test_a_gate_for_tokens_holds_the_maps_of_the_method(model: Toy) -> None:
    change = replace(GATED, gate="tokens").fit(model, CONCEPT, seed=0)
    plain = replace(GATED, gate="none").fit(model, CONCEPT, seed=0)
    assert isinstance(change, TokensGated)
    assert isinstance(change.change, Affine)
    assert isinstance(plain, Affine)
    assert torch.equal(change.change.maps, plain.maps)
    assert change.gates.keys() == {TOKENS, MAPS}


@pytest.mark.parametrize("gate", ["image", "tokens"])
def test_lineas_can_be_gated(model: Toy, gate: Literal["image", "tokens"]) -> None:
    method = Lineas(gate=gate, unrelated=APART, gate_samples=16, samples=4, batch=2, steps=2)
    (change,) = method.fit_many(model, [CONCEPT], seed=0)
    assert isinstance(change, ImageGated | TokensGated)
    plain = replace(method, gate="none").fit(model, CONCEPT, seed=0)
    assert torch.equal(change.change.maps, plain.maps)


def test_prompts_that_no_site_tells_apart_are_refused(model: Toy) -> None:
    same = replace(CONCEPT, template="{prompt}")
    method = replace(GATED, unrelated=("{prompt}",))
    with pytest.raises(UsageError, match=r"no site tells neutral prompts from .*'weather/snow'"):
        method.fit(model, same, seed=0)


@pytest.mark.parametrize(
    ("unrelated", "problem"),
    [((), "there are none"), (("with hat",), "'with hat' has no {prompt}")],
)
def test_templates_without_a_prompt_are_refused(
    model: Toy, unrelated: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        replace(GATED, unrelated=unrelated).fit(model, CONCEPT, seed=0)


def test_methods_are_without_a_gate_unless_asked() -> None:
    assert CanBeGated().gate == "none"
