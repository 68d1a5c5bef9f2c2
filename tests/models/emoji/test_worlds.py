"""The world: its values, and words of three groups."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from htbench.models.emoji import vocabulary
from htbench.models.emoji.sampling import sample_batch, sample_scene, with_synonyms
from htbench.models.emoji.scenes import LATENT, Scene, caption
from htbench.models.emoji.worlds import SHIPPED, WORDINGS

PLAIN = Scene(noun="panda")
NAMED = [
    (kind, value)
    for kind in ("style", "background", "frame", "weather")
    for value in SHIPPED.values[kind]
]
OLD_SCENES = [
    PLAIN,
    Scene(
        noun="pizza", companion="taxi", background="navy dots", frame="red", weather="snowy"
    ),
    Scene(noun="castle", companion="lemon", style="watercolor", background="lime rings"),
    Scene(noun="owl", style="woodcut", weather="stormy", frame="beige"),
    Scene(noun="rocket", style="comic", background="teal checks", weather="sunny"),
]  # fmt: skip


def words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in vocabulary.split(text)}


SYNONYMS = words(text for each in NAMED for text in SHIPPED.synonyms(*each))
UNKNOWN = words(text for each in NAMED for text in SHIPPED.unknown_words(*each))


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(LATENT, np.float32)


def test_scenes_are_drawn_as_they_were_when_the_models_were_trained() -> None:
    pictures = hashlib.sha256()
    for seed, scene in enumerate(OLD_SCENES):
        pictures.update(scene.draw(noise(seed)).tobytes())
    assert pictures.hexdigest() == (
        "a5daef87248de9d8e2942ba64df964e5bf762fe1bcae7b1bb0f0af9eeb84b20c"
    )


def test_there_are_enough_values_of_each_kind_to_hold_half_out() -> None:
    counts = {kind: len(values) for kind, values in SHIPPED.values.items()}
    assert counts["style"] >= 160
    assert (counts["frame"], counts["weather"]) == (32, 16)
    assert counts["background"] == 20 * 13


def test_no_value_of_a_kind_is_there_twice() -> None:
    assert all(len(values) == len(set(values)) for values in SHIPPED.values.values())


@pytest.mark.parametrize(("kind", "value"), NAMED)
def test_every_value_has_two_synonyms_and_two_wordings_that_nothing_knows(
    kind: str, value: str
) -> None:
    for texts in (SHIPPED.synonyms(kind, value), SHIPPED.unknown_words(kind, value)):
        assert len(set(texts)) == len(texts) >= 2
        assert all(" ".join(vocabulary.split(text)) == text for text in texts)


def test_names_synonyms_and_unknown_wordings_share_no_word() -> None:
    groups = {"names": set(SHIPPED.words()), "synonyms": SYNONYMS, "unknown": UNKNOWN}
    shared = {(a, b): groups[a] & groups[b] for a, b in combinations(groups, 2)}
    assert not any(shared.values()), shared


def test_no_two_values_of_a_kind_have_the_same_wording() -> None:
    for kind in ("style", "background", "frame", "weather"):
        for of in (SHIPPED.synonyms, SHIPPED.unknown_words):
            texts = [text for value in SHIPPED.values[kind] for text in of(kind, value)]
            assert len(texts) == len(set(texts))


def test_no_phrasing_of_a_kind_has_a_word_of_a_synonym() -> None:
    phrasings = words(text.format("") for texts in WORDINGS.values() for text in texts)
    assert not phrasings & (SYNONYMS | UNKNOWN)


def test_the_vocabulary_of_the_trained_models_is_names_and_synonyms() -> None:
    assert SHIPPED.vocabulary() == sorted({*SHIPPED.words(), *SYNONYMS})
    assert SHIPPED.vocabulary() == list(vocabulary.token_ids())


def test_captions_of_the_generator_have_no_synonyms() -> None:
    captions = sample_batch(0, 0, 400).captions
    assert words(captions) <= set(SHIPPED.words())


def test_about_a_third_of_the_values_in_captions_of_a_clip_are_synonyms() -> None:
    rng = np.random.default_rng(0)
    facts = {"noun": "panda", "style": "sketch", "weather": "rainy"}
    drawn = [with_synonyms(facts, rng) for _ in range(2000)]
    assert {each["noun"] for each in drawn} == {"panda"}
    assert {each["style"] for each in drawn} == {"sketch", *SHIPPED.synonyms("style", "sketch")}
    assert 0.3 < np.mean([each["weather"] != "rainy" for each in drawn]) < 0.4


def test_captions_of_a_clip_are_of_the_vocabulary_and_most_fit() -> None:
    rng, known = np.random.default_rng(0), set(SHIPPED.vocabulary())
    scenes = [sample_scene(rng) for _ in range(1000)]
    captions = [caption(with_synonyms(scene.facts(), rng)) for scene in scenes]
    lengths = [len(vocabulary.split(text)) for text in captions]
    assert words(captions) <= known
    assert np.mean(np.array(lengths) > vocabulary.MAX_LENGTH) < 0.01


@pytest.mark.parametrize("kind", ["background", "frame", "weather"])
def test_no_two_surroundings_look_the_same(kind: str) -> None:
    images = [
        replace(PLAIN, **{kind: value}).draw(noise(0)).astype(np.float32).ravel()
        for value in SHIPPED.values[kind]
    ]
    distances = [
        np.abs(np.stack(images[:k]) - images[k]).mean(1).min() for k in range(1, len(images))
    ]
    assert min(distances) > 1.4


@pytest.mark.parametrize("kind", ["frame", "weather"])
def test_surroundings_change_the_picture_but_not_all_of_the_noun(kind: str) -> None:
    plain = PLAIN.draw(noise(0)).astype(int)
    for value in SHIPPED.values[kind]:
        change = np.abs(replace(PLAIN, **{kind: value}).draw(noise(0)).astype(int) - plain).max(-1)
        assert 1 < change.mean() < 110, value
