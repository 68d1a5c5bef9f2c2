"""Tables and paragraphs for a terminal, in which nothing is cut."""

import pytest

from htbench.core.tables import TextTable, wrap

LONG = "linear-act-mapped-with-a-name-that-is-very-long-indeed"


def table(*names: str) -> TextTable:
    rows = [("1", name, ".33 ±.10", "12.5 µs") for name in names]
    return TextTable(columns=("#", "Method", "Gain", "Time"), rows=rows, names=1)


def test_names_are_aligned_left_and_figures_right() -> None:
    assert table("lineas", "prompt-interp").lines(80) == [
        "#  Method             Gain     Time",
        "1  lineas         .33 ±.10  12.5 µs",
        "1  prompt-interp  .33 ±.10  12.5 µs",
    ]


def test_a_name_that_does_not_fit_has_a_line_of_its_own() -> None:
    heading, short, name, figures = table("lineas", LONG).lines(60)
    assert name == f"1  {LONG}"
    assert figures.split() == [".33", "±.10", "12.5", "µs"]
    assert {len(heading), len(short), len(figures)} == {60}


@pytest.mark.parametrize("width", [10, 40, 80])
def test_nothing_is_cut_at_any_width(width: int) -> None:
    words = " ".join(table(LONG, "lineas").lines(width)).split()
    assert {LONG, "lineas", ".33", "±.10", "Method", "Gain"} <= set(words)


def test_a_wide_character_takes_two_columns() -> None:
    assert table("漢字", "abcd").lines(80)[1].startswith("1  漢字    ")


def test_paragraphs_break_at_spaces_alone() -> None:
    assert wrap(f"see {LONG}, please", 20, indent=2) == ["see", f"  {LONG},", "  please"]
