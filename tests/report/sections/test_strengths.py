"""The section on strengths: the curves of a planted run, and notes on what is missing."""

from pathlib import Path

import numpy as np
import pytest
from kit import report_run
from scipy.stats import spearmanr

from htbench.report.sections import strengths
from htbench.report.sections.strengths import MethodStrengths
from htbench.run.store import Failure, Store
from htbench.run.summary import Summary

STRENGTHS = (0.0, 0.5, 1.0, 1.5)
GAINS = {0.0: 0.0, 0.5: 0.1, 1.0: 0.4, 1.5: 0.3}
KEPT = {0.0: 1.0, 0.5: 0.9, 1.0: 0.6, 1.5: 0.3}


def planted(folder: Path, **facts: object) -> Path:
    """A run in which every method has the same gain on all concepts but the easier first one.

    Its image preservation is the same on all.
    """
    report_run.build(
        folder,
        methods=("none", "prompt", "lineas"),
        concepts=3,
        prompts=report_run.PROMPTS[:2],
        strengths=STRENGTHS,
        size=8,
    )
    with Store.open(folder) as store:
        store.set_facts(**facts)
        for metric, values in (("concept_gain", GAINS), ("image_preservation", KEPT)):
            easy = {
                row.id: 0.02 * row.strength * (row.concept == "lemon" and metric == "concept_gain")
                for row in store.rows()
            }
            store.add_scores(
                (row.id, metric, "emoji-clip-b@1", values[row.strength] + easy[row.id])
                for row in store.rows()
            )
    return folder


def answer(folder: Path, method: str = "lineas") -> MethodStrengths:
    with Store.read(folder) as store:
        found = strengths.collect(Summary(store)).get(method)
    assert found
    return found


def test_monotonicity_and_backsteps_are_those_of_the_curve(tmp_path: Path) -> None:
    found = answer(planted(tmp_path / "run")).response
    assert found
    assert found.spearman.mean == pytest.approx(
        spearmanr(list(GAINS), list(GAINS.values())).statistic
    )
    assert found.backstep.mean == pytest.approx(0.1 / 0.5, abs=0.02)
    assert (found.curves, found.flat, found.incomplete) == (6, 0, 0)


def test_the_hypervolume_is_the_dominated_area_with_prompting_as_one(tmp_path: Path) -> None:
    found = answer(planted(tmp_path / "run"))
    gain = np.array([found.mean_gain[k] for k in range(4)]) / found.mean_gain[2]
    assert found.hypervolume.value == pytest.approx(0.6 * gain[2] + (0.9 - 0.6) * gain[1])


def test_a_policy_takes_its_own_strength_and_only_those_that_are_known_are_told(
    tmp_path: Path,
) -> None:
    found = answer(planted(tmp_path / "run")).policies
    assert {name: (policy.strength, policy.keeps_floor) for name, policy in found.items()} == {
        "full": (1.0, True),
        "floor": (1.0, True),
    }


def test_the_strength_that_dev_concepts_chose_is_the_one_that_was_recorded(tmp_path: Path) -> None:
    curve = [[0.5, 0.3, 0.9], [1.0, 0.2, 0.8], [1.5, None, 0.7]]
    found = answer(planted(tmp_path / "run", tuned={"lineas": {"strength": 0.5, "curve": curve}}))
    assert found.policies["tuned"].strength == 0.5
    assert found.policies["tuned"].gain.mean == pytest.approx(found.mean_gain[1])


def test_regret_is_told_against_the_best_strength_that_keeps_the_floor(tmp_path: Path) -> None:
    folder = planted(tmp_path / "run", tuned={"lineas": {"strength": 0.5}})
    found = answer(folder)
    assert found.regret.value == pytest.approx(found.mean_gain[1] - found.mean_gain[2])


def test_the_effective_range_goes_from_a_tenth_to_nine_tenths_and_ends_where_pictures_collapse(
    tmp_path: Path,
) -> None:
    found = answer(planted(tmp_path / "run", plan={"tune_floor": 0.75}))
    assert found.effective_range
    top = found.mean_gain[2]
    assert found.effective_range.start == pytest.approx(0.5 * 0.1 * top / found.mean_gain[1])
    assert found.effective_range.saturation == pytest.approx(
        0.5 + 0.5 * (0.9 * top - found.mean_gain[1]) / (top - found.mean_gain[1])
    )
    assert found.effective_range.collapse == pytest.approx(0.75)


def test_a_curve_with_a_score_missing_is_counted_and_left_out(tmp_path: Path) -> None:
    folder = planted(tmp_path / "run")
    with Store.open(folder) as store:
        gone = next(
            row.id for row in store.rows() if row.method == "lineas" and row.strength == 1.0
        )
        store.add_scores([(gone, "concept_gain", "emoji-clip-b@1", None)])
    assert (answer(folder).response.curves, answer(folder).response.incomplete) == (6, 1)


def test_a_curve_with_a_failed_cell_falls_with_every_step(tmp_path: Path) -> None:
    folder = planted(tmp_path / "run")
    before = answer(folder).response.spearman.mean
    with Store.open(folder) as store:
        lost = next(row for row in store.rows() if row.method == "lineas" and row.strength == 1.0)
        store.add_failure([lost.image], Failure(kind="nan", message="no numbers"))
    response = answer(folder).response
    assert (response.curves, response.incomplete) == (6, 0)
    assert response.spearman.mean == pytest.approx((5 * before - 1) / 6)


def test_without_prompting_there_is_no_anchor_and_two_strengths_are_no_curve(
    tmp_path: Path,
) -> None:
    report_run.build(
        tmp_path / "run",
        methods=("none", "lineas"),
        concepts=2,
        prompts=report_run.PROMPTS[:1],
        strengths=(0.0, 1.0),
        size=8,
    )
    found = answer(tmp_path / "run")
    assert (found.hypervolume, found.response, found.effective_range) == (None, None, None)


def test_a_run_without_scores_has_no_answers(tmp_path: Path) -> None:
    report_run.build(
        tmp_path / "run",
        methods=("none", "lineas"),
        concepts=2,
        prompts=report_run.PROMPTS[:1],
        scored=False,
        size=8,
    )
    with Store.read(tmp_path / "run") as store:
        assert strengths.collect(Summary(store)).methods == []
