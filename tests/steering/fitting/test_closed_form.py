"""One run for all sites, against one run per site."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from kit.toy import MAPS, TOKENS, Toy
from torch import Tensor

from htbench.core.errors import NotFinite
from htbench.core.types import Site
from htbench.steering import baseline
from htbench.steering.concept import Concept
from htbench.steering.fitting.closed_form import (
    affine,
    fit_in_blocks,
    fit_in_one_pass,
    sample_positions,
)
from htbench.steering.fitting.transport import linear_map
from htbench.steering.hooks import activations, mean_pool, steer
from htbench.steering.intervention import Affine, OnMeans
from htbench.steering.method import fitting_images
from htbench.steering.model import Tap

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


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(
    ("card", "targets", "apply"),
    [
        ("linear-act", "plain", "positions"),
        ("linear-act-mapped", "mapped", "positions"),
        ("linear-act-mean", "plain", "mean"),
        ("linear-act-published", "mapped", "mean"),
    ],
)
def test_a_card_of_linear_act_is_its_procedure_in_a_few_lines(
    card: str, targets: str, apply: str, steps: int, lemon: Concept
) -> None:
    few, maps = Toy(steps=steps), {}

    def moved(site: Site, z: Tensor) -> Tensor:
        if site not in maps:
            return z
        at = z.mean(1, keepdim=True) if apply == "mean" else z
        return z + (maps[site][0] - 1) * at + maps[site][1]

    def seen(site: Site, prompts: list[str], seeds: list[int], *, steered: bool) -> Tensor:
        rows: list[Tensor] = []

        def tap(here: Site, z: Tensor) -> Tensor:
            if here == site:
                rows.append(z.mean(1))
            return moved(here, z) if steered else z

        few.trace(prompts, seeds, tap)
        return torch.cat(rows).sort(0).values.double()

    source, target = fitting_images(lemon, 32, seed=0)
    for site in SITES:
        a = seen(site, *source, steered=True)
        b = seen(site, *target, steered=targets == "mapped")
        slope = ((a - a.mean(0)) * b).sum(0) / ((a - a.mean(0)) * a).sum(0)
        maps[site] = slope.float(), (b.mean(0) - slope * a.mean(0)).float()
    change = baseline.load_method(card).fit(few, lemon, seed=0)
    z = {TOKENS: torch.randn(2, 7, 6), MAPS: torch.randn(2, 7, 8)}
    for site in SITES:
        torch.testing.assert_close(
            change.apply(site, z[site], strength=1.0), moved(site, z[site]), rtol=1e-5, atol=1e-5
        )


def test_the_first_code_maps_means_of_maps_and_single_tokens(model: Toy, lemon: Concept) -> None:
    change = baseline.load_method("linear-act-first-code").fit(model, lemon, seed=0)
    assert isinstance(change, OnMeans)
    assert change.on_means == {MAPS}
    assert change.sites == {TOKENS, MAPS}


@pytest.mark.parametrize("name", ["mean-shift", "gaussian-ot"])
def test_mapped_targets_are_those_after_earlier_sites(
    name: str, model: Toy, lemon: Concept
) -> None:
    change = baseline.load_method(f"{name}-published").fit(model, lemon, seed=0)
    tap = steer([change] * 32, [1.0] * 32)
    before, after = (
        activations(model, *images, change=lambda site, z: tap(site, z) if site == TOKENS else z)[
            MAPS
        ]
        for images in fitting_images(lemon, 32, seed=0)
    )
    moved = change.apply(MAPS, before[:, None], strength=1.0)
    torch.testing.assert_close(moved.mean((0, 1)), after.mean(0), rtol=1e-4, atol=1e-5)


class Overflowing(Toy):
    """A toy model with infinite activations for the prompt `overflow`."""

    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        bad = torch.tensor([prompt == "overflow" for prompt in prompts])[:, None, None]
        super().trace(prompts, seeds, lambda site, z: tap(site, z.masked_fill(bad, torch.inf)))


@pytest.mark.parametrize("fit", [fit_in_one_pass, partial(fit_in_blocks, blocks=1)])
@pytest.mark.parametrize("kind", ["source", "target"])
def test_samples_that_are_not_finite_are_refused_with_their_site(
    kind: str, fit: Callable[..., Affine]
) -> None:
    images = {"source": SOURCE, "target": TARGET}
    images[kind] = (["overflow", "a cat", "overflow"], SEEDS)
    with pytest.raises(NotFinite, match=rf"2 of 3 {kind} samples of site 'tokens\.norm' hold NaN"):
        fit(Overflowing(), images["source"], images["target"], _fit, sites=SITES)


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
