"""Measures of task `replace` on scenes whose truth is known."""

from htbench.core import registry
from htbench.models.emoji.replacement_calibration import (
    calibrate_replacements,
    choose_replacements,
)
from htbench.steering import concept


def test_each_measure_tells_a_concept_from_the_one_in_its_place() -> None:
    encoder = registry.load("encoders", "emoji-clip-b")("cpu")
    subjects = list(dict.fromkeys(concept.load("emoji").prompts))
    found = calibrate_replacements(*choose_replacements("test", 6, 6), subjects, encoder)
    assert [each.measure for each in found if not each.is_trusted] == []
