"""Concepts of the next world: which values and words are held out, and in which words they are."""

import json
from collections import Counter
from pathlib import Path

import pytest

from htbench.models.emoji import vocabulary
from htbench.models.emoji.concept_splits import PLANS
from htbench.models.emoji.concepts import Modifier, modifiers, new_words, write
from htbench.models.emoji.styles import STYLES
from htbench.models.emoji.worlds import WORLD_3, WORLD_4, World
from htbench.stats.families import Families
from htbench.steering import concept

NEXT = modifiers(WORLD_4)


def of_split(split: str) -> list[Modifier]:
    return [modifier for modifier in NEXT.values() if modifier.split == split]


def shown(split: str) -> set[str]:
    """Words of all values that concepts of a split show, and whole companions."""
    return {
        word
        for modifier in of_split(split)
        for kind, value in modifier.facts.items()
        for word in ([f"with {value}"] if kind == "companion" else value.split())
    }


@pytest.mark.parametrize("world", [WORLD_3, WORLD_4])
def test_every_split_has_the_number_of_concepts_that_is_written(world: World) -> None:
    found = Counter(modifier.split for modifier in modifiers(world).values())
    assert found == PLANS[world.version].totals


def test_styles_are_held_out_in_every_family() -> None:
    held_out = [m.facts["style"] for m in of_split("test") if m.kind == "style"]
    families = Counter(STYLES[style].family for style in held_out)
    assert len(held_out) == 34
    assert families.keys() == {style.family for style in STYLES.values()}


@pytest.mark.parametrize("kind", ["colours", "patterns", "weathers"])
def test_half_of_the_words_of_surroundings_are_not_in_training(kind: str) -> None:
    words = set(getattr(WORLD_4, kind))
    assert len(words - shown("train")) == len(words) / 2


def test_half_of_the_frames_are_not_in_training() -> None:
    trained = {m.facts["frame"] for m in of_split("train") if m.kind == "frame"}
    assert len(trained) == len(WORLD_4.frames) / 2


@pytest.mark.parametrize("split", ["dev", "test"])
def test_every_held_out_concept_has_a_word_that_no_training_concept_shows(split: str) -> None:
    trained = shown("train")
    assert all(
        (own := new_words(modifier, WORLD_4)) and not trained & set(own)
        for modifier in of_split(split)
    )


def test_test_concepts_hang_on_more_than_thirty_words_that_dev_lacks_too() -> None:
    words = {word for modifier in of_split("test") for word in new_words(modifier, WORLD_4)}
    assert len(words - shown("dev")) >= 90


def test_test_concepts_count_as_more_than_fifty_independent_ones() -> None:
    words = {id_: new_words(each, WORLD_4) for id_, each in NEXT.items() if each.split == "test"}
    assert Families.of(list(words), words).clusters > 50


def test_every_held_out_word_of_surroundings_is_in_a_test_concept_of_its_own() -> None:
    words = {*WORLD_4.colours, *WORLD_4.patterns, *WORLD_4.frames, *WORLD_4.weathers}
    single = {
        word
        for modifier in of_split("test")
        if len(modifier.facts) == 1
        for word in new_words(modifier, WORLD_4)
    }
    assert words - shown("train") - shown("dev") <= single


def test_the_next_set_is_written_and_read_with_three_groups_of_words(tmp_path: Path) -> None:
    write(tmp_path / "emoji", WORLD_4)
    own = concept.load(str(tmp_path / "emoji"))
    assert (own.version, len(own.splits["test"])) == ("4", 167)
    known, canonical = set(WORLD_4.vocabulary()), set(WORLD_4.words())
    for member in own.splits["test"]:
        assert set(vocabulary.split(member.text)) <= canonical
        assert set(vocabulary.split(" ".join(member.synonyms))) <= known
        assert len(member.paraphrases) >= 2
        if member.kind != "companion":
            assert len(member.synonyms) >= 2
            assert not any(set(vocabulary.split(text)) <= known for text in member.paraphrases)


def test_the_shipped_set_is_what_the_program_writes(tmp_path: Path) -> None:
    write(tmp_path, WORLD_3)
    written = [json.loads(line) for line in (tmp_path / "concepts.jsonl").read_text().splitlines()]
    shipped = concept.load("emoji")
    members = [member for members in shipped.splits.values() for member in members]
    assert {(row["id"], row["text"], tuple(row["paraphrases"])) for row in written} == {
        (member.id, member.text, member.paraphrases) for member in members
    }
    assert concept.load(str(tmp_path)).version == shipped.version
