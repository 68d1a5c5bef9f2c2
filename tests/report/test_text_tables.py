"""Tables of a run for papers and notes."""

import re
from pathlib import Path

import pytest
from kit import claims_run

from htbench import report
from htbench.report import format, text_tables
from htbench.report.text_tables import TextTable

HOSTILE = TextTable(
    name="t",
    caption="50 % of A_B & C",
    head=["Method", "x^2"],
    rows=[[r"a\b{c}$#~", "−1.5×"], ["p|q", "[x](http://y) <b>"]],
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return claims_run.build(tmp_path_factory.mktemp("runs") / "run")


def test_signs_that_latex_would_take_for_its_own_are_escaped() -> None:
    text = HOSTILE.to_latex()
    assert r"a\textbackslash{}b\{c\}\$\#\textasciitilde{} & $-$1.5$\times$ \\" in text
    assert r"\caption{50 \% of A\_B \& C}" in text


def test_a_table_in_latex_is_of_booktabs_with_a_column_per_heading() -> None:
    text = HOSTILE.to_latex()
    rules = re.findall(r"\\(\w+)rule", text)
    assert rules == ["top", "mid", "bottom"]
    assert r"\begin{tabular}{@{}lr@{}}" in text


def test_signs_that_markdown_would_take_for_its_own_are_escaped() -> None:
    assert r"| p\|q | \[x](http://y) \<b\> |" in HOSTILE.to_markdown()


@pytest.mark.parametrize(("kind", "suffix"), [("latex", "tex"), ("markdown", "md")])
def test_leaderboard_speed_and_claims_are_written(
    run: Path, tmp_path: Path, kind: text_tables.TextFormat, suffix: str
) -> None:
    with report.open_run(run) as summary:
        files = text_tables.write(summary, tmp_path / "out", kind)
        gain = summary.leaderboard[0].headline
    assert [file.name for file in files] == [
        f"{name}.{suffix}" for name in ("leaderboard", "speed", "claims")
    ]
    assert gain is not None
    assert format.score(gain.mean) in files[0].read_text()
    assert "not tested" in files[2].read_text()
