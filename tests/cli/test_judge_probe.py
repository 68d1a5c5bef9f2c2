"""`htbench judge --probe`: known pictures first, then one comparison with its call and reply."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from kit import judged_run
from kit.in_process import Ended, issue
from kit.judge_servers import Ask, Endpoint, fair, first_picker, last_picker, serving, tie_lover
from PIL import Image

from htbench.steering import concept


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """An endpoint, with a run `run` and a judge at it in the folder of the test."""
    judged_run.build(tmp_path / "run", methods=("none", "poor", "good"), concepts=4)
    with serving(Endpoint(mind=seer)) as up:
        judged_run.card(tmp_path / "judge", up.url)
        yield up


def seer(ask: Ask) -> str:
    """Looks for the picture that is nearest to any image of the word; a fair judge otherwise."""
    word = re.search(r"shows a (\w+)", ask.text)
    if word is None:
        return fair(ask)
    images = references(word[1])

    def distance(picture: np.ndarray) -> float:
        size = picture.shape[1::-1]
        known = [np.asarray(each.resize(size, Image.Resampling.BOX), float) for each in images]
        return float(min(np.abs(picture - each).mean() for each in known))

    a, b = map(distance, ask.pictures)
    return "A" if a < b else "B"


@cache
def references(word: str) -> list[Image.Image]:
    """Images of the companion `word` of the embedded world."""
    splits = concept.load("emoji").splits.values()
    concepts = {each.id: each for split in splits for each in split}
    return [each.open() for each in concepts[f"companion/{word}"].references]


def probe(folder: Path, *words: str) -> Ended:
    where = ("--judge", str(folder / "judge"), "--runs-dir", str(folder))
    return issue("judge", "run", *where, "--criterion", "presence", "--probe", *words)


def test_a_judge_that_sees_is_shown_with_its_call_and_reply(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    ended = probe(tmp_path)
    assert ended.code == 0, ended.shown
    assert "Known pictures: 6 of 6 questions answered right" in ended.shown
    assert "Reply form: strict JSON schema" in ended.shown
    assert '"max_tokens": 300' in ended.shown
    assert "base64,… (" in ended.shown
    assert '"finish_reason": "stop"' in ended.shown
    assert 'Tokens: {"asked": 7000, "replied": 140}' in ended.shown
    assert endpoint.calls == 7


@pytest.mark.parametrize(("mind", "calls"), [(first_picker, 4), (last_picker, 3), (tie_lover, 2)])
def test_a_judge_that_sees_nothing_is_told_at_once(
    mind: object, calls: int, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.mind = mind  # type: ignore[assignment]
    ended = probe(tmp_path)
    assert (ended.code, endpoint.calls) == (5, calls)
    assert "'scripted' does not see pictures" in ended.shown
    assert "--model" in ended.shown


def test_a_model_that_takes_no_pictures_is_told_with_the_endpoints_words(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    message = "This model does not support image input."
    endpoint.ill = lambda number, ask: (400, {}, {"error": {"message": message}})
    ended = probe(tmp_path)
    assert ended.code == 5
    assert f"takes no pictures: 400: {message}" in ended.shown


def test_a_probe_without_a_verdict_says_why(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.finish = lambda number: "length"
    ended = probe(tmp_path)
    assert ended.code == 3
    assert "--max-tokens 4096" in ended.shown


def test_facts_of_a_probe_are_a_line_of_json_if_asked(endpoint: Endpoint, tmp_path: Path) -> None:
    facts = json.loads(probe(tmp_path, "--json").shown.splitlines()[0])
    assert (facts["event"], facts["model"], facts["requests"]) == ("probe", "scripted", 7)
    assert facts["call"]["model"] == "scripted"
    assert facts["reply"]["choices"][0]["message"]["role"] == "assistant"


def test_a_key_in_a_reply_is_not_shown(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", "sk-made-up-0001")
    endpoint.mind = lambda ask: {
        "content": json.dumps({"verdict": seer(ask), "reason": "you sent sk-made-up-0001"})
    }
    ended = probe(tmp_path)
    assert ended.code == 0, ended.shown
    assert "you sent ***" in ended.shown
    assert "sk-made-up-0001" not in ended.shown


def test_the_comparison_of_a_probe_is_not_paid_twice(endpoint: Endpoint, tmp_path: Path) -> None:
    probe(tmp_path)
    where = ("--judge", str(tmp_path / "judge"), "--runs-dir", str(tmp_path))
    issue("judge", "run", *where, "--criterion", "presence", "--controls", "0", "--no-calibrate")
    assert max(endpoint.replies.values()) == 1


@pytest.mark.parametrize(
    ("words", "hint"), [(["--offline"], "--offline"), (["--max-requests", "0"], "no request")]
)
def test_a_probe_that_cannot_ask_is_one_line(
    words: list[str], hint: str, endpoint: Endpoint, tmp_path: Path
) -> None:
    assert hint in probe(tmp_path, *words).shown
    assert endpoint.calls == 0


def test_a_judge_without_calls_is_not_probed(endpoint: Endpoint, tmp_path: Path) -> None:
    ended = issue(
        "judge",
        "run",
        "--judge",
        "clip",
        "--model",
        "emoji-clip-a",
        "--probe",
        "--runs-dir",
        str(tmp_path),
    )
    assert ended.code == 2
    assert "makes no calls" in ended.shown
