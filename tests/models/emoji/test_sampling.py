"""Training scenes of the embedded world: drawings, captions and held-out pairs."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from htbench.models.emoji import vocabulary
from htbench.models.emoji.icons import DRAWINGS, icon, nouns
from htbench.models.emoji.sampling import is_held_out, render, sample_batch, sample_scene
from htbench.models.emoji.scenes import LATENT, Scene, caption, choices, layout
from htbench.models.emoji.worlds import SHIPPED

NOUN, OTHER = nouns()[:2]
PLAIN = Scene(noun=NOUN)


def _noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(LATENT, np.float32)


def _drawn(count: int = 2000) -> Iterator[Scene]:
    return (sample_scene(np.random.default_rng(k)) for k in range(count))


def test_the_same_batch_is_drawn_twice() -> None:
    first, second = sample_batch(1, 5, 16), sample_batch(1, 5, 16)
    assert first.scenes == second.scenes
    assert torch.equal(first.latents, second.latents)
    assert torch.equal(first.pixels, second.pixels)


@pytest.mark.parametrize("which", [(1, 6), (2, 5)])
def test_another_number_or_seed_is_another_batch(which: tuple[int, int]) -> None:
    assert sample_batch(*which, 16).scenes != sample_batch(1, 5, 16).scenes


def test_a_batch_has_the_shapes_that_it_says() -> None:
    batch = sample_batch(0, 0, 16)
    assert (len(batch.scenes), batch.latents.shape, batch.pixels.shape) == (
        16,
        (16, *LATENT),
        (16, 3, 64, 64),
    )


def test_pixels_reach_from_minus_1_to_1() -> None:
    pixels = sample_batch(0, 0, 64).pixels
    assert (pixels.min().item(), pixels.max().item()) == (-1, 1)


def test_unseen_pairs_are_never_drawn() -> None:
    pairs = [
        (scene.noun, kind, value)
        for scene in _drawn()
        for kind, value in scene.facts().items()
        if kind != "noun"
    ]
    assert len(pairs) > 2000
    assert not any(is_held_out(*pair) for pair in pairs)


def test_about_one_pair_in_twenty_is_unseen() -> None:
    share = np.mean(
        [
            is_held_out(noun, kind, value)
            for noun in nouns()[:40]
            for kind, values in SHIPPED.values.items()
            for value in values
        ]
    )
    assert 0.04 < share < 0.055


def test_every_value_is_drawn_some_time() -> None:
    drawn = {(kind, value) for scene in _drawn(10000) for kind, value in scene.facts().items()}
    assert {(kind, value) for kind, values in SHIPPED.values.items() for value in values} <= drawn


CAPTIONS = [
    ({"noun": "cat"}, "cat"),
    ({"noun": "cat", "companion": "lemon"}, "cat with lemon"),
    ({"noun": "cat", "style": "sketch"}, "cat, sketch style"),
    (
        {"noun": "cat", "companion": "lemon", "background": "navy dots", "frame": "red"},
        "cat with lemon, navy dots background, red frame",
    ),
    ({"companion": "lemon", "weather": "rainy"}, "with lemon, rainy weather"),
    ({"style": "sketch"}, "sketch style"),
    ({}, ""),
]


@pytest.mark.parametrize(("facts", "told"), CAPTIONS)
def test_a_caption_follows_the_grammar(facts: dict[str, str], told: str) -> None:
    assert caption(facts) == told


def test_a_caption_can_be_put_in_other_words() -> None:
    assert (
        caption(
            {"noun": "cat", "companion": "lemon", "style": "sketch"}, {"companion": 1, "style": 1}
        )
        == "cat and lemon, in sketch style"
    )


def test_some_captions_of_a_batch_are_put_in_other_words() -> None:
    batch = sample_batch(0, 0, 200)
    assert (
        20
        < sum(
            told != scene.caption()
            for told, scene in zip(batch.captions, batch.scenes, strict=True)
        )
        < 120
    )


def test_a_caption_does_not_write_to_its_facts() -> None:
    facts = {"noun": "cat", "companion": "lemon"}
    caption(facts)
    assert facts == {"noun": "cat", "companion": "lemon"}


def test_every_caption_is_known_word_for_word_and_fits() -> None:
    captions = sample_batch(0, 0, 2000).captions
    assert not [told for told in captions if vocabulary.unknown_words(told)]
    assert max(len(vocabulary.split(told)) for told in captions) <= vocabulary.MAX_LENGTH


def test_the_shipped_vocabulary_is_that_of_the_scenes() -> None:
    assert list(vocabulary.token_ids()) == SHIPPED.vocabulary()


def test_the_same_scene_is_drawn_twice_alike() -> None:
    scene = Scene(
        noun=NOUN,
        companion=OTHER,
        style="neon",
        background="red dots",
        weather="snowy",
        frame="teal",
    )
    assert (scene.draw(_noise()) == scene.draw(_noise())).all()


def test_only_the_corner_of_the_noise_decides() -> None:
    noise, other = _noise(1), _noise(2)
    other[:, 0, 0] = noise[:, 0, 0]
    scene = Scene(noun=NOUN, companion=OTHER)
    assert (scene.draw(noise) == scene.draw(other)).all()


@pytest.mark.parametrize(("scene", "layouts"), [(PLAIN, 8), (replace(PLAIN, companion=OTHER), 8)])
def test_the_corner_decides_among_all_layouts_and_drawing_styles(
    scene: Scene, layouts: int
) -> None:
    assert len({scene.draw(_noise(seed)).tobytes() for seed in range(120)}) == layouts


@pytest.mark.parametrize("extreme", [-6.0, 6.0])
def test_noise_six_deviations_out_is_still_a_layout(extreme: float) -> None:
    noise = np.full(LATENT, extreme, np.float32)
    assert (
        replace(PLAIN, companion=OTHER).draw(noise).shape == PLAIN.draw(noise).shape == (64, 64, 3)
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (kind, value)
        for kind in ("style", "weather", "background", "frame")
        for value in SHIPPED.values[kind]
    ],
)
def test_every_modifier_changes_the_image(kind: str, value: str) -> None:
    change = np.abs(
        replace(PLAIN, **{kind: value}).draw(_noise()).astype(int) - PLAIN.draw(_noise())
    )
    assert change.mean() > 1.5


@pytest.mark.parametrize("kind", ["style", "weather", "background", "frame"])
def test_no_two_values_of_a_kind_look_the_same(kind: str) -> None:
    images = [
        replace(PLAIN, **{kind: value}).draw(_noise()).astype(int) for value in SHIPPED.values[kind]
    ]
    assert min(np.abs(a - b).mean() for a, b in combinations(images, 2)) > 1


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_every_noun_can_be_seen(drawing: str) -> None:
    assert not [noun for noun in nouns() if icon(noun, drawing, 48)[..., 3].mean() < 10]


@pytest.mark.parametrize("seed", range(8))
def test_a_companion_leaves_the_noun_where_it_was(seed: int) -> None:
    assert layout(True, choices(_noise(seed)))[0] == layout(False, choices(_noise(seed)))[0]


def test_the_layout_says_where_the_drawings_are() -> None:
    noise, plain = _noise(3), np.full((64, 64, 3), 255, np.uint8)
    for placed in layout(True, choices(noise)):
        plain[placed.top : placed.top + placed.size, placed.left : placed.left + placed.size] = 0
    assert not ((replace(PLAIN, companion=OTHER).draw(noise) != 255) & (plain == 255)).any()


def test_drawing_leaves_the_ground_clean_for_the_next() -> None:
    first = replace(PLAIN, background="red dots").draw(_noise())
    Scene(noun=OTHER, background="red dots", style="negative").draw(_noise(1))
    assert (replace(PLAIN, background="red dots").draw(_noise()) == first).all()


def test_rendering_is_drawing_from_minus_1_to_1() -> None:
    pixels = render([PLAIN], _noise()[None])
    assert (
        ((pixels[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
        == PLAIN.draw(_noise())
    ).all()
