"""The scorers of objects and of coverage on drawings whose places are known."""

import numpy as np
import pytest

from htbench.models.emoji import loss_calibration, object_calibration
from htbench.models.emoji.object_calibration import ConceptChanges
from htbench.report.sections import requested

OWN = ["object-count", "shift-right", "shift-down", "coverage"]


@pytest.fixture(scope="module")
def changes() -> ConceptChanges:
    return object_calibration.concept_changes("test", concepts=60, prompts=2)


def test_planted_counts_shifts_and_coverages_are_followed_and_told_from_other_concepts(
    changes: ConceptChanges,
) -> None:
    found = object_calibration.calibrate_objects(changes, drawn=60)
    assert [each.scorer for each in found] == OWN
    assert [each for each in found if not each.is_trusted] == []


def test_a_grown_object_is_not_told_from_other_concepts_so_that_size_is_no_scorer(
    changes: ConceptChanges,
) -> None:
    size = object_calibration.calibrate_size(changes, drawn=60)
    assert size.auc < 0.9
    assert not size.is_trusted


def test_what_concepts_do_is_known_by_kind(changes: ConceptChanges) -> None:
    assert len(changes.kind) == len(changes.of_companions()) + len(changes.of_others())
    assert np.median(changes.of_companions()) == 2
    assert np.median(changes.of_others()) == 0


def test_every_attribute_that_is_requested_has_an_instrument_that_is_checked() -> None:
    attributes = loss_calibration.calibrate_attributes(concepts=1, prompts=1)
    checked = {*(each.scorer for each in attributes), *OWN, "sharpness"}
    assert checked == requested.LEAST_CHANGE.keys()
