"""The claims on judges and people: planted judges and studies with known rates."""

from pathlib import Path

import pytest
from kit import claims_run
from kit.claims_run import Rate, judge, rate

from htbench.report.sections.judges import JudgeResult

TWICE = rate(2, 1.6, 2.5)
"""About twice as often, by the whole interval."""
EQUAL = rate(1, 0.8, 1.25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return claims_run.build(tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize(
    ("planted", "verdict"),
    [
        (rate(1.9, 1.85, 1.95), "supported"),
        (rate(6.4, 1.01, 40), "inconclusive"),
        (rate(2, 1.2, 3.4), "inconclusive"),
        (rate(1.6, 1.4, 1.8), "inconclusive"),
        (EQUAL, "contradicted"),
        (rate(4, 3, 5), "contradicted"),
    ],
)
def test_about_twice_is_decided_by_the_whole_interval(
    folder: Path, planted: Rate, verdict: str
) -> None:
    assert claims_run.decide(folder, judge(planted))["judges"].verdict == verdict


def test_the_reason_gives_the_ratio_its_interval_and_the_limits(folder: Path) -> None:
    reason = claims_run.decide(folder, judge(EQUAL))["judges"].reason
    expected = "By made-up m, hypertransport is preferred 1.00 times as often as prompt"
    assert reason == f"{expected} [0.80, 1.25], wholly below 1.5."


def test_a_flagged_judge_is_listed_and_decides_nothing(folder: Path) -> None:
    claim = claims_run.decide(folder, judge(TWICE, stable=2))["judges"]
    assert claim.verdict == "not tested"
    assert claim.findings[0].endswith("does not count, since its audit flags unstable")
    assert claim.command == "htbench judge run --judge openai --criterion overall --against prompt"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (judge(TWICE, criterion="prompt"), "only the criterion overall does"),
        (judge(TWICE, kind="clip"), "it is no vision-language model"),
        (judge(TWICE, known_right=None), "it was not calibrated"),
        (judge(TWICE, strength=0.5), "it compared pictures at strength 0.5"),
        (judge((1, 1, 1)), "it has no interval"),
        (judge((0.7, float("nan"), float("nan"))), "it has no interval"),
    ],
)
def test_what_does_not_answer_the_claim_is_listed_with_its_reason(
    folder: Path, other: JudgeResult, why: str
) -> None:
    alone = claims_run.decide(folder, other)["judges"]
    assert alone.verdict == "not tested"
    assert alone.findings[0].endswith(f"does not count, since {why}")
    beside = claims_run.decide(folder, judge(EQUAL), other)["judges"]
    assert beside.verdict == "contradicted"


def test_a_judge_that_failed_its_calibration_is_named_with_its_accuracy(folder: Path) -> None:
    failed = claims_run.without_ratings(judge(TWICE, known_right=15))
    claim = claims_run.decide(folder, failed)["judges"]
    assert claim.verdict == "not tested"
    assert "failed its calibration, right in 15 of 30 known pairs" in claim.findings[0]


def test_judges_that_agree_decide_and_judges_that_differ_are_mixed(folder: Path) -> None:
    first, second = judge(TWICE, name="first"), judge(TWICE, name="second")
    assert claims_run.decide(folder, first, second)["judges"].verdict == "supported"
    differs = claims_run.decide(folder, first, judge(EQUAL, name="second"))["judges"]
    assert differs.verdict == "mixed"
    assert "By first m" in differs.reason
    assert "By second m" in differs.reason


def test_a_rate_of_one_leaves_the_ratio_without_an_upper_bound(folder: Path) -> None:
    few, many = (judge((1, low, 1)) for low in (0.5, 0.9))
    claim = claims_run.decide(folder, few)["judges"]
    assert claim.verdict == "inconclusive"
    assert "∞ times as often as prompt [1.00, ∞], only partly within 1.5 to 2.7" in claim.reason
    assert claims_run.decide(folder, many)["judges"].verdict == "contradicted"


@pytest.mark.parametrize(
    ("planted", "verdict"),
    [(TWICE, "supported"), (EQUAL, "contradicted"), (rate(1.6, 1.2, 2), "inconclusive")],
)
def test_people_count_as_they_voted(tmp_path: Path, planted: Rate, verdict: str) -> None:
    run = claims_run.build(tmp_path / "run")
    claims_run.add_study(run, planted)
    assert claims_run.decide(run)["people"].verdict == verdict


def test_studies_that_differ_are_mixed(tmp_path: Path) -> None:
    run = claims_run.build(tmp_path / "run")
    claims_run.add_study(run, TWICE, name="first")
    claims_run.add_study(run, EQUAL, name="second")
    assert claims_run.decide(run)["people"].verdict == "mixed"


def test_a_study_with_changed_rules_or_at_another_strength_decides_nothing(tmp_path: Path) -> None:
    run = claims_run.build(tmp_path / "run")
    claims_run.add_study(run, TWICE, name="changed", rules_changed=True)
    claims_run.add_study(run, TWICE, name="weaker", strength=0.5)
    assert claims_run.decide(run)["people"].verdict == "not tested"


def test_a_pair_stored_the_other_way_round_says_the_same(tmp_path: Path) -> None:
    run = claims_run.build(tmp_path / "run")
    claims_run.add_study(run, (0.34, 0.3, 0.4), pair=("prompt", "hypertransport"))
    assert claims_run.decide(run)["people"].findings == [
        "made-up, overall: preferred in 66.0 % [60.0 %, 70.0 %], "
        "1.94 times as often [1.50, 2.33], 120 votes: inconclusive"
    ]
