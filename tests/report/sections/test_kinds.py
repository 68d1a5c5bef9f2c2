"""Concept gain by kind, from runs with planted gains."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from kit import report_run
from scipy.stats import t

from htbench.report.sections import kinds
from htbench.report.sections.kinds import MacroMean
from htbench.run.store import Store
from htbench.run.summary import Summary

KINDS = {"object": 4, "colour": 3, "style": 3, "weather": 2}
"""Numbers of concepts in the made-up run."""


def planted(folder: Path, gains: Mapping[str, Mapping[str, float]], spread: float = 0.0) -> Path:
    """A run in which a method's gains on a kind are around the given one, 0 where none is."""
    report_run.build(
        folder,
        methods=("none", *gains),
        prompts=report_run.PROMPTS[:1],
        strengths=(0.0, 1.0),
        size=8,
    )
    with Store.open(folder) as store:
        facts = store.facts()["concepts"]
        names = {kind: [c for c, fact in facts.items() if fact["kind"] == kind] for kind in KINDS}
        for row in store.rows():
            kind = facts[row.concept]["kind"]
            place = names[kind].index(row.concept) - (KINDS[kind] - 1) / 2
            gain = gains.get(row.method, {}).get(kind, 0.0) + spread * place
            store.add_scores([(row.id, "concept_gain", "emoji-clip-b@1", gain)])
    return folder


def macro(folder: Path, method: str = "lineas") -> MacroMean:
    with Store.read(folder) as store:
        found = kinds.macro_mean(Summary(store), method, 1.0)
    assert found
    return found


def test_every_kind_has_equal_weight(tmp_path: Path) -> None:
    gains = {"lineas": {"object": 0.4, "colour": 0.2}}
    found = macro(planted(tmp_path / "run", gains))
    assert (found.gain.mean, found.kinds) == (pytest.approx(0.6 / 4), 4)


def test_the_interval_is_that_of_a_mean_of_independent_means(tmp_path: Path) -> None:
    """Variances of means add up; degrees of freedom are Satterthwaite's for equal variances."""
    found = macro(planted(tmp_path / "run", {"lineas": {"object": 0.4}}, spread=0.1)).gain
    variances = {4: 0.05 / 3, 3: 0.01, 2: 0.005}
    error = math.sqrt(sum(variances[n] / n for n in KINDS.values())) / 4
    freedom = sum(1 / n for n in KINDS.values()) ** 2 / sum(
        1 / n**2 / (n - 1) for n in KINDS.values()
    )
    assert found.high - found.low == pytest.approx(2 * error * t.ppf(0.975, freedom), rel=0.01)


def test_concepts_near_the_floor_gain_at_most_a_tenth_of_prompting(tmp_path: Path) -> None:
    prompting = dict.fromkeys(KINDS, 0.5)
    gains = {"prompt": prompting, "lineas": {"object": 0.4, "colour": 0.06, "style": 0.04}}
    folder = planted(tmp_path / "run", gains)
    assert (macro(folder).near_floor, macro(folder, "prompt").near_floor) == (3 + 2, 0)


def test_without_prompting_the_floor_is_not_known(tmp_path: Path) -> None:
    assert macro(planted(tmp_path / "run", {"lineas": {"object": 0.4}})).near_floor is None


def test_a_kind_that_none_or_all_can_steer_is_told(tmp_path: Path) -> None:
    prompting = dict.fromkeys(KINDS, 0.5)
    gains = {"prompt": prompting, "lineas": {"object": 0.49, "style": 0.2}}
    folder = planted(tmp_path / "run", gains)
    with Store.read(folder) as store:
        limits = {kind.name: kind.limit for kind in kinds.collect(Summary(store))}
    assert limits == {
        "object": "all steering methods reach nine tenths of prompting",
        "colour": "no steering method reaches a tenth of prompting",
        "style": "",
        "weather": "no steering method reaches a tenth of prompting",
    }
