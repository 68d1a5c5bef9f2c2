"""Hubs that are out of reach, busy, at fault or none: a line, its remedy, and an exit code."""

from pathlib import Path

import pytest
from huggingface_hub import constants
from kit.hub_server import Hub, Reply, failing
from kit.in_process import issue


def test_an_unknown_repository_is_told(hub: Hub) -> None:
    ended = issue("pull", "ann/nothing")
    assert ended.code == 2
    assert "has no repository 'ann/nothing' that you may see" in ended.shown


def test_a_private_repository_is_told_like_an_unknown_one_with_the_way_to_a_token(
    hub: Hub, packed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("datasets", "ann/runs", {"mine.zip": packed}, private=True)
    monkeypatch.delenv("HF_TOKEN")
    ended = issue("pull", "ann/runs")
    assert ended.code == 2
    assert "a private one needs a token. Log in by `hf auth login`" in ended.shown


def test_an_unknown_revision_is_told(hub: Hub, packed: bytes) -> None:
    hub.add("datasets", "ann/runs", {"mine.zip": packed})
    ended = issue("pull", "ann/runs@v9")
    assert ended.code == 2
    assert "repository 'ann/runs' has no revision 'v9'" in ended.shown


@pytest.mark.parametrize(
    ("status", "where", "code", "words"),
    [
        (401, "/api/repos", 4, "does not accept your token"),
        (403, "/api/repos", 4, "has no right"),
        (404, "/preupload/", 2, "has no repository"),
        (409, "/commit/", 5, "was changed meanwhile"),
        (418, "/preupload/", 4, "refuses this for 'ann/runs' (418)"),
        (429, "/preupload/", 4, "asks to wait"),
        (500, "/api/datasets", 4, "has a fault (500)"),
        (500, "/lfs/objects/batch", 4, "has a fault (500)"),
        (503, "/lfs/", 4, "has a fault (503)"),
    ],
)
def test_a_push_that_the_hub_fails_ends_in_a_line(
    hub: Hub, bundle: Path, status: int, where: str, code: int, words: str
) -> None:
    hub.fault = failing(status, where)
    ended = issue("push", str(bundle), "ann/runs")
    assert ended.code == code
    assert words in ended.shown
    assert len(ended.shown.splitlines()) == 2


@pytest.mark.parametrize("where", ["/api/datasets", "/tree/", "/resolve/"])
@pytest.mark.parametrize("status", [403, 429, 500])
def test_a_pull_that_the_hub_fails_ends_in_a_line(
    hub: Hub, packed: bytes, where: str, status: int
) -> None:
    hub.add("datasets", "ann/runs", {"mine.zip": packed})
    hub.fault = failing(status, where)
    ended = issue("pull", "ann/runs")
    assert ended.code == 4
    assert len(ended.shown.splitlines()) == 2
    assert not list(Path().iterdir())


@pytest.mark.parametrize("status", [429, 503])
def test_a_hub_that_is_busy_for_a_while_is_asked_again(hub: Hub, bundle: Path, status: int) -> None:
    hub.fault = failing(status, "/preupload/", times=2, Retry_After="3")
    assert issue("push", str(bundle), "ann/runs").code == 0
    hub.fault = failing(status, "/resolve/", times=2, Retry_After="3")
    assert issue("pull", "ann/runs", "again.zip").code == 0


def test_no_hub_at_the_address_is_told(hub: Hub) -> None:
    ended = issue("pull", "ann/runs", "--endpoint", "http://127.0.0.1:9")
    assert ended.code == 4
    assert "127.0.0.1:9 cannot be reached" in ended.shown


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b'{"files": 3}'])
def test_a_server_that_is_no_hub_is_told(hub: Hub, bundle: Path, body: bytes) -> None:
    hub.fault = lambda asked: Reply(200, body)
    assert issue("push", str(bundle), "ann/runs").code == 4
    ended = issue("pull", "ann/runs")
    assert ended.code == 4
    assert "does not answer as a hub does" in ended.shown


@pytest.mark.parametrize("words", [("push", "mine.bundle.zip", "ann/runs"), ("pull", "ann/runs")])
def test_a_machine_that_is_to_stay_offline_asks_nothing(
    hub: Hub, bundle: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    ended = issue(*words)
    assert (ended.code, hub.asked) == (4, [])
    assert "HF_HUB_OFFLINE" in ended.shown


def test_a_hub_without_xet_storage_is_told_with_the_way_around(
    hub: Hub, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    ended = issue("push", str(bundle), "ann/runs")
    assert ended.code == 4
    assert "HF_HUB_DISABLE_XET=1" in ended.shown


@pytest.mark.parametrize("token", ["hf_with space", "hf_üöä"])
def test_a_token_that_no_header_can_hold_is_told_without_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    ended = issue("pull", "ann/runs")
    assert (ended.code, hub.asked) == (2, [])
    assert "the token of the hub has white space" in ended.shown
    assert token not in ended.shown
