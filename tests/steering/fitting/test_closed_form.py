"""One run for all sites, against one run per site."""

import pytest
import torch
from kit.toy import MAPS, TOKENS, Toy
from torch import Tensor

from htbench.core.types import Site
from htbench.steering.fitting.closed_form import (
    affine,
    fit_in_blocks,
    fit_in_one_pass,
    sample_positions,
)
from htbench.steering.fitting.transport import linear_map
from htbench.steering.hooks import activations, mean_pool, steer
from htbench.steering.intervention import Affine

PROMPTS, SEEDS = ["a red cat", "two dogs", "one bird"], [1, 2, 3]
SOURCE, TARGET = (PROMPTS, SEEDS), (["a lemon", "two limes", "one pear"], [4, 5, 6])
SITES = (TOKENS, MAPS)


def _fit(site: Site, source: Tensor, target: Tensor) -> Affine:
    return affine(site, linear_map(source, target))


def _maps(change: Affine) -> tuple[dict[Site, Tensor], dict[Site, Tensor]]:
    return change.scale, change.shift


def test_fitting_in_passing_is_fitting_site_by_site(model: Toy) -> None:
    aims, scale, shift = activations(model, *TARGET), {}, {}
    for site in model.sites:
        arriving = activations(model, *SOURCE, change=steer([Affine(scale, shift)] * 3, [1.0] * 3))
        scale[site], shift[site] = linear_map(arriving[site], aims[site])
    torch.testing.assert_close(
        _maps(fit_in_one_pass(model, SOURCE, TARGET, _fit, sites=SITES)),
        (scale, shift),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_a_block_a_site_is_fitting_in_passing(model: Toy, batch: int) -> None:
    blocks = fit_in_blocks(model, SOURCE, TARGET, _fit, sites=SITES, blocks=2, batch=batch)
    torch.testing.assert_close(
        _maps(blocks),
        _maps(fit_in_one_pass(model, SOURCE, TARGET, _fit, sites=SITES)),
        rtol=1e-5,
        atol=1e-5,
    )


def test_one_block_fits_every_site_to_the_unsteered_model(model: Toy) -> None:
    before, after = activations(model, *SOURCE), activations(model, *TARGET)
    change = fit_in_blocks(model, SOURCE, TARGET, _fit, sites=SITES, blocks=1)
    torch.testing.assert_close(
        (change.scale[MAPS], change.shift[MAPS]), linear_map(before[MAPS], after[MAPS])
    )


def test_only_the_chosen_sites_are_fitted(model: Toy) -> None:
    assert fit_in_one_pass(model, SOURCE, TARGET, _fit, sites=(MAPS,)).sites == {MAPS}


def test_steps_of_a_few_step_model_share_the_map_of_the_first() -> None:
    few, one = Toy(steps=3), Toy()
    torch.testing.assert_close(
        _maps(fit_in_one_pass(few, SOURCE, TARGET, _fit, sites=SITES)),
        _maps(fit_in_one_pass(one, SOURCE, TARGET, _fit, sites=SITES)),
    )


def test_blocks_pool_the_steps_of_a_few_step_model() -> None:
    few = Toy(steps=3)
    before, after = activations(few, *SOURCE), activations(few, *TARGET)
    change = fit_in_blocks(few, SOURCE, TARGET, _fit, sites=SITES, blocks=1)
    assert len(before[TOKENS]) == 9
    torch.testing.assert_close(
        (change.scale[TOKENS], change.shift[TOKENS]), linear_map(before[TOKENS], after[TOKENS])
    )


def test_positions_as_samples_are_fitted_as_such(model: Toy) -> None:
    seen: list[Tensor] = []
    model.trace([*PROMPTS, *TARGET[0]], [*SEEDS, *TARGET[1]], lambda site, z: seen.append(z) or z)
    change = fit_in_one_pass(
        model, SOURCE, TARGET, _fit, sites=SITES, pool=lambda z: sample_positions(z, 16)
    )
    torch.testing.assert_close(
        (change.scale[TOKENS], change.shift[TOKENS]),
        linear_map(seen[0][:3].flatten(0, 1), seen[0][3:].flatten(0, 1)),
    )


def test_spread_positions_are_about_as_many_as_asked_for() -> None:
    assert [sample_positions(torch.zeros(2, 16, 3), count).shape for count in (4, 16, 100)] == [
        (8, 3),
        (32, 3),
        (32, 3),
    ]


def test_pooling_is_in_float32_or_wider() -> None:
    assert [
        mean_pool(torch.zeros(1, 2, 3, dtype=dtype)).dtype
        for dtype in (torch.bfloat16, torch.float64)
    ] == [torch.float32, torch.float64]
