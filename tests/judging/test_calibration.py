"""Judges on pairs whose truth is known: who passes, who is not counted, and what it costs."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from kit import judged_run, known_answers
from kit.in_process import Ended, issue
from kit.judge_servers import (
    Endpoint,
    Mind,
    by_file_size,
    first_picker,
    form_copier,
    random_judge,
    serving,
    sightless,
    tie_lover,
)
from kit.known_answers import knowing, of_difficulty
from statsmodels.stats.proportion import proportion_confint

from htbench.judging.calibration import CriterionCalibration
from htbench.judging.card import load_judge_card
from htbench.judging.known_pairs import load_known_pairs
from htbench.judging.leaderboard import read_result
from htbench.judging.ledger import Ledger
from htbench.judging.pictures import encode, standardise
from htbench.stats.proportions import Proportion


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """An endpoint, with a run `run` and a judge at it in the folder of the test."""
    judged_run.build(tmp_path / "run", methods=("none", "poor", "good"), concepts=4)
    with serving(Endpoint()) as up:
        card = judged_run.card(tmp_path / "judge", up.url)
        up.mind = knowing(card)
        yield up


def judge(folder: Path, *words: str) -> Ended:
    where = ("--judge", str(folder / "judge"), "--runs-dir", str(folder), "--controls", "0")
    return issue("judge", "run", *where, "--criterion", "presence", *words)


def events(ended: Ended, kind: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in ended.shown.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == kind]


def calibrated(mind: Mind, folder: Path, endpoint: Endpoint) -> CriterionCalibration:
    """The calibration of a scripted judge by presence, through the API."""
    endpoint.mind = mind
    return judged_run.calibrate(folder / "run", load_judge_card(str(folder / "judge")))


def test_a_judge_that_sees_passes_and_its_tournament_follows(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    ended = judge(tmp_path)
    assert ended.code == 0, ended.shown
    shown = " ".join(ended.shown.split())
    assert "calibration of judge openai: 60 calls about pictures whose truth is known" in shown
    assert "right in 30 of 30 known pairs, 1.00 [0.89, 1.00]" in shown
    assert shown.index("Its verdicts count.") < shown.index("good ranks first")
    assert endpoint.calls == 60 + 24


@pytest.mark.parametrize(
    "mind", [first_picker, tie_lover, random_judge, by_file_size, form_copier, sightless]
)
def test_a_judge_that_does_not_see_is_not_counted(
    mind: Mind, endpoint: Endpoint, tmp_path: Path
) -> None:
    found = calibrated(mind, tmp_path, endpoint)
    assert (found.status, found.pending) == ("failed", 0)


def test_a_judge_that_fails_is_asked_nothing_about_the_run(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.mind = by_file_size
    ended = judge(tmp_path)
    assert ended.code == 5
    assert "--no-calibrate" in ended.shown
    assert endpoint.calls == 60


def test_verdicts_of_a_judge_that_failed_are_shown_and_give_no_rating(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.mind = by_file_size
    judge(tmp_path)
    ended = judge(tmp_path, "--no-calibrate", "--json")
    assert ended.code == 0, ended.shown
    (board,) = events(ended, "judged")
    assert board["ranking"] is None
    assert "failed its calibration" in str(board["unranked"])
    assert set(board["uncounted"]) == {"none", "poor", "good"}  # type: ignore[call-overload]


def test_difficulties_are_told_apart(endpoint: Endpoint, tmp_path: Path) -> None:
    card = load_judge_card(str(tmp_path / "judge"))
    found = calibrated(knowing(card, wrong=of_difficulty("40 %")), tmp_path, endpoint)
    assert [(share.count, share.of) for share in found.by_difficulty.values()] == [
        (10, 10),
        (10, 10),
        (0, 10),
    ]
    assert found.status == "failed"


def test_a_calibration_alone_asks_nothing_else_and_ends_with_5_if_failed(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    ended = judge(tmp_path, "--calibrate", "--json")
    assert (ended.code, endpoint.calls) == (0, 60)
    (found,) = events(ended, "calibrated")
    assert (found["criterion"], found["status"]) == ("presence", "passed")
    endpoint.mind = first_picker
    assert judge(tmp_path, "--calibrate", "--model", "another").code == 5


def test_a_limit_counts_its_calls_and_the_next_command_goes_on(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    ended = judge(tmp_path, "--calibrate", "--max-requests", "20")
    assert (ended.code, endpoint.calls) == (3, 20)
    assert "20 not answered" in " ".join(ended.shown.split())
    assert "decide no claim before all are answered" in " ".join(ended.shown.split())
    assert judge(tmp_path, "--calibrate").code == 0
    assert (endpoint.calls, max(endpoint.replies.values())) == (60, 1)


def test_a_forecast_counts_its_calls(endpoint: Endpoint, tmp_path: Path) -> None:
    (both,) = events(judge(tmp_path, "--dry-run", "--json"), "forecast")
    (alone,) = events(judge(tmp_path, "--dry-run", "--json", "--no-calibrate"), "forecast")
    assert (both["calls"], alone["calls"]) == (84, 24)


def test_batches_hold_its_calls_too(endpoint: Endpoint, tmp_path: Path) -> None:
    judge(tmp_path, "--batch", "submit")
    ended = judge(tmp_path, "--batch", "collect")
    assert ended.code == 0, ended.shown
    assert "right in 30 of 30 known pairs" in ended.shown


def test_replies_of_a_judge_that_was_never_calibrated_can_be_read_again(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    judge(tmp_path, "--no-calibrate")
    assert judge(tmp_path, "--reparse").code == 0
    assert judge(tmp_path, "--reparse", "--calibrate").code == 2
    assert endpoint.calls == 24


def test_it_is_no_tournament_of_the_run_and_of_one_model_alone(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    judge(tmp_path)
    judge(tmp_path, "--model", "another", "--no-calibrate")
    with Ledger.read(tmp_path / "run") as ledger:
        results = [read_result(ledger, id_, rounds=2) for id_ in ledger.tournaments()]
    known = {result.metadata["model"]: result.criteria[0].calibration for result in results}
    assert known["scripted"]
    assert known["another"] is None


def test_what_cannot_be_judged_is_not_right(endpoint: Endpoint, tmp_path: Path) -> None:
    found = calibrated(lambda ask: "cannot_judge", tmp_path, endpoint)
    assert (found.accuracy.count, found.accuracy.of, found.pending) == (0, 30, 0)


@pytest.mark.parametrize("right", range(31))
def test_the_floor_is_that_of_the_whole_interval(right: int) -> None:
    low, _ = proportion_confint(right, 30, method="wilson")
    shares = {"easy": Proportion(count=right, of=30)}
    found = CriterionCalibration(criterion="overall", version="1", by_difficulty=shares, planned=30)
    assert (found.status == "passed") is (low > 0.5)


@pytest.mark.parametrize(
    ("right", "of", "status"),
    [(22, 22, "passed"), (10, 12, "incomplete"), (0, 10, "failed"), (0, 0, "incomplete")],
)
def test_answers_that_are_missing_decide_nothing(right: int, of: int, status: str) -> None:
    shares = {"easy": Proportion(count=right, of=of)}
    found = CriterionCalibration(criterion="overall", version="1", by_difficulty=shares, planned=30)
    assert found.status == status


def test_the_judge_of_this_machine_tells_right_from_wrong(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=2)
    card = load_judge_card("clip").with_model("emoji-clip-a")
    assert judged_run.calibrate(run, card).status == "passed"


def test_the_set_has_ten_independent_pairs_of_each_difficulty() -> None:
    pairs = load_known_pairs().pairs
    for criterion in ("presence", "preservation", "quality", "overall"):
        own = [pair for pair in pairs if pair.criterion == criterion]
        assert list(Counter(pair.difficulty for pair in own).values()) == [10, 10, 10]
        assert len({pair.concept for pair in own}) == len({pair.prompt for pair in own}) == 30


@pytest.mark.parametrize("criterion", ["presence", "preservation", "quality", "overall"])
def test_neither_file_size_nor_looks_tell_which_picture_is_right(criterion: str) -> None:
    settings = known_answers.default_card().pictures

    def surface(name: str) -> list[float]:
        picture = known_answers.picture(name)
        pixels = np.asarray(picture, float)
        sent = encode(standardise(picture, settings), settings, name=name)
        colour = (pixels.max(2) - pixels.min(2)).mean()
        return [len(sent.data), pixels.mean(), colour, pixels.std()]

    pairs = [pair for pair in load_known_pairs().pairs if pair.criterion == criterion]
    signs = np.array([np.sign(np.subtract(*map(surface, (p.right, p.wrong)))) for p in pairs])
    right = [int(max((column > 0).sum(), (column < 0).sum())) for column in signs.T]
    assert max(right) <= 20  # of 30: the interval reaches down to .49
