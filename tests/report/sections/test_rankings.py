"""The leaderboard's rankings, from runs with planted gain and image preservation."""

import csv
from pathlib import Path

import pytest
from kit.html_page import Page
from kit.planted_run import planted

from htbench import report
from htbench.report.sections import rankings
from htbench.report.sections.rankings import RankingTable

STRENGTHS = (0.0, 0.5, 1.0)
GENTLE = {0.5: (0.1, 0.9), 1.0: (0.2, 0.7)}
ROUGH = {0.5: (0.3, 0.6), 1.0: (0.4, 0.3)}
BLANK = {0.5: (0.4, 0.2), 1.0: (0.9, 0.02)}
"""Gain and image preservation by strength; the last paints a blank tile."""
NOTE = "keeps almost nothing of the image (.02)"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = planted(
        tmp_path_factory.mktemp("runs") / "run",
        {"blank": BLANK, "prompt": ROUGH, "gentle": GENTLE},
        strengths=STRENGTHS,
    )
    report.write(folder)
    return folder


def table(run: Path, name: str) -> RankingTable | None:
    with report.open_run(run) as summary:
        found = rankings.collect(summary)
    return next((table for table in found if table.ranking.name == name), None)


def test_the_page_marks_a_method_that_destroys_the_images(run: Path) -> None:
    text = Page((run / "report.html").read_text(encoding="utf-8")).text
    assert "prompt adds most of the concept (+.40), significantly more than the other" in text
    assert f"blank is not ranked: {NOTE}." in text


def test_the_csv_marks_it_and_says_what_ranks(run: Path) -> None:
    with (run / "leaderboard.csv").open(newline="") as file:
        first, _, third, *_ = csv.DictReader(file)
    assert (first["method"], first["rank"], first["ranked_by"]) == (
        "prompt",
        "1",
        "concept gain at strength 1",
    )
    assert (third["method"], third["rank"], third["unranked"]) == ("blank", "", NOTE)


def test_the_markdown_marks_it_and_says_what_ranks(run: Path) -> None:
    text = (run / "leaderboard.md").read_text()
    assert text.index("| `prompt` | 1 | 1 |") < text.index("| `blank` |  |  |")
    assert f"`blank` is not ranked: {NOTE}." in text
    assert "Ranked by concept gain at strength 1." in text


def test_gain_of_all_methods_is_one_of_the_rankings(run: Path) -> None:
    assert list(table(run, "all-gains").ranking.strengths) == ["blank", "prompt", "gentle"]


def test_presence_ranks_by_presence_and_leaves_destroyed_images_out(run: Path) -> None:
    with report.open_run(run) as summary:
        found = {row.method: row.scores["presence"].mean for row in summary.at_full_strength}
    ranking = table(run, "presence").ranking
    assert ranking.left_out == {"blank": NOTE}
    ranked = [place.name for place in ranking.ranks.ranks]
    assert ranked == sorted(("prompt", "gentle"), key=lambda name: -found[name])


def test_gain_where_half_is_kept_is_at_the_strength_between(run: Path) -> None:
    found = table(run, "equal-preservation")
    assert found.ranking.strengths["prompt"] == pytest.approx(2 / 3)
    assert found.scores["prompt"].value == pytest.approx(1 / 3, abs=0.01)
    assert {"blank", "gentle"} == found.ranking.left_out.keys()


def test_hypervolume_is_the_area_over_all_strengths(run: Path) -> None:
    found = table(run, "hypervolume")
    assert found.scores["gentle"].value == pytest.approx((0.7 * 0.2 + 0.2 * 0.1) / 0.4, abs=0.01)
    assert [place.rank for place in found.ranking.ranks.ranks] == [1, 2, 3]


def test_one_strength_leaves_gain_and_presence(tmp_path: Path) -> None:
    folder = planted(tmp_path / "run", {"prompt": ROUGH, "gentle": GENTLE}, strengths=(0.0, 1.0))
    with report.open_run(folder) as summary:
        assert [each.ranking.name for each in rankings.collect(summary)] == ["presence"]
