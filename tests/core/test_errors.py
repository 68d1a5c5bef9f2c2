"""Failures that a user can mend."""

import pytest

from htbench.core import errors
from htbench.core.errors import HtbenchError, UnknownName

CODES = {"UsageError": 2, "UnknownName": 2, "Incomplete": 3, "Missing": 4, "Refused": 5}


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_each_failure_has_its_exit_code(name: str, code: int) -> None:
    assert getattr(errors, name).exit_code == code


def test_a_failure_is_its_cause_and_carries_its_remedy() -> None:
    failure = HtbenchError("no weights", remedy="Train them.")
    assert (str(failure), failure.remedy) == ("no weights", "Train them.")


def test_an_unknown_name_names_the_nearest() -> None:
    assert (
        str(UnknownName("method", "linaes", ["lineas", "prompt"]))
        == "no method 'linaes'; did you mean 'lineas'?"
    )


def test_the_nearest_name_is_found_in_capitals_too() -> None:
    assert "did you mean 'lineas'?" in str(UnknownName("method", "LinEAS", ["lineas", "prompt"]))


def test_a_known_name_with_capitals_is_found() -> None:
    assert "did you mean 'ViT-B-32'?" in str(
        UnknownName("encoder", "vit-b32", ["ViT-B-32", "emoji"])
    )


def test_where_nothing_is_near_the_known_names_are_listed() -> None:
    assert str(UnknownName("split", "xyz", ["train", "dev"])) == "no split 'xyz'; known: dev, train"


def test_a_long_list_of_known_names_is_cut() -> None:
    assert str(UnknownName("site", "?", [f"{k:02}" for k in range(99)])).endswith("09, 10, 11, …")


def test_a_name_is_quoted_so_that_it_stays_on_one_line() -> None:
    assert "\n" not in str(UnknownName("method", "a\nb", ["c"]))


def test_an_endless_name_is_cut() -> None:
    assert len(str(UnknownName("method", "a" * 10_000, ["c"]))) < 150
