"""Export of a run as a study: a blinded page, and a key to it."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from kit import judged_run
from PIL import Image

from htbench.core.errors import UnknownName, UsageError
from htbench.study.answer import Key
from htbench.study.answer import read as read_answers
from htbench.study.ask import export
from htbench.study.ask.assignment import assign
from htbench.study.ask.options import StudyOptions
from htbench.study.ask.page import Page, read, render
from htbench.study.collect import intake, profile

WISH = StudyOptions(pairs=24, raters=6, votes=3, checks=2, repeats=2, size=32)
ASKED = {"raters": 20, "votes": 5, "checks": 2, "catch_trials": 2, "repeats": 4, "seed": 1}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = judged_run.build(tmp_path_factory.mktemp("run") / "run")
    folder = tmp_path_factory.mktemp("study") / "study"
    export.write(run, folder, WISH)
    return folder


def page(study: Path) -> str:
    return (study / "page" / "index.html").read_text()


def sheets(study: Path) -> list[list[dict[str, str]]]:
    return [list(sheet) for sheet in read(study).sheets]


def test_every_pair_gets_its_votes_of_as_many_people() -> None:
    votes = [
        {task.pair_index for task in sheet if task.kind == "vote"} for sheet in assign(200, **ASKED)
    ]
    assert Counter(pair for own in votes for pair in own) == dict.fromkeys(range(200), 5)
    assert {len(own) for own in votes} == {50}


def test_each_side_of_a_pair_is_shown_as_often_as_the_other() -> None:
    flips = Counter(
        (task.pair_index, task.turn == 1)
        for sheet in assign(200, **ASKED)
        for task in sheet
        if task.kind == "vote"
    )
    assert {abs(flips[pair, True] - flips[pair, False]) for pair in range(200)} == {1}
    assert abs(sum(number for (_, swapped), number in flips.items() if swapped) - 500) <= 5


def test_repeats_come_later_with_sides_swapped() -> None:
    for sheet in assign(200, **ASKED):
        for place, task in enumerate(sheet):
            if task.kind == "repeat":
                (first,) = [
                    k
                    for k, other in enumerate(sheet)
                    if other.pair_index == task.pair_index and other.kind == "vote"
                ]
                assert first < place
                assert sheet[first].turn != task.turn


def test_each_person_has_the_controls() -> None:
    for sheet in assign(200, **ASKED):
        assert Counter(task.kind for task in sheet) == {
            "vote": 50,
            "check": 2,
            "sentinel": 2,
            "repeat": 4,
        }


def test_more_votes_than_people_are_refused() -> None:
    with pytest.raises(UsageError, match="5 votes a pair need as many people"):
        assign(10, raters=3, votes=5, checks=0, catch_trials=0, repeats=0, seed=0)


def test_more_people_than_votes_are_refused() -> None:
    with pytest.raises(UsageError, match="3 pairs with 5 votes each leave some of 16 people"):
        assign(3, raters=16, votes=5, checks=0, catch_trials=0, repeats=0, seed=0)


def test_the_page_names_no_method_and_no_file_of_the_run(study: Path) -> None:
    names = {item.left for item in Key.read(study / "key.csv").values() if item.kind == "vote"}
    assert names == set(judged_run.SKILL)
    assert not [name for name in names if re.search(rf'"{name}"', page(study))]
    run_files = {path.name for path in (study.parents[1]).glob("run*/run/images/*")}
    assert not run_files & {path.name for path in (study / "page" / "pictures").iterdir()}


def test_the_page_loads_nothing_from_elsewhere(study: Path) -> None:
    assert not re.findall(
        r"https?:|//[a-z]|@import|url\(", page(study).replace("application/json", "")
    )
    assert "default-src 'none'" in page(study)


def test_the_page_has_all_pictures_and_the_key_all_items(study: Path) -> None:
    trials = [trial for sheet in sheets(study) for trial in sheet]
    pictures = {path.name for path in (study / "page" / "pictures").iterdir()}
    assert {trial[side] for trial in trials for side in ("left", "right")} == pictures
    assert {trial["item"] for trial in trials} == set(Key.read(study / "key.csv"))


def test_of_a_sentinel_the_picture_is_right_and_the_other_is_noise(study: Path) -> None:
    shown = {trial["item"]: trial for sheet in sheets(study) for trial in sheet}
    sentinels = [item for item in Key.read(study / "key.csv").values() if item.kind == "sentinel"]
    assert sentinels
    for item in sentinels:
        spread = {
            side: _spread(study / "page" / "pictures" / shown[item.item][side])
            for side in ("left", "right")
        }
        wrong = "left" if item.expected == "right" else "right"
        assert getattr(item, wrong) == "noise"
        assert spread[wrong] > 50 > spread[item.expected]  # of one colour, but for a corner of some


def _spread(path: Path) -> float:
    return float(np.asarray(Image.open(path), float).std((0, 1)).mean())


def test_words_of_concepts_cannot_end_the_script() -> None:
    trial = {
        "item": "i1",
        "concept": "</script><script>alert(1)",
        "prompt": "",
        "check": "",
        "left": "a.png",
        "right": "b.png",
    }
    page = Page(sheets=[[trial]], question="Which?", consent="</p><script>alert")
    assert "<script>alert" not in render(page).html


def test_answers_of_the_page_come_back_as_votes_on_methods(study: Path, tmp_path: Path) -> None:
    lines = ["study,sheet,rater,position,item,choice,rt_ms,time"]
    for number, sheet in enumerate(sheets(study), start=1):
        lines += [
            f"x,{number},person-{number},{k},{trial['item']},left,2000,2026-11-02T10:00:00Z"
            for k, trial in enumerate(sheet, start=1)
        ]
    (tmp_path / "votes.csv").write_text("\r\n".join(lines) + "\r\n")
    how = profile.find("htbench")
    intake.import_answers(
        [tmp_path / "votes.csv"],
        tmp_path / "in",
        profile=how,
        key=study / "key.csv",
        secret=tmp_path / "secret",
        rules=None,
    )
    answers = list(read_answers(tmp_path / "in" / "answers.csv"))
    assert Counter(answer.kind for answer in answers) == {
        "vote": 72,
        "repeat": 12,
        "check": 12,
        "sentinel": 12,
    }
    assert len({answer.pair for answer in answers if answer.kind == "vote"}) == 24


def test_a_study_is_not_written_over(study: Path) -> None:
    with pytest.raises(UsageError, match="key would be lost"):
        export.write(study, study, WISH)


def test_a_misspelt_criterion_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="'presence'"):
        export.write(tmp_path, tmp_path / "study", StudyOptions(criterion="presense"))


@pytest.mark.parametrize(
    "address", ["ftp://example.org", "https://", "https://example.org'; script-src *"]
)
def test_what_is_no_address_is_not_posted_to(address: str) -> None:
    with pytest.raises(UsageError, match="no web address"):
        render(Page(sheets=[[]], question="Which?", consent="", post=address))
