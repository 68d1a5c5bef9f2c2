from pathlib import Path

import pytest

from htbench.steering.concept import Concept, Reference
from htbench.steering.wording import Treatment, Wording, choose, phrasings, treatment

FOG = Concept(
    id="weather/fog",
    kind="weather",
    text="in fog",
    template="{prompt}, in fog",
    synonyms=("in mist", "in haze"),
    paraphrases=("in murk",),
    references=(Reference(archive=Path("r.zip"), name="weather/fog/0.png", checksum=1),),
)


def texts(wording: Wording) -> list[str]:
    return [each.target("a cat") for each in phrasings(FOG, wording)]


def test_each_wording_is_written_into_the_prompt() -> None:
    assert texts("canonical") == ["a cat, in fog"]
    assert texts("synonym") == ["a cat, in mist", "a cat, in haze"]
    assert texts("unknown") == ["a cat, in murk"]


def test_the_canonical_wording_is_the_concept_itself() -> None:
    assert phrasings(FOG, "canonical") == (FOG,)


def test_images_are_given_without_words() -> None:
    (said,) = phrasings(FOG, "image")
    assert (said.text, said.template, said.references) == ("", "", FOG.references)


def test_every_way_to_say_a_concept_has_its_own_digest_and_one_id() -> None:
    wordings: list[Wording] = ["canonical", "synonym", "unknown", "image"]
    said = [each for wording in wordings for each in phrasings(FOG, wording)]
    assert len({each.digest for each in said}) == len(said) == 5
    assert {each.id for each in said} == {FOG.id}


def test_a_concept_that_a_set_has_no_other_words_for_is_not_reworded() -> None:
    plain = Concept(id="a", kind="k", text="in fog", template="{prompt}, in fog")
    assert [phrasings(plain, each) for each in ("synonym", "unknown", "image")] == [(), (), ()]


def test_synonyms_take_turns_by_the_number_of_the_image() -> None:
    ways = phrasings(FOG, "synonym")
    assert [choose(ways, number).text for number in range(4)] == [
        "in mist",
        "in haze",
        "in mist",
        "in haze",
    ]


@pytest.mark.parametrize(
    ("kind", "reads", "words", "expected"),
    [
        ("prompt", ["text"], "canonical", ("given", "absent")),
        ("amortised", ["text"], "canonical", ("given", "absent")),
        ("amortised", ["text", "image"], "canonical", ("given", "given")),
        ("amortised", ["image"], "canonical", ("absent", "given")),
        ("per-concept", ["text"], "canonical", ("same", "absent")),
        ("per-concept", ["text"], "own", ("given", "absent")),
    ],
)
def test_methods_are_given_what_they_read(
    kind: str, reads: list[str], words: str, expected: tuple[Treatment, Treatment]
) -> None:
    own = "own" if words == "own" else "canonical"
    assert expected == (
        treatment("synonym", kind=kind, reads=reads, per_concept_words=own),
        treatment("image", kind=kind, reads=reads, per_concept_words=own),
    )
