"""Measures of task `compose` on scenes whose truth is known."""

from htbench.core import registry
from htbench.models.emoji.pair_calibration import (
    calibrate_losses_beside,
    calibrate_pairs,
    choose_pairs,
)
from htbench.steering import concept


def test_each_measure_tells_two_concepts_from_one() -> None:
    encoder = registry.load("encoders", "emoji-clip-b")("cpu")
    subjects = list(dict.fromkeys(concept.load("emoji").prompts))
    found = calibrate_pairs(*choose_pairs("test", 20, 8), subjects, encoder)
    assert [each.measure for each in found if not each.is_trusted] == []


def test_the_loss_of_one_concept_is_told_from_that_of_the_other() -> None:
    encoder = registry.load("encoders", "emoji-clip-b")("cpu")
    (found,) = calibrate_losses_beside(*choose_pairs("test", 6, 6), encoder)
    assert found.is_trusted


def test_no_noun_is_named_by_a_pair() -> None:
    pairs, nouns = choose_pairs("test", 10, 6)
    assert not [(pair.id, noun) for pair in pairs for noun in nouns if noun in pair.text]
