"""Pairs of concepts: which make one, and the words of both."""

from dataclasses import replace

import pytest

from htbench.steering import concept
from htbench.steering.concept import Concept
from htbench.steering.pair import ConceptPair, fits, pair_up

EMOJI = concept.load("emoji")
BY_ID = {each.id: each for split in EMOJI.splits.values() for each in split}
LEMON, BOKEH, BLACK = (
    BY_ID[name] for name in ("companion/eggplant", "style/bokeh", "background/black")
)


def paired(*concepts: Concept) -> ConceptPair:
    (pair,) = pair_up(concepts, EMOJI)
    return pair


@pytest.mark.parametrize("order", [(LEMON, BOKEH), (BOKEH, LEMON)])
def test_words_of_a_companion_follow_the_noun(order: tuple[Concept, Concept]) -> None:
    pair = paired(*order)
    assert pair.target("panda") == "panda with eggplant, bokeh style"
    assert pair.id == "companion/eggplant + style/bokeh"


def test_words_after_a_comma_are_in_the_order_of_the_sets_kinds() -> None:
    assert paired(BLACK, BOKEH).target("panda") == "panda, bokeh style, black background"


def test_no_concept_is_in_two_pairs() -> None:
    test = EMOJI.splits["test"]
    pairs = pair_up(test, EMOJI)
    members = [each.id for pair in pairs for each in pair.members]
    assert len(members) == len(set(members))
    assert len(members) > 0.9 * len(test)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("style/bokeh", "style/gameboy"),
        ("style/bokeh", "look/gameboy-style-and-blue-triangles-background"),
        ("frame/black", "background/black"),
    ],
)
def test_concepts_that_say_something_of_each_other_make_no_pair(one: str, other: str) -> None:
    assert not fits(BY_ID[one], BY_ID[other])
    assert not pair_up([BY_ID[one], BY_ID[other]], EMOJI)


def test_a_concept_without_words_makes_no_pair() -> None:
    assert not pair_up([replace(LEMON, text="", template=""), BOKEH], EMOJI)


def test_the_digest_changes_with_a_concept_of_the_pair() -> None:
    other = replace(BOKEH, sources=("a cat",))
    assert paired(LEMON, BOKEH).digest != paired(LEMON, other).digest
