"""Measures of task `remove` on scenes whose truth is known."""

from htbench.core import registry
from htbench.models.emoji.loss_calibration import known_scenes
from htbench.models.emoji.task_calibration import (
    TaskCalibration,
    calibrate_locality,
    calibrate_tasks,
    task_table,
)
from htbench.steering import concept


def test_each_measure_tells_what_was_planted() -> None:
    encoder = registry.load("encoders", "emoji-clip-b")("cpu")
    subjects = list(dict.fromkeys(concept.load("emoji").prompts))
    found = calibrate_tasks(known_scenes("test", 6, 6), subjects, encoder)
    assert [each.measure for each in found if not each.is_trusted] == []


def test_changes_in_place_are_told_from_equal_changes_elsewhere() -> None:
    found = calibrate_locality(known_scenes("test", 12, 4))
    assert [(each.measure, each.is_trusted) for each in found] == [("locality", True)] * 3


def test_scenes_without_a_place_calibrate_nothing() -> None:
    looks = [each for each in known_scenes("test", 12, 2) if each.concept.kind == "look"]
    assert looks
    assert calibrate_locality(looks) == []


def test_a_measure_that_tells_nothing_is_named() -> None:
    poor = TaskCalibration(measure="removal", truth="it is gone", falsehood="it is there", auc=0.6)
    lines, trusted = task_table([poor], "remove")
    assert not trusted
    assert lines[-1] == "measures below 0.95: removal on it is gone"
