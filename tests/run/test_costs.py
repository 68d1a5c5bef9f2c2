"""Which fits speed is told against, from a run that is filled by hand."""

import math
from pathlib import Path

import pytest
from kit import report_run

from htbench.run.costs import FitRule, MethodCost, choose_fits
from htbench.run.store import Sample, Store
from htbench.run.summary import Summary

SECONDS = {"quick": 1.0, "slow": 10.0, "slowest": 100.0}


@pytest.mark.parametrize(
    ("gaps", "fit", "rule"),
    [
        ({"quick": 0.1, "slow": 0.2, "slowest": 0.3}, "quick", "equal quality"),
        ({"quick": -0.1, "slow": 0.0, "slowest": 0.3}, "slow", "equal quality"),
        ({"quick": -0.3, "slow": -0.1, "slowest": -0.2}, "slow", "best quality"),
    ],
)
def test_speed_is_told_against_the_quickest_fit_that_is_as_good_else_the_best(
    gaps: dict[str, float], fit: str, rule: FitRule
) -> None:
    assert choose_fits(SECONDS, gaps=gaps, published=()) == [(fit, rule)]


def test_the_slowest_fit_with_published_figures_stands_beside() -> None:
    chosen = choose_fits(SECONDS, gaps={"quick": 0.1}, published={"quick", "slow"})
    assert chosen == [("quick", "equal quality"), ("slow", "paper's setting")]


def test_without_scores_no_fit_is_said_to_be_as_good() -> None:
    assert choose_fits(SECONDS, gaps={}, published={"slow"}) == [("slow", "paper's setting")]


def _run(folder: Path) -> Path:
    """A run in which lineas and linear-act take 2 and 4 seconds, hypertransport 10 ms.

    By skill, lineas is better than hypertransport and linear-act is not.
    """
    methods = ("none", "linear-act", "lineas", "hypertransport")
    report_run.build(folder, methods=methods, concepts=6, size=8, timed=False)
    with Store.open(folder) as store:
        for concept in {row.concept for row in store.rows()}:
            for method, seconds in {
                "linear-act": 4.0,
                "lineas": 2.0,
                "hypertransport": 0.01,
            }.items():
                store.add_timing("towards", method, concept, seconds, "cpu")
    return folder


def _cost(folder: Path, method: str = "hypertransport") -> MethodCost:
    with Store.read(folder) as store:
        return next(cost for cost in Summary(store).costs if cost.method == method)


def test_a_run_tells_both_speed_ups_with_both_gains(tmp_path: Path) -> None:
    cost = _cost(_run(tmp_path / "run"))
    quality, paper = cost.comparisons
    assert (quality.fit, quality.saving.speedup().value) == ("lineas", pytest.approx(200))
    assert (paper.fit, paper.saving.speedup().value) == ("linear-act", pytest.approx(400))
    assert quality.gain.mean > cost.gain.mean > paper.gain.mean


def test_a_recorded_training_enters_no_break_even_point(tmp_path: Path) -> None:
    cost = _cost(_run(tmp_path / "run"))
    assert (cost.training, cost.trained_on) == (1380.0, "cpu")
    assert all(math.isnan(each.saving.break_even.value) for each in cost.comparisons)


def test_methods_that_fit_each_concept_are_compared_with_nothing(tmp_path: Path) -> None:
    assert _cost(_run(tmp_path / "run"), "lineas").comparisons == ()


def test_a_timing_session_tells_the_break_even_point_of_what_it_measured(tmp_path: Path) -> None:
    folder = _run(tmp_path / "run")
    parts = [{"factor": 2.0, "seconds": [10.0] * 3}, {"factor": 50.0, "seconds": [0.2] * 8}]
    trained = {"seconds": 30.0, "parts": parts}
    methods = {"lineas": {"kind": "per-concept"}, "hypertransport": {"training": trained}}
    with Store.open(folder) as store:
        store.set_facts(timing={"s": {"conditions": {"revision": "1"}, "methods": methods}})
        for method, work, phase, seconds in (
            ("", "image", "generate", 0.5),
            ("lineas", "concept", "", 3.0),
            ("hypertransport", "concept", "", 0.5),
        ):
            store.add_samples(
                "s",
                (
                    Sample(
                        method=method,
                        work=work,
                        phase=phase,
                        concept="c",
                        round=number,
                        seconds=seconds,
                    )
                    for number in range(1, 11)
                ),
            )
    (comparison, _) = _cost(folder).comparisons
    found = comparison.saving.break_even
    assert (found.low, found.value, found.high) == pytest.approx((12, 12, 12))  # 30 / (3 - .5)
    assert comparison.saving.speedup().value == pytest.approx(6)
