"""Failures of a method improve none of its scores, ranks or claims, wherever they are told."""

import math
from pathlib import Path

import pytest
from kit import report_run

from htbench.report.roles import find_roles
from htbench.report.sections import claims, kinds, novelty, people
from htbench.report.sections import judges as judges_section
from htbench.report.sections import strengths as strengths_section
from htbench.run.store import Failure, Store
from htbench.run.summary import Summary


def _run(folder: Path) -> Path:
    return report_run.build(folder, strengths=(0.0, 0.25, 0.5, 0.75, 1.0), size=8)


def _fail_worst(folder: Path, method: str, number: int) -> None:
    """Make the cells of the lowest gains at strength 1 failures."""
    with Store.open(folder) as store:
        scores = Summary(store).scores
        rows = [row for row in store.rows() if (row.method, row.strength) == (method, 1.0)]
        assert len(rows) == 48
        rows.sort(key=lambda row: scores[row.id]["concept_gain"])
        store.add_failure(
            [row.image for row in rows[:number]], Failure(kind="nan", message="no numbers")
        )


def _figures(folder: Path, method: str) -> dict[str, float]:
    """All that a report tells of a method, by name, higher being better."""
    with Store.read(folder) as store:
        summary = Summary(store)
        row = summary.leaderboard_row(method, 1.0)
        figures = {metric: score.mean for metric, score in row.scores.items() if score}
        figures |= {f"low {metric}": score.low for metric, score in row.scores.items() if score}
        rank = summary.ranks.get(method) if summary.ranks else None
        figures["rank"] = -rank.rank if rank else -math.inf
        figures["place"] = -[line.method for line in summary.leaderboard].index(method)
        figures["mean of kinds"] = kinds.macro_mean(summary, method, 1.0).gain.mean
        for kind in kinds.collect(summary):
            figures[kind.name] = kind.gains[method].mean
        curve = strengths_section.collect(summary).get(method)
        figures["hypervolume"] = curve.hypervolume.value
        figures["spearman"] = curve.response.spearman.mean
        for name, policy in curve.policies.items():
            figures[f"policy {name}"] = policy.gain.mean
        cost = next(cost for cost in summary.costs if cost.method == method)
        if cost.comparisons:
            figures["speed-up"] = cost.comparisons[0].saving.speedup().value
        roles = find_roles(summary, claims.load_claims()["paper"])
        tested = claims.collect(
            summary,
            roles,
            judged=judges_section.collect(summary),
            people=people.collect(summary),
            novelty=novelty.collect(summary, roles),
        )
        return figures | {claim.claim: claim.verdict == "supported" for claim in tested.claims}


@pytest.mark.parametrize("method", ["lineas", "hypertransport", "mean-shift"])
def test_making_the_worst_cells_failures_improves_nothing(tmp_path: Path, method: str) -> None:
    folder = _run(tmp_path / "run")
    before = _figures(folder, method)
    _fail_worst(folder, method, 22)
    after = _figures(folder, method)
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] > before[name]} == set()
    assert after["concept_gain"] < before["concept_gain"]
    assert after["rank"] == -math.inf


def test_the_page_gives_the_reason_and_both_bounds(tmp_path: Path) -> None:
    from htbench import report

    folder = _run(tmp_path / "run")
    _fail_worst(folder, "lineas", 22)
    page = report.write(folder).read_text(encoding="utf-8")
    assert "22 of 48 cells failed" in page
    assert "if failed cells had the best score" in page
    assert "`lineas` is not ranked: 22 of 48 cells failed." in (
        folder / "leaderboard.md"
    ).read_text(encoding="utf-8")
