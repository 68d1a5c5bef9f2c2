"""A hub on this machine with the token of its user, and a bundle to push there."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from kit import report_run
from kit.hub_server import TOKEN, Hub, serving

from htbench.bundles.pack import pack


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small bundle."""
    folder = tmp_path_factory.mktemp("packed")
    run = report_run.build(folder / "run", concepts=3, prompts=report_run.PROMPTS[:1], size=8)
    return pack(run, folder / "mine.bundle.zip").path.read_bytes()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub, whose address and token are in the environment; the working folder is empty."""
    with serving(Hub()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        yield hub


@pytest.fixture
def bundle(hub: Hub, packed: bytes) -> Path:
    """A bundle in the working folder."""
    path = Path("mine.bundle.zip")
    path.write_bytes(packed)
    return path
