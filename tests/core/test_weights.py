"""Files of weights that are damaged, and caches that cannot be written."""

import json
from pathlib import Path

import pytest

from htbench.core import weights
from htbench.core.errors import Refused

COMMIT = "0" * 40


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": 3}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": "../../etc/passwd"}}',
        '{"weight_map": {"a": "/\\ud800"}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_index_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.index.json").write_text(text)
    with pytest.raises(Refused) as caught:
        weights.missing_files(tmp_path, ["*.index.json"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"a": ' + "1" * 5000 + "}"])
def test_damaged_settings_are_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Refused) as caught:
        weights.read_config(tmp_path / "config.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\x80\x04cos\nsystem\n", b"PK\x03\x04", b"hello"])
@pytest.mark.parametrize("name", ["weights.safetensors", "weights.bin"])
def test_a_damaged_file_of_weights_is_refused_in_one_line(
    name: str, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Refused) as caught:
        weights.read(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"owner/name": 3}', '{"owner/name": "../x"}'])
def test_damaged_revisions_are_not_used(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "htbench").mkdir()
    (tmp_path / "htbench" / "revisions.json").write_text(text)
    assert weights.HubFiles(repository="owner/name", files=("x",)).commit == "main"


def test_a_revision_that_cannot_be_kept_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    weights._pin("owner/name", COMMIT)
    assert "XDG_CACHE_HOME" in capsys.readouterr().err


def test_a_kept_revision_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights._pin("owner/name", COMMIT)
    assert weights.HubFiles(repository="owner/name", files=("x",)).commit == COMMIT
    assert json.loads((tmp_path / "htbench" / "revisions.json").read_text())


def test_the_cache_is_where_it_was_if_it_is_there_and_where_the_system_has_caches_if_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "Caches")
    assert weights.cache_folder() == tmp_path / "Caches"
    (tmp_path / ".cache" / "htbench").mkdir(parents=True)
    assert weights.cache_folder() == tmp_path / ".cache" / "htbench"
