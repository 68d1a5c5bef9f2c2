"""The promises that every shipped baseline keeps on the embedded model."""

import os
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from PIL import Image

from htbench.core.errors import UnknownName
from htbench.core.types import Site
from htbench.models.emoji.model import EmojiModel, load
from htbench.models.emoji.scenes import LATENT
from htbench.steering import baseline, concept, contracts
from htbench.steering.contracts import Case
from htbench.steering.hooks import activations
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.model import Request

SEED = 11
DEVICE = os.environ.get("HTBENCH_DEVICE", "cpu")
"""Device of the model; benchmarks/gpu.py names the GPU."""


@pytest.fixture(scope="session")
def emoji() -> EmojiModel:
    return load(DEVICE)


@pytest.fixture(scope="session", params=sorted(baseline.cards()))
def case(
    request: pytest.FixtureRequest, emoji: EmojiModel, tmp_path_factory: pytest.TempPathFactory
) -> Case:
    card, concepts, folder = (
        baseline.load_card(request.param),
        concept.load("emoji"),
        tmp_path_factory.mktemp("case"),
    )
    if emoji.name in card.artifacts:
        return Case(card=card, model=emoji, concepts=concepts, folder=folder)
    few = replace(concepts, splits={**concepts.splits, "train": concepts.splits["train"][:4]})
    quick = {
        name: value
        for name, value in {"steps": 5, "base": "mean-shift"}.items()
        if name in baseline.load_method(card).__dataclass_fields__
    }
    return Case(card=card.with_settings(quick), model=emoji, concepts=few, folder=folder)


def images(
    emoji: EmojiModel, changes: Sequence[tuple[Intervention, float]], prompt: str = "panda"
) -> list[bytes]:
    requests = [
        Request(prompt=prompt, seed=SEED, intervention=change, strength=strength)
        for change, strength in changes
    ]
    return [image.tobytes() for image in emoji.generate(requests)]


@pytest.mark.parametrize("promise", contracts.PROMISES, ids=contracts.name)
def test_every_baseline_keeps_every_promise(promise: contracts.Promise, case: Case) -> None:
    promise(case)


def test_an_exception_of_an_intervention_leaves_the_model_unsteered(emoji: EmojiModel) -> None:
    class Breaks(Intervention):
        sites = frozenset(emoji.sites)

        def apply(self, site: Site, z: torch.Tensor, *, strength: float) -> torch.Tensor:
            raise ZeroDivisionError

    before = images(emoji, [(Intervention(), 0.0)])
    with pytest.raises(ZeroDivisionError):
        images(emoji, [(Breaks(), 1.0)])
    assert images(emoji, [(Intervention(), 0.0)]) == before


def test_a_foreign_site_is_refused_with_the_nearest_names(emoji: EmojiModel) -> None:
    stranger = Affine(
        {Site("transformer.transformer_blocks.0.norm3"): torch.ones(192)},
        {Site("transformer.transformer_blocks.0.norm3"): torch.zeros(192)},
    )
    with pytest.raises(UnknownName, match=r"transformer_blocks\.0\.norm"):
        images(emoji, [(stranger, 1.0)])


def test_every_site_fires_in_a_run(emoji: EmojiModel) -> None:
    seen = activations(emoji, ["panda"], [1])
    assert {site: tuple(values.shape) for site, values in seen.items()} == dict.fromkeys(
        emoji.sites, (1, 192)
    )


def test_a_prompt_first_met_in_half_precision_gives_the_same_image(emoji: EmojiModel) -> None:
    other = load(DEVICE)
    with torch.autocast(torch.device(DEVICE).type, torch.bfloat16):
        activations(other, ["koala"], [1])
    assert images(other, [(Intervention(), 0.0)], prompt="koala") == images(
        emoji, [(Intervention(), 0.0)], prompt="koala"
    )


def test_another_seed_gives_another_image(emoji: EmojiModel) -> None:
    first, second = emoji.generate(
        [
            Request(prompt="panda", seed=seed, intervention=Intervention(), strength=0.0)
            for seed in (1, 2)
        ]
    )
    assert first.tobytes() != second.tobytes()


def test_images_have_the_size_of_scenes(emoji: EmojiModel) -> None:
    (image,) = emoji.generate(
        [Request(prompt="panda", seed=1, intervention=Intervention(), strength=0.0)]
    )
    assert isinstance(image, Image.Image)
    assert image.size == (LATENT[1] * 8, LATENT[2] * 8)


def test_a_card_says_which_encoders_concepts_are_read_with(case: Case) -> None:
    named = {
        case.model.concept_encoder if encoder == "conditioner" else encoder
        for encoder in case.card.encoders
    }
    assert named == set(case.steering.training.encoders)


def test_a_card_says_where_its_interventions_come_from(case: Case) -> None:
    assert case.card.kind
    assert case.card.cost
    assert (case.card.kind == "amortised") == bool(case.steering.training.concepts)
