"""Cells of CSV files that no spreadsheet takes for a formula."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htbench.core.csv_files import cell, original

_TRICKY = st.text(st.sampled_from("'=+-@\t\r\n 0.5e\u200b\uff1d\uff0da"), max_size=6)


@given(text=st.text() | _TRICKY)
def test_every_text_is_got_back_from_its_cell(text: str) -> None:
    assert original(cell(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\thello",
        "\rhello",
        "  =1",
        "\n=1",
        "\u00a0=1",
        "\ufeff=1",
        "\u200b=1",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1+1",
        "\uff20SUM(A1)",
        "-",
        "-inf",
        "'=1",
        "-1 2",
    ],
)
def test_a_text_that_begins_a_formula_gets_an_apostrophe(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "text", ["", "a cat", "a=1", "-1", "+3.5", "-.5e-7", "1", "'twas", "'-1", "' 5", "café", "5-3"]
)
def test_other_texts_and_plain_numbers_stay_as_they_are(text: str) -> None:
    assert cell(text) == text
    assert original(text) == text
