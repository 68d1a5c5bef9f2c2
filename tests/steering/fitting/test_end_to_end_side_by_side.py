"""Maps of several concepts learnt side by side: those that each concept gets alone."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from kit.toy import Toy

from htbench.models.emoji.model import EmojiModel, load
from htbench.steering import concept
from htbench.steering.concept import Concept
from htbench.steering.fitting.end_to_end import EndToEnd
from htbench.steering.intervention import Affine
from htbench.steering.model import Model, Tap

SHORT = EndToEnd(steps=20, batch=4, samples=8)


@pytest.fixture
def concepts(lemon: Concept) -> list[Concept]:
    return [
        replace(lemon, id=f"companion/{fruit}", template=f"{{prompt}} with {fruit}")
        for fruit in ("lemon", "cherry", "grapes")
    ]


def exact(*, steps: int = 1) -> Toy:
    """The toy in double precision, where batches of any size round alike to many digits."""
    model = Toy(steps=steps)
    model.network.double()
    return model


def optimise_many(
    settings: EndToEnd, model: Model, concepts: list[Concept], *, seed: int
) -> list[Affine]:
    return settings.optimise_many(model, concepts, starts=[None] * len(concepts), seed=seed)


def assert_equal(found: list[Affine], expected: list[Affine], *, most: float) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.layout == other.layout
        torch.testing.assert_close(one.maps, other.maps, rtol=0, atol=most)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"at_once": 5},
        {"ridge": 0.3, "relative": True, "unshrunk": True},
        {"fresh": True},
        {"subsample": True, "sparsity": 0.01},
        {"betas": (0.9, 0.9), "rate_floor": 1e-3, "decay": "none"},
    ],
    ids=str,
)
def test_each_concept_gets_the_maps_that_it_gets_alone(
    concepts: list[Concept], changes: dict[str, object], steps: int
) -> None:
    model, settings = exact(steps=steps), replace(SHORT, **changes)
    alone = [settings.optimise(model, each, start=None, seed=0) for each in concepts]
    assert_equal(optimise_many(settings, model, concepts, seed=0), alone, most=1e-5)


@pytest.fixture
def exact_emoji() -> Iterator[EmojiModel]:
    """The embedded model in double precision: at these rates, rounding grows with every step."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    model = load("cpu")
    model._network.double()
    yield model
    torch.set_default_dtype(before)


def test_on_the_embedded_model_they_are_equal_within_a_ten_thousandth(
    exact_emoji: EmojiModel,
) -> None:
    concepts = concept.load("emoji").splits["test"][:2]
    settings = EndToEnd(steps=8, batch=4, samples=16, rate=0.01)
    alone = [settings.optimise(exact_emoji, each, start=None, seed=0) for each in concepts]
    assert_equal(optimise_many(settings, exact_emoji, concepts, seed=0), alone, most=1e-4)


def test_the_order_of_concepts_does_not_matter(concepts: list[Concept]) -> None:
    forward = optimise_many(SHORT, exact(), concepts, seed=0)
    backward = optimise_many(SHORT, exact(), concepts[::-1], seed=0)
    assert_equal(backward[::-1], forward, most=1e-5)


class Counting(Toy):
    """A toy that counts the images that it is run on, and the most at once with gradients."""

    images = 0
    most = 0

    def trace(self, prompts: list[str], seeds: list[int], tap: Tap) -> None:
        self.images += len(prompts)
        self.most = max(self.most, len(prompts) * torch.is_grad_enabled())
        super().trace(prompts, seeds, tap)


def test_a_concept_stops_where_it_stops_alone_and_is_left_out_from_there(
    concepts: list[Concept],
) -> None:
    settings = EndToEnd(steps=60, batch=4, samples=8, rate=0.1, decay="none", patience=2)
    model, alone, steps = Counting(), [], []
    model.network.double()
    for each in concepts:
        before = model.images
        alone.append(settings.optimise(model, each, start=None, seed=0))
        steps.append((model.images - before - settings.samples) // settings.batch)
    assert len({*steps, settings.steps}) == 4  # no two stop together, and none at the end
    before = model.images
    assert_equal(optimise_many(settings, model, concepts, seed=0), alone, most=1e-4)
    assert model.images - before == 3 * settings.samples + sum(steps) * settings.batch


def test_no_more_images_than_allowed_have_gradients_in_memory_at_once(
    concepts: list[Concept],
) -> None:
    model, settings = Counting(), EndToEnd(steps=2, batch=4, samples=5, at_once=5)
    optimise_many(settings, model, concepts, seed=0)
    assert model.most == 5


def test_a_map_keeps_no_other_in_its_memory(model: Toy, concepts: list[Concept]) -> None:
    for change in optimise_many(replace(SHORT, steps=1), model, concepts, seed=0):
        assert change.maps.untyped_storage().nbytes() == 4 * change.maps.numel()
