"""Agreement of a scorer with the leaderboard's score, against figures worked out another way."""

from pathlib import Path

import numpy as np
import pytest
from kit import report_run
from scipy.stats import spearmanr

from htbench import report
from htbench.report.sections import other_scores
from htbench.report.sections.other_scores import Agreement, ScoreTable
from htbench.run.store import Store
from htbench.run.summary import Summary

METHODS = ("none", "mean-shift", "lineas")


def build(
    folder: Path, *, counterparts: tuple[str, ...] = ("presence",), lineas: float = 0.1
) -> ScoreTable:
    """A run whose scorer says the presence, shifted by 0.1, or by `lineas` for that method."""
    report_run.build(folder, methods=METHODS, strengths=(0.0, 1.0), concepts=6)
    gauge = {"id": "eye@1", "name": "eye", "better": "higher", "against": "concept"}
    with Store.open(folder) as store:
        store.set_facts(gauges=[{**gauge, "counterparts": counterparts}])
        found = store.select(
            "SELECT cell, value, method FROM scores JOIN cells ON id = cell WHERE metric='presence'"
        )
        store.add_scores(
            (cell, "eye", "eye@1", value + (lineas if method == "lineas" else 0.1))
            for cell, value, method in found
        )
    with Store.read(folder) as store:
        (table,) = other_scores.collect(Summary(store))
    return table


def agreement(table: ScoreTable) -> Agreement:
    (found,) = table.agreements
    return found


def presence(folder: Path, method: str) -> np.ndarray:
    with Store.read(folder) as store:
        rows = store.select(
            """SELECT avg(value) FROM scores JOIN cells ON id = cell WHERE metric = 'presence'
               AND method = ? AND strength = 1 GROUP BY concept""",
            method,
        )
    return np.array(rows)[:, 0]


def test_concordance_per_method_is_lins_coefficient(tmp_path: Path) -> None:
    found = agreement(build(tmp_path / "run"))
    line = next(line for line in found.lines if line.method == "lineas")
    x = presence(tmp_path / "run", "lineas")
    assert line.own == pytest.approx(line.counterpart + 0.1)
    assert line.agreement.concordance == pytest.approx(2 * x.var() / (2 * x.var() + 0.1**2))
    assert line.agreement.correlation == pytest.approx(1)


def test_over_all_methods_each_concept_counts_by_its_mean(tmp_path: Path) -> None:
    found = agreement(build(tmp_path / "run", lineas=-0.3))
    one, two = (presence(tmp_path / "run", method) for method in METHODS[1:])
    expected = spearmanr((one + two) / 2, (one + 0.1 + two - 0.3) / 2).statistic
    assert found.overall
    assert found.overall.correlation == pytest.approx(expected)
    assert found.concepts == 6


@pytest.mark.parametrize(
    ("lineas", "swapped"), [(0.1, []), (-0.9, [("none", "lineas"), ("mean-shift", "lineas")])]
)
def test_pairs_of_methods_in_another_order_are_named(
    lineas: float, swapped: list[tuple[str, str]], tmp_path: Path
) -> None:
    found = agreement(build(tmp_path / "run", lineas=lineas))
    assert (found.pairs, found.swapped) == (3, swapped)


def test_the_page_shows_the_agreement(tmp_path: Path) -> None:
    build(tmp_path / "run", lineas=-0.9)
    page = report.write(tmp_path / "run").read_text(encoding="utf-8")
    assert "Agreement with Presence by emoji-clip-b; over 6 concepts, concordance" in page
    assert "1 of 3 pairs of methods in the same order, not none above lineas" in page


def test_a_score_without_a_counterpart_agrees_with_none(tmp_path: Path) -> None:
    assert build(tmp_path / "run", counterparts=()).agreements == []
