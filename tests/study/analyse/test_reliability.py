"""Reliability of people: values of other implementations, and intervals that cover."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import evalica
import numpy as np
import pandas as pd
import pytest
from kit.study_people import answered

from htbench.study.analyse.agreement import collect_pair_votes, units_of
from htbench.study.analyse.reliability import alpha, reliability

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "coverage_raters.py"


@pytest.mark.parametrize("outcomes", ["lr", "lrt"])
def test_alpha_is_that_of_another_implementation(outcomes: str) -> None:
    random = np.random.default_rng(3)
    rows = [
        row
        for rater in ("one", "two", "three", "four")
        for row in answered(rater, "".join(random.choice([*outcomes, "s"], 40)))
    ]
    units = units_of(collect_pair_votes(rows))
    table = pd.DataFrame([votes for _, votes in units]).T
    assert alpha(units).value == pytest.approx(evalica.alpha(table, "nominal").alpha, abs=1e-12)


@pytest.mark.parametrize("highest", [2, 5, 7])
def test_ordinal_alpha_is_that_of_another_implementation(highest: int) -> None:
    random = np.random.default_rng(highest)
    middles = random.integers(1, highest + 1, 40)
    votes = np.clip(middles[:, None] + random.integers(-1, 2, (40, 4)), 1, highest).astype(float)
    votes[random.random(votes.shape) < 0.2] = np.nan
    units = [
        (
            f"concept {k // 4}",
            {f"rater {j}": vote for j, vote in enumerate(row) if not np.isnan(vote)},
        )
        for k, row in enumerate(votes)
    ]
    table = pd.DataFrame(votes).T
    expected = evalica.alpha(table, "ordinal").alpha
    assert alpha(units, ordinal=True).value == pytest.approx(expected, abs=1e-12)


def test_concepts_that_differ_widen_the_interval_of_alpha() -> None:
    people, random = ("one", "two", "three", "four"), np.random.default_rng(5)
    plain = np.arange(240) % 60 < 30  # all people see the same, in half of the concepts
    votes = {
        rater: random.random(240) < np.where(plain, np.arange(240) % 2, 0.5) for rater in people
    }

    def width(size: int) -> float:
        units = [
            (f"c{k // size}", {rater: float(votes[rater][k]) for rater in people})
            for k in range(240)
        ]
        return alpha(units).high - alpha(units).low

    assert width(30) > 1.5 * width(1)


def test_raters_who_differ_widen_the_interval_of_the_ceiling() -> None:
    rows = [row for k in range(6) for row in answered(f"r{k}", "llrl" * 10)]
    odd = [row for k in range(6) for row in answered(f"r{k}", ("rrlr" if k > 4 else "llrl") * 10)]
    low, high = reliability(odd).ceiling.interval
    assert reliability(rows).ceiling.value == 1
    assert high - low > 0.4  # one of six people is against all others on each of 40 concepts


def test_two_people_have_agreement_without_an_interval() -> None:
    rows = [*answered("one", "lrlrlrll"), *answered("two", "lrlrlrrr")]
    found = reliability(rows)
    assert (found.ceiling.count, found.ceiling.of) == (6, 8)
    assert np.isnan([found.alpha.low, *found.ceiling.interval]).all()


def test_a_person_s_repeats_are_not_independent() -> None:
    letters = ["l" * 20 if k % 2 else "r" * 20 for k in range(8)]
    rows = [row for k in range(8) for row in answered(f"r{k}", "l" * 20)]
    again = [
        row
        for k, own in enumerate(letters)
        for row in answered(f"r{k}", own, kind="repeat", swapped=True, start=20)
    ]
    found = reliability([*rows, *again]).self_agreement
    assert (found.count, found.of) == (80, 160)
    assert found.interval[1] - found.interval[0] > 0.6  # 160 independent repeats have 0.15


@pytest.mark.slow
@pytest.mark.parametrize("concept_spread", [0.0, 1.0, 2.0])
def test_intervals_of_alpha_and_of_the_ceiling_cover(concept_spread: float) -> None:
    benchmark = _load(BENCHMARK)
    design = benchmark.Design(
        concepts=12, raters=5, answers=5, concept_spread=concept_spread, rater_spread=0.7
    )
    shares = benchmark.simulate(design, simulations=300, seed=1)
    assert ((shares[:2] >= 0.92) & (shares[:2] <= 0.99)).all()


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
