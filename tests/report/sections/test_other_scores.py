"""Scores by scorers that are no encoders, of a planted run with failures."""

from pathlib import Path

import pytest
from kit import report_run

from htbench.report.sections import other_scores
from htbench.report.sections.other_scores import MethodScore
from htbench.run.store import Failure, Store
from htbench.run.summary import Summary


def _line(
    folder: Path,
    *,
    better: str,
    failed: int,
    concepts: int = 2,
    spread: float = 0.0,
    **facts: object,
) -> MethodScore:
    """The row of lineas, whose 96 cells at strength 1 score 0.5 in a run of scores from 0.2 to 0.9.

    Concepts of 48 cells each, of which every second scores `spread` less and the others as much
    more; the failed cells are of the first.
    """
    prompts = [f"scene {k}" for k in range(48)]
    methods = ("none", "lineas")
    report_run.build(
        folder, methods=methods, concepts=concepts, prompts=prompts, strengths=(0.0, 1.0), size=8
    )
    with Store.open(folder) as store:
        store.set_facts(gauges=[{"id": "ruler@1", "name": "ruler", "better": better, **facts}])
        rows = store.rows()
        steered = [row for row in rows if row.is_steered]
        names = list(dict.fromkeys(row.concept for row in steered))
        signs = {name: (-1) ** (k + 1) for k, name in enumerate(names)}
        scores = {row.id: 0.5 + signs[row.concept] * spread for row in steered}
        store.add_scores((cell, "ruler", "ruler@1", score) for cell, score in scores.items())
        plain = [row.id for row in rows if not row.is_steered]
        store.add_scores([(plain[0], "ruler", "ruler@1", 0.2), (plain[1], "ruler", "ruler@1", 0.9)])
        if failed:
            keys = [row.image for row in steered[:failed]]
            store.add_failure(keys, Failure(kind="nan", message="no numbers"))
    with Store.read(folder) as store:
        (table,) = other_scores.collect(Summary(store))
    return next(line for line in table.lines if line.method == "lineas")


@pytest.mark.parametrize(("better", "worst"), [("higher", 0.2), ("lower", 0.9)])
def test_a_failed_cell_has_the_worst_score_of_the_run(
    tmp_path: Path, better: str, worst: float
) -> None:
    line = _line(tmp_path / "run", better=better, failed=1)
    assert line.estimate.mean == pytest.approx(((47 * 0.5 + worst) / 48 + 0.5) / 2)
    assert (line.done, line.failed, line.planned) == (95, 1, 96)


@pytest.mark.parametrize(("ends", "is_cut"), [([0, 1], True), ([None, 1], False)])
def test_an_interval_ends_where_the_range_of_the_score_does(
    tmp_path: Path, ends: list[float | None], is_cut: bool
) -> None:
    facts = {"range": ends, "concepts": 4, "spread": 0.4}
    estimate = _line(tmp_path / "run", better="higher", failed=0, **facts).estimate
    assert estimate.mean == pytest.approx(0.5)
    assert estimate.high == 1
    assert (estimate.low == 0) if is_cut else (estimate.low < -0.1)


def test_many_failed_cells_leave_no_mean(tmp_path: Path) -> None:
    assert _line(tmp_path / "run", better="higher", failed=2).estimate is None
