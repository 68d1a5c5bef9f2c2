"""The result of a study: coverage of intervals, agreement, and the report."""

import csv
import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import evalica
import numpy as np
import pandas as pd
import pytest
from kit.planted import NAMES, STRENGTHS
from kit.study_people import answered, study
from statsmodels.stats.inter_rater import fleiss_kappa

from htbench.judging.agreement import read_votes
from htbench.stats.ranking.leaderboard import rank
from htbench.study.analyse import writeup
from htbench.study.analyse.reliability import alpha, gwet_ac1, reliability
from htbench.study.analyse.result import collect_votes, preferences, rater_influence
from htbench.study.collect import intake, profile
from htbench.study.exclusions import Rules, apply_rules

NAN = float("nan")
CLASSIC = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]
"""Krippendorff's own example."""


def test_alpha_of_the_classic_table() -> None:
    units = [
        (
            f"c{unit}",
            {f"r{k}": row[unit] for k, row in enumerate(CLASSIC) if row[unit] == row[unit]},
        )
        for unit in range(12)
    ]
    assert alpha(units).value == pytest.approx(0.7434, abs=5e-5)


@pytest.mark.parametrize(
    ("distance", "value"),
    [("nominal", 0.7434), ("ordinal", 0.8154), ("interval", 0.8491), ("ratio", 0.7974)],
)
def test_the_library_s_alpha_is_the_classic_one_at_every_level(distance: str, value: float) -> None:
    assert evalica.alpha(pd.DataFrame(CLASSIC), distance).alpha == pytest.approx(value, abs=5e-5)  # type: ignore[arg-type]


def test_ac1_of_two_raters_by_hand() -> None:
    counts = np.array([[2, 0]] * 8 + [[1, 1]] * 2, float)
    pe = 2 * 0.9 * 0.1  # shares 0.9 and 0.1
    assert gwet_ac1(counts) == pytest.approx((0.8 - pe) / (1 - pe))


def test_ac1_and_kappa_agree_where_categories_are_even() -> None:
    counts = np.array([[3, 0], [0, 3], [2, 1], [1, 2]], float)
    assert gwet_ac1(counts) == pytest.approx(fleiss_kappa(counts))


def test_people_with_nothing_in_common_have_no_agreement() -> None:
    rows = [
        *answered("one", "lrl"),
        *(replace(row, concept=f"other {row.concept}") for row in answered("two", "lrl")),
    ]
    found = reliability(rows)
    assert np.isnan([found.alpha.value, found.ac1, found.ceiling.value]).all()


def test_swapped_sides_of_one_picture_are_agreement() -> None:
    rows = [*answered("one", "lrlr"), *answered("two", "rlrl", swapped=True)]
    assert (reliability(rows).alpha.value, reliability(rows).ceiling.value) == (1, 1)


def coverage(simulations: int, *, rounds: int = 100) -> tuple[float, float]:
    """Coverage of intervals of a preference rate: resampled, and for independent votes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    truth = {}
    for one, two in permutations(range(3), 2):
        logits = STRENGTHS[one] - STRENGTHS[two] + np.hypot(1.0, 0.7) * nodes
        truth[NAMES[one], NAMES[two]] = float((1 / (1 + np.exp(-logits))) @ weights / weights.sum())
    honest, naive = [], []
    for seed in range(simulations):
        votes = collect_votes(study(np.random.default_rng(1000 + seed)))
        for found in preferences(
            votes, rank(votes, rounds=rounds, seed=seed), rounds=rounds, seed=seed
        ):
            rate = truth[found.one, found.two]
            honest.append(found.forced.low <= rate <= found.forced.high)
            naive.append(found.naive[0] <= rate <= found.naive[1])
    return float(np.mean(honest)), float(np.mean(naive))


def test_intervals_cover_and_those_of_independent_votes_do_not() -> None:
    honest, naive = coverage(20)
    assert honest > 0.85  # of 60 intervals, three standard errors below 0.95; the slow test has 900
    assert naive < 0.85


@pytest.mark.slow
def test_intervals_cover_as_often_as_they_claim() -> None:
    honest, naive = coverage(300, rounds=200)
    assert 0.92 <= honest <= 0.98
    assert naive < 0.85


def test_twice_as_often_is_told_in_both_conventions() -> None:
    rows = [row for k in range(6) for row in answered(f"r{k}", "llrt" * 6)]
    votes = collect_votes(rows)
    (found,) = preferences(votes, rank(votes, rounds=100), rounds=100, seed=0)
    assert found.decided_ratio.value == pytest.approx(2)
    assert found.forced_ratio.value == pytest.approx(2.5 / 1.5)


def test_the_better_of_two_methods_is_named_first() -> None:
    rows = [row for k in range(4) for row in answered(f"r{k}", "rrlr" * 6)]
    votes = collect_votes(rows)
    (found,) = preferences(votes, rank(votes, rounds=100), rounds=100, seed=0)
    assert (found.one, found.two, found.forced.value) == ("b", "a", pytest.approx(0.75))
    assert found.naive[0] < 0.75 < found.naive[1]


def test_the_person_on_whom_a_ranking_hangs_is_named_first() -> None:
    rows = [
        *answered("r0", "lrlrlr"),
        *answered("r1", "rlrlrl"),
        *answered("lone", "llllll"),
        *answered("r2", "rrrlrl"),
    ]
    most = rater_influence(collect_votes(rows))[0]
    assert (most.rater, most.first) == ("lone", True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of ten people and a bot, imported."""
    rows = [
        *study(np.random.default_rng(3), concepts=12, each=30, raters=10),
        *(replace(row, rt_ms=90, concept="c01") for row in answered("bot", "l" * 30)),
    ]
    (tmp_path / "own.toml").write_text(
        profile.text("htbench").replace(
            "[choices]",
            "\n".join(f'{name} = ["{name}"]' for name in ("concept", "left", "right", "seed"))
            + "\n[choices]",
        )
    )
    with (tmp_path / "votes.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["rater", "concept", "seed", "left", "right", "choice", "rt_ms", "position"])
        lines.writerows(
            [f"person {row.rater}", row.concept, k, row.left, row.right, row.choice, row.rt_ms, k]
            for k, row in enumerate(rows)
        )
    how = profile.find(str(tmp_path / "own.toml"))
    intake.import_answers(
        [tmp_path / "votes.csv"],
        tmp_path / "study",
        profile=how,
        key=None,
        secret=tmp_path / "secret",
        rules=None,
    )
    return tmp_path / "study"


def test_a_report_tells_results_with_and_without_exclusions(folder: Path) -> None:
    writeup.write(folder, rounds=100)
    facts = json.loads((folder / "report.json").read_text())
    kept, everybody = (
        facts[name][0]["ranking"]["standings"] for name in ("criteria", "without_exclusions")
    )
    assert [step["people"] for step in facts["flow"]][:: len(facts["flow"]) - 1] == [11, 10]
    assert {one["name"]: one["votes"] for one in kept} != {
        one["name"]: one["votes"] for one in everybody
    }


def test_a_report_fills_the_template(folder: Path) -> None:
    (folder / "about.toml").write_text('pay = "9 GBP an hour"\n')
    writeup.write(folder, rounds=100)
    text = (folder / "report.md").read_text()
    assert "| Pay | 9 GBP an hour |" in text
    assert "| Raters | 10 of 11 |" in text


def test_rules_that_changed_after_the_import_are_told(folder: Path) -> None:
    (folder / "rules.toml").write_text("fastest_ms = 0\n")
    writeup.write(folder, rounds=100)
    assert "**They were changed after the first import.**" in (folder / "report.md").read_text()


def test_judges_can_be_compared_with_the_votes_that_were_kept(folder: Path) -> None:
    found = writeup.write(folder, rounds=100)
    assert len(read_votes(folder / "votes.csv")) == len(found.flow.kept)


def test_flow_ends_with_what_is_kept() -> None:
    flow = apply_rules(answered("one", "lrlr"), Rules())
    assert flow.steps[-1].answers == len(flow.kept) == 4
