"""`htbench pull`: whole or not at all, continued, checked, and nothing of it executed."""

import hashlib
import json
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest
from kit import edited_bundle
from kit.hub_server import Asked, Hub, Reply, breaking
from kit.in_process import issue

from htbench.core import content
from htbench.core.errors import UsageError
from htbench.hub import download
from htbench.hub.connection import connect
from htbench.hub.repository import Repository

NAME = "mine.bundle.zip"


@pytest.fixture
def published(hub: Hub, packed: bytes) -> bytes:
    """The bytes of the bundle in the data set ann/runs, which anybody may read."""
    hub.add("datasets", "ann/runs", {NAME: packed})
    return packed


@pytest.fixture
def trained(hub: Hub) -> bytes:
    """The bytes of a trained method in the model ann/maps."""
    data = (content.folder("baselines") / "hypertransport-emoji.safetensors").read_bytes()
    hub.add("models", "ann/maps", {"mine.safetensors": data, "mine.toml": card()})
    return data


def card(method: str = "hypertransport", file: str = "mine.safetensors") -> bytes:
    lines = [
        f'name = "mine"\nmethod = "{method}"\nsummary = "x"\n',
        f'[artifacts]\nemoji = "{file}"',
    ]
    return "\n".join(lines).encode()


def here() -> set[str]:
    """Names in the working folder."""
    return {path.name for path in Path().iterdir()}


def downloads(hub: Hub) -> list[Asked]:
    return [asked for asked in hub.asked if asked.at_storage and asked.method == "GET"]


def test_a_bundle_comes_whole(hub: Hub, published: bytes) -> None:
    ended = issue("pull", "ann/runs")
    assert ended.code == 0, ended.shown
    assert Path(NAME).read_bytes() == published
    assert here() == {NAME}
    assert f"SHA-256: {hashlib.sha256(published).hexdigest()}" in ended.shown
    assert f"Verify it: htbench verify {NAME}" in ended.shown


def test_a_public_repository_needs_no_token(
    hub: Hub, published: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert issue("pull", "ann/runs").code == 0
    assert not [asked for asked in hub.asked if "authorization" in asked.headers]


@pytest.mark.parametrize("path", ["theirs.zip", "folder/theirs.zip"])
def test_it_is_written_where_it_is_told(hub: Hub, published: bytes, path: str) -> None:
    assert issue("pull", "ann/runs", path).code == 0
    assert Path(path).read_bytes() == published


def test_a_folder_gets_the_file_by_its_own_name(hub: Hub, published: bytes) -> None:
    Path("there").mkdir()
    issue("pull", "ann/runs", "there")
    assert (Path("there") / NAME).read_bytes() == published


def test_an_older_commit_is_pulled_by_its_revision(hub: Hub, published: bytes) -> None:
    repo = hub.repos["datasets", "ann/runs"]
    old = repo.branches["main"]
    repo.commit({}, "emptied")
    assert issue("pull", f"ann/runs@{old[:12]}").code == 0
    assert Path(NAME).read_bytes() == published


def test_the_same_file_is_not_downloaded_twice(hub: Hub, published: bytes) -> None:
    issue("pull", "ann/runs")
    ended = issue("pull", "ann/runs")
    assert (ended.code, len(downloads(hub))) == (0, 1)
    assert "there already" in ended.shown


def test_another_file_is_not_overwritten(hub: Hub, published: bytes) -> None:
    Path(NAME).write_text("mine")
    ended = issue("pull", "ann/runs")
    assert (ended.code, downloads(hub)) == (2, [])
    assert Path(NAME).read_text() == "mine"
    assert here() == {NAME}


def test_a_download_that_breaks_off_continues_where_it_stopped(hub: Hub, published: bytes) -> None:
    hub.fault = breaking(hub, 1000, times=3)
    assert issue("pull", "ann/runs").code == 0
    assert Path(NAME).read_bytes() == published
    assert [asked.headers["range"] for asked in downloads(hub)] == [
        f"bytes={start}-" for start in (0, 1000, 2000, 3000)
    ]


def test_a_pull_that_gave_up_is_continued_by_the_next(hub: Hub, published: bytes) -> None:
    breaks = breaking(hub, 1000, times=1)

    def breaks_then_busy(asked: Asked) -> Reply | None:
        is_download = asked.at_storage and asked.method == "GET"
        return breaks(asked) or (Reply(503, {"error": "busy"}) if is_download else None)

    hub.fault = breaks_then_busy
    ended = issue("pull", "ann/runs")
    assert ended.code == 4
    assert "has a fault (503)" in ended.shown
    assert not Path(NAME).exists()
    hub.fault = lambda asked: None
    assert issue("pull", "ann/runs").code == 0
    assert Path(NAME).read_bytes() == published
    assert downloads(hub)[-1].headers["range"] == "bytes=1000-"
    assert here() == {NAME}


def test_a_server_without_ranges_sends_all_again(hub: Hub, published: bytes) -> None:
    breaks = breaking(hub, 1000, times=1)

    def no_ranges(asked: Asked) -> Reply | None:
        if not (asked.at_storage and asked.method == "GET"):
            return None
        return breaks(asked) or Reply(200, published)

    hub.fault = no_ranges
    assert issue("pull", "ann/runs").code == 0
    assert Path(NAME).read_bytes() == published


@pytest.mark.parametrize("change", [lambda data: data[:-1] + b"\1", lambda data: data + b"more"])
def test_other_bytes_than_the_repository_lists_are_refused(
    hub: Hub, published: bytes, change: object
) -> None:
    sha256 = hashlib.sha256(published).hexdigest()
    hub.objects[sha256] = change(published)  # type: ignore[operator]
    ended = issue("pull", "ann/runs")
    assert ended.code == 5
    assert "with other bytes than 'ann/runs' lists" in ended.shown
    assert here() == set()


def test_a_bundle_that_is_not_as_it_was_packed_is_refused(hub: Hub, packed: bytes) -> None:
    Path(NAME).write_bytes(packed)
    forged = edited_bundle.edit(Path(NAME), {"leaderboard.csv": b"better"}).read_bytes()
    Path(NAME).unlink()
    hub.add("datasets", "ann/runs", {NAME: forged})
    ended = issue("pull", "ann/runs")
    assert ended.code == 5
    assert "is not taken: leaderboard.csv is not what was packed" in ended.shown
    assert here() == set()


def test_a_trained_method_comes_with_its_card(hub: Hub, trained: bytes) -> None:
    ended = issue("pull", "ann/maps")
    assert ended.code == 0, ended.shown
    assert Path("mine.safetensors").read_bytes() == trained
    assert Path("mine.toml").read_bytes() == card()
    assert here() == {"mine.safetensors", "mine.toml"}
    assert "htbench run --model emoji --method mine.toml" in ended.shown


def test_a_trained_method_with_a_card_keeps_its_name(hub: Hub, trained: bytes) -> None:
    ended = issue("pull", "ann/maps", "other.safetensors")
    assert (ended.code, here()) == (2, set())
    assert "has a card that names it" in ended.shown


@pytest.mark.parametrize("method", ["evil:Method", "./evil.py:Method"])
def test_a_card_that_names_code_is_refused_and_the_code_not_run(
    hub: Hub, trained: bytes, method: str
) -> None:
    hub.add("models", "ann/maps", {"mine.safetensors": trained, "mine.toml": card(method)})
    Path("evil.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    ended = issue("pull", "ann/maps")
    assert ended.code == 5
    assert "names code" in ended.shown
    assert here() == {"evil.py"}


def test_a_card_that_names_another_file_is_refused(hub: Hub, trained: bytes) -> None:
    files = {"mine.safetensors": trained, "mine.toml": card(file="/etc/passwd")}
    hub.add("models", "ann/maps", files)
    assert (issue("pull", "ann/maps").code, here()) == (5, set())


def test_a_changed_trained_method_is_refused(hub: Hub, trained: bytes) -> None:
    hub.add("models", "ann/maps", {"mine.safetensors": trained[:-1] + b"\7"})
    ended = issue("pull", "ann/maps")
    assert (ended.code, here()) == (5, set())
    assert "its tensors do not have their digest" in ended.shown


def test_one_of_several_files_is_chosen_by_name(hub: Hub, packed: bytes) -> None:
    hub.add("datasets", "ann/runs", {"a.zip": packed, "b.zip": packed, "c.txt": b"x"})
    ended = issue("pull", "ann/runs")
    assert ended.code == 2
    assert "Choose one: --file a.zip, or b.zip" in ended.shown
    assert issue("pull", "ann/runs", "--file", "b.zip").code == 0
    assert here() == {"b.zip"}


def test_the_nearest_name_of_a_file_is_told(hub: Hub, published: bytes) -> None:
    ended = issue("pull", "ann/runs", "--file", "mine.bundel.zip")
    assert ended.code == 2
    assert f"did you mean '{NAME}'?" in ended.shown


def test_a_pull_beside_another_of_the_same_file_is_told_and_disturbs_nothing(
    hub: Hub, published: bytes
) -> None:
    there = connect(hub.url, needs_token=False)
    choice = download.choose(Repository.parse("ann/runs"), there, None)
    told: list[str] = []

    def second(asked: Asked) -> None:
        if asked.at_storage:
            with pytest.raises(UsageError) as caught:
                download.pull(choice, Path(NAME), there)
            told.append(str(caught.value))

    hub.fault = second
    assert issue("pull", "ann/runs").code == 0
    assert told == [f"{NAME!r} is being pulled by another process"]
    assert here() == {NAME}


def test_a_repository_without_a_bundle_is_told(hub: Hub) -> None:
    hub.add("datasets", "ann/runs", {"README.md": b"nothing"})
    ended = issue("pull", "ann/runs")
    assert ended.code == 2
    assert "has no bundle and no trained file" in ended.shown


def test_a_file_of_a_name_that_leads_elsewhere_is_refused(hub: Hub, packed: bytes) -> None:
    hub.add("datasets", "ann/runs", {"../up.zip": packed})
    assert issue("pull", "ann/runs").code == 5
    assert here() == set()
    assert not Path("../up.zip").exists()


def test_a_signature_comes_along(hub: Hub, packed: bytes) -> None:
    hub.add("datasets", "ann/runs", {NAME: packed, f"{NAME}.sig": b"signed\n"})
    issue("pull", "ann/runs", "theirs.zip")
    assert Path("theirs.zip.sig").read_bytes() == b"signed\n"


def test_a_signature_beyond_all_measure_is_refused(hub: Hub, packed: bytes) -> None:
    hub.add("datasets", "ann/runs", {NAME: packed, f"{NAME}.sig": b"x" * (1 << 17)})
    assert (issue("pull", "ann/runs").code, here()) == (5, set())


def test_a_disk_without_room_is_told_before_anything_comes(
    hub: Hub, published: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")(10, 5, 5)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    ended = issue("pull", "ann/runs")
    assert (ended.code, downloads(hub), here()) == (4, [], set())
    assert f"{len(published):,} bytes are to come, and 5 are free" in ended.shown


def test_json_has_what_came(hub: Hub, published: bytes) -> None:
    answer = json.loads(issue("pull", "ann/runs", "--json").shown)
    assert answer["file"] == NAME
    assert answer["sha256"] == hashlib.sha256(published).hexdigest()
    assert answer["commit"] == hub.repos["datasets", "ann/runs"].branches["main"]
    assert answer["downloaded"] is True


def test_what_was_pushed_is_pulled_to_the_byte(hub: Hub, bundle: Path) -> None:
    issue("push", str(bundle), "ann/runs")
    issue("pull", "ann/runs", "again.zip")
    compared = subprocess.run(["cmp", str(bundle), "again.zip"], check=False)
    assert compared.returncode == 0
