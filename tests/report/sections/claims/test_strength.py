"""The claim on strength: planted curves of gain."""

from pathlib import Path

import pytest
from kit import claims_run, report_run
from kit.claims_run import FIVE

from htbench.run.store import Failure, Store


def plant(folder: Path, curves: list[list[float]]) -> Path:
    """A run of a concept per curve, in which hypertransport has these gains."""
    run = claims_run.build(folder, strengths=FIVE, concepts=len(curves))
    with Store.open(run) as store:
        concepts = list(dict.fromkeys(row.concept for row in store.rows()))
        store.add_scores(
            (
                row.id,
                "concept_gain",
                "emoji-clip-b@1",
                curves[concepts.index(row.concept)][FIVE.index(row.strength)],
            )
            for row in store.rows()
            if row.method == "hypertransport"
        )
    return run


RISING = [0.0, 0.1, 0.2, 0.3, 0.4]
FLAT = [0.0] * 5
SWITCHING = [0.0, 0.3, 0.1, 0.3, 0.1]


@pytest.mark.parametrize(
    ("curves", "verdict"),
    [
        ([RISING] * 8, "supported"),
        ([SWITCHING] * 8, "contradicted"),
        ([RISING] * 7 + [SWITCHING], "inconclusive"),
        ([FLAT] * 8, "contradicted"),
    ],
)
def test_strength_is_decided_by_the_whole_intervals(
    tmp_path: Path, curves: list[list[float]], verdict: str
) -> None:
    assert claims_run.decide(plant(tmp_path / "run", curves))["strength"].verdict == verdict


def test_a_mean_above_the_limit_whose_interval_holds_it_is_inconclusive(tmp_path: Path) -> None:
    curves = [RISING] * 11 + [[0.0, 0.3, 0.1, 0.4, 0.2]]
    claim = claims_run.decide(plant(tmp_path / "run", curves))["strength"]
    assert claim.verdict == "inconclusive"
    assert "is .96 [.67, 1.00], on both sides of 0.9" in claim.reason


def test_a_flat_curve_counts_as_one_that_falls_as_much_as_it_rises(tmp_path: Path) -> None:
    claim = claims_run.decide(plant(tmp_path / "run", [RISING] * 6 + [FLAT] * 2))["strength"]
    assert claim.verdict == "inconclusive"
    assert "the rank correlation of gain with strength is .75 [" in claim.reason
    assert "the share of all movement that goes back is .12 [" in claim.reason
    assert claim.findings[0].startswith("8 curves, one per picture: 2 flat,")


def test_a_failed_picture_makes_its_curve_the_worst(tmp_path: Path) -> None:
    run = plant(tmp_path / "run", [RISING] * 8)
    with Store.open(run) as store:
        row = next(row for row in store.rows() if row.method == "hypertransport" and row.strength)
        store.image_path(str(row.file)).unlink()
        store.drop_missing_images()
        store.add_failure([row.image], Failure(kind="nan", message="not a number"))
    claim = claims_run.decide(run)["strength"]
    assert "the rank correlation of gain with strength is .75 [" in claim.reason
    assert "1 with a failed picture, 0 incomplete and left out" in claim.findings[0]


@pytest.mark.parametrize("strengths", [(0.0, 1.0), (0.0, 0.25, 0.5, 1.0, 1.5)])
def test_fewer_than_five_strengths_from_0_to_1_test_nothing_and_the_command_adds_them(
    tmp_path: Path, strengths: tuple[float, ...]
) -> None:
    claim = claims_run.decide(claims_run.build(tmp_path / "run", strengths=strengths))["strength"]
    assert claim.verdict == "not tested"
    every = ",".join(f"{strength:g}" for strength in sorted({*FIVE, *strengths}))
    assert claim.command == f"{report_run.COMMAND} --strength {every}"


def test_one_concept_gives_no_interval_and_no_verdict(tmp_path: Path) -> None:
    claim = claims_run.decide(plant(tmp_path / "run", [RISING]))["strength"]
    assert claim.verdict == "not tested"


def _noticed(low: float | None, high: float | None) -> dict[str, object]:
    """The result of a study of strengths in which people notice a difference in this interval."""
    return {
        "criteria": [],
        "noticed": [
            {
                "method": "hypertransport",
                "noticeable": {"value": low, "low": low, "high": high},
                "right_order": {"value": 0.9, "low": 0.8, "high": 0.95, "count": 90, "of": 100},
            }
        ],
    }


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((0.1, 0.3), "supported"),
        ((0.3, 0.6), "inconclusive"),
        ((0.3, None), "inconclusive"),
        ((0.6, None), "contradicted"),
        ((None, None), "supported"),
    ],
)
def test_strength_also_rests_on_the_difference_that_people_notice(
    tmp_path: Path, interval: tuple[float | None, float | None], verdict: str
) -> None:
    run = plant(tmp_path / "run", [RISING] * 8)
    claims_run.add_study(run, (0.5, 0.4, 0.6), **_noticed(*interval))
    assert claims_run.decide(run)["strength"].verdict == verdict


def test_what_people_notice_is_told_with_its_interval(tmp_path: Path) -> None:
    run = plant(tmp_path / "run", [RISING] * 8)
    claims_run.add_study(run, (0.5, 0.4, 0.6), name="lab", **_noticed(0.6, None))
    reason = claims_run.decide(run)["strength"].reason
    assert "In study lab, people notice a difference of strength of .60 [.60, no limit]" in reason
    assert "90 % of 100 answers have the right order" in reason


def test_a_study_whose_rules_were_changed_decides_nothing(tmp_path: Path) -> None:
    run = plant(tmp_path / "run", [RISING] * 8)
    claims_run.add_study(run, (0.5, 0.4, 0.6), rules_changed=True, **_noticed(0.6, 0.9))
    assert claims_run.decide(run)["strength"].verdict == "supported"
