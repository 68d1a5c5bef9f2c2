"""Scores of single pictures: the probability of yes, with either letter for it."""

import csv
import json
import math
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import judged_run, known_answers
from kit.html_page import Page
from kit.in_process import Ended, issue
from kit.judge_servers import COLOURS, Ask, Endpoint, completion, serving

import htbench
from htbench import report
from htbench.judging import card as judge_cards
from htbench.report import requirements
from htbench.report.sections import other_scores

METHODS = ("none", "poor", "good")


def yes_letter(ask: Ask) -> str:
    (letter,) = re.findall(r'Say "(A|B)" for yes', ask.text)
    return str(letter)


def shows(ask: Ask) -> float:
    """The share of the concept's colour in the picture, 0 to 1; 0 for noise."""
    picture = whole(ask)
    name = re.search(r'"in (\w+)"', ask.text)
    assert name
    if picture.std((0, 1)).mean() > 60:
        return 0.0
    colour, grey = np.array(COLOURS[name[1]], float), np.full(3, 128.0)
    way = colour - grey
    share = float((picture.mean((0, 1)) - grey) @ way / (way @ way))
    return min(1.0, max(0.0, share))


def whole(ask: Ask) -> np.ndarray:
    """The one picture, which `Ask` takes for two side by side."""
    left, right = ask.pictures
    return np.concatenate([left, right], axis=1)


def viewer(ask: Ask) -> str:
    """Says yes to a picture with more than half of the colour."""
    yes = yes_letter(ask)
    return yes if shows(ask) > 0.5 else "BA"[yes == "B"]


def weighing(ask: Ask) -> dict[str, Any]:
    """A completion whose token probability of yes is the share of the colour."""
    yes, share = yes_letter(ask), min(0.98, max(0.02, shows(ask)))
    by_letter = {yes: share, "BA"[yes == "B"]: 1 - share}
    said = max(by_letter, key=lambda letter: by_letter[letter])
    tops = [{"token": each, "logprob": math.log(p)} for each, p in by_letter.items()]
    text = json.dumps({"verdict": said, "reason": "because"})
    start = text.index(said)
    tokens = [text[:start], said, text[start + 1 :]]
    content = [
        {"token": token, "logprob": 0.0, "top_logprobs": tops if token == said else []}
        for token in tokens
    ]
    return completion(said, logprobs={"content": content})


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    judged_run.build(tmp_path / "run", methods=METHODS, concepts=6)
    with serving(Endpoint(mind=viewer)) as up:
        judged_run.card(tmp_path / "judge", up.url)
        yield up


def judge(folder: Path, *words: str) -> Ended:
    where = ("--judge", str(folder / "judge"), "--runs-dir", str(folder), "--no-calibrate")
    return issue("judge", "run", *where, "--criterion", "presence", "--pointwise", *words)


def scores(ended: Ended) -> Mapping[str, float]:
    lines = [json.loads(line) for line in ended.shown.splitlines() if line.startswith("{")]
    (found,) = [line for line in lines if line["event"] == "pointwise"]
    return {row["method"]: row["score"]["mean"] for row in found["methods"]}


def test_each_picture_is_asked_about_alone_with_either_letter_for_yes(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    ended = judge(tmp_path, "--controls", "0", "--json")
    assert ended.code == 0, ended.shown
    assert endpoint.calls == 2 * 3 * 6
    assert {len(Ask(body, "").urls) for body in endpoint.bodies} == {1}
    letters = [yes_letter(Ask(body, "")) for body in endpoint.bodies]
    assert letters.count("A") == letters.count("B") == 18
    assert scores(ended) == pytest.approx({"good": 1.0, "poor": 0.0, "none": 0.0})


def test_a_score_is_the_probability_of_yes_where_the_endpoint_gives_it(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.ill = lambda number, ask: (200, {}, weighing(ask))
    ended = judge(tmp_path, "--controls", "0", "--json")
    found = scores(ended)
    assert found["none"] == pytest.approx(0.02, abs=1e-6)
    assert found["poor"] == pytest.approx(judged_run.SKILL["poor"], abs=0.1)
    assert found["good"] == pytest.approx(judged_run.SKILL["good"], abs=0.1)


def test_a_liking_for_a_letter_cancels_and_is_flagged(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.mind = lambda ask: "A"
    ended = judge(tmp_path, "--controls", "0")
    assert "first slot (answers A, whatever it stands for)" in " ".join(ended.shown.split())
    assert ended.shown.count("0.50 [0.50, 0.50]") == 3


def test_one_that_says_yes_to_everything_is_called_blind(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.mind = yes_letter
    ended = judge(tmp_path, "--controls", "18")
    assert "blind (does not tell pictures from noise)" in " ".join(ended.shown.split())


def test_a_judge_that_sees_raises_no_flag(endpoint: Endpoint, tmp_path: Path) -> None:
    assert "raises no flags" in judge(tmp_path, "--controls", "12").shown


def test_the_table_has_a_row_per_picture_and_a_second_command_asks_nothing(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    judge(tmp_path, "--controls", "0")
    calls = endpoint.calls
    assert judge(tmp_path, "--controls", "0").code == 0
    assert judge(tmp_path, "--controls", "0", "--offline").code == 0
    assert endpoint.calls == calls
    (path,) = (tmp_path / "run" / "judged").glob("pointwise-*.csv")
    rows = list(csv.DictReader(path.open()))
    assert len(rows) == 18
    assert {row["yes"] for row in rows if row["method"] == "good"} == {"1.0"}
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "openai scripted, pointwise" in page


def test_fewer_pictures_and_a_limit_are_kept(endpoint: Endpoint, tmp_path: Path) -> None:
    ended = judge(tmp_path, "--controls", "0", "--pairs", "5", "--max-requests", "4")
    assert (ended.code, endpoint.calls) == (3, 4)
    assert "6 of 10 calls have no verdict" in ended.shown


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--swiss", "2"], "--swiss"),
        (["--one-order"], "--one-order"),
        (["--judge", "clip", "--model", "emoji-clip-a"], "pairs alone"),
        (["--offline"], "was not asked this"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    words: list[str], hint: str, endpoint: Endpoint, tmp_path: Path
) -> None:
    judge(tmp_path, "--controls", "0", "--dry-run", "--max-requests", "0")
    ended = judge(tmp_path, "--seed", "3", *words)
    assert ended.code in (2, 4)
    assert hint in ended.shown
    assert endpoint.calls == 0


NAME = "yes-presence-openai-scripted"


def test_scores_are_a_column_of_the_cells_and_none_of_the_leaderboard(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    judge(tmp_path, "--controls", "0")
    run = htbench.open(tmp_path / "run")
    means = run.cells().groupby("method", observed=True)[NAME].mean()
    assert dict(means) == {"none": 0.0, "poor": 0.0, "good": 1.0}
    assert NAME not in run.leaderboard().columns
    assert NAME not in (tmp_path / "run" / "leaderboard.csv").read_text()


def test_scores_of_a_judge_without_calibration_are_shown_and_not_relied_on(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    judge(tmp_path, "--controls", "0")
    said = " ".join(issue("report", "run", "--runs-dir", str(tmp_path)).shown.split())
    assert f"{NAME}: higher is better" in said
    assert "Do not rely on these scores: the judge was not calibrated." in said
    text = Page((tmp_path / "run" / "report.html").read_text(encoding="utf-8")).text
    assert "asked of the judge openai scripted about one picture at a time" in text
    (verdict,) = required(tmp_path, f"{NAME}[good] > 0.5")
    assert (verdict.kept, verdict.reason) == (False, "the judge was not calibrated")


def test_scores_of_a_calibrated_judge_keep_a_rule(endpoint: Endpoint, tmp_path: Path) -> None:
    card = judge_cards.load_judge_card(str(tmp_path / "judge"))
    endpoint.mind = known_answers.knowing(card)
    judged_run.calibrate(tmp_path / "run", card)
    endpoint.mind = viewer
    judge(tmp_path, "--controls", "0")
    kept, broken = required(tmp_path, f"{NAME}[good] > 0.5", f"{NAME}[poor] > 0.5")
    assert (kept.kept, broken.kept) == (True, False)


def test_a_method_that_reads_concepts_with_the_judge_s_encoder_is_last_and_keeps_no_rule(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    judge(tmp_path, "--controls", "0")
    with sqlite3.connect(tmp_path / "run" / "judge.sqlite") as database:
        database.execute(
            "UPDATE tournaments SET about = json_set(about, '$.circular', json('[\"good\"]'))"
        )
    with report.open_run(tmp_path / "run") as summary:
        (table,) = other_scores.collect(summary)
    assert (table.lines[-1].method, table.lines[-1].circular) == ("good", True)
    (verdict,) = required(tmp_path, f"{NAME}[good] > 0.5")
    assert verdict.reason == "good reads concepts with an encoder of openai scripted"


def required(folder: Path, *rules: str) -> list[requirements.Verdict]:
    with report.open_run(folder / "run") as summary:
        return requirements.check(summary, [requirements.parse(rule) for rule in rules])
