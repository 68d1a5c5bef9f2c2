"""The concept set: which values and words are held out, and in which words concepts are."""

from collections import Counter
from pathlib import Path

import pytest

from htbench.models.emoji import vocabulary
from htbench.models.emoji.concept_splits import N_CONCEPTS
from htbench.models.emoji.concepts import Modifier, companions, modifiers, new_words, write
from htbench.models.emoji.styles import STYLES
from htbench.models.emoji.worlds import SHIPPED
from htbench.stats.families import Families
from htbench.steering import concept

SET = modifiers()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sets that the program writes."""
    folder = tmp_path_factory.mktemp("concepts")
    write(folder)
    return folder


def of_split(split: str) -> list[Modifier]:
    return [modifier for modifier in SET.values() if modifier.split == split]


def shown(split: str) -> set[str]:
    """Words of all values that concepts of a split show, and whole companions."""
    return {
        word
        for modifier in of_split(split)
        for kind, value in modifier.facts.items()
        for word in ([f"with {value}"] if kind == "companion" else value.split())
    }


def test_every_split_has_the_number_of_concepts_that_is_written() -> None:
    assert Counter(modifier.split for modifier in SET.values()) == N_CONCEPTS


def test_styles_are_held_out_in_every_family() -> None:
    held_out = [m.facts["style"] for m in of_split("test") if m.kind == "style"]
    families = Counter(STYLES[style].family for style in held_out)
    assert len(held_out) == 33
    assert families.keys() == {style.family for style in STYLES.values()}


@pytest.mark.parametrize("kind", ["colours", "patterns", "weathers"])
def test_half_of_the_words_of_surroundings_are_not_in_training(kind: str) -> None:
    words = set(getattr(SHIPPED, kind))
    assert len(words - shown("train")) == len(words) / 2


def test_half_of_the_frames_are_not_in_training() -> None:
    trained = {m.facts["frame"] for m in of_split("train") if m.kind == "frame"}
    assert len(trained) == len(SHIPPED.frames) / 2


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_held_out_concept_has_a_word_that_no_training_concept_shows_or_is_a_look(
    split: str,
) -> None:
    trained = shown("train")
    known = [modifier for modifier in of_split(split) if not new_words(modifier, SHIPPED)]
    assert {modifier.kind for modifier in known} == ({"look"} if split == "test" else set())
    assert all(not trained & set(new_words(each, SHIPPED)) for each in of_split(split))


def test_half_of_the_test_looks_are_new_combinations_of_trained_words() -> None:
    looks = [modifier for modifier in of_split("test") if modifier.kind == "look"]
    known = [look for look in looks if not new_words(look, SHIPPED)]
    assert (len(looks), len(known)) == (55, 28)
    for kind in ("style", "background"):
        values = [look.facts[kind] for look in known]
        assert set(values) <= {m.facts.get(kind) for m in of_split("train")}
        assert len(set(values)) == len(values)
    assert not {look.id for look in known} & {m.id for m in of_split("train")}


def test_test_concepts_hang_on_more_than_thirty_words_that_dev_lacks_too() -> None:
    words = {word for modifier in of_split("test") for word in new_words(modifier, SHIPPED)}
    assert len(words - shown("dev")) >= 90


def test_test_concepts_count_as_more_than_fifty_independent_ones() -> None:
    words = {member.id: member.families for member in concept.load("emoji").splits["test"]}
    assert Families.of(list(words), words).clusters > 50


def test_every_held_out_word_of_surroundings_is_in_a_test_concept_of_its_own() -> None:
    words = {*SHIPPED.colours, *SHIPPED.patterns, *SHIPPED.frames, *SHIPPED.weathers}
    single = {
        word
        for modifier in of_split("test")
        if len(modifier.facts) == 1
        for word in new_words(modifier, SHIPPED)
    }
    assert words - shown("train") - shown("dev") <= single


def test_the_set_is_written_and_read_with_three_groups_of_words(written: Path) -> None:
    own = concept.load(str(written / "emoji"))
    assert (own.version, len(own.splits["test"])) == ("4", 167)
    known, canonical = set(SHIPPED.vocabulary()), set(SHIPPED.words())
    for member in own.splits["test"]:
        assert set(vocabulary.split(member.text)) <= canonical
        assert set(vocabulary.split(" ".join(member.synonyms))) <= known
        assert len(member.paraphrases) >= 2
        if member.kind != "companion":
            assert len(member.synonyms) >= 2
            assert not any(set(vocabulary.split(text)) <= known for text in member.paraphrases)


@pytest.mark.parametrize("name", ["emoji", "emoji-companions"])
def test_a_shipped_set_is_what_the_program_writes(name: str, written: Path) -> None:
    own, shipped = concept.load(str(written / name)), concept.load(name)
    assert (own.version, own.about) == (shipped.version, shipped.about)
    for split, members in shipped.splits.items():
        assert [each.digest for each in own.splits[split]] == [each.digest for each in members]


def test_the_set_of_companions_trains_on_all_nouns_but_those_that_the_other_set_holds_out() -> None:
    split_of = {m.facts["companion"]: m.split for m in SET.values() if m.kind == "companion"}
    trained = {m.facts["companion"] for m in companions().values() if m.split == "train"}
    held_out = {noun for noun, split in split_of.items() if split != "train"}
    assert trained == set(SHIPPED.values["companion"]) - held_out
    assert Counter(m.split for m in companions().values()) == {"train": 458, "dev": 14, "test": 40}
