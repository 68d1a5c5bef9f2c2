"""Packing and unpacking: the same bytes each time, and nothing of the machine."""

import json
import shutil
from pathlib import Path

import pytest
from kit import edited_bundle, judged_run, report_run
from kit.commands import imports_torch
from kit.judge_servers import Endpoint, serving

from htbench.bundles.pack import pack, parts
from htbench.bundles.redaction import redact
from htbench.bundles.unpack import unpack, unpacked
from htbench.core.errors import Missing, Refused, UsageError
from htbench.run import check
from htbench.run.diff import compare_runs
from htbench.run.store import Failure, Store
from htbench.run.summary import Summary

KEPT = Path(__file__).parents[1] / "kit" / "kept" / "runs" / "kept"
SMALL = {"concepts": 3, "prompts": report_run.PROMPTS[:1], "size": 8}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return report_run.build(tmp_path / "run", **SMALL)


@pytest.fixture
def bundle(run: Path, tmp_path: Path) -> Path:
    return pack(run, tmp_path / "run.bundle.zip").path


def test_the_same_run_gives_the_same_bytes(run: Path, bundle: Path, tmp_path: Path) -> None:
    again = pack(run, tmp_path / "again.zip")
    assert again.path.read_bytes() == bundle.read_bytes()


def test_what_was_unpacked_packs_to_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    unpack(bundle, tmp_path / "unpacked")
    assert pack(tmp_path / "unpacked", tmp_path / "again.zip").path.read_bytes() == (
        bundle.read_bytes()
    )


def test_what_was_unpacked_is_the_run(run: Path, bundle: Path, tmp_path: Path) -> None:
    unpack(bundle, tmp_path / "unpacked")
    with Store.read(run) as store, Store.read(tmp_path / "unpacked") as other:
        assert compare_runs(Summary(store), Summary(other)).identical == store.count()
        assert other.timings() == store.timings()
    assert not check.check(tmp_path / "unpacked").is_damaged


def test_a_bundle_without_pictures_has_all_numbers(run: Path, tmp_path: Path) -> None:
    small = pack(run, tmp_path / "small.zip", with_pictures=False).path
    assert not [name for name in edited_bundle.read(small) if name.startswith("images/")]
    with unpacked(small) as other, Store.read(run) as store, Store.read(other) as without:
        assert without.scores() == store.scores()


def test_a_run_of_version_0_1_0_is_packed_as_one_of_today(tmp_path: Path) -> None:
    shutil.copytree(KEPT, tmp_path / "kept")
    pack(tmp_path / "kept", tmp_path / "kept.zip")
    with unpacked(tmp_path / "kept.zip") as new, Store.read(KEPT) as old, Store.read(new) as store:
        assert sorted(store.scores(), key=str) == sorted(old.scores(), key=str)
        assert store.sessions() == old.sessions()


def test_runs_within_a_run_are_packed(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, run / "tuning")
    shutil.copytree(run / "tuning", run / "fit-seeds" / "1")
    unpack(pack(run, tmp_path / "all.zip").path, tmp_path / "unpacked")
    assert parts(tmp_path / "unpacked") == [Path(), Path("fit-seeds/1"), Path("tuning")]
    assert not check.check(tmp_path / "unpacked" / "tuning").is_damaged


def test_the_verdicts_of_judges_are_packed(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", concepts=2)
    with serving(Endpoint()) as endpoint:
        card = judged_run.card(tmp_path / "judge", endpoint.url)
        before = judged_run.tables(run, card)
        with unpacked(pack(run, tmp_path / "run.zip").path) as other:
            asked = len(endpoint.paid)
            assert judged_run.tables(other, card) == before
            assert len(endpoint.paid) == asked


def test_no_path_of_the_machine_is_in_a_bundle(run: Path, tmp_path: Path) -> None:
    with Store.open(run) as store:
        store.start_session(
            command=f"htbench run --runs-dir {tmp_path}/x '{tmp_path}/a b/mine.toml'",
            environment={"weights": f"{tmp_path}/weights"},
        )
        trace = f'File "{run}/model.py", line 3'
        store.add_failure([store.rows()[0].image], Failure(kind="nan", message="", trace=trace))
        store.set_facts(plan={**store.facts()["plan"], "weights": str(tmp_path / "weights")})
        store.add_timing("towards", "none", "x", 1.0, "cpu")
    data = pack(run, tmp_path / "run.zip").path.read_bytes()
    assert str(tmp_path).encode() not in data
    assert b".../mine.toml" in data
    assert b".../model.py" in data


def test_a_key_of_the_environment_is_in_no_bundle(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(run) as store:
        store.set_facts(gauges=[{"command": ["score", "--key", "sesame-open-42"]}])
    monkeypatch.setenv("SCORER_API_KEY", "sesame-open-42")
    assert b"sesame" not in pack(run, tmp_path / "run.zip").path.read_bytes()


def test_results_of_a_study_are_packed_and_its_answers_are_not(run: Path, tmp_path: Path) -> None:
    (run / "studies").mkdir()
    (run / "studies" / "mine-01234567.json").write_text('{"version": 1}')
    (run / "study").mkdir()
    (run / "study" / "answers.csv").write_text("person-7")
    entries = edited_bundle.read(pack(run, tmp_path / "run.zip").path)
    assert json.loads(entries["run/studies/mine-01234567.json"]) == {"version": 1}
    assert not [data for data in entries.values() if b"person-7" in data]


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("--out=/home/ann/x.toml", "--out=.../x.toml"),
        ("file:///home/ann/x", ".../x"),
        (r"C:\Users\ann\x.toml", ".../x.toml"),
        ("a /b/c d", "a .../c d"),
        ("/data", ".../data"),
    ],
)
def test_an_absolute_path_keeps_its_last_part(text: str, redacted: str) -> None:
    assert redact(text) == redacted
    assert redact(redacted) == redacted


@pytest.mark.parametrize(
    "text", ["style/sepia", "./mine/x.toml", "https://arxiv.org/abs/2410.23054", "10 images / s"]
)
def test_what_is_no_absolute_path_is_left(text: str) -> None:
    assert redact(text) == text


def test_a_damaged_image_is_not_packed(run: Path, tmp_path: Path) -> None:
    next((run / "images").glob("*.png")).write_bytes(b"other")
    with pytest.raises(Refused, match="is not what was written"):
        pack(run, tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()


def test_a_run_without_cells_is_not_packed(tmp_path: Path) -> None:
    Store.open(tmp_path / "run").close()
    with pytest.raises(Missing, match="no cells"):
        pack(tmp_path / "run", tmp_path / "run.zip")


def test_no_file_is_overwritten(run: Path, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        pack(run, bundle)
    with pytest.raises(UsageError, match="exists"):
        unpack(bundle, run)


def test_the_commands_pack_and_unpack_need_no_torch(run: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "mine.bundle.zip")
    assert not imports_torch("pack", str(run), "--out", out)
    assert not imports_torch("unpack", out, "--runs-dir", str(tmp_path / "runs"))
    assert check.check(tmp_path / "runs" / "mine").images > 0
