"""The paper's claims beside what a run found: planted scores, times, verdicts and votes."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from kit import report_run
from kit.posted_study import study
from scipy.stats import ttest_1samp

from htbench.judging.audit import audit_judge
from htbench.judging.leaderboard import CriterionLeaderboard, TournamentResult
from htbench.report.roles import find_roles
from htbench.report.sections import claims, novelty, people
from htbench.report.sections import judges as judges_section
from htbench.report.sections import strengths as strengths_section
from htbench.report.sections.claims import Claim
from htbench.report.sections.judges import JudgedCriterion, JudgeResult, JudgesSection
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.stats.durations import Interval
from htbench.stats.ranking.votes import Votes

METHODS = ("none", "prompt", "linear-act", "lineas", "hypertransport", "hypertransport-image")


def found(folder: Path, judges: JudgesSection | None = None) -> dict[str, Claim]:
    """Every claim, by its name in the rules."""
    with Store.read(folder) as store:
        summary = Summary(store)
        who = find_roles(summary, claims.load_claims()["paper"])
        asked = people.collect(summary)
        all_ = claims.collect(
            summary,
            who,
            judged=judges or judges_section.collect(summary),
            people=asked,
            strength=strengths_section.collect(summary),
            novelty=novelty.collect(summary, who),
        )
    return dict(zip(claims._RULES, all_.claims, strict=True))


def run(
    folder: Path,
    gains: Mapping[str, float],
    *,
    strengths: tuple[float, ...] = (0.0, 1.0),
    noise: float = 0.01,
    bend: float = 1.0,
) -> Path:
    """A run of 12 concepts with these gains at strength 1.

    Gain rises as the strength to the power `bend`.
    """
    report_run.build(
        folder,
        methods=METHODS,
        concepts=12,
        prompts=report_run.PROMPTS[:1],
        strengths=strengths,
        size=8,
    )
    dice = np.random.default_rng(0)
    with Store.open(folder) as store:
        gained = [
            (
                row.id,
                gains.get(row.method, 0.2) * row.strength**bend
                + noise * dice.normal() * row.strength,
            )
            for row in store.rows()
        ]
        store.add_scores((id_, "concept_gain", "emoji-clip-b@1", gain) for id_, gain in gained)
    return folder


def test_a_method_within_the_margin_matches_and_one_below_does_not(tmp_path: Path) -> None:
    equal = found(
        run(tmp_path / "equal", {"hypertransport": 0.3, "lineas": 0.3, "linear-act": 0.1})
    )["match"]
    lower = found(
        run(tmp_path / "lower", {"hypertransport": 0.2, "lineas": 0.3, "linear-act": 0.1})
    )["match"]
    assert (equal.status, lower.status) == ("supported", "not supported")
    assert "the best per-concept method here" in lower.reason
    assert "of lineas" in lower.reason


def test_few_and_scattered_concepts_leave_a_match_open(tmp_path: Path) -> None:
    claim = found(
        run(tmp_path / "run", {"hypertransport": 0.3, "lineas": 0.3, "linear-act": 0.1}, noise=0.1)
    )["match"]
    assert claim.status == "not supported"
    assert "can neither show nor exclude it" in claim.reason


def test_a_match_is_tested_as_scipy_tests_it(tmp_path: Path) -> None:
    folder = run(
        tmp_path / "run", {"hypertransport": 0.29, "lineas": 0.3, "linear-act": 0.1}, noise=0.03
    )
    with Store.read(folder) as store:
        own, other = (
            np.array(list(Summary(store).means(method, 1.0).values()))
            for method in ("hypertransport", "lineas")
        )
    margin = 0.1 * other.mean()
    p = max(
        ttest_1samp(own - other, -margin, alternative="greater").pvalue,
        ttest_1samp(own - other, margin, alternative="less").pvalue,
    )
    line = next(text for text in found(folder)["match"].findings if "against lineas" in text)
    assert f"p = {p:.3f}" in line


def test_a_match_is_also_told_at_the_strengths_that_dev_concepts_chose(tmp_path: Path) -> None:
    folder = run(
        tmp_path / "run",
        {"hypertransport": 0.2, "lineas": 0.4, "linear-act": 0.1},
        strengths=(0.0, 0.5, 1.0),
    )
    with Store.open(folder) as store:
        store.set_facts(tuned={"hypertransport": {"strength": 1.0}, "lineas": {"strength": 0.5}})
    claim = found(folder)["match"]
    assert claim.status == "not supported"
    told = next(
        text
        for text in claim.findings
        if text.startswith("at the strengths chosen on dev concepts")
    )
    assert "hypertransport (1) against lineas (0.5): " in told
    assert abs(float(told.split(": ")[1].split(" ")[0].replace("−", "-"))) < 0.02


def test_a_speed_up_is_told_with_both_times_and_by_what_it_was_measured(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {})
    with Store.open(folder) as store:
        for concept in report_run._concepts(12, ""):
            store.add_timing("towards", "lineas", concept.id, 50.0, "cpu")
            store.add_timing("towards", "hypertransport", concept.id, 0.01, "cpu")
    claim = found(folder)["speed"]
    assert claim.status == "supported"
    assert any(
        text.startswith("5,000×") and "over lineas: 50.0 s / 10.0 ms" in text
        for text in claim.findings
    )
    assert claim.command == "htbench time --model emoji --name run"


def test_a_speed_up_below_the_papers_is_not_supported(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {})
    with Store.open(folder) as store:
        for concept in report_run._concepts(12, ""):
            store.add_timing("towards", "hypertransport", concept.id, 0.1, "cpu")
    assert found(folder)["speed"].status == "not supported"


def test_two_strengths_are_no_curve_and_the_command_adds_some(tmp_path: Path) -> None:
    claim = found(run(tmp_path / "run", {}))["strength"]
    assert claim.status == "not tested here"
    assert claim.command == f"{report_run.COMMAND} --strength 0,0.25,0.5,0.75,1"


def test_a_gain_that_rises_with_every_step_supports_control_and_one_that_does_not_move_does_not(
    tmp_path: Path,
) -> None:
    strengths = (0.0, 0.25, 0.5, 0.75, 1.0)
    rising = found(
        run(tmp_path / "rising", {"hypertransport": 0.3}, strengths=strengths, noise=0.001)
    )["strength"]
    noisy = found(run(tmp_path / "noisy", {"hypertransport": 0.0}, strengths=strengths))["strength"]
    assert (rising.status, noisy.status) == ("supported", "not supported")


def test_pictures_steer_if_their_gain_is_above_nothing(tmp_path: Path) -> None:
    works = found(run(tmp_path / "works", {"hypertransport": 0.3, "hypertransport-image": 0.3}))[
        "pictures"
    ]
    not_ = found(run(tmp_path / "not", {"hypertransport-image": 0.0}))["pictures"]
    assert (works.status, not_.status) == ("supported", "not supported")
    assert any(text.startswith("equivalent within a tenth") for text in works.findings)


def test_a_scorer_that_the_method_reads_with_tests_nothing(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {"hypertransport": 0.3, "lineas": 0.3})
    with Store.open(folder) as store:
        methods = store.facts()["methods"]
        for method in ("hypertransport", "hypertransport-image"):
            methods[method]["training"]["encoders"] = ["emoji-clip-b"]
        store.set_facts(methods=methods)
    verdicts = {name: claim.status for name, claim in found(folder).items()}
    assert [verdicts[name] for name in ("match", "strength", "pictures")] == ["not tested here"] * 3


def test_a_run_without_the_papers_method_tests_nothing(tmp_path: Path) -> None:
    folder = report_run.build(
        tmp_path / "run",
        methods=("none", "prompt", "lineas"),
        concepts=2,
        prompts=report_run.PROMPTS[:1],
        size=8,
    )
    assert {claim.status for claim in found(folder).values()} == {"not tested here"}


class _Says(CriterionLeaderboard):
    def preference_rate(self, one: str, two: str) -> Interval | None:
        return Interval(value=2 / 3, low=0.6, high=0.7)


def judges(kind: str) -> JudgesSection:
    """A judge that prefers everything to prompting twice as often."""
    criterion = _Says(
        name="overall",
        ranking=None,
        unranked="",
        circular={},
        match_outcomes={},
        preferences={},
        audit=audit_judge([], {}),
        votes=Votes.collect(first=["a"], second=["b"], outcome=[1], concept=["c"]),
    )
    about = {
        "judge": "made-up",
        "model": "m",
        "kind": kind,
        "design": {"methods": [], "strength": 1.0},
    }
    board = TournamentResult(
        tournament="t", metadata=about, criteria=(criterion,), calls=1, pending=0, outcomes={}
    )
    block = JudgedCriterion(
        id="b", criterion=criterion, preference_rates={}, robustness=None, variants=[]
    )
    return JudgesSection(
        results=[JudgeResult(leaderboard=board, criteria=[block], agreements={})], problem=""
    )


def test_only_a_vision_language_judge_tests_what_the_paper_says_of_them(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {})
    by_language, by_clip = (found(folder, judges(kind))["judges"] for kind in ("openai", "clip"))
    assert (by_language.status, by_clip.status) == ("supported", "not tested here")
    assert by_language.findings == [
        "made-up m, overall: preferred in 66.7 % [60.0 %, 70.0 %], 2.00 times as often"
    ]
    assert (
        by_clip.command == "htbench judge run --judge openai --criterion overall --against prompt"
    )


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [
        ((0.66, 0.6, 0.7), "supported"),
        ((0.55, 0.51, 0.6), "not supported"),
        ((0.3, 0.2, 0.4), "not supported"),
    ],
)
def test_people_count_as_they_voted(
    tmp_path: Path, rate: tuple[float, float, float], verdict: str
) -> None:
    folder = run(tmp_path / "run", {})
    (folder / "studies").mkdir()
    text = json.dumps(study("hypertransport", "prompt", rate))
    (folder / "studies" / "first.json").write_text(text)
    assert found(folder)["people"].status == verdict


def test_a_pair_told_the_other_way_round_says_the_same(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {})
    (folder / "studies").mkdir()
    (folder / "studies" / "first.json").write_text(
        json.dumps(study("prompt", "hypertransport", (0.34, 0.3, 0.4)))
    )
    assert found(folder)["people"].findings == [
        "made-up, overall: preferred in 66.0 % [60.0 %, 70.0 %], 1.94 times as often, 120 votes"
    ]
