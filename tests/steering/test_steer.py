"""Steering towards concepts of a set, words and images."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from kit.toy import Toy
from PIL import Image

from htbench.core.errors import UsageError
from htbench.steering import baseline, steer
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.edits import Edit, Edits
from htbench.steering.filmstrip import Filmstrip
from htbench.steering.steer import FilmstripRequest


@pytest.fixture
def fruit(lemon: Concept) -> ConceptSet:
    return ConceptSet(
        name="fruit",
        version="1",
        licence="",
        about="",
        splits={"train": (), "dev": (lemon,), "test": ()},
        prompts=("horse",),
    )


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize("text", ["with lemon", " With  LEMON ", "companion/lemon"])
def test_words_of_a_known_concept_are_that_concept(
    text: str, fruit: ConceptSet, lemon: Concept
) -> None:
    assert steer.concept_from_words(text, fruit) is lemon


def test_new_words_are_a_concept_that_is_learnt_from_the_neutral_prompts(fruit: ConceptSet) -> None:
    assert steer.concept_from_words("in the rain", fruit).targets == (
        "cat, in the rain",
        "dog, in the rain",
    )


def test_a_template_says_how_prompts_ask_for_it(fruit: ConceptSet) -> None:
    assert steer.concept_from_words("rain", fruit, template="{concept}: {prompt}").targets == (
        "rain: cat",
        "rain: dog",
    )


def test_a_template_of_ones_own_makes_a_new_concept_of_known_words(
    fruit: ConceptSet, lemon: Concept
) -> None:
    assert (
        steer.concept_from_words("with lemon", fruit, template="{prompt}, {concept}") is not lemon
    )


@pytest.mark.parametrize(("text", "template"), [(" ", None), ("rain", "rain")])
def test_words_or_a_template_that_say_nothing_are_refused(
    text: str, template: str | None, fruit: ConceptSet
) -> None:
    with pytest.raises(UsageError):
        steer.concept_from_words(text, fruit, template=template)


def test_a_method_that_learns_from_prompts_cannot_be_given_pictures(photo: Path) -> None:
    with pytest.raises(
        UsageError, match="mean-shift cannot be given a concept in images"
    ) as caught:
        steer.check_readable(baseline.load_card("mean-shift"), steer.concept_from_images([photo]))
    assert "hypertransport" in caught.value.remedy
    assert "lineas" not in caught.value.remedy


def test_a_method_that_reads_pictures_alone_cannot_be_given_new_words(fruit: ConceptSet) -> None:
    with pytest.raises(UsageError, match="hypertransport-image cannot be given a concept in words"):
        steer.check_readable(
            baseline.load_card("hypertransport-image"),
            steer.concept_from_words("in the rain", fruit),
        )


def film(
    cards: Sequence[Card],
    concept: Concept,
    strip: FilmstripRequest,
    fruit: ConceptSet,
    folder: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> Filmstrip:
    toy = Toy()
    learnt = steer.learn(cards, toy, [concept], concepts=fruit, folder=folder)
    edits = Edits(edits=(Edit(added=concept),))
    return steer.make_filmstrip(learnt, toy, edits, strip, advance=advance)


def test_a_film_has_a_row_a_prompt_and_a_column_a_strength(
    fruit: ConceptSet, lemon: Concept, tmp_path: Path
) -> None:
    strip = FilmstripRequest(prompts=("cat", "horse"), strengths=(-1.0, 0.0, 1.5), batch=4)
    card = baseline.load_card("mean-shift").with_settings({"samples": 2})
    made = film([card], lemon, strip, fruit, tmp_path / "new")
    assert [len(row.images) for row in made.rows] == [3, 3]
    assert len({image.tobytes() for row in made.rows for image in row.pictures}) == 8
    assert (made.title, tuple(row.label for row in made.rows), made.strengths) == (
        "with lemon",
        strip.prompts,
        strip.strengths,
    )


def test_a_film_of_methods_and_seeds_has_a_row_for_each_and_the_prompted_picture(
    fruit: ConceptSet, lemon: Concept, tmp_path: Path
) -> None:
    strip = FilmstripRequest(prompts=("cat",), strengths=(0.0, 1.0), seeds=(0, 1))
    cards = [baseline.load_card(name) for name in ("none", "prompt")]
    made = film(cards, lemon, strip, fruit, tmp_path)
    assert [row.label for row in made.rows] == [
        f"cat, seed {seed}, {method}" for seed in (0, 1) for method in ("none", "prompt")
    ]
    assert made.rows[0].prompted == made.rows[1].prompted != made.rows[2].prompted
    assert made.columns == ("0", "1", "prompted")


def test_a_method_with_a_scale_is_steered_at_its_own_strengths(
    fruit: ConceptSet, lemon: Concept, tmp_path: Path
) -> None:
    mean_shift = baseline.load_card("mean-shift").with_settings({"samples": 2})
    cards = [mean_shift, baseline.load_card("none")]
    scaled = FilmstripRequest(
        prompts=("cat",), strengths=(0.0, 0.5, 1.0), own_strengths={"mean-shift": (0.0, 0.8, 0.9)}
    )
    plain = FilmstripRequest(prompts=("cat",), strengths=(0.0, 0.8, 0.9))
    made, expected = (film(cards, lemon, each, fruit, tmp_path) for each in (scaled, plain))
    assert made.rows[0].images == expected.rows[0].images
    assert made.columns == ("0", "0.5", "1", "prompted")
    assert made.note.endswith(", own strengths of mean-shift: 0; 0.8; 0.9")


def test_a_film_of_pictures_shows_them(fruit: ConceptSet, photo: Path, tmp_path: Path) -> None:
    strip = FilmstripRequest(prompts=("cat",), strengths=(1.0,))
    shown = steer.concept_from_images([photo, photo])
    made = film([baseline.load_card("none")], shown, strip, fruit, tmp_path)
    assert len(made.references) == 2


def test_progress_is_told(fruit: ConceptSet, lemon: Concept, tmp_path: Path) -> None:
    told: list[int] = []
    strip = FilmstripRequest(prompts=("cat",), strengths=(0.0, 0.5, 1.0), batch=2)
    film([baseline.load_card("prompt")], lemon, strip, fruit, tmp_path, advance=told.append)
    assert told == [2, 4]


def test_a_film_of_two_concepts_has_each_alone_and_both(
    fruit: ConceptSet, lemon: Concept, tmp_path: Path
) -> None:
    toy, rain = Toy(), steer.concept_from_words("in the rain", fruit)
    card = baseline.load_card("mean-shift").with_settings({"samples": 2})
    learnt = steer.learn([card], toy, [lemon, rain], concepts=fruit, folder=tmp_path)
    edits = Edits(edits=(Edit(added=lemon), Edit(added=rain)))
    strip = FilmstripRequest(prompts=("cat",), strengths=((0.0, 0.0), (1.0, 0.0), (1.0, 0.5)))
    made = steer.make_filmstrip(learnt, toy, edits, strip)
    alone = film(
        [card], lemon, FilmstripRequest(prompts=("cat",), strengths=(0.0, 1.0)), fruit, tmp_path
    )
    assert made.columns == ("0, 0", "1, 0", "1, 0.5", "prompted")
    assert made.note.endswith(", strengths in the order of the title")
    assert made.rows[0].images[:2] == alone.rows[0].images
    assert made.rows[0].images[2] != made.rows[0].images[1]


def test_a_film_of_a_removal_says_how_maps_remove(
    fruit: ConceptSet, lemon: Concept, tmp_path: Path
) -> None:
    card = baseline.load_card("mean-shift").with_settings({"samples": 2})
    learnt = steer.learn([card], Toy(), [lemon], concepts=fruit, folder=tmp_path)
    strip = FilmstripRequest(prompts=("cat",), strengths=(0.0, 1.0))
    made = steer.make_filmstrip(learnt, Toy(), Edits(edits=(Edit(removed=lemon),)), strip)
    assert (made.title, made.note) == (
        "without lemon",
        "mean-shift on toy, seed 0, "
        "removal by inverse maps (greatest gain of a channel: mean-shift 1)",
    )
    assert made.columns == ("0", "1")
