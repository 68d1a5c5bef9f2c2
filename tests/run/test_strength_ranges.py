"""Useful ranges of a made-up run, by thresholds that are fixed on its unsteered pictures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import report_run

from htbench.run.store import Failure, Store
from htbench.run.strength_ranges import MethodRange, range_facts, range_table
from htbench.run.summary import Summary

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)
ENCODER = "emoji-clip-b@1"
PRESENCE = {0.5: 0.02, 1.0: 0.9, 1.5: 0.9, 2.0: 0.9}
GAIN = {0.0: 0.0, 0.5: 0.1, 1.0: 0.3, 1.5: 0.4, 2.0: 0.4}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A run of 6 concepts and 4 prompts; presence of the unsteered pictures is .01, .02, .03, .04
    for every concept, and that of the steered ones is .9 from strength 1 on."""
    prompts = [f"scene {k}" for k in range(4)]
    folder = report_run.build(
        tmp_path / "run",
        methods=("none", "lineas"),
        concepts=6,
        prompts=prompts,
        strengths=STRENGTHS,
        size=8,
    )
    with Store.open(folder) as opened:
        rows = opened.rows()
        presence = [
            PRESENCE.get(row.strength, 0.01 * (1 + prompts.index(row.prompt))) for row in rows
        ]
        opened.add_scores(
            [
                *((row.id, "concept_gain", ENCODER, GAIN[row.strength]) for row in rows),
                *(
                    (row.id, "presence", ENCODER, value)
                    for row, value in zip(rows, presence, strict=True)
                ),
            ]
        )
        yield opened


def found(store: Store) -> MethodRange:
    table = range_table(Summary(store))
    assert table
    (method,) = table.methods
    return method


def test_the_threshold_has_a_twentieth_of_the_unsteered_pictures_above_it(store: Store) -> None:
    table = range_table(Summary(store))
    assert table
    assert (table.threshold, table.unsteered) == (pytest.approx(0.04), 24)


def test_the_range_goes_from_half_of_the_pictures_noticed_to_saturation(store: Store) -> None:
    own = found(store).all_concepts
    assert own.onset.value == pytest.approx(0.75), "none at .5, all at 1"
    assert own.end.value == own.saturation.value == pytest.approx(1.3)


def test_every_concept_has_a_range_of_its_own(store: Store) -> None:
    hard = next(iter({row.concept for row in store.rows()}))
    store.add_scores(
        (row.id, "presence", ENCODER, 0.0)
        for row in store.rows()
        if row.concept == hard and row.is_steered
    )
    own = found(store)
    assert own.by_concept[hard].width == 0
    assert (own.useful_concepts, len(own.by_concept)) == (5, 6)
    assert own.quartiles("onset")[1] == pytest.approx(0.75)


def test_failed_cells_count_as_flawed_and_unnoticed(store: Store) -> None:
    lost = [row.image for row in store.rows() if row.strength in (1.5, 2.0)]
    store.add_failure(sorted(set(lost)), Failure(kind="nan", message="no numbers"))
    own = found(store).all_concepts
    assert own.collapse.value == pytest.approx(1 + 0.5 * 0.1)
    assert own.saturation.value == pytest.approx(0.5 + 0.5 * 0.17 / 0.2), "0.3 is the largest gain"


def test_a_strength_that_is_not_reached_is_stored_as_null(store: Store) -> None:
    collapse = range_facts(found(store).all_concepts)["collapse"]
    assert collapse == {"value": None, "low": None, "high": None}


def test_too_few_unsteered_pictures_fix_no_threshold(tmp_path: Path) -> None:
    folder = report_run.build(
        tmp_path / "run", concepts=3, prompts=("a cat",), strengths=STRENGTHS, size=8
    )
    with Store.read(folder) as store:
        assert range_table(Summary(store)) is None


def test_two_strengths_are_no_range(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", concepts=12, strengths=(0.0, 1.0), size=8)
    with Store.read(folder) as store:
        assert range_table(Summary(store)) is None
