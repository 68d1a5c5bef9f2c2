"""End-to-end training: gradients by finite differences, and the effects of options."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from kit.toy import MAPS, TOKENS, Toy
from torch import Tensor

from htbench.core.errors import UsageError
from htbench.core.types import Site
from htbench.steering.concept import Concept
from htbench.steering.fitting.end_to_end import (
    EarlyStopping,
    EndToEnd,
    Objective,
    PooledActivations,
    affine_tap,
    distance,
    proximal_step,
    shrinkage,
)
from htbench.steering.hooks import activations
from htbench.steering.intervention import Affine
from htbench.steering.method import fitting_images

SITES = (TOKENS, MAPS)
SOURCE = (["a red cat", "two dogs", "one bird", "a fish"], [1, 2, 3, 4])
TARGET = (["a lemon", "two limes", "one pear"], [4, 5, 6])


@pytest.fixture
def exact() -> Toy:
    """The toy in double precision, where finite differences mean something."""
    model = Toy()
    model.network.double()
    return model


def _start(
    model: Toy, dtype: torch.dtype = torch.float64
) -> tuple[dict[Site, Tensor], dict[Site, Tensor]]:
    random = torch.Generator().manual_seed(0)
    parts = [
        {
            site: torch.randn(info.channels, generator=random, dtype=dtype) * 0.3
            for site, info in model.sites.items()
        }
        for _ in range(2)
    ]
    return {site: (1 + part).requires_grad_() for site, part in parts[0].items()}, {
        site: part.requires_grad_() for site, part in parts[1].items()
    }


def test_the_gradient_is_that_of_finite_differences(exact: Toy) -> None:
    scale, shift = _start(exact)
    wanted = activations(exact, *TARGET)

    def loss(*parts: Tensor) -> Tensor:
        change = affine_tap(
            dict(zip(SITES, parts[:2], strict=True)), dict(zip(SITES, parts[2:], strict=True))
        )
        return distance(activations(exact, *SOURCE, change=change), wanted, SITES)

    assert torch.autograd.gradcheck(loss, (*scale.values(), *shift.values()))


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("at_once", [1, 3])
def test_fewer_images_at_once_give_the_same_gradient(steps: int, at_once: int) -> None:
    model = Toy(steps=steps)
    model.network.double()
    wanted, gradients, losses = activations(model, *TARGET), [], []
    for images in (0, at_once):
        scale, shift = _start(model)
        settings = EndToEnd(at_once=images, ridge=0.3)
        losses.append(settings.backward(model, SOURCE, wanted, scale, shift, unsteered=2.0))
        gradients.append([part.grad for part in (*scale.values(), *shift.values())])
    assert losses[0] == pytest.approx(losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_loss_is_a_mean_over_channels_and_a_sum_over_sites() -> None:
    reached = {TOKENS: torch.zeros(3, 4), MAPS: torch.zeros(3, 2)}
    wanted = {TOKENS: torch.tensor([[2.0, 0, 0, 0]]), MAPS: torch.full((1, 2), 3.0)}
    assert distance(reached, wanted, SITES).item() == pytest.approx(4 / 4 + 9)


def test_the_penalty_is_a_mean_over_channels_and_a_sum_over_sites() -> None:
    reached = {TOKENS: torch.zeros(3, 4), MAPS: torch.zeros(3, 2)}
    gains = {TOKENS: torch.tensor([2.0, 0, 0, 0]), MAPS: torch.tensor([1.0, -3.0])}
    loss = Objective(ridge=0.5).loss(reached, reached, gains)
    assert loss.item() == pytest.approx(0.5 * (4 / 4 + (1 + 9) / 2))


def test_the_loss_of_several_concepts_is_the_mean_of_their_relative_ones() -> None:
    reached = {TOKENS: torch.zeros(2, 3, 1)}
    wanted = {TOKENS: torch.tensor([2.0, 3.0])[:, None, None].expand(2, 3, 1)}
    gains = {TOKENS: torch.tensor([[1.0], [3.0]])}
    loss = Objective(ridge=0.1).loss(reached, wanted, gains, unsteered=torch.tensor([8.0, 3.0]))
    assert loss.item() == pytest.approx((4 / 8 + 9 / 3) / 2 + 0.1 * (1 + 9) / 2)


def _least_scale(objective: Objective, samples: int, others: int) -> float:
    """The scale with the least mean distance over many draws of one distribution."""
    draws = torch.Generator().manual_seed(0)
    steered = torch.randn(20_000, samples, 1, generator=draws) + 3
    targets = torch.randn(20_000, others, 1, generator=draws) + 3
    spread = objective.spread({TOKENS: targets}, samples=samples)
    low, middle, high = (
        float(distance({TOKENS: 3 + scale * (steered - 3)}, spread, [TOKENS]).mean())
        for scale in (0.5, 1.0, 1.5)
    )
    # The vertex of the parabola through the three.
    return 1 + 0.25 * (low - high) / (low - 2 * middle + high)


@pytest.mark.parametrize("samples", [2, 4, 8, 16, 32])
def test_the_unshrunk_distance_is_least_at_the_true_scale(samples: int) -> None:
    assert _least_scale(Objective(unshrunk=True), samples, 32) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("samples", [4, 8, 16])
def test_the_plain_distance_is_least_at_a_smaller_scale(samples: int) -> None:
    least = _least_scale(Objective(), samples, 32)
    assert least == pytest.approx(shrinkage(samples, 32), abs=0.01)
    assert least < 0.9


def test_a_batch_of_one_cannot_be_unshrunk() -> None:
    with pytest.raises(UsageError, match="at least 2"):
        Objective(unshrunk=True).spread({TOKENS: torch.zeros(4, 1)}, samples=1)


def test_a_batch_of_losses_is_a_loss_each() -> None:
    reached, wanted = {TOKENS: torch.randn(2, 5, 4)}, {TOKENS: torch.randn(2, 3, 4)}
    each = torch.stack(
        [
            distance({TOKENS: reached[TOKENS][k]}, {TOKENS: wanted[TOKENS][k]}, [TOKENS])
            for k in range(2)
        ]
    )
    torch.testing.assert_close(distance(reached, wanted, [TOKENS]), each)


def test_maps_may_differ_from_image_to_image() -> None:
    z, scale, shift = torch.randn(2, 5, 4), torch.randn(2, 4), torch.randn(2, 4)
    torch.testing.assert_close(
        affine_tap({TOKENS: scale}, {TOKENS: shift})(TOKENS, z), scale[:, None] * z + shift[:, None]
    )


def test_learning_lowers_the_loss(model: Toy, lemon: Concept) -> None:
    sources, targets = fitting_images(lemon, 8, seed=0)
    wanted = activations(model, *targets)
    few, more = (
        EndToEnd(steps=steps, batch=4, samples=8).optimise(model, lemon, start=None, seed=0)
        for steps in (1, 40)
    )
    losses = [
        float(
            distance(
                activations(model, *sources, change=affine_tap(change.scale, change.shift)),
                wanted,
                SITES,
            )
        )
        for change in (few, more)
    ]
    assert losses[1] < losses[0]


def _plain_loop(model: Toy, concept: Concept, settings: EndToEnd) -> dict[Site, Tensor]:
    """LinEAS as a loop over whole batches of `samples` images; scales and shifts by site."""
    sources, targets = fitting_images(concept, settings.samples, seed=0)

    def pooled(prompts: list[str], seeds: list[int], maps: dict[Site, Tensor]) -> list[Tensor]:
        seen = []

        def tap(site: Site, z: Tensor) -> Tensor:
            z = maps[site][0] * z + maps[site][1]
            seen.append(z.mean(1).sort(0).values)
            return z

        model.trace(prompts, seeds, tap)
        return seen

    def identity() -> dict[Site, Tensor]:
        return {
            site: torch.stack([torch.ones(info.channels), torch.zeros(info.channels)])
            for site, info in model.sites.items()
        }

    def distance(reached: list[Tensor]) -> Tensor:
        return sum(((x - y) ** 2).mean() for x, y in zip(reached, wanted, strict=True))

    wanted = pooled(*targets, identity())
    unsteered = distance(pooled(*sources, identity())) if settings.relative else 1
    maps = {site: part.requires_grad_() for site, part in identity().items()}
    optimiser = torch.optim.Adam(maps.values(), betas=settings.betas)
    for step in range(settings.steps):
        wave = (1 + np.cos(np.pi * step / settings.steps)) / 2
        floor = settings.rate_floor
        optimiser.param_groups[0]["lr"] = settings.rate * (floor + (1 - floor) * wave)
        if settings.fresh:
            sources = fitting_images(concept, settings.samples, seed=0, number=1 + step)[0]
        penalty = sum(((part[0] - 1) ** 2).mean() for part in maps.values())
        loss = distance(pooled(*sources, maps)) / unsteered + settings.ridge * penalty
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return {site: part.detach() for site, part in maps.items()}


@pytest.mark.parametrize(
    "settings",
    [
        EndToEnd(),
        EndToEnd(ridge=0.3, relative=True),
        EndToEnd(ridge=0.3, relative=True, fresh=True),
        EndToEnd(betas=(0.9, 0.9), rate_floor=1e-3),
    ],
)
def test_it_is_a_plain_loop_over_the_same_images(
    model: Toy, lemon: Concept, settings: EndToEnd
) -> None:
    settings = replace(settings, steps=15, batch=8, samples=8)
    change = settings.optimise(model, lemon, start=None, seed=0)
    for site, expected in _plain_loop(model, lemon, settings).items():
        found = torch.stack([change.scale[site], change.shift[site]])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@dataclass(frozen=True, kw_only=True)
class Observed(EndToEnd):
    """Keeps the targets that each step is compared with."""

    seen: list[PooledActivations]

    def loss(self, steered: object, targets: PooledActivations, *rest: object, **more: object):
        self.seen.append(targets)
        return super().loss(steered, targets, *rest, **more)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_subsample_has_other_targets_at_each_site_and_step(lemon: Concept, steps: int) -> None:
    model = Toy(steps=steps)
    settings = Observed(seen=[], steps=2, batch=3, samples=8, subsample=True)
    settings.optimise(model, lemon, start=None, seed=0)
    everything = activations(model, *fitting_images(lemon, 8, seed=0)[1])
    rows = [
        [everything[site].tolist().index(row) for row in targets[site].tolist()]
        for targets in settings.seen
        for site in SITES
    ]
    assert [len(set(row)) for row in rows] == [3 * steps] * 4
    assert len({tuple(row) for row in rows}) == 4


def test_a_subsample_is_unshrunk_by_its_own_number(model: Toy, lemon: Concept) -> None:
    settings = Observed(seen=[], steps=1, batch=8, samples=8, subsample=True, unshrunk=True)
    settings.optimise(model, lemon, start=None, seed=0)
    everything = activations(model, *fitting_images(lemon, 8, seed=0)[1])[TOKENS]
    torch.testing.assert_close(settings.seen[0][TOKENS].std(0) * shrinkage(8, 8), everything.std(0))


def test_learning_goes_on_from_a_start(model: Toy, lemon: Concept) -> None:
    start = Affine({TOKENS: torch.full((6,), 2.0)}, {TOKENS: torch.full((6,), -1.0)})
    change = EndToEnd(steps=1, rate=1e-3, batch=4, samples=8).optimise(
        model, lemon, start=start, seed=0
    )
    torch.testing.assert_close(change.scale[TOKENS], start.scale[TOKENS], atol=2e-3, rtol=0)
    torch.testing.assert_close(change.scale[MAPS], torch.ones(8), atol=2e-3, rtol=0)
    assert start.scale[TOKENS].tolist() == [2.0] * 6


def test_much_sparsity_leaves_the_identity(model: Toy, lemon: Concept) -> None:
    change = EndToEnd(steps=3, batch=4, samples=8, sparsity=100.0).optimise(
        model, lemon, start=None, seed=0
    )
    assert all(
        (change.scale[site] == 1).all() and (change.shift[site] == 0).all() for site in SITES
    )


def test_the_proximal_step_is_the_minimum_of_what_it_stands_for() -> None:
    rng, amount = np.random.default_rng(0), 0.3
    before = rng.normal(size=4)
    scale, shift = torch.tensor(1 + before), torch.tensor(before)
    proximal_step([scale], [shift], amount)

    def cost(x: np.ndarray) -> float:
        return float(
            ((x - before) ** 2).sum() / 2 + amount * (np.abs(x).sum() + 2 * np.linalg.norm(x))
        )

    assert all(
        cost(shift.numpy()) <= cost(shift.numpy() + rng.normal(scale=0.05, size=4))
        for _ in range(200)
    )
    np.testing.assert_allclose(scale - 1, shift)


def test_learning_stops_on_a_plateau() -> None:
    plateau = EarlyStopping(3)
    assert [plateau.should_stop(loss) for loss in (5.0, 4.0, 3.0, 9.0, 9.0, 9.0)] == [False] * 5 + [
        True
    ]
    assert not any(EarlyStopping(0).should_stop(1.0) for _ in range(50))


def test_half_precision_learns_maps_in_full_precision(model: Toy, lemon: Concept) -> None:
    change = EndToEnd(steps=2, batch=4, samples=8, precision="bfloat16").optimise(
        model, lemon, start=None, seed=0
    )
    assert change.scale[TOKENS].dtype == torch.float32
    assert not torch.equal(change.scale[TOKENS], torch.ones(6))
