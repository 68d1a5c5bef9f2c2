"""`--weights tiny`: the modules of the published generators with few channels."""

from collections import Counter

import pytest
from torch import nn

from htbench.core import registry
from htbench.models.published.adapter import FAMILIES
from htbench.models.published.generators import GENERATORS
from htbench.models.published.preset import TINY, architecture
from htbench.steering.intervention import Intervention
from htbench.steering.model import Request

NAMES = sorted(GENERATORS)


def kinds(family: str) -> set[str]:
    """Types of the modules of a family's denoiser."""
    import torch

    with torch.device("meta"):
        network: nn.Module = FAMILIES[family].build(architecture(family)["denoiser"])
    return {type(module).__name__ for module in network.modules()}


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_generator_makes_small_images_without_weights(name: str, own_cache: None) -> None:
    model = registry.load_model(name, "cpu", {"weights": "tiny"})
    request = Request(prompt="a cat", seed=1, intervention=Intervention(), strength=0.0)
    (image,) = model.generate([request])
    assert image.size == (64, 64)
    assert len(Counter(image.getdata())) > 100
    assert (model.name, model.concept_encoder) == (name, "emoji-clip-a")


@pytest.mark.parametrize("family", sorted({preset.family for preset in GENERATORS.values()}))
def test_a_tiny_denoiser_has_modules_of_the_same_kinds(family: str) -> None:
    assert kinds(family + TINY) == kinds(family)


def test_tiny_images_are_of_another_revision() -> None:
    options = [{"weights": "tiny"}, {"weights": "random", "size": "64", "dtype": "float32"}]
    revisions = [GENERATORS["nitro-1-pixart"].sketch(**each).revision for each in options]
    assert revisions[0] != revisions[1]


def test_what_a_tiny_generator_needs_is_little() -> None:
    preset = GENERATORS["nitro-1-pixart"]
    assert preset.lineas_flop(4, weights="tiny") < 1e-3 * preset.lineas_flop(1, weights="random")
    assert "0.00 GiB" in preset.needs(weights="tiny")["networks"][0]
