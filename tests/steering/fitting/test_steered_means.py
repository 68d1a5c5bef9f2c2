"""Means under trainable maps, against a plain composition of PyTorch's operators."""

import pytest
import torch
from kit.plain_maps import plain_tap
from kit.toy import MAPS, TOKENS, Toy
from torch import Tensor

from htbench.core.types import Site
from htbench.steering.fitting.steered_means import (
    _MapAndSum,
    arriving_means,
    steer_means,
    unsteered_means,
)
from htbench.steering.hooks import activations
from htbench.steering.layout import Layout
from htbench.steering.model import Tap
from htbench.steering.spatial import SpatialLayout

IMAGES = (["a red cat", "two dogs", "one bird"], [1, 2, 3])
LAYOUT = Layout.of({site: info.channels for site, info in Toy.sites.items()})


def _maps(rows: int, layout: Layout = LAYOUT) -> Tensor:
    noise = torch.randn(rows, 2, layout.channels, generator=torch.Generator().manual_seed(0))
    return (0.3 * noise + torch.tensor([[1.0], [0.0]])).requires_grad_()


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("is_transposed", [False, True], ids=["tokens", "maps"])
@pytest.mark.parametrize("is_last", [False, True], ids=["read further on", "only summed"])
def test_its_gradients_are_those_of_finite_differences(
    rows: int, is_transposed: bool, is_last: bool
) -> None:
    draws = torch.Generator().manual_seed(0)
    z = torch.randn(3, 5, 4, generator=draws, dtype=torch.float64, requires_grad=True)
    gain, offset = (
        torch.randn(rows, 1, 4, generator=draws, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )

    def run(z: Tensor, gain: Tensor, offset: Tensor) -> tuple[Tensor, ...]:
        z = z.transpose(1, 2).contiguous().transpose(1, 2) if is_transposed else z
        moved, total = _MapAndSum.apply(z, gain, offset, True)
        return (total,) if is_last else (moved, total)

    assert torch.autograd.gradcheck(run, (z, gain, offset))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("steps", [1, 2])
def test_means_and_gradients_are_those_of_a_plain_composition(rows: int, steps: int) -> None:
    model, maps, plain = Toy(steps=steps), _maps(rows), _maps(rows)
    weights = torch.randn(3, steps, LAYOUT.channels, generator=torch.Generator().manual_seed(1))
    arrived = arriving_means(model, IMAGES, maps, LAYOUT)
    steered = steer_means(arrived, maps.expand(3, -1, -1))
    (steered * weights).sum().backward()
    scale, shift = map(LAYOUT.split, plain.unbind(1))
    reached = activations(model, *IMAGES, change=plain_tap(scale, shift))
    expected = LAYOUT.join(reached).unflatten(0, (steps, 3)).transpose(0, 1)
    (expected * weights).sum().backward()
    torch.testing.assert_close(steered, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(maps.grad, plain.grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("steps", [1, 2])
def test_means_of_patterns_and_gradients_are_those_of_a_plain_composition(
    rows: int, steps: int
) -> None:
    draws = torch.Generator().manual_seed(3)
    basis = torch.linalg.qr(torch.cat([torch.ones(16, 1), torch.randn(16, 2, generator=draws)], 1))
    basis = basis.Q * basis.R[0, 0].sign() * 4
    layout = SpatialLayout(LAYOUT.sites, LAYOUT.widths, dict.fromkeys(LAYOUT.sites, basis[:, 1:]))
    noise = 0.3 * torch.randn(rows, 4, LAYOUT.channels, generator=draws)
    maps, plain = ((layout.identity + noise).requires_grad_() for _ in range(2))
    weights = torch.randn(3, steps, 3 * LAYOUT.channels, generator=draws)

    arrived = arriving_means(Toy(steps=steps), IMAGES, maps, layout)
    steered = steer_means(arrived, maps.expand(3, -1, -1))
    (steered * weights).sum().backward()

    means: dict[Site, list[Tensor]] = {site: [] for site in LAYOUT.sites}

    def tap(site: Site, z: Tensor) -> Tensor:
        scale, *shifts = LAYOUT.split(plain)[site][:, :, None].unbind(1)
        z = scale * z + sum(basis[:, k, None] * own for k, own in enumerate(shifts))
        means[site].append(torch.stack([(basis[:, k, None] * z).mean(1) for k in range(3)], 1))
        return z

    Toy(steps=steps).trace(*IMAGES, tap)
    expected = torch.stack(
        [torch.cat(parts, -1).flatten(1) for parts in zip(*means.values(), strict=True)], 1
    )
    (expected * weights).sum().backward()
    torch.testing.assert_close(steered, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(maps.grad, plain.grad, rtol=1e-5, atol=1e-5)
    unsteered = unsteered_means(Toy(steps=steps), IMAGES, layout)
    assert unsteered.shape == (3 * steps, 3 * LAYOUT.channels)
    torch.testing.assert_close(
        unsteered[:, : LAYOUT.channels], unsteered_means(Toy(steps=steps), IMAGES, LAYOUT)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once_and_summed_in_single(dtype: torch.dtype) -> None:
    draws = torch.Generator().manual_seed(0)
    z = torch.randn(2, 4096, 3, generator=draws).to(dtype).requires_grad_()
    gain, offset = (torch.randn(1, 1, 3, generator=draws).requires_grad_() for _ in range(2))
    moved, total = _MapAndSum.apply(z, gain, offset, True)
    upstream = torch.randn(z.shape, generator=draws).to(dtype)
    moved.backward(upstream)
    assert torch.equal(moved, (gain * z.double() + offset).to(dtype))
    torch.testing.assert_close(
        total.double(), z.double().sum(1, keepdim=True), rtol=1e-5, atol=1e-4
    )
    torch.testing.assert_close(
        offset.grad.double(), upstream.double().sum((0, 1), keepdim=True), rtol=1e-5, atol=1e-4
    )
    # each product is rounded to the format, and errors cancel
    exact = (upstream.double() * z.detach().double()).sum((0, 1), keepdim=True)
    assert ((gain.grad - exact).abs() < 30 * torch.finfo(dtype).eps).all()
    torch.testing.assert_close(z.grad, (gain * upstream.float()).to(dtype), rtol=0, atol=0)


def test_sites_without_a_map_are_left_alone(model: Toy) -> None:
    layout = Layout.of({MAPS: Toy.sites[MAPS].channels})
    arrived = arriving_means(model, IMAGES, _maps(1, layout), layout)
    torch.testing.assert_close(arrived[:, 0], activations(model, *IMAGES)[MAPS])


def test_nothing_is_recorded_before_the_first_site_with_a_map() -> None:
    model, recorded = Toy(), {}
    trace = model.trace

    def watched(prompts: list[str], seeds: list[int], tap: Tap) -> None:
        def watch(site: Site, z: Tensor) -> Tensor:
            recorded[site] = z.requires_grad
            return tap(site, z)

        trace(prompts, seeds, watch)

    model.trace = watched
    for sites in ([TOKENS, MAPS], [MAPS]):
        layout = Layout.of({site: Toy.sites[site].channels for site in sites})
        arriving_means(model, IMAGES, _maps(1, layout), layout)
        assert recorded == {TOKENS: False, MAPS: TOKENS in sites}


def test_a_backward_pass_alone_needs_no_values(model: Toy) -> None:
    gradients = []
    weights = torch.randn(3, 1, LAYOUT.channels, generator=torch.Generator().manual_seed(1))
    for with_values in (True, False):
        maps = _maps(1)
        arriving_means(model, IMAGES, maps, LAYOUT, with_values=with_values).backward(weights)
        gradients.append(maps.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=0)
