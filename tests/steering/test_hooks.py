"""Taps on the toy model: their inputs and changes, and modules without a tap."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from kit.toy import DEPTH, MAPS, SIDE, TOKENS, WIDTH, Network, Toy
from torch import Tensor, nn

from htbench.core.errors import UnknownName
from htbench.core.types import Site, SiteInfo
from htbench.steering.hooks import SteeredModules, activations, check_sites, steer
from htbench.steering.intervention import Affine, Intervention, OnMeans, Rewrite
from htbench.steering.model import Request, select_sites

PROMPTS, SEEDS = ("a red cat", "two dogs", "one bird"), (1, 2, 3)


class Doubling(Intervention):
    """A stranger's intervention, which is not affine by type."""

    sites = frozenset({MAPS})

    def apply(self, site: Site, z: Tensor, *, strength: float) -> Tensor:
        return z * (1 + strength) if site in self.sites else z


def _push(amount: float = 2.0) -> Affine:
    return Affine(
        {TOKENS: torch.full((WIDTH,), 1 + amount), MAPS: torch.full((DEPTH,), 1.5)},
        {TOKENS: torch.linspace(-amount, amount, WIDTH), MAPS: torch.full((DEPTH,), amount)},
    )


def _one_module(module: nn.Module, axis: int) -> SteeredModules:
    site = Site("x")
    return SteeredModules({site: module}, {site: SiteInfo(channels=3, channel_axis=axis)})


def _pictures(model: Toy, *changes: tuple[Intervention, float]) -> np.ndarray:
    requests = [
        Request(prompt=PROMPTS[k % 3], seed=k, intervention=change, strength=strength)
        for k, (change, strength) in enumerate(changes)
    ]
    return np.stack([np.asarray(image, int) for image in model.generate(requests)])


def _hooks(model: Toy) -> int:
    return sum(len(module._forward_hooks) for module in model.network.modules())


def test_a_tap_sees_images_positions_and_channels(model: Toy) -> None:
    seen: dict[Site, tuple[int, ...]] = {}
    model.trace(PROMPTS, SEEDS, lambda site, z: seen.update({site: tuple(z.shape)}) or z)
    assert seen == {TOKENS: (3, SIDE**2, WIDTH), MAPS: (3, SIDE**2, DEPTH)}


def test_taps_are_called_in_the_order_of_the_sites(model: Toy) -> None:
    order: list[Site] = []
    model.trace(PROMPTS, SEEDS, lambda site, z: order.append(site) or z)
    assert order == list(model.sites)


@pytest.mark.parametrize(
    ("axis", "shape"), [(1, (2, 3, 4, 5)), (-1, (2, 4, 5, 3)), (-1, (2, 4, 3)), (1, (2, 3, 4))]
)
def test_the_channel_axis_is_where_the_site_says(axis: int, shape: tuple[int, ...]) -> None:
    module, z, channel = nn.Identity(), torch.randn(shape), torch.tensor([1.0, 10.0, 100.0])
    modules = _one_module(module, axis)
    with modules.attach(lambda _, z: z * channel):
        changed = module(z)
    assert torch.equal(changed.movedim(axis, -1), z.movedim(axis, -1) * channel)


def test_a_tap_that_changes_nothing_leaves_every_bit(model: Toy) -> None:
    tokens = torch.randn(2, SIDE**2, WIDTH)
    with model._steered.attach(lambda _, z: z):
        through = model.network(tokens)
    assert torch.equal(through, model.network(tokens))


def test_strength_0_changes_no_bit(model: Toy) -> None:
    z = torch.randn(2, 5, WIDTH)
    assert steer([_push(), Doubling()], [0.0, 0.0])(MAPS, z) is z
    assert (
        _pictures(model, (_push(), 0.0), (Doubling(), 0.0))
        == _pictures(model, (Intervention(), 1.0), (Intervention(), 1.0))
    ).all()


def test_a_neighbour_at_strength_0_keeps_every_bit() -> None:
    z = torch.tensor([-0.0, float("inf"), 1e-45, -3.0]).expand(2, 1, 4).contiguous()
    change = Affine({TOKENS: torch.full((4,), 2.0)}, {TOKENS: torch.ones(4)})
    steered = steer([change, change], [0.0, 1.0])(TOKENS, z)
    assert torch.equal(steered[0].view(torch.int32), z[0].view(torch.int32))


def test_the_sign_of_the_strength_matters() -> None:
    z = torch.randn(1, 5, WIDTH)
    more, less = (steer([_push()], [strength])(TOKENS, z) - z for strength in (0.5, -0.5))
    torch.testing.assert_close(more, -less)
    assert more.abs().max() > 0.1


def test_pictures_differ_for_opposite_strengths(model: Toy) -> None:
    assert (_pictures(model, (_push(), 1.0)) != _pictures(model, (_push(), -1.0))).any()


def test_a_steered_batch_holds_what_each_intervention_says() -> None:
    z, changes, strengths = (
        torch.randn(4, 5, DEPTH),
        [_push(1), _push(3), Doubling(), Intervention()],
        [0.5, -2.0, 1.5, 1.0],
    )
    expected = [
        change.apply(MAPS, z[k : k + 1], strength=strengths[k]) for k, change in enumerate(changes)
    ]
    torch.testing.assert_close(steer(changes, strengths)(MAPS, z), torch.cat(expected))


def test_maps_of_different_sites_share_a_batch_bit_for_bit() -> None:
    both = _push()
    one = Affine({MAPS: torch.full((DEPTH,), 0.3)}, {MAPS: torch.ones(DEPTH)})
    other = Affine({TOKENS: torch.full((WIDTH,), 0.7)}, {TOKENS: torch.ones(WIDTH)})
    changes, strengths = [one, both, other, one], [0.4, 1.0, -2.0, 0.0]
    for site, width in ((TOKENS, WIDTH), (MAPS, DEPTH)):
        z, tap = torch.randn(4, 5, width), steer(changes, strengths)
        expected = [
            change.apply(site, z[k : k + 1], strength=strengths[k])
            for k, change in enumerate(changes)
        ]
        assert torch.equal(tap(site, z), torch.cat(expected))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("is_map", [False, True], ids=["tokens", "maps"])
@pytest.mark.parametrize("channels", [3, 64, 193])
def test_a_steered_batch_has_the_bits_of_each_map(
    channels: int, is_map: bool, dtype: torch.dtype
) -> None:
    strengths = [1.0, 0.3, -2.0, 7.1]
    z = (10 * torch.randn(4, channels, 17)).transpose(1, 2).to(dtype)
    z = z if is_map else z.contiguous()
    scales, shifts = 1 + torch.randn(2, 4, channels)
    # Half of the channels of the first image cancel: their results are all but 0.
    shifts[0, ::2] = -(scales[0] * z[0, 0].float())[::2]
    changes = [Affine({MAPS: w}, {MAPS: b}) for w, b in zip(scales, shifts, strict=True)]
    alone = [
        change.apply(MAPS, z[k : k + 1], strength=strengths[k]) for k, change in enumerate(changes)
    ]
    assert torch.equal(steer(changes, strengths)(MAPS, z), torch.cat(alone))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(
    ("axis", "shape"), [(1, (2, 3, 4, 5)), (-1, (2, 4, 5, 3)), (-1, (2, 4, 3)), (1, (2, 3, 4))]
)
def test_steered_modules_have_the_bits_of_each_map(
    axis: int, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    module, z, site = nn.Identity(), torch.randn(shape).to(dtype), Site("x")
    changes = [Affine({site: torch.randn(3)}, {site: torch.randn(3)}) for _ in range(2)]
    with torch.no_grad(), _one_module(module, axis).attach(steer(changes, [0.7, -2.0])):
        steered = module(z)
    rows = z.movedim(axis, -1).flatten(1, -2)
    alone = [
        change.apply(site, rows[k : k + 1], strength=strength)
        for k, (change, strength) in enumerate(zip(changes, [0.7, -2.0], strict=True))
    ]
    assert torch.equal(steered.movedim(axis, -1).flatten(1, -2), torch.cat(alone))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gradients", [False, True])
def test_a_map_is_rounded_once(dtype: torch.dtype, gradients: bool) -> None:
    z = torch.randn(2, 9, WIDTH).to(dtype)
    scale = 1 + torch.randn(WIDTH)
    # At strength 1 the first position of the first image all but cancels.
    change = Affine({TOKENS: scale}, {TOKENS: -1.01 * scale * z[0, 0].float()})
    exact = scale.double() * z.double() + change.shift[TOKENS].double()
    half_a_unit = torch.finfo(dtype).eps / 2
    with torch.set_grad_enabled(gradients):
        moved = change.apply(TOKENS, z, strength=1.0).double()
    torch.testing.assert_close(moved, exact, rtol=1.01 * half_a_unit, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("is_map", [False, True], ids=["tokens", "maps"])
def test_means_in_a_mixed_batch_are_those_of_each_image(dtype: torch.dtype, is_map: bool) -> None:
    z = torch.randn(4, DEPTH, 9).transpose(1, 2).to(dtype)
    z = z if is_map else z.contiguous()
    changes = [OnMeans(_push(1)), _push(2), OnMeans(_push(3)), Intervention()]
    strengths = [0.5, 1.0, 0.0, 1.0]
    steered = steer(changes, strengths)(MAPS, z)
    for k, change in enumerate(changes):
        alone = change.apply(MAPS, z[k : k + 1], strength=strengths[k])
        assert torch.equal(steered[k : k + 1], alone)
    assert torch.equal(steered[2:], z[2:])


def test_a_mixed_batch_equals_one_by_one(model: Toy) -> None:
    changes = [
        (_push(1), 0.5),
        (Intervention(), 1.0),
        (Doubling(), 1.0),
        (Rewrite(more="{prompt} at sea", less=""), 1.0),
        (_push(2), -1.0),
    ]
    batch = _pictures(model, *changes)
    for k, (change, strength) in enumerate(changes):
        request = Request(prompt=PROMPTS[k % 3], seed=k, intervention=change, strength=strength)
        np.testing.assert_allclose(batch[k], np.asarray(model.generate([request])[0], int), atol=1)


def test_a_row_does_not_depend_on_its_neighbours_at_equal_batch_size() -> None:
    z, other = torch.randn(3, 5, WIDTH), torch.randn(3, 5, WIDTH)
    other[1] = z[1]
    first = steer([_push(1), _push(2), Doubling()], [1.0, 0.7, 1.0])(TOKENS, z)
    second = steer([Intervention(), _push(2), _push(5)], [1.0, 0.7, 3.0])(TOKENS, other)
    assert torch.equal(first[1], second[1])


def test_what_goes_in_is_not_written_to() -> None:
    z = torch.randn(3, 5, DEPTH)
    before = z.clone()
    steer([_push(), Doubling(), Intervention()], [1.0, 1.0, 1.0])(MAPS, z)
    assert torch.equal(z, before)


def test_a_site_outside_the_intervention_is_left_alone() -> None:
    z, only_maps = (
        torch.randn(1, 5, WIDTH),
        Affine({MAPS: torch.zeros(DEPTH)}, {MAPS: torch.zeros(DEPTH)}),
    )
    assert steer([only_maps], [1.0])(TOKENS, z) is z


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_steering_keeps_the_number_format(dtype: torch.dtype) -> None:
    assert (
        steer([_push(), Intervention()], [1.0, 1.0])(
            TOKENS, torch.zeros(2, 5, WIDTH, dtype=dtype)
        ).dtype
        == dtype
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_maps_may_have_any_number_format(dtype: torch.dtype) -> None:
    z, change = (
        torch.randn(1, 5, 2),
        Affine({TOKENS: torch.full((2,), 3.0, dtype=dtype)}, {TOKENS: torch.ones(2, dtype=dtype)}),
    )
    torch.testing.assert_close(steer([change], [1.0])(TOKENS, z), 3 * z + 1)


def test_hooks_are_registered_once_for_all_batches(model: Toy) -> None:
    for _ in range(2):
        _pictures(model, (_push(), 1.0))
        assert _hooks(model) == len(model.sites)


@pytest.mark.parametrize("failing", [False, True])
def test_without_a_tap_no_bit_is_changed(model: Toy, failing: bool) -> None:
    tokens, plain = torch.randn(2, SIDE**2, WIDTH), Network().requires_grad_(False)
    plain.load_state_dict(model.network.state_dict())
    with pytest.raises(ZeroDivisionError) if failing else nullcontext():
        model.trace(PROMPTS, SEEDS, lambda _site, z: 1 / 0 if failing else 2 * z)
    assert torch.equal(model.network(tokens), plain(tokens))


def test_a_second_tap_at_the_same_time_is_refused_and_the_first_goes_on(model: Toy) -> None:
    tokens = torch.randn(2, SIDE**2, WIDTH)
    with model._steered.attach(lambda _, z: 2 * z):
        once = model.network(tokens)
        with (
            pytest.raises(RuntimeError, match="attached already"),
            model._steered.attach(lambda _, z: 3 * z),
        ):
            pass
        assert torch.equal(model.network(tokens), once)


def test_a_tap_is_attached_again_only_while_a_block_is_recomputed() -> None:
    module, z = nn.Identity(), torch.ones(1, 2, 3)
    modules = _one_module(module, -1)
    with modules.reattach(lambda _, z: 2 * z):
        assert torch.equal(module(z), 2 * z)
    assert module(z) is z


def test_a_tap_that_changes_the_shape_is_named_with_its_site() -> None:
    module = nn.Identity()
    with (
        pytest.raises(RuntimeError, match=r"tap of x .*\(2, 1, 3\), not \(2, 4, 3\)"),
        _one_module(module, -1).attach(lambda _, z: z[:, :1]),
    ):
        module(torch.ones(2, 4, 3))


def test_a_site_that_never_fires_raises_and_leaves_no_tap(model: Toy) -> None:
    norm = model.network.get_submodule(TOKENS)
    with (
        pytest.raises(RuntimeError, match=r"never fired: maps\.norm"),
        model._steered.attach(lambda _, z: 2 * z),
    ):
        norm(torch.zeros(1, 1, WIDTH))
    z = torch.randn(1, 1, WIDTH)
    assert torch.equal(norm(z), nn.functional.layer_norm(z, (WIDTH,), norm.weight, norm.bias))


def test_an_exception_is_not_hidden_by_sites_that_did_not_fire(model: Toy) -> None:
    with pytest.raises(KeyError), model._steered.attach(lambda _, z: z):
        raise KeyError


def test_an_unknown_site_names_the_nearest(model: Toy) -> None:
    stray = Affine({Site("tokens.nrom"): torch.ones(1)}, {Site("tokens.nrom"): torch.ones(1)})
    with pytest.raises(
        UnknownName, match=r"no site of toy 'tokens\.nrom'; did you mean 'tokens\.norm'"
    ):
        check_sites(model, [Intervention(), stray])


def test_a_pattern_that_matches_nothing_names_the_nearest(model: Toy) -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'maps\.norm'"):
        select_sites(model, ["tokens.*", "map.norm"])


def test_sites_are_selected_in_the_order_of_firing(model: Toy) -> None:
    assert select_sites(model, ["maps.*", "*.norm"]) == (TOKENS, MAPS)


def test_a_gradient_flows_through_a_tap(model: Toy) -> None:
    shift, seen = torch.zeros(WIDTH, requires_grad=True), {}
    change = steer([Affine({TOKENS: torch.ones(WIDTH)}, {TOKENS: shift})] * 3, [1.0] * 3)
    model.trace(PROMPTS, SEEDS, lambda site, z: seen.update({site: z}) or change(site, z))
    seen[MAPS].square().sum().backward()
    assert shift.grad.abs().min() > 0


def test_activations_are_means_over_positions(model: Toy) -> None:
    seen: dict[Site, Tensor] = {}
    model.trace(PROMPTS, SEEDS, lambda site, z: seen.update({site: z}) or z)
    means = activations(model, PROMPTS, SEEDS)
    torch.testing.assert_close(means, {site: z.mean(1) for site, z in seen.items()})


def test_activations_do_not_depend_on_the_batch_size(model: Toy) -> None:
    torch.testing.assert_close(
        activations(model, PROMPTS, SEEDS, batch=2), activations(model, PROMPTS, SEEDS)
    )


def test_activations_are_those_after_the_change(model: Toy) -> None:
    change = Affine({MAPS: torch.zeros(DEPTH)}, {MAPS: torch.arange(float(DEPTH))})
    means = activations(model, PROMPTS, SEEDS, change=steer([change] * 3, [1.0] * 3))
    torch.testing.assert_close(
        means[MAPS], torch.arange(float(DEPTH)).expand(3, -1), atol=1e-5, rtol=0
    )
