"""Values of options: numbers and how they are written."""

import pytest

from htbench.cli.options import parse_numbers
from htbench.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", [1.0]),
        ("0, 0.5 ,1", [0.0, 0.5, 1.0]),
        ("-1,2", [-1.0, 2.0]),
        ("0,0.25,...,1", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("0,0.1,…,0.4", [0.0, 0.1, 0.2, 0.3, 0.4]),
        ("1,0.5,...,-1", [1.0, 0.5, 0.0, -0.5, -1.0]),
        ("-3,0,1,...,3", [-3.0, 0.0, 1.0, 2.0, 3.0]),
    ],
)
def test_numbers_are_read(text: str, expected: list[float]) -> None:
    assert parse_numbers("strength", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "one",
        "0,...,1",
        "0,0.3,...,1",
        "0,0,...,1",
        "0,0.5,...",
        "...",
        "0,1,...,5,6",
        "0,1e-9,...,1",
        "0,nan,...,1",
    ],
)
def test_what_is_no_list_of_numbers_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="strength"):
        parse_numbers("strength", text)
