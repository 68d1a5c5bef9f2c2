"""`htbench show model` and `htbench fetch`, without weights."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError
from typer.testing import CliRunner

from htbench.cli import app
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.core.weights import HubFiles


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
    assert shown["sites"][1:] == [
        "65,664 channels",
        "131,328 parameters per concept: scale and shift",
    ]
    assert (shown["timesteps"], shown["scheduler"]) == ("400", "DPMSolverMultistepScheduler")
    assert "Apache-2.0" in shown["licence"]
    assert "htbench fetch --model nitro-1-pixart" in shown["weights"]


def test_the_embedded_model_is_shown_and_needs_nothing_fetched() -> None:
    assert "17 modules" in htbench("show", "model", "emoji")
    assert "nothing to fetch" in htbench("fetch", "--model", "emoji")


def test_without_a_network_fetch_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Missing, match="cannot be downloaded"):
        htbench("fetch", "--encoder", "clip-vit-l-14")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ([], UsageError),
        (["--model", "dmd3"], UnknownName),
        (["--model", "emoji", "--encoder", "x"], UsageError),
    ],
)
def test_what_cannot_be_fetched_is_refused(words: list[str], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        htbench("fetch", *words)


@pytest.mark.parametrize(
    "model",
    [
        "dmd2",
        "dmd2-4step",
        "nitro-1-pixart",
        "sdxl-lightning-4step",
        "flux-schnell",
        "sana-sprint",
        "z-image-turbo",
        "qwen-image-lightning",
        "flux2-klein",
    ],
)
@pytest.mark.parametrize(
    "words",
    [
        ["run", "--method", "prompt"],
        ["time", "--method", "prompt"],
        ["steer", "--method", "prompt", "--concept", "lemon"],
        ["train", "hypertransport"],
    ],
)
def test_without_weights_every_command_ends_with_the_one_that_gets_them(
    words: list[str], model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Missing) as caught:
        htbench(*words, "--model", model, "--device", "cpu")
    assert caught.value.remedy == f"Get them: htbench fetch --model {model}"
    assert not list(tmp_path.glob("runs/*/run.sqlite"))


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["time"],
        ["steer", "--concept", "lemon"],
        ["train", "hypertransport"],
        ["check", "method", "prompt"],
    ],
)
def test_an_option_of_a_model_without_a_value_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match="'size' is not an option"):
        htbench(*words, "--model-option", "size")


def test_a_download_is_remembered_and_no_other_is_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source, hub = (
        HubFiles(repository="somebody/model", files=("weights.bin",)),
        tmp_path / "models--somebody--model",
    )

    def serve(
        repository: str, *, revision: str, allow_patterns: list[str], local_files_only: bool = False
    ) -> str:
        """The hub, whose main branch is the file `refs/main`."""
        commit = (hub / "refs" / "main").read_text() if revision == "main" else revision
        if not (hub / "snapshots" / commit).is_dir():
            raise LocalEntryNotFoundError(commit)
        return str(hub / "snapshots" / commit)

    def publish(commit: str) -> None:
        (hub / "snapshots" / commit).mkdir(parents=True)
        (hub / "snapshots" / commit / "weights.bin").touch()
        (hub / "refs").mkdir(exist_ok=True)
        (hub / "refs" / "main").write_text(commit)

    monkeypatch.setattr("huggingface_hub.snapshot_download", serve)
    publish("a" * 40)
    first = source.download()
    publish("b" * 40)
    assert source.find() == source.download() == first
    assert source.commit == "a" * 40
    shutil.rmtree(first)
    assert source.find() is None
