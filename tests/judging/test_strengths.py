"""Comparisons of two strengths of one method by a judge."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import judged_run
from kit.html_page import Page
from kit.in_process import Ended, issue
from kit.judge_servers import Ask, Endpoint, fair, nearness, serving

from htbench.core.types import label_of, method_and_strength
from htbench.judging.ledger import Ledger
from htbench.run.study_result import IntervalRecord, NoticedRecord, ShareRecord, StudyRecord

STRENGTHS = (0.25, 0.5, 1.0)
PAIRS = 6
"""Pairs of the strengths 0, .25, .5 and 1."""
LEAST = 28
"""Difference of levels, of 255, below which a judge of these tests says tie."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "run"
    return judged_run.build(folder, methods=("none", "good"), concepts=6, strengths=STRENGTHS)


@pytest.fixture
def endpoint(built: Path, tmp_path: Path) -> Iterator[Endpoint]:
    shutil.copytree(built, tmp_path / "run")
    with serving(Endpoint(mind=fair)) as up:
        judged_run.card(tmp_path / "judge", up.url)
        yield up


def judge(folder: Path, *words: str) -> Ended:
    where = ("--judge", str(folder / "judge"), "--runs-dir", str(folder), "--no-calibrate")
    return issue("judge", "run", *where, "--task", "strength", *words)


def method(ended: Ended) -> dict[str, Any]:
    lines = [json.loads(line) for line in ended.shown.splitlines() if line.startswith("{")]
    (criterion,) = [line for line in lines if line["event"] == "strength"]
    assert criterion["criterion"] == "presence"
    (found,) = criterion["methods"]
    return dict(found)


def test_each_pair_of_strengths_of_a_method_is_asked_about_in_both_orders(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    ended = judge(tmp_path, "--controls", "0", "--json")
    assert ended.code == 0, ended.shown
    assert endpoint.calls == 2 * PAIRS * 6
    found = method(ended)
    assert found["method"] == "good"
    assert [level["difference"] for level in found["levels"]] == [0.25, 0.5, 0.75, 1]
    assert [level["answers"] for level in found["levels"]] == [12, 12, 6, 6]
    assert found["right_order"]["count"] == found["right_order"]["of"] == 36
    assert found["reach"] == "below"


def test_a_second_command_asks_nothing(endpoint: Endpoint, tmp_path: Path) -> None:
    judge(tmp_path, "--controls", "0")
    asked = endpoint.calls
    assert judge(tmp_path, "--controls", "0", "--offline").code == 0
    judge(tmp_path, "--controls", "0")
    assert endpoint.calls == asked


def test_the_difference_below_which_it_says_tie_is_found(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    def coarse(ask: Ask) -> str:
        left, right = nearness(ask)
        return "tie" if abs(left - right) < LEAST else fair(ask)

    endpoint.mind = coarse
    found = method(judge(tmp_path, "--controls", "0", "--json"))
    shares = [level["right"] / level["answers"] for level in found["levels"]]
    assert shares[0] == pytest.approx(0.5)
    assert shares[2:] == [1, 1]
    assert 0.25 < found["noticeable"]["value"] < 0.75


def test_a_judge_that_picks_the_first_is_half_right_and_flagged(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.mind = lambda ask: "A"
    ended = judge(tmp_path, "--controls", "6")
    shown = " ".join(ended.shown.split())
    assert "FLAGGED" in shown
    assert "first slot" in shown
    assert "0.500" in shown


def test_comparisons_of_strengths_are_no_tournament(endpoint: Endpoint, tmp_path: Path) -> None:
    judge(tmp_path, "--controls", "0")
    with Ledger.read(tmp_path / "run") as ledger:
        assert ledger.tournaments() == {}
        (about,) = ledger.strengths().values()
    assert about["design"]["methods"][0] == label_of("good", 0)


def test_the_report_shows_what_people_notice_beside_it(endpoint: Endpoint, tmp_path: Path) -> None:
    def interval(value: float) -> IntervalRecord:
        return IntervalRecord(value=value, low=value / 2, high=value * 2)

    noticed = NoticedRecord(
        method="good",
        noticeable=interval(0.37),
        right_order=ShareRecord(value=0.8, low=0.7, high=0.9, count=80, of=100),
    )
    study = StudyRecord(
        version=1,
        study="ours",
        rules_changed=False,
        strength=None,
        flow=[],
        criteria=[],
        noticed=[noticed],
    )
    (tmp_path / "run" / "studies").mkdir()
    (tmp_path / "run" / "studies" / "ours.json").write_text(study.model_dump_json())
    judge(tmp_path, "--controls", "0")
    text = Page((tmp_path / "run" / "report.html").read_text()).text
    assert "Noticeable to people" in text
    assert ".37 [.18, .74]" in text.replace("0.", ".")
    files = sorted(path.suffix for path in (tmp_path / "run" / "judged").glob("strength-*"))
    assert files == [".csv", ".json"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pointwise",), "--pointwise is about methods"),
        (("--strength", "1"), "compares all strengths"),
        (("--criterion", "quality"), "does not ask for the concept"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    endpoint: Endpoint, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    ended = judge(tmp_path, *words)
    assert ended.code == 2
    assert said in " ".join(ended.shown.split())
    assert endpoint.calls == 0


def test_a_label_has_its_method_and_strength() -> None:
    assert method_and_strength(label_of("a@b", 0.5)) == ("a@b", 0.5)
