"""llama.cpp's own server as a judge's endpoint: what it enforces, returns and refuses."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kit import judged_run
from kit.in_process import Ended, issue
from kit.llama_server import SLOTS, serving_llama
from kit.tiny_gguf import write_model, write_vision_encoder

from htbench.core.errors import Missing
from htbench.judging.ledger import Ledger

pytestmark = pytest.mark.llama
PAIRS = 40
RUBRIC = 'Which picture of {{ prompt }} shows "{{ concept }}" more clearly?'
TIMEOUT = 300.0
"""Seconds for a reply of the server."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model and its vision encoder."""
    folder = tmp_path_factory.mktemp("weights")
    write_model(folder / "model.gguf")
    write_vision_encoder(folder / "vision.gguf")
    return folder


@pytest.fixture(scope="module")
def text_server(weights: Path) -> Iterator[str]:
    with serving_llama(weights / "model.gguf") as url:
        yield url


@pytest.fixture(scope="module")
def server(weights: Path) -> Iterator[str]:
    with serving_llama(weights / "model.gguf", weights / "vision.gguf") as url:
        yield url


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of 42 pairs of pictures."""
    folder = tmp_path_factory.mktemp("judged")
    judged_run.build(
        folder / "run",
        methods=("none", "poor", "good"),
        concepts=7,
        prompts=judged_run.PROMPTS,
    )
    return folder


def words(folder: Path, url: str, *more: str) -> list[str]:
    """A command of a judge at the server `url`."""
    judged_run.card(folder / "judge", url, timeout=TIMEOUT)
    (folder / "judge" / "presence.jinja").write_text(RUBRIC)
    where = ["--judge", str(folder / "judge"), "--runs-dir", str(folder)]
    what = ["--criterion", "presence", "--controls", "0", "--no-calibrate"]
    return ["judge", "run", *where, *what, "--concurrency", str(SLOTS), *more]


def ask(folder: Path, url: str, *more: str) -> Ended:
    return issue(*words(folder, url, *more))


def replies(folder: Path) -> dict[str, str]:
    """The raw replies of the ledger, by key; none while there is no ledger yet."""
    with suppress(Missing), Ledger.read(folder / "run") as ledger:
        return dict(ledger.select("SELECT key, body FROM calls WHERE body != ''"))
    return {}


def test_a_server_without_sight_is_told_at_its_first_call(text_server: str, tmp_path: Path) -> None:
    judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=4)
    for more in ([], ["--probe"]):
        ended = ask(tmp_path, text_server, *more)
        lines = [line for line in ended.shown.splitlines() if "takes no pictures" in line]
        assert ended.code == 5, ended.shown
        assert len(lines) == 1
        assert "image input is not supported" in lines[0]
    with Ledger.read(tmp_path / "run") as ledger:
        assert ledger.model_usage("scripted").requests == 2


def test_a_probe_says_what_the_server_can_do_and_that_the_model_does_not_know_a_cat(
    server: str, tmp_path: Path
) -> None:
    judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=4)
    ended = ask(tmp_path, server, "--probe")
    assert ended.code == 5
    for line in (
        "Reply form: strict JSON schema",
        "Pictures: several per message",
        "Refused parameters: []",
        "Probabilities: true",
        "does not see pictures",
    ):
        assert line in ended.shown


def test_a_tournament_that_is_killed_goes_on_and_then_needs_no_server(
    weights: Path, folder: Path
) -> None:
    with serving_llama(weights / "model.gguf", weights / "vision.gguf") as url:
        command = words(folder, url, "--pairs", str(PAIRS))
        with (folder / "shown.txt").open("w") as shown:
            first = subprocess.Popen(
                [sys.executable, "-m", "htbench", *command], stdout=shown, stderr=shown
            )
            while first.poll() is None and len(replies(folder)) < PAIRS / 2:
                time.sleep(0.1)
            first.kill()
            first.wait()
        kept = replies(folder)
        assert PAIRS / 2 <= len(kept) < 2 * PAIRS, (folder / "shown.txt").read_text()
        second = ask(folder, url, "--pairs", str(PAIRS))
        assert second.code == 0, second.shown
    third = ask(folder, url, "--pairs", str(PAIRS))
    assert third.code == 0, third.shown
    assert f"Calls: {2 * PAIRS}/{2 * PAIRS} have a verdict" in third.shown
    everything = replies(folder)
    assert len(everything) == 2 * PAIRS
    assert kept.items() <= everything.items()
    with Ledger.read(folder / "run") as ledger:
        assert ledger.model_usage("scripted").requests == 2 * PAIRS


def test_verdicts_follow_the_schema_and_are_weighed_by_the_servers_probabilities(
    folder: Path, server: str
) -> None:
    ask(folder, server, "--pairs", "4")
    with Ledger.read(folder / "run") as ledger:
        verdicts = {
            key: (choice, first)
            for key, choice, first in ledger.select("SELECT key, choice, first FROM verdicts")
        }
    bodies = replies(folder)
    assert len(bodies) >= 8
    for key, body in bodies.items():
        choice = json.loads(body)["choices"][0]
        reply = json.loads(choice["message"]["content"])
        assert list(reply) == ["verdict", "reason"]
        assert verdicts[key] == (reply["verdict"], pytest.approx(weight(choice), abs=1e-3))
    assert {choice for choice, _ in verdicts.values()} >= {"A", "B"}


def weight(choice: dict) -> float:
    """The expected preference for A at the first token of the verdict."""
    tokens = choice["logprobs"]["content"]
    text = "".join(token["token"] for token in tokens)
    place = text.index('"', text.index(":")) + 1
    shares = {each["token"]: math.exp(each["logprob"]) for each in tokens[place]["top_logprobs"]}
    a, b, tie = (shares.get(letter, 0.0) for letter in "ABt")
    return (a + tie / 2) / (a + b + tie)
