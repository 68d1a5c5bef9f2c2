"""Scores by scorers that are no encoders, of a planted run with failures."""

from pathlib import Path

import pytest
from kit import report_run

from htbench.report.sections import other_scores
from htbench.report.sections.other_scores import MethodScore
from htbench.run.store import Failure, Store
from htbench.run.summary import Summary


def _line(folder: Path, *, better: str, failed: int) -> MethodScore:
    """The row of lineas, whose 96 cells at strength 1 score 0.5 in a run of scores from 0.2 to 0.9.

    Two concepts of 48 cells each; the failed cells are of the first.
    """
    prompts = [f"scene {k}" for k in range(48)]
    methods = ("none", "lineas")
    report_run.build(
        folder, methods=methods, concepts=2, prompts=prompts, strengths=(0.0, 1.0), size=8
    )
    with Store.open(folder) as store:
        store.set_facts(gauges=[{"id": "ruler@1", "name": "ruler", "better": better}])
        rows = store.rows()
        steered = [row for row in rows if row.is_steered]
        store.add_scores((row.id, "ruler", "ruler@1", 0.5) for row in steered)
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


def test_many_failed_cells_leave_no_mean(tmp_path: Path) -> None:
    assert _line(tmp_path / "run", better="higher", failed=2).estimate is None
