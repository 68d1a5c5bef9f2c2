"""`htbench show model` and `htbench fetch`, without weights."""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from htbench.cli import app
from htbench.errors import Missing, UnknownName, UsageError


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def htbench(*words: str) -> str:
    answer = CliRunner().invoke(app, words, catch_exceptions=False)
    assert answer.exit_code == 0
    return answer.stdout


def test_a_model_is_shown_without_its_weights() -> None:
    shown = json.loads(htbench("show", "model", "nitro-1-pixart", "--json"))
    assert shown["sites"][1:] == ["65,664 channels", "131,328 parameters a concept: scale and shift"]
    assert (shown["timesteps"], shown["scheduler"]) == ("400", "DPMSolverMultistepScheduler")
    assert "Apache-2.0" in shown["licence"]
    assert "htbench fetch --model nitro-1-pixart" in shown["weights"]


def test_the_embedded_model_is_shown_and_needs_nothing_fetched() -> None:
    assert "17 modules" in htbench("show", "model", "emoji")
    assert "nothing to fetch" in htbench("fetch", "--model", "emoji")


def test_without_a_network_fetch_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Missing, match="cannot be downloaded"):
        htbench("fetch", "--encoder", "clip-vit-l-14")


@pytest.mark.parametrize(("words", "kind"), [([], UsageError), (["--model", "dmd3"], UnknownName), (["--model", "emoji", "--encoder", "x"], UsageError)])
def test_what_cannot_be_fetched_is_refused(words: list[str], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        htbench("fetch", *words)
