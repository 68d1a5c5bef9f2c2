"""`htbench push`: what is sent, what is not sent twice, and what is never replaced."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import constants
from kit import edited_bundle
from kit.hub_repos import Stored
from kit.hub_server import READER, STRANGER, TOKEN, Asked, Hub, Reply, failing
from kit.in_process import issue

from htbench.core import content
from htbench.core.types import Digest, Site
from htbench.steering.intervention import Affine, InterventionOrigin, load, save

BUNDLES = ("datasets", "ann/runs")


@pytest.fixture
def trained(hub: Hub) -> Path:
    """A trained method in the working folder, with its card."""
    path = Path("mine.safetensors")
    shutil.copyfile(content.folder("baselines") / "hypertransport-emoji.safetensors", path)
    path.with_suffix(".toml").write_text(
        'name = "mine"\nmethod = "hypertransport"\nsummary = "x"\n\n'
        '[artifacts]\nemoji = "mine.safetensors"\n'
    )
    return path


def header(page: bytes) -> dict[str, object]:
    """The YAML at the head of a page."""
    _, text, _ = page.decode().split("---\n", 2)
    parsed: dict[str, object] = yaml.safe_load(text)
    return parsed


def test_a_bundle_goes_to_a_private_data_set_in_one_commit(hub: Hub, bundle: Path) -> None:
    ended = issue("push", str(bundle), "ann/runs")
    assert ended.code == 0
    repo = hub.repos[BUNDLES]
    assert repo.private
    assert repo.files[bundle.name].data == bundle.read_bytes()
    assert set(repo.files) == {bundle.name, "README.md", ".gitattributes"}
    assert repo.messages == ["by hand", "mine.bundle.zip by htbench push"]
    assert f"{hub.url}/datasets/ann/runs (only you and its owner see it)" in ended.shown


def test_the_same_bytes_are_not_sent_twice(hub: Hub, bundle: Path) -> None:
    issue("push", str(bundle), "ann/runs")
    first = dict(hub.repos[BUNDLES].branches)
    ended = issue("push", str(bundle), "ann/runs")
    assert "There already: README.md, mine.bundle.zip" in ended.shown
    assert hub.sent() == [hashlib.sha256(bundle.read_bytes()).hexdigest()]
    assert hub.repos[BUNDLES].branches == first


def test_a_push_that_was_cut_off_before_its_commit_sends_nothing_again(
    hub: Hub, bundle: Path
) -> None:
    hub.fault = failing(500, "/commit/", times=1)
    assert issue("push", str(bundle), "ann/runs").code == 4
    assert bundle.name not in hub.repos[BUNDLES].files
    assert issue("push", str(bundle), "ann/runs").code == 0
    assert len(hub.sent()) == 1


def test_another_file_of_the_name_is_replaced_only_when_told(hub: Hub, bundle: Path) -> None:
    repo = hub.add(*BUNDLES, {bundle.name: b"other\0bytes", "README.md": b"mine"}, private=True)
    ended = issue("push", str(bundle), "ann/runs")
    assert (ended.code, hub.sent()) == (5, [])
    assert "has another file 'mine.bundle.zip'" in ended.shown
    assert issue("push", str(bundle), "ann/runs", "--replace").code == 0
    assert repo.files[bundle.name].data == bundle.read_bytes()
    assert repo.files["README.md"].data.startswith(b"---\n")


def test_a_page_written_by_hand_stays(hub: Hub, bundle: Path) -> None:
    repo = hub.add(*BUNDLES, {"README.md": b"by hand"}, private=True)
    ended = issue("push", str(bundle), "ann/runs")
    assert "Kept as it is there: README.md" in ended.shown
    assert repo.files["README.md"].data == b"by hand"


def test_other_files_of_the_repository_stay(hub: Hub, bundle: Path) -> None:
    repo = hub.add(*BUNDLES, {"older.zip": b"old\0"}, private=True)
    issue("push", str(bundle), "ann/runs")
    assert repo.files["older.zip"] == Stored(b"old\0", True)


def test_a_public_repository_needs_the_word(hub: Hub, bundle: Path) -> None:
    hub.add(*BUNDLES, {})
    ended = issue("push", str(bundle), "ann/runs")
    assert (ended.code, hub.sent()) == (5, [])
    assert "everybody would see" in ended.shown
    assert "everybody sees it" in issue("push", str(bundle), "ann/runs", "--public").shown


def test_a_new_repository_is_public_when_told(hub: Hub, bundle: Path) -> None:
    issue("push", str(bundle), "ann/runs", "--public")
    assert not hub.repos[BUNDLES].private


def test_a_private_repository_stays_private(hub: Hub, bundle: Path) -> None:
    hub.add(*BUNDLES, {}, private=True)
    ended = issue("push", str(bundle), "ann/runs", "--public")
    assert "the repository was private before, and stays so" in ended.shown
    assert hub.repos[BUNDLES].private


def test_a_commit_of_somebody_else_meanwhile_is_not_overwritten(hub: Hub, bundle: Path) -> None:
    repo = hub.add(*BUNDLES, {}, private=True)

    def somebody(asked: Asked) -> Reply | None:
        if "/preupload/" in asked.path:
            hub.fault = lambda asked: None
            repo.commit({**repo.files, bundle.name: Stored(b"theirs\0", True)}, "theirs")
        return None

    hub.fault = somebody
    ended = issue("push", str(bundle), "ann/runs")
    assert ended.code == 5
    assert "was changed meanwhile" in ended.shown
    assert repo.files[bundle.name].data == b"theirs\0"


def test_a_trained_method_goes_to_a_model_with_its_card(hub: Hub, trained: Path) -> None:
    ended = issue("push", str(trained), "ann/maps", "--license", "apache-2.0")
    assert ended.code == 0, ended.shown
    files = hub.repos["models", "ann/maps"].files
    assert files[trained.name].data == trained.read_bytes()  # of several parts: it is over 1 MiB
    assert files["mine.toml"].data == trained.with_suffix(".toml").read_bytes()
    assert header(files["README.md"].data)["license"] == "apache-2.0"


def test_the_page_of_a_trained_method_says_what_its_record_says(hub: Hub, trained: Path) -> None:
    issue("push", str(trained), "ann/maps")
    page = hub.repos["models", "ann/maps"].files["README.md"].data.decode()
    metadata = json.loads(trained.read_bytes()[8 : 8 + _header_length(trained)])["__metadata__"]
    record = json.loads(metadata["steering"])
    for text in (
        f"{record['training']['seconds']:,.1f} s",
        f"`{len(record['training']['concepts'])}: ",
        record["training"]["device"],
        record["tensors"],
        record["digest"],
        f"emoji, revision {record['model'][1]}",
        "htbench run --model emoji --method mine.toml",
        "stated no licence",
    ):
        assert text in page


def test_an_intervention_goes_to_a_model_with_its_origin_on_the_page(hub: Hub) -> None:
    change = Affine({Site("block.0"): torch.ones(4)}, {Site("block.0"): torch.zeros(4)})
    origin = InterventionOrigin(model="toy", revision=Digest("0" * 16), concept="style/sepia")
    save(change, Path("sepia.safetensors"), origin=origin)
    assert issue("push", "sepia.safetensors", "ann/sepia").code == 0
    files = hub.repos["models", "ann/sepia"].files
    assert files["sepia.safetensors"].data == Path("sepia.safetensors").read_bytes()
    assert "| Concept | `style/sepia` |" in files["README.md"].data.decode()
    assert issue("pull", "ann/sepia", "again.safetensors").code == 0
    assert torch.equal(load(Path("again.safetensors")).shift[Site("block.0")], torch.zeros(4))


def test_a_changed_intervention_is_not_pushed(hub: Hub) -> None:
    change = Affine({Site("block.0"): torch.ones(4)}, {Site("block.0"): torch.zeros(4)})
    save(change, Path("sepia.safetensors"))
    data = Path("sepia.safetensors").read_bytes()
    Path("sepia.safetensors").write_bytes(data[:-1] + b"\1")
    ended = issue("push", "sepia.safetensors", "ann/sepia")
    assert (ended.code, hub.asked) == (5, [])
    assert "its content does not have its digest" in ended.shown


def test_the_page_of_a_bundle_is_in_the_format_of_the_hub(hub: Hub, bundle: Path) -> None:
    issue("push", str(bundle), "ann/runs")
    page = hub.repos[BUNDLES].files["README.md"].data
    assert header(page) == {
        "license": "unknown",
        "library_name": "htbench",
        "tags": ["htbench", "activation-steering", "text-to-image"],
    }
    manifest = edited_bundle.read(bundle)["manifest.json"]
    cells = len(edited_bundle.rows(bundle, "cells"))
    images = sum(name.startswith("images/") for name in json.loads(manifest)["files"])
    for text in (
        f"| Cells | `{cells}` |",
        f"| Pictures | `{images}` |",
        hashlib.sha256(manifest).hexdigest(),
        "htbench pull ann/runs\nhtbench verify mine.bundle.zip --again 20",
    ):
        assert text in page.decode()


def test_the_repository_of_a_published_model_is_its_base(hub: Hub, bundle: Path) -> None:
    def steer_dmd2(model: dict[str, object]) -> None:
        model |= {"name": "dmd2", "denoiser": "tianweiy/DMD2/*.bin, revision main"}

    edited_bundle.forge(bundle, edited_bundle.fact(bundle, "model", steer_dmd2))
    issue("push", str(bundle), "ann/runs")
    page = hub.repos[BUNDLES].files["README.md"].data
    assert header(page)["base_model"] == "tianweiy/DMD2"


def test_what_a_bundle_says_is_no_markup_on_its_page(hub: Hub, bundle: Path) -> None:
    def scribble(model: dict[str, object]) -> None:
        model["name"] = "`x`|<img src=1>\n---\n# [y](http://z)"

    edited_bundle.forge(bundle, edited_bundle.fact(bundle, "model", scribble))
    assert issue("push", str(bundle), "ann/runs").code == 0
    page = hub.repos[BUNDLES].files["README.md"].data.decode()
    (line,) = [line for line in page.splitlines() if "<img" in line]
    assert line.startswith("| Model | `'x'\\|<img src=1> --- # [y](http://z)")
    assert line.count("`") == 2


def test_a_signature_goes_along(hub: Hub, bundle: Path) -> None:
    Path("mine.bundle.zip.sig").write_text("signed")
    issue("push", str(bundle), "ann/runs")
    assert hub.repos[BUNDLES].files["mine.bundle.zip.sig"].data == b"signed"


def test_a_changed_bundle_is_not_pushed(hub: Hub, bundle: Path) -> None:
    edited_bundle.edit(bundle, {"leaderboard.csv": b"better"})
    ended = issue("push", str(bundle), "ann/runs")
    assert (ended.code, hub.asked) == (5, [])


def test_a_changed_trained_method_is_not_pushed(hub: Hub, trained: Path) -> None:
    data = bytearray(trained.read_bytes())
    data[-1] ^= 1
    trained.write_bytes(data)
    ended = issue("push", str(trained), "ann/maps")
    assert (ended.code, hub.asked) == (5, [])
    assert "its tensors do not have their digest" in ended.shown


def test_a_card_that_names_code_stays_here(hub: Hub, trained: Path) -> None:
    card = trained.with_suffix(".toml")
    card.write_text(card.read_text().replace('"hypertransport"', '"/home/ann/mine.py:Mine"'))
    ended = issue("push", str(trained), "ann/maps")
    assert (ended.code, hub.asked) == (5, [])
    assert "names code" in ended.shown


def test_what_htbench_did_not_write_is_not_pushed(hub: Hub) -> None:
    Path("notes.txt").write_text("hello")
    ended = issue("push", "notes.txt", "ann/runs")
    assert (ended.code, hub.asked) == (2, [])
    assert "neither a bundle nor" in ended.shown


def test_a_push_needs_a_token(hub: Hub, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    ended = issue("push", str(bundle), "ann/runs")
    assert (ended.code, hub.asked) == (4, [])
    assert "there is no token of the hub" in ended.shown


def test_the_token_of_the_library_s_own_store_will_do(
    hub: Hub, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    store = Path(constants.HF_TOKEN_PATH)
    store.parent.mkdir()
    store.write_text(f"{TOKEN}\n")
    assert issue("push", str(bundle), "ann/runs").code == 0


@pytest.mark.parametrize(
    ("token", "repository", "words"),
    [
        (STRANGER, "ann/public", "has no right"),
        (READER, "ann/public", "has no right"),
        (TOKEN, "bob/new", "has no right"),
        ("hf_nobody", "ann/public", "does not accept your token"),
    ],
)
def test_a_token_without_the_right_is_told(
    hub: Hub, bundle: Path, monkeypatch: pytest.MonkeyPatch, token: str, repository: str, words: str
) -> None:
    hub.add("datasets", "ann/public", {})
    monkeypatch.setenv("HF_TOKEN", token)
    ended = issue("push", str(bundle), repository, "--public")
    assert (ended.code, hub.sent()) == (4, [])
    assert words in ended.shown


def test_the_token_is_neither_shown_nor_written_nor_sent_to_the_storage(
    hub: Hub, bundle: Path, tmp_path: Path
) -> None:
    shown = issue("push", str(bundle), "ann/runs").shown + issue("pull", "ann/runs", "new").shown
    assert TOKEN not in shown
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    pushed = [file.data for file in hub.repos[BUNDLES].files.values()]
    assert not [data for data in (*written, *pushed) if TOKEN.encode() in data]
    at_storage = [asked for asked in hub.asked if asked.at_storage]
    assert {asked.method for asked in at_storage} == {"PUT", "GET"}
    assert not [asked for asked in at_storage if "authorization" in asked.headers]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("ann/runs@v1",), "has a revision"),
        (("runs",), "is no name of a repository"),
        (("ann/runs", "--license", "Apache 2"), "is no licence of a hub"),
        (("ann/runs", "--endpoint", "hub"), "is no address"),
        (("ann/runs", "--endpoint", "https://me:secret@hub.example"), "has a user, password"),
        (("ann/runs", "--endpoint", "http://hub.example"), "would get your token unencrypted"),
    ],
)
def test_wrong_words_are_told_before_anything_is_sent(
    hub: Hub, bundle: Path, words: tuple[str, ...], shown: str
) -> None:
    ended = issue("push", str(bundle), *words)
    assert (ended.code, hub.asked) == (2, [])
    assert shown in ended.shown
    assert "secret" not in ended.shown


def test_json_has_what_was_done(hub: Hub, bundle: Path) -> None:
    answer = json.loads(issue("push", str(bundle), "ann/runs", "--json").shown)
    assert answer["uploaded"] == ["README.md", "mine.bundle.zip"]
    assert answer["private"] is True
    assert answer["commit"] == hub.repos[BUNDLES].branches["main"]


def _header_length(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[:8], "little")
