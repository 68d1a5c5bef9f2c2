"""Concepts and the shipped sets of them."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from htbench.core.errors import Refused, UnknownName, UsageError
from htbench.steering import concept
from htbench.steering.concept import Concept, ImageFile

CARD = 'name = "fruit"\nversion = "1"\nlicence = "CC0"\nabout = "Made for tests."\n'
FRUIT = [
    {
        "id": f"companion/{name}",
        "kind": "companion",
        "split": split,
        "text": f"with {name}",
        "template": f"{{prompt}} with {name}",
    }
    for name, split in [
        ("apple", "train"),
        ("pear", "train"),
        ("plum", "dev"),
        ("lemon", "test"),
        ("lime", "test"),
    ]
]
PROMPTS = [
    {"text": "cat", "use": "fit"},
    {"text": "dog", "use": "fit"},
    {"text": "bird", "use": "evaluation"},
]


def _picture(colour: str) -> bytes:
    png = BytesIO()
    Image.new("RGBA", (2, 2), colour).save(png, "PNG")
    return png.getvalue()


def _write(
    folder: Path,
    *,
    card: str = CARD,
    concepts: list[dict[str, str]] = FRUIT,
    prompts: list[dict[str, str]] = PROMPTS,
) -> None:
    (folder / "concepts" / "fruit").mkdir()
    (folder / "concepts" / "fruit" / "card.toml").write_text(card)
    (folder / "concepts" / "fruit" / "concepts.jsonl").write_text(
        "\n".join(map(json.dumps, concepts)) + "\n\n"
    )
    (folder / "concepts" / "fruit" / "prompts.jsonl").write_text(
        "\n".join(map(json.dumps, prompts))
    )


def _lemon(folder: Path, colour: str) -> Concept:
    with ZipFile(folder / "concepts" / "fruit" / "references.zip", "w") as archive:
        archive.writestr("companion/lemon/0.png", _picture(colour))
    return concept.load("fruit").splits["test"][0]


@pytest.fixture
def fruit(own_content: Path) -> concept.ConceptSet:
    _write(own_content)
    return concept.load("fruit")


def test_a_set_is_found_by_the_name_of_its_folder(own_content: Path) -> None:
    _write(own_content)
    assert concept.names() == ["fruit"]


def test_splits_hold_what_the_file_says_in_its_order(fruit: concept.ConceptSet) -> None:
    ids = {split: [c.id for c in concepts] for split, concepts in fruit.splits.items()}
    assert ids == {
        "train": ["companion/apple", "companion/pear"],
        "dev": ["companion/plum"],
        "test": ["companion/lemon", "companion/lime"],
    }


def test_prompts_to_learn_from_are_not_those_of_evaluation(fruit: concept.ConceptSet) -> None:
    assert fruit.splits["test"][0].sources == ("cat", "dog")
    assert fruit.prompts == ("bird",)


def test_targets_are_the_sources_with_the_concept(lemon: Concept) -> None:
    assert lemon.targets == ("cat with lemon", "dog with lemon")


def test_braces_in_a_prompt_are_only_text(lemon: Concept) -> None:
    assert lemon.target("a {cat}") == "a {cat} with lemon"


def test_other_words_for_a_concept_are_also_asked_for(lemon: Concept) -> None:
    assert lemon.reworded("beside a citron").targets == (
        "cat beside a citron",
        "dog beside a citron",
    )


def test_the_digest_does_not_change_with_paraphrases(lemon: Concept) -> None:
    assert replace(lemon, paraphrases=("beside a citron",)).digest == lemon.digest


def test_families_are_words_or_those_of_the_set_and_change_no_digest(own_content: Path) -> None:
    rows = [*FRUIT[:3], {**FRUIT[3], "family": ["citrus"]}, {**FRUIT[4], "family": ["citrus"]}]
    _write(own_content, concepts=rows)
    fruit = concept.load("fruit").splits
    assert [each.families for each in (*fruit["dev"], *fruit["test"])] == [
        ("plum",),
        ("citrus",),
        ("citrus",),
    ]
    lemon = fruit["test"][0]
    assert replace(lemon, families=()).digest == lemon.digest


def test_a_reference_that_is_transparent_lies_on_white(own_content: Path) -> None:
    _write(own_content)
    with ZipFile(own_content / "concepts" / "fruit" / "references.zip", "w") as archive:
        archive.writestr("companion/lime/a.png", _picture("#00000000"))
    lime = concept.load("fruit").splits["test"][1]
    assert lime.references[0].open().getpixel((0, 0)) == (255, 255, 255)


def test_references_belong_to_the_concept_of_their_folder(own_content: Path) -> None:
    _write(own_content)
    with ZipFile(own_content / "concepts" / "fruit" / "references.zip", "w") as archive:
        archive.writestr("companion/lime/b.png", _picture("lime"))
        archive.writestr("companion/lime/a.png", _picture("red"))
    lemon, lime = concept.load("fruit").splits["test"]
    assert [reference.name for reference in lemon.references + lime.references] == [
        "companion/lime/a.png",
        "companion/lime/b.png",
    ]
    assert (lime.references[0].open().mode, lime.references[0].open().getpixel((0, 0))) == (
        "RGB",
        (255, 0, 0),
    )


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ("test", ["lemon", "lime"]),
        ("dev, train", ["plum", "apple", "pear"]),
        ("companion/lime", ["lime"]),
        ("companion/lime,test,", ["lime", "lemon"]),
    ],
)
def test_concepts_are_chosen_by_split_or_id(
    fruit: concept.ConceptSet, wanted: str, ids: list[str]
) -> None:
    assert [c.id for c in fruit.select(wanted)] == [f"companion/{name}" for name in ids]


def test_an_unknown_concept_names_the_nearest(fruit: concept.ConceptSet) -> None:
    with pytest.raises(
        UnknownName, match="no concept or split 'companion/lemmon'; did you mean 'companion/lemon'"
    ):
        fruit.select("companion/lemmon")


@pytest.mark.parametrize("wanted", ["", " , "])
def test_choosing_nothing_is_refused(fruit: concept.ConceptSet, wanted: str) -> None:
    with pytest.raises(UsageError, match="no concepts selected"):
        fruit.select(wanted)


def test_an_unknown_set_names_the_nearest(own_content: Path) -> None:
    _write(own_content)
    with pytest.raises(UnknownName, match="no concept set 'fruits'; did you mean 'fruit'"):
        concept.load("fruits")


@pytest.mark.parametrize(
    "change",
    [
        {"id": "x"},
        {"kind": "x"},
        {"text": "x"},
        {"template": "{prompt} x"},
        {"sources": ("x",)},
        {"synonyms": ("x",)},
    ],
)
def test_the_digest_changes_with_every_field(lemon: Concept, change: dict[str, object]) -> None:
    assert replace(lemon, **change).digest != lemon.digest


def test_the_digest_does_not_depend_on_where_pictures_lie(own_content: Path) -> None:
    _write(own_content)
    red = _lemon(own_content, "red")
    moved = tuple(replace(reference, archive=Path("elsewhere.zip")) for reference in red.references)
    assert replace(red, references=moved).digest == red.digest


def test_the_digest_changes_with_what_a_picture_shows(own_content: Path) -> None:
    _write(own_content)
    assert _lemon(own_content, "red").digest != _lemon(own_content, "blue").digest


ROW = FRUIT[0]
BAD = [
    {"concepts": [{**ROW, "colour": "red"}]},
    {"concepts": [{**ROW, "split": "exam"}]},
    {"concepts": [{**ROW, "template": "with apple"}]},
    {"concepts": [{**ROW, "text": ""}]},
    {"concepts": [{"id": "companion/apple"}]},
    {"prompts": [{"text": "cat", "use": "fun"}]},
    {"card": CARD + "colour = 1\n"},
    {"card": "name = "},
]


@pytest.mark.parametrize("bad", BAD)
def test_a_damaged_set_is_refused(own_content: Path, bad: dict[str, object]) -> None:
    _write(own_content, **bad)
    with pytest.raises(Refused, match="concept set 'fruit' is damaged"):
        concept.load("fruit")


def test_a_concept_in_two_splits_is_refused(own_content: Path) -> None:
    _write(own_content, concepts=[*FRUIT, {**ROW, "split": "test"}])
    with pytest.raises(Refused):
        concept.load("fruit")


def test_a_prompt_to_learn_from_and_to_evaluate_on_is_refused(own_content: Path) -> None:
    _write(own_content, prompts=[*PROMPTS, {"text": "cat", "use": "evaluation"}])
    with pytest.raises(Refused):
        concept.load("fruit")


@pytest.mark.parametrize("name", ["concepts.jsonl", "prompts.jsonl"])
def test_a_set_with_a_file_missing_is_refused(own_content: Path, name: str) -> None:
    _write(own_content)
    (own_content / "concepts" / "fruit" / name).unlink()
    with pytest.raises(Refused):
        concept.load("fruit")


def test_a_set_with_a_damaged_archive_is_refused(own_content: Path) -> None:
    _write(own_content)
    (own_content / "concepts" / "fruit" / "references.zip").write_bytes(b"PK")
    with pytest.raises(Refused):
        concept.load("fruit")


def test_a_folder_in_the_archive_is_not_a_reference(own_content: Path) -> None:
    _write(own_content)
    with ZipFile(own_content / "concepts" / "fruit" / "references.zip", "w") as archive:
        archive.writestr("companion/lime/", "")
        archive.writestr("companion/lime/a.png", _picture("lime"))
    assert [reference.name for reference in concept.load("fruit").splits["test"][1].references] == [
        "companion/lime/a.png"
    ]


def test_a_photo_is_read_as_it_would_be_seen(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 1), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    seen = ImageFile.from_path(tmp_path / "clear.png").open()
    assert (seen.mode, seen.getpixel((0, 0))) == ("RGB", (255, 255, 255))


def test_a_photo_lying_on_its_side_is_put_upright(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (2, 1)).save(tmp_path / "turned.jpg", exif=turned)
    assert ImageFile.from_path(tmp_path / "turned.jpg").open().size == (1, 2)


def test_a_photo_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(_picture("red"))
    with pytest.raises(UnknownName, match=r"no image file 'foto\.png'; did you mean 'photo\.png'"):
        ImageFile.from_path(tmp_path / "foto.png")


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_text("not a picture")
    with pytest.raises(UsageError, match="cannot be read"):
        ImageFile.from_path(tmp_path / "photo.png")


def test_the_digest_does_not_depend_on_where_a_photo_lies(lemon: Concept, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "photo.png").write_bytes(_picture("red"))
    first, second = (
        replace(lemon, references=(ImageFile.from_path(tmp_path / folder / "photo.png"),)).digest
        for folder in ("a", "b")
    )
    assert first == second


def test_a_picture_of_16_bits_is_scaled(tmp_path: Path) -> None:
    levels = np.full((2, 2), 32896, np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert ImageFile.from_path(tmp_path / "deep.png").open().getpixel((0, 0)) == (128, 128, 128)


def test_postscript_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "photo.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(UsageError, match="it is none of PNG"):
        ImageFile.from_path(tmp_path / "photo.eps")


def test_a_picture_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    with pytest.raises(UsageError, match="is the limit"):
        ImageFile.from_path(tmp_path / "huge.png")


def test_a_large_picture_is_reduced(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 2000), "red").save(tmp_path / "large.png")
    image = ImageFile.from_path(tmp_path / "large.png").open()
    assert image.size == (2000, 1000)
    assert image.getpixel((0, 0)) == (255, 0, 0)
