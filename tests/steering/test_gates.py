"""Interventions behind gates, against masks written out here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from kit.toy import DEPTH, MAPS, TOKENS, WIDTH, Toy

from htbench.core.errors import Refused
from htbench.core.types import Site
from htbench.steering import intervention, map_files
from htbench.steering.combined import Combined, Part
from htbench.steering.edits import Combine
from htbench.steering.gates import ImageGated, TokensGated
from htbench.steering.hooks import activations, steer
from htbench.steering.intervention import Affine, Intervention, LowRank, OnMeans
from htbench.steering.map_files import MapFile
from htbench.steering.model import Request

PUSH = Affine(
    {TOKENS: torch.full((WIDTH,), 1.5), MAPS: torch.full((DEPTH,), 0.5)},
    {TOKENS: torch.linspace(-1, 1, WIDTH), MAPS: torch.ones(DEPTH)},
)
GATE = torch.tensor([1.0, -2.0, 0.5, 0.0, 1.0, 3.0, 0.05])
TOKEN_GATES = {TOKENS: GATE, MAPS: torch.linspace(-1, 1, DEPTH + 1)}
PROMPTS = [f"{word} cat" for word in ("red", "small", "two", "blue", "some", "old")]


def by_image() -> ImageGated:
    return ImageGated(PUSH, gates={TOKENS: GATE})


def halfway(model: Toy) -> ImageGated:
    """A gate that is open for half of the pictures of `PROMPTS`."""
    means = activations(model, PROMPTS, range(len(PROMPTS)))[TOKENS]
    scores = (means @ GATE[:-1]).sort().values
    gate = torch.cat([GATE[:-1], -scores[2:4].mean()[None]])
    return ImageGated(PUSH, gates={TOKENS: gate})


def pictures(model: Toy, change: Intervention, strength: float) -> np.ndarray:
    requests = [
        Request(prompt=prompt, seed=seed, intervention=change, strength=strength)
        for seed, prompt in enumerate(PROMPTS)
    ]
    return np.stack([np.asarray(image) for image in model.generate(requests)])


def test_images_that_pass_are_those_with_a_positive_score_of_their_mean() -> None:
    z = torch.randn(50, 4, WIDTH)
    scores = z.numpy().mean(1) @ GATE[:-1].numpy() + 0.05
    assert 0 < (scores > 0).sum() < 50
    np.testing.assert_array_equal(by_image().is_open(TOKENS, z)[:, 0, 0], scores > 0)


@pytest.mark.parametrize("strength", [-1.0, 0.5, 1.0])
def test_images_are_steered_whole_or_not_at_all(model: Toy, strength: float) -> None:
    plain, steered, gated = (
        pictures(model, change, strength) for change in (Intervention(), PUSH, halfway(model))
    )
    same_as_plain = (gated == plain).all((1, 2, 3))
    assert same_as_plain.sum() == len(PROMPTS) / 2
    np.testing.assert_array_equal(gated[~same_as_plain], steered[~same_as_plain])


def test_the_strength_does_not_move_the_gate(model: Toy) -> None:
    plain = pictures(model, Intervention(), 0.0)
    shut = [(pictures(model, halfway(model), s) == plain).all((1, 2, 3)) for s in (-2.0, 0.5, 1.0)]
    np.testing.assert_array_equal(shut[0], shut[1])
    np.testing.assert_array_equal(shut[1], shut[2])


def test_the_first_step_decides_for_all_steps() -> None:
    z, gate = torch.ones(1, 4, WIDTH), torch.ones(WIDTH + 1)
    shut, opened = (ImageGated(PUSH, gates={TOKENS: gate}).begin() for _ in range(2))
    shut(TOKENS, -z, strength=1.0)
    opened(TOKENS, z, strength=1.0)
    assert torch.equal(shut(TOKENS, z, strength=1.0), z)
    assert torch.equal(opened(TOKENS, -z, strength=1.0), PUSH.apply(TOKENS, -z, strength=1.0))


def test_an_image_is_steered_from_the_first_gate_on_that_opens_for_it() -> None:
    early, late = torch.zeros(WIDTH + 1), torch.zeros(DEPTH + 1)
    early[0], late[0] = 1.0, 1.0  # open where the first channel is above 0 in the mean
    gated = ImageGated(PUSH, gates={TOKENS: early, MAPS: late})
    tokens, maps = torch.ones(1, 4, WIDTH), torch.ones(1, 4, DEPTH)

    def run(first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
        apply = gated.begin()
        sites = ((TOKENS, first), (MAPS, second), (TOKENS, first))
        return [apply(site, z, strength=1.0) for site, z in sites]

    def pushed(site: Site, z: torch.Tensor) -> torch.Tensor:
        return PUSH.apply(site, z, strength=1.0)

    at_once, waiting, never = run(tokens, -maps), run(-tokens, maps), run(-tokens, -maps)
    assert torch.equal(at_once[0], pushed(TOKENS, tokens))
    assert torch.equal(at_once[1], pushed(MAPS, -maps))
    assert torch.equal(waiting[0], -tokens)
    assert torch.equal(waiting[1], pushed(MAPS, maps))
    assert torch.equal(waiting[2], pushed(TOKENS, -tokens))
    assert torch.equal(never[0], -tokens)
    assert torch.equal(never[1], -maps)
    assert torch.equal(never[2], -tokens)


def test_a_tap_that_is_attached_again_decides_anew(model: Toy) -> None:
    used, fresh = (steer([halfway(model)] * 6, [1.0] * 6) for _ in range(2))
    prompts = [{prompt: 1.0} for prompt in PROMPTS]
    model._run(prompts[::-1], range(6, 12), used)
    assert torch.equal(model._run(prompts, range(6), used), model._run(prompts, range(6), fresh))


@pytest.mark.parametrize("how", ["sum", "sequence"])
def test_a_gate_keeps_its_decision_beside_another_change(model: Toy, how: Combine) -> None:
    nothing = OnMeans(Affine({TOKENS: torch.ones(WIDTH)}, {TOKENS: torch.zeros(WIDTH)}))
    parts = [Part(intervention=each, strength=1.0) for each in (halfway(model), nothing)]
    together, alone = (
        pictures(model, Combined(parts, how), 1.0),
        pictures(model, halfway(model), 1.0),
    )
    np.testing.assert_allclose(together.astype(int), alone.astype(int), atol=1)


@pytest.mark.parametrize("strength", [-1.0, 0.7, 1.0])
def test_positions_move_as_far_as_their_probability(strength: float) -> None:
    z = torch.randn(3, 5, WIDTH)
    scores = (z.double() @ GATE[:-1].double() + GATE[-1])[..., None]
    moved = PUSH.apply(TOKENS, z, strength=strength).double()
    expected = torch.where(scores >= 0, z + scores.sigmoid() * (moved - z), z.double())
    result = TokensGated(PUSH, gates=TOKEN_GATES).apply(TOKENS, z, strength=strength)
    torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-5)
    shut = (scores < 0)[..., 0]
    assert torch.equal(result[shut], z[shut])


@pytest.mark.parametrize(
    "gated", [by_image(), TokensGated(PUSH, gates=TOKEN_GATES)], ids=["image", "tokens"]
)
def test_an_unsteered_image_in_the_batch_keeps_every_bit(gated: Intervention) -> None:
    z = torch.randn(3, 4, WIDTH)
    tap = steer([gated, Intervention(), gated], [1.0, 1.0, 0.0])
    assert torch.equal(tap(TOKENS, z)[1:], z[1:])


@pytest.mark.parametrize("inner", [PUSH, OnMeans(PUSH)], ids=["affine", "on-means"])
@pytest.mark.parametrize("kind", ["image", "tokens"])
def test_a_gate_comes_back_from_its_file(inner: Intervention, kind: str, tmp_path: Path) -> None:
    gated: Intervention = (
        ImageGated(inner, gates={TOKENS: GATE})
        if kind == "image"
        else TokensGated(inner, gates=TOKEN_GATES)
    )
    intervention.save(gated, tmp_path / "map")
    back, z = intervention.load(tmp_path / "map"), torch.randn(9, 4, WIDTH)
    assert type(back) is type(gated)
    assert back.sites == gated.sites
    assert torch.equal(back.apply(TOKENS, z, strength=0.7), gated.apply(TOKENS, z, strength=0.7))


def test_two_gates_come_back_from_a_file_and_none_are_refused(tmp_path: Path) -> None:
    gated = ImageGated(PUSH, gates=TOKEN_GATES)
    intervention.save(gated, tmp_path / "map")
    back = intervention.load(tmp_path / "map")
    assert isinstance(back, ImageGated)
    assert {site: gate.tolist() for site, gate in back.gates.items()} == {
        site: gate.tolist() for site, gate in TOKEN_GATES.items()
    }
    intervention.save(ImageGated(PUSH, gates={}), tmp_path / "none")
    with pytest.raises(Refused, match="no gate"):
        intervention.load(tmp_path / "none")


def test_a_gate_may_hold_a_map_of_full_matrices(tmp_path: Path) -> None:
    down, up, shift = torch.randn(WIDTH, 2), torch.randn(2, WIDTH), torch.ones(WIDTH)
    inner = LowRank({TOKENS: down}, {TOKENS: up}, {TOKENS: shift})
    intervention.save(TokensGated(inner, gates={TOKENS: GATE}), tmp_path / "map")
    back, z = intervention.load(tmp_path / "map"), torch.randn(2, 4, WIDTH)
    assert isinstance(back, TokensGated)
    assert torch.equal(
        back.change.apply(TOKENS, z, strength=1.0), inner.apply(TOKENS, z, strength=1.0)
    )


def test_gates_of_other_sites_than_the_maps_are_refused(tmp_path: Path) -> None:
    gated = TokensGated(PUSH, gates={TOKENS: GATE})
    intervention.save(gated, tmp_path / "map")
    with pytest.raises(Refused, match="parts do not match"):
        intervention.load(tmp_path / "map")


def test_a_file_of_maps_tells_of_its_gate_and_is_not_calculated_with(tmp_path: Path) -> None:
    path = tmp_path / "snow.safetensors"
    intervention.save(by_image(), path)
    file = MapFile.read(path)
    assert file.maps.sites == PUSH.sites
    assert file.gate == f"images that pass a gate at {TOKENS}"
    with pytest.raises(Refused, match="has a gate"):
        map_files.invert(file, tmp_path / "not.safetensors")
