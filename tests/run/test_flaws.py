"""Flawed pictures by thresholds that are fixed on a run's unsteered pictures."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from kit import report_run

from htbench.run import flaws
from htbench.run.flaws import FlawTable
from htbench.run.store import CellRow, Failure, GeneratedImage, Store
from htbench.run.summary import Summary

PROMPTS = [f"scene {k}" for k in range(40)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A run of 40 prompts, whose unsteered contrasts are .10, .11, … .49, in a shuffled order."""
    folder = report_run.build(
        tmp_path / "run",
        methods=("none", "prompt", "lineas"),
        concepts=4,
        prompts=PROMPTS,
        strengths=(0.0, 1.0),
        size=8,
    )
    with Store.open(folder) as opened:
        opened.set_facts(gauges=[{"id": "contrast@1", "name": "contrast", "better": "higher"}])
        unsteered = [row for row in opened.rows() if not row.is_steered]
        add(opened, [(row, contrast_of(row.prompt)) for row in unsteered])
        yield opened


def contrast_of(prompt: str) -> float:
    return 0.10 + 0.01 * (7 * PROMPTS.index(prompt) % 40)


def add(store: Store, values: Sequence[tuple[CellRow, float]], scorer: str = "contrast@1") -> None:
    store.add_scores((row.id, scorer.partition("@")[0], scorer, value) for row, value in values)


def steered(store: Store, method: str) -> list[CellRow]:
    return [row for row in store.rows() if row.method == method and row.is_steered]


def table(store: Store) -> FlawTable:
    return flaws.flaw_table(Summary(store))


def test_no_unsteered_picture_of_fewer_than_a_hundred_is_beyond_the_threshold(store: Store) -> None:
    (threshold,) = table(store).thresholds
    assert threshold.value == pytest.approx(0.10)
    assert (threshold.unsteered, threshold.beyond) == (40, 0)
    row = table(store).row("none", 0.0)
    assert row is not None
    assert row.shares["washed_out"].count == 0


def test_a_picture_with_less_contrast_than_any_unsteered_one_is_washed_out(store: Store) -> None:
    cells = steered(store, "lineas")
    add(store, [(row, 0.05 if row.prompt in PROMPTS[:10] else 0.2) for row in cells])
    row = table(store).row("lineas", 1.0)
    assert row is not None
    assert row.shares["washed_out"].value == pytest.approx(10 / 40)
    assert row.shares["any"] == row.shares["washed_out"]
    assert row.shares["blank"].value == 0


def test_one_in_a_hundred_unsteered_pictures_may_be_beyond(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flaws, "TAIL", 0.1)
    (threshold,) = table(store).thresholds
    assert (threshold.value, threshold.beyond) == (pytest.approx(0.14), 4)


def test_a_flaw_on_the_other_side_is_above_the_highest(store: Store) -> None:
    gauges = [{"id": "noise@1", "name": "noise", "better": "lower"}]
    store.set_facts(gauges=gauges)
    unsteered = [row for row in store.rows() if not row.is_steered]
    add(store, [(row, contrast_of(row.prompt)) for row in unsteered], "noise@1")
    add(store, [(row, 0.5) for row in steered(store, "prompt")], "noise@1")
    found = table(store)
    row = found.row("prompt", 1.0)
    assert found.thresholds[0].value == pytest.approx(0.49)
    assert row is not None
    assert row.shares["noisy"].value == 1


def test_cells_that_failed_count_as_flawed_and_cells_without_a_score_are_left_out(
    store: Store,
) -> None:
    cells = steered(store, "lineas")
    add(store, [(row, 0.2) for row in cells[:100]])
    store.add_failure([row.image for row in cells[:5]], Failure(kind="nan", message="no numbers"))
    row = table(store).row("lineas", 1.0)
    assert row is not None
    assert (row.failed, row.shares["washed_out"].count, row.shares["washed_out"].of) == (5, 5, 100)
    assert (row.shares["blank"].count, row.shares["blank"].of) == (5, 160)


def test_blank_pictures_fix_no_threshold_and_are_flaws_without_any_scorer(store: Store) -> None:
    unsteered = [row for row in store.rows() if not row.is_steered]
    darkest = min(unsteered, key=lambda row: contrast_of(row.prompt))
    blank = GeneratedImage(key=darkest.image, png=b"black", blank="black")
    store.add_images([blank], seconds=0.1, batch=1)
    found = table(store)
    assert (found.thresholds[0].value, found.thresholds[0].unsteered) == (pytest.approx(0.11), 39)
    row = found.row("none", 0.0)
    assert row is not None
    assert row.shares["blank"].value == pytest.approx(1 / 40)


def test_the_worst_picture_is_the_one_that_is_furthest_beyond(store: Store) -> None:
    cells = steered(store, "lineas")
    values = dict.fromkeys([row.id for row in cells], 0.2)
    values |= {cells[3].id: 0.05, cells[7].id: 0.01, cells[9].id: 0.02}
    add(store, [(row, values[row.id]) for row in cells])
    add(store, [(row, 0.3) for row in steered(store, "prompt")])
    found = table(store)
    lineas, prompt = (found.row(method, 1.0) for method in ("lineas", "prompt"))
    assert lineas is not None
    assert prompt is not None
    assert (lineas.worst, prompt.worst) == ({"washed_out": cells[7].id}, {})


def test_too_few_unsteered_pictures_fix_no_threshold(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "small", concepts=3, strengths=(0.0, 1.0), size=8)
    with Store.open(folder) as store:
        store.set_facts(gauges=[{"id": "contrast@1", "name": "contrast", "better": "higher"}])
        add(store, [(row, 0.2) for row in store.rows()])
        found = table(store)
    assert math.isnan(found.thresholds[0].value)
    assert found.thresholds[0].unsteered == 4
    assert [flaw.name for flaw in found.flaws] == ["blank"]
