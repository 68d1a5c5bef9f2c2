"""Addresses of pages: plain, fixed, and one for each name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htbench.board import addresses


@pytest.mark.parametrize("name", ["lineas", "lineas-l2", "emoji", "2025.1", "1", "my_method"])
def test_a_plain_name_is_its_own_address(name: str) -> None:
    assert addresses.slug(name) == name


def test_the_kind_of_a_concept_is_a_folder() -> None:
    assert addresses.concept_address("emoji", "3", "style/sepia") == "concepts/emoji/3/style/sepia"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "LINEAS", "<script>", "x" * 300, "a.", "é"]
)
def test_any_other_name_has_a_digest(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]{1,42}-[0-9a-f]{16}", addresses.slug(name))


@given(st.text(max_size=30), st.text(max_size=30))
def test_two_names_have_two_addresses_on_any_file_system(one: str, two: str) -> None:
    if one != two:
        assert addresses.slug(one).lower() != addresses.slug(two).lower()


@given(st.text(max_size=30))
def test_no_name_has_the_address_of_another(name: str) -> None:
    assert addresses.slug(addresses.slug(name)) != addresses.slug(name) or (
        addresses.slug(name) == name
    )


@given(st.text(alphabet="ab./<A", max_size=12))
def test_a_concept_leaves_no_folder(concept: str) -> None:
    parts = addresses.concept_address("s", "1", concept).split("/")
    assert parts[:3] == ["concepts", "s", "1"]
    assert "" not in parts
    assert ".." not in parts
