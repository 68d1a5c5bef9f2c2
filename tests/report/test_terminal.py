"""The summary of a run in a terminal."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import report_run

from htbench.report import terminal
from htbench.report.sections import leaderboard
from htbench.run.store import Store
from htbench.run.summary import Summary

LONG = "hypertransport-with-a-name-that-is-longer-than-any-that-is-shipped"


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Summary]:
    methods = ("none", "prompt", "lineas", "hypertransport", LONG)
    folder = report_run.build(tmp_path_factory.mktemp("runs") / "run", methods=methods, size=8)
    with Store.read(folder) as store:
        yield Summary(store)


@pytest.fixture
def lines(
    summary: Summary, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """The lines of the summary on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    terminal.show(summary)
    return capsys.readouterr().out.splitlines()


def test_the_first_sentence_is_the_conclusion(summary: Summary, lines: list[str]) -> None:
    first = " ".join(lines[: lines.index("")])
    assert first == leaderboard.conclusion(summary)


def test_no_line_is_wider_than_78_columns_and_no_name_is_cut(
    summary: Summary, lines: list[str]
) -> None:
    assert max(len(line) for line in lines) <= 78
    for method in summary.methods:
        assert any(method in line.split() for line in lines)


def test_a_row_has_rank_tier_and_half_intervals(summary: Summary, lines: list[str]) -> None:
    (row,) = (line.split() for line in lines if "prompt" in line.split()[2:3])
    assert summary.ranks is not None
    rank = summary.ranks.get("prompt")
    assert rank is not None
    assert row[:3] == [rank.rank_range, str(rank.tier), "prompt"]
    assert re.fullmatch(r"-?[01]?\.\d\d", row[3])
    assert re.fullmatch(r"±[01]?\.\d\d", row[4])


def test_speed_ups_are_written_as_on_the_page(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert re.search(r"hypertransport vs lineas .*\n? +[\d,.]+×", text)
    assert "e+0" not in text


@pytest.mark.parametrize(("columns", "wide"), [("80", True), ("120", False)])
def test_wide_shows_every_score_with_its_interval(
    summary: Summary,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    columns: str,
    wide: bool,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    terminal.show(summary, wide=wide)
    heading, *_ = (line for line in capsys.readouterr().out.splitlines() if "Tier" in line)
    assert "Prompt kept  " in heading
    assert heading.endswith("Done")


def test_chosen_strengths_rank_and_strength_1_stands_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = ("none", "prompt", "lineas", "hypertransport")
    folder = report_run.build(tmp_path / "run", methods=methods, size=8)
    with Store.open(folder) as store:
        store.set_facts(tuned={name: {"strength": 0.5} for name in ("lineas", "hypertransport")})
        monkeypatch.setenv("COLUMNS", "80")
        terminal.show(Summary(store))
    chosen, _, full = capsys.readouterr().out.partition("At strength 1\n")
    assert "Strength" in chosen
    assert "Ranked by concept gain at the strength chosen on dev concepts." in chosen
    (row,) = (line.split() for line in chosen.splitlines() if line.split()[2:3] == ["lineas"])
    assert row[3] == "0.5"
    assert "Regret" in full.splitlines()[0]
