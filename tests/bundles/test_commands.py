"""Commands that read a bundle as they read a run."""

from pathlib import Path

import pytest
from kit import edited_bundle, report_run
from kit.commands import htbench

from htbench.bundles.pack import pack


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    run = report_run.build(tmp_path / "run", concepts=3, prompts=report_run.PROMPTS[:1], size=8)
    return pack(run, tmp_path / "mine.bundle.zip").path


def test_the_report_of_a_bundle_is_that_of_the_run_and_lies_beside_it(bundle: Path) -> None:
    data = bundle.read_bytes()
    answer = htbench("report", bundle.name, cwd=bundle.parent)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.endswith("Report: mine-report/report.html\n")
    assert htbench("report", "./run", cwd=bundle.parent).returncode == 0
    for name in ("leaderboard.csv", "leaderboard.md"):
        written = bundle.parent / "mine-report" / name
        assert written.read_text() == (bundle.parent / "run" / name).read_text()
    assert bundle.read_bytes() == data


def test_the_report_of_a_bundle_goes_to_another_folder(bundle: Path) -> None:
    answer = htbench("report", bundle.name, "--out", "there", cwd=bundle.parent)
    assert answer.returncode == 0, answer.stderr
    assert (bundle.parent / "there" / "report.html").is_file()


def test_a_bundle_without_pictures_has_a_report(bundle: Path) -> None:
    pack(bundle.parent / "run", bundle.parent / "small.zip", with_pictures=False)
    assert htbench("report", "small.zip", cwd=bundle.parent).returncode == 0
    assert (bundle.parent / "small-report" / "report.html").is_file()


def test_a_run_is_compared_with_a_bundle(bundle: Path) -> None:
    answer = htbench("diff", bundle.name, "./run", cwd=bundle.parent)
    assert answer.stdout.startswith("Identical on all")


def test_a_bundle_is_checked_against_rules(bundle: Path) -> None:
    answer = htbench("check", bundle.name, "--require", "failed <= 0", cwd=bundle.parent)
    assert answer.returncode == 0, answer.stderr
    assert "✓ failed <= 0: it is 0" in answer.stdout


def test_a_bundle_without_pictures_is_not_damaged(bundle: Path) -> None:
    pack(bundle.parent / "run", bundle.parent / "small.zip", with_pictures=False)
    answer = htbench("check", "small.zip", cwd=bundle.parent)
    assert answer.returncode == 0, answer.stderr
    assert "Images: 0 packed" in answer.stdout


@pytest.mark.parametrize("words", [("report",), ("check",), ("diff", "run")])
def test_a_changed_bundle_is_refused_by_every_command(bundle: Path, words: tuple[str]) -> None:
    edited_bundle.edit(bundle, {"run/tables/scores.jsonl": b""})
    answer = htbench(*words, bundle.name, cwd=bundle.parent)
    assert answer.returncode == 5
    assert "is refused" in answer.stderr
