"""End-to-end training: gradients by finite differences, and the effects of options."""

from dataclasses import dataclass, replace

import numpy as np
import ot
import pytest
import torch
from kit.plain_maps import plain_tap
from kit.toy import MAPS, TOKENS, Toy
from kit.waits import Waits
from torch import Tensor

from htbench.core.errors import UsageError
from htbench.core.types import Site
from htbench.steering.concept import Concept
from htbench.steering.fitting import transport
from htbench.steering.fitting.end_to_end import (
    EarlyStopping,
    EndToEnd,
    Objective,
    Targets,
    distance,
    proximal_step,
    shrinkage,
)
from htbench.steering.fitting.steered_means import unsteered_means
from htbench.steering.hooks import activations
from htbench.steering.intervention import Affine
from htbench.steering.layout import Layout
from htbench.steering.method import fitting_images

SITES = (TOKENS, MAPS)
LAYOUT = Layout.of({site: Toy.sites[site].channels for site in SITES})
PAIR = Layout.of({TOKENS: 4, MAPS: 2})
"""Two sites of few channels, for losses by hand."""
ONE = Layout.of({TOKENS: 1})
SOURCE = (["a red cat", "two dogs", "one bird", "a fish"], [1, 2, 3, 4])
TARGET = (["a lemon", "two limes", "one pear"], [4, 5, 6])


@pytest.fixture
def exact() -> Toy:
    """The toy in double precision, where finite differences mean something."""
    return _in_double()


def _in_double(*, steps: int = 1) -> Toy:
    model = Toy(steps=steps)
    model.network.double()
    return model


def _random_maps(concepts: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(concepts, 2, LAYOUT.channels, generator=random, dtype=dtype) * 0.3
    return (noise + torch.tensor([[1.0], [0.0]])).requires_grad_()


def _targets(model: Toy, samples: int, images: tuple[list[str], list[int]] = TARGET) -> Targets:
    return Targets.of(unsteered_means(model, images, LAYOUT), LAYOUT, samples=samples)


@pytest.mark.parametrize("steps", [1, 2])
def test_the_gradient_is_that_of_a_plain_composition(steps: int) -> None:
    model, maps = _in_double(steps=steps), _random_maps()
    wanted = activations(model, *TARGET)
    settings = EndToEnd(ridge=0.3)
    losses = settings.backward(
        model, SOURCE, _targets(model, 4 * steps), maps, LAYOUT, unsteered=2.0
    )
    plain = maps.detach().requires_grad_()
    scale, shift = map(LAYOUT.split, plain[0])
    reached = activations(model, *SOURCE, change=plain_tap(scale, shift))
    loss = sum(
        transport.wasserstein(reached[site], wanted[site]).mean() / 2
        + 0.3 * (scale[site] - 1).square().mean()
        for site in SITES
    )
    loss.backward()
    torch.testing.assert_close(losses, loss.detach()[None])
    torch.testing.assert_close(maps.grad, plain.grad)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("concepts", [1, 2])
def test_fewer_images_at_once_give_the_same_gradient(
    steps: int, at_once: int, concepts: int
) -> None:
    model = _in_double(steps=steps)
    wanted, gradients, losses = _targets(model, 4 * steps // concepts), [], []
    for images in (0, at_once):
        maps = _random_maps(concepts)
        settings = EndToEnd(at_once=images, ridge=0.3)
        losses.append(settings.backward(model, SOURCE, wanted, maps, LAYOUT, unsteered=2.0))
        gradients.append(maps.grad)
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)


def test_concepts_side_by_side_get_the_gradient_that_each_has_alone(exact: Toy) -> None:
    maps, wanted, settings = _random_maps(2), _targets(exact, 2), EndToEnd(ridge=0.3)
    losses = settings.backward(exact, SOURCE, wanted, maps, LAYOUT)
    for k in range(2):
        own = maps.detach()[k : k + 1].requires_grad_()
        images = SOURCE[0][2 * k : 2 * k + 2], SOURCE[1][2 * k : 2 * k + 2]
        alone = settings.backward(exact, images, wanted, own, LAYOUT)
        torch.testing.assert_close((losses[k], maps.grad[k]), (alone[0], own.grad[0]))


def test_the_loss_is_a_mean_over_channels_and_a_sum_over_sites() -> None:
    wanted = torch.tensor([[2.0, 0, 0, 0, 3, 3]])
    targets = Targets.of(wanted, PAIR, samples=3)
    assert distance(torch.zeros(3, 6), targets, PAIR).item() == pytest.approx(4 / 4 + 9)


def test_the_penalty_is_a_mean_over_channels_and_a_sum_over_sites() -> None:
    reached = torch.zeros(1, 3, 6)
    maps = torch.tensor([[[3.0, 1, 1, 1, 2, -2], [0.0] * 6]])
    targets = Targets.of(reached, PAIR, samples=3)
    loss = Objective(ridge=0.5).losses(reached, targets, maps, PAIR)
    assert loss.item() == pytest.approx(0.5 * (4 / 4 + (1 + 9) / 2))


def test_each_concept_has_a_loss_relative_to_its_own_distance() -> None:
    wanted = torch.tensor([2.0, 3.0])[:, None, None].expand(2, 3, 1)
    maps = torch.tensor([[[2.0], [0.0]], [[4.0], [0.0]]])
    losses = Objective(ridge=0.1).losses(
        torch.zeros(2, 3, 1),
        Targets.of(wanted, ONE, samples=3),
        maps,
        ONE,
        unsteered=torch.tensor([8.0, 3.0]),
    )
    torch.testing.assert_close(losses, torch.tensor([4 / 8 + 0.1 * 1, 9 / 3 + 0.1 * 9]))


@pytest.mark.parametrize(("samples", "others"), [(4, 4), (4, 8), (3, 5), (5, 1)])
def test_distances_to_targets_are_those_to_all_their_values(samples: int, others: int) -> None:
    x = torch.randn(2, samples, 6, dtype=torch.float64)
    y = torch.randn(2, others, 6, dtype=torch.float64)
    apart = [ot.wasserstein_1d(a.numpy(), b.numpy(), p=2) for a, b in zip(x, y, strict=True)]
    expected = [gap[:4].mean() + gap[4:].mean() for gap in apart]
    found = distance(x, Targets.of(y, PAIR, samples=samples), PAIR)
    np.testing.assert_allclose(found, expected)


def _least_scale(objective: Objective, samples: int, others: int) -> float:
    """The scale with the least mean distance over many draws of one distribution."""
    draws = torch.Generator().manual_seed(0)
    steered = torch.randn(20_000, samples, 1, generator=draws) + 3
    targets = torch.randn(20_000, others, 1, generator=draws) + 3
    spread = Targets.of(objective.spread(targets, samples=samples), ONE, samples=samples)
    low, middle, high = (
        float(distance(3 + scale * (steered - 3), spread, ONE).mean()) for scale in (0.5, 1.0, 1.5)
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
        Objective(unshrunk=True).spread(torch.zeros(4, 1), samples=1)


def test_learning_lowers_the_loss(model: Toy, lemon: Concept) -> None:
    sources, targets = fitting_images(lemon, 8, seed=0)
    wanted = _targets(model, 8, targets)
    few, more = (
        EndToEnd(steps=steps, batch=4, samples=8).optimise(model, lemon, start=None, seed=0)
        for steps in (1, 40)
    )
    losses = [
        float(
            EndToEnd().backward(
                model, sources, wanted, change.over(LAYOUT)[None].requires_grad_(), LAYOUT
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
    """Keeps the target samples that each step is compared with."""

    seen: list[Tensor]

    def losses(self, steered: Tensor, targets: Targets, *rest: object, **more: object) -> Tensor:
        self.seen.append(targets.samples[0])
        return super().losses(steered, targets, *rest, **more)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_subsample_has_other_targets_at_each_site_and_step(lemon: Concept, steps: int) -> None:
    model = Toy(steps=steps)
    settings = Observed(seen=[], steps=2, batch=3, samples=8, subsample=True)
    settings.optimise(model, lemon, start=None, seed=0)
    everything = activations(model, *fitting_images(lemon, 8, seed=0)[1])
    rows = [
        sorted(everything[site][:, 0].tolist().index(value) for value in targets[:, 0].tolist())
        for samples in settings.seen
        for site, targets in LAYOUT.split(samples).items()
    ]
    assert [len(set(row)) for row in rows] == [3 * steps] * 4
    assert len({tuple(row) for row in rows}) == 4


def test_a_subsample_has_the_same_images_at_all_channels_of_a_site(
    model: Toy, lemon: Concept
) -> None:
    settings = Observed(seen=[], steps=1, batch=3, samples=8, subsample=True)
    settings.optimise(model, lemon, start=None, seed=0)
    everything = activations(model, *fitting_images(lemon, 8, seed=0)[1])
    for site, targets in LAYOUT.split(settings.seen[0]).items():
        drawn = torch.isin(everything[site], targets)
        assert (drawn == drawn[:, :1]).all()


def test_a_subsample_is_unshrunk_by_its_own_number(model: Toy, lemon: Concept) -> None:
    settings = Observed(seen=[], steps=1, batch=8, samples=8, subsample=True, unshrunk=True)
    settings.optimise(model, lemon, start=None, seed=0)
    everything = unsteered_means(model, fitting_images(lemon, 8, seed=0)[1], LAYOUT)
    torch.testing.assert_close(settings.seen[0].std(0) * shrinkage(8, 8), everything.std(0))


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
    maps = torch.tensor(np.stack([1 + before, before]))
    proximal_step(maps, Layout.of({TOKENS: 4}), amount)
    scale, shift = maps

    def cost(x: np.ndarray) -> float:
        return float(
            ((x - before) ** 2).sum() / 2 + amount * (np.abs(x).sum() + 2 * np.linalg.norm(x))
        )

    assert all(
        cost(shift.numpy()) <= cost(shift.numpy() + rng.normal(scale=0.05, size=4))
        for _ in range(200)
    )
    np.testing.assert_allclose(scale - 1, shift)


def test_sites_of_a_proximal_step_are_shrunk_each_by_its_own_size() -> None:
    maps = torch.randn(3, 2, PAIR.channels, generator=torch.Generator().manual_seed(0))
    together = maps.clone()
    proximal_step(together, PAIR, 0.2)
    for site, own in PAIR.split(maps.clone()).items():
        alone = own.contiguous()
        proximal_step(alone, Layout.of({site: own.shape[-1]}), 0.2)
        torch.testing.assert_close(PAIR.split(together)[site], alone)


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


@pytest.mark.parametrize(
    "settings",
    [
        EndToEnd(),
        EndToEnd(ridge=0.3, relative=True, unshrunk=True, fresh=True),
        EndToEnd(subsample=True, sparsity=1e-3, at_once=1),
    ],
)
def test_no_step_waits_for_the_device(model: Toy, lemon: Concept, settings: EndToEnd) -> None:
    shrinkage(3, 8)  # calculated once, on the CPU
    with Waits() as waits:
        replace(settings, steps=3, batch=3, samples=8).optimise(model, lemon, start=None, seed=0)
    assert waits.count == 0


def test_patience_reads_every_loss(model: Toy, lemon: Concept) -> None:
    with Waits() as waits:
        EndToEnd(steps=3, batch=3, samples=8, patience=9).optimise(model, lemon, start=None, seed=0)
    assert waits.count == 3
