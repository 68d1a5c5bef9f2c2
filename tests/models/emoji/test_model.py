"""The embedded world: words in, recognisable scenes out."""

from statistics import fmean

import pytest
import torch
from kit.plain_maps import plain_tap

from htbench.core import registry
from htbench.core.errors import Missing, Refused
from htbench.models.emoji import pretrained, vocabulary
from htbench.models.emoji.generator import Generator
from htbench.models.emoji.icons import nouns
from htbench.models.emoji.model import EmojiModel, load
from htbench.models.emoji.quality import (
    correct_answers,
    generate_images,
    held_out_scenes,
    render_scenes,
)
from htbench.models.emoji.scenes import Scene
from htbench.models.emoji.worlds import SHIPPED
from htbench.steering.encoder import Encoder
from htbench.steering.hooks import activations
from htbench.steering.intervention import Intervention
from htbench.steering.model import Request


@pytest.fixture(scope="module")
def emoji() -> EmojiModel:
    return load("cpu")


@pytest.fixture(scope="module")
def scorer() -> Encoder:
    encoder: Encoder = registry.load("encoders", "emoji-clip-b")("cpu")
    return encoder


def test_the_vocabulary_knows_every_word_of_every_caption() -> None:
    assert set(SHIPPED.vocabulary()) == vocabulary.token_ids().keys()


def test_unknown_words_are_named() -> None:
    assert vocabulary.unknown_words("A panda with Zeppelin, sketch style") == ["a", "zeppelin"]


def test_any_text_becomes_numbers() -> None:
    tokens = vocabulary.tokenise(["", "panda " * 100, "🐼 <b>\0"])
    assert tokens.shape == (3, vocabulary.MAX_LENGTH)


def test_words_are_marked_with_their_role() -> None:
    tokens = vocabulary.tokenise(["panda with lemon, sketch style"])
    assert vocabulary.roles(tokens)[0, :6].tolist() == [0, 1, 1, 2, 2, 2]


def test_encoders_give_vectors_of_length_1(scorer: Encoder) -> None:
    vectors = torch.cat(
        [
            scorer.texts(["panda", "with lemon"]),
            scorer.images(render_scenes(held_out_scenes(2, seed=1), [1, 2])),
        ]
    )
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))


def test_a_text_is_encoded_alike_in_any_company(scorer: Encoder) -> None:
    torch.testing.assert_close(
        scorer.texts(["panda", "with lemon", "sketch style"])[1],
        scorer.texts(["with lemon"])[0],
        rtol=1e-4,
        atol=1e-5,
    )


def test_no_texts_give_no_vectors(scorer: Encoder) -> None:
    assert scorer.texts([]).shape == (0, scorer.width)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return held_out_scenes(200, seed=3)


@pytest.fixture(scope="module")
def read_from_generated(
    scenes: list[Scene], emoji: EmojiModel, scorer: Encoder
) -> dict[str, float]:
    return {
        question: fmean(right)
        for question, right in correct_answers(
            scenes, generate_images(scenes, range(200), emoji), scorer
        ).items()
    }


@pytest.fixture(scope="module")
def read_from_true(scenes: list[Scene], scorer: Encoder) -> dict[str, float]:
    return {
        question: fmean(right)
        for question, right in correct_answers(
            scenes, render_scenes(scenes, range(200)), scorer
        ).items()
    }


FLOORS = {
    "noun": (0.72, 0.85),
    "companion": (0.8, 0.9),
    "style": (0.6, 0.8),
    "colour": (0.95, 0.95),
}
"""Least shares recognised in generated and in true images; the model card has those of 600
captions, and the aims, of which that for style is missed."""


@pytest.mark.parametrize("question", FLOORS)
def test_captions_never_trained_on_give_images_with_what_they_name(
    question: str, read_from_generated: dict[str, float]
) -> None:
    assert read_from_generated[question] > FLOORS[question][0]


@pytest.mark.parametrize("question", FLOORS)
def test_the_scorer_reads_true_images(question: str, read_from_true: dict[str, float]) -> None:
    assert read_from_true[question] > FLOORS[question][1]


def test_weights_that_are_missing_say_how_to_make_them(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with pytest.raises(Missing) as missing:
        pretrained.restore(Generator(), "generator", tmp_path_factory.mktemp("empty"))
    assert "htbench.models.emoji.train" in missing.value.remedy


def test_weights_that_are_damaged_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "generator.safetensors").write_bytes(b"not weights")
    with pytest.raises(Refused):
        pretrained.restore(Generator(), "generator", folder)


def test_nouns_are_several_hundred_and_all_different() -> None:
    assert len(set(nouns())) == len(nouns()) == 512


def test_gradients_pass_through_a_prompt_that_an_image_was_made_of(emoji: EmojiModel) -> None:
    emoji.forget_prompts()
    emoji.generate([Request(prompt="panda", seed=1, intervention=Intervention(), strength=0.0)])
    scale = {
        site: torch.ones(info.channels, requires_grad=True) for site, info in emoji.sites.items()
    }
    shift = {
        site: torch.zeros(info.channels, requires_grad=True) for site, info in emoji.sites.items()
    }
    sum(
        values.square().sum()
        for values in activations(emoji, ["panda"], [1], change=plain_tap(scale, shift)).values()
    ).backward()
    assert all(parts.grad.abs().sum() > 0 for parts in shift.values())
