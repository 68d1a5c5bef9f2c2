"""Several judges pooled: who is a member, how much each counts, and where they differ."""

import math
from dataclasses import replace

import pytest
from kit import judged_run
from kit.claims_run import calibration
from kit.judge_servers import Ask, Endpoint, Mind, fair, serving

from htbench.judging.agreement import HumanVote
from htbench.judging.leaderboard import TournamentResult
from htbench.judging.panel import panels


def contrary(ask: Ask) -> str:
    return {"A": "B", "B": "A"}.get(fair(ask), "tie")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TournamentResult]:
    """One run as a fair and as a contrary judge see it, both calibrated."""
    folder = tmp_path_factory.mktemp("panel")
    judged_run.build(folder / "run", methods=("none", "poor", "good"), concepts=8)
    found = {}
    minds: dict[str, Mind] = {"fair": fair, "contrary": contrary}
    for name, mind in minds.items():
        with serving(Endpoint(mind=mind)) as endpoint:
            card = judged_run.card(folder / "judge", endpoint.url).with_model(name)
            found[name] = with_calibration(judged_run.judged(folder / "run", card), 30)
    return found


def with_calibration(result: TournamentResult, right: int | None) -> TournamentResult:
    known = calibration(right, criterion="presence")
    boards = [replace(board, calibration=known) for board in result.criteria]
    return replace(result, criteria=tuple(boards))


def with_mistakes(result: TournamentResult, number: int) -> TournamentResult:
    """The judge with the opposite preference on this many pairs."""
    (board,) = result.criteria
    turned = {
        pairing: 1 - value if k < number else value
        for k, (pairing, value) in enumerate(board.preferences.items())
    }
    return replace(result, criteria=(replace(board, preferences=turned),))


def people(result: TournamentResult) -> list[HumanVote]:
    """Votes of one person on all pairs, as the judge has them."""
    return [
        HumanVote(criterion="presence", pairing=pairing, value=value, rater="ann")
        for pairing, value in result.criteria[0].preferences.items()
    ]


def test_judges_that_say_the_opposite_cancel_and_differ_on_all_pairs(
    results: dict[str, TournamentResult],
) -> None:
    (panel,) = panels(results, rounds=100)
    assert [(each.judge, each.weight) for each in panel.members] == [
        ("fair", 0.5),
        ("contrary", 0.5),
    ]
    assert (panel.disagreement.count, panel.disagreement.of) == (24, 24)
    assert panel.ranking
    assert max(map(abs, panel.ranking.rating.ratings)) < 1e-6


def test_judges_that_agree_with_people_weigh_more(results: dict[str, TournamentResult]) -> None:
    (panel,) = panels(results, people(results["fair"]), rounds=100)
    assert {each.judge: each.weight for each in panel.members} == {"fair": 1.0, "contrary": 0.0}
    assert panel.ranking
    assert panel.ranking.entries[0].name == "good"


def test_a_weight_is_the_log_odds_of_agreeing_with_people(
    results: dict[str, TournamentResult],
) -> None:
    both = {"fair": results["fair"], "other": with_mistakes(results["fair"], 6)}
    (panel,) = panels(both, people(results["fair"]), rounds=100)
    odds = [math.log(24.5 / 0.5), math.log(18.5 / 6.5)]
    assert [each.weight for each in panel.members] == pytest.approx(
        [each / sum(odds) for each in odds]
    )
    assert (panel.disagreement.count, panel.disagreement.of) == (6, 24)


@pytest.mark.parametrize(
    ("right", "reason"), [(None, "not calibrated"), (12, "calibration failed")]
)
def test_a_judge_that_is_not_shown_to_see_is_left_out_with_the_reason(
    right: int | None, reason: str, results: dict[str, TournamentResult]
) -> None:
    three = {
        **results,
        "again": results["fair"],
        "contrary": with_calibration(results["contrary"], right),
    }
    (panel,) = panels(three, rounds=100)
    assert panel.left_out == {"contrary": reason}
    assert panel.disagreement.count == 0


def test_one_judge_is_no_panel(results: dict[str, TournamentResult]) -> None:
    left = {"fair": results["fair"], "contrary": with_calibration(results["contrary"], 3)}
    assert panels(left, rounds=100) == []
