"""Keys and passwords that print as stars, and are taken out of all texts."""

import json
import pickle
from base64 import b64encode
from urllib.parse import quote

import pytest

from htbench.core import secrets
from htbench.core.errors import UsageError
from htbench.core.secrets import Secret, scrub, split_address

VALUE = 'Zq9 w/é"7'


def test_a_secret_shows_as_stars() -> None:
    secret = Secret("tr0ub4dor&3")
    assert f"{secret} {secret!r} {[secret]}" == "*** *** [***]"
    assert secret.reveal() == "tr0ub4dor&3"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    "spelling",
    [VALUE, quote(VALUE, safe=""), repr(VALUE)[1:-1], b64encode(VALUE.encode()).decode()],
)
def test_a_secret_is_found_however_it_is_spelt(spelling: str) -> None:
    Secret(VALUE)
    assert scrub(f"bad key {spelling}.") == "bad key ***."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://me:pass@host/v1 and x", "http://***@host/v1 and x"),
        ("Authorization: Bearer abcdefgh12", "Authorization: Bearer ***"),
        ("http://host/v1?a=1&api-key=abc#x", "http://host/v1?a=1&api-key=***#x"),
        ("http://host/v1, mail a@b.org", "http://host/v1, mail a@b.org"),
    ],
)
def test_passwords_in_addresses_and_headers_are_hidden(text: str, expected: str) -> None:
    assert scrub(text) == expected


def test_a_variable_that_is_named_like_a_key_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_0123456789")
    monkeypatch.setenv("KEYBOARD", "qwertyuiop")
    assert scrub("hf_0123456789 qwertyuiop") == "*** qwertyuiop"


def test_white_space_around_a_key_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", " abcdef\r\n")
    key = secrets.from_environment("TEST_KEY")
    assert (key or Secret("")).reveal() == "abcdef"
    monkeypatch.setenv("TEST_KEY", " ")
    assert secrets.from_environment("TEST_KEY") is None


@pytest.mark.parametrize("value", ["abc def", "abcdefé", "abc\ndefg", "abc\x01def"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", value)
    with pytest.raises(UsageError, match="the key in TEST_KEY has") as caught:
        secrets.from_environment("TEST_KEY")
    assert value not in str(caught.value)


def test_an_address_is_parted_from_its_secrets() -> None:
    address = split_address("https://me:pa%20ss@host:8/v1?api-key=abc", noun="TEST_URL")
    assert (address.shown, address.user) == ("https://host:8/v1", "me")
    assert (address.password or Secret("")).reveal() == "pa ss"
    assert (address.query or Secret("")).reveal() == "api-key=abc"
    assert "pa ss" not in json.dumps(repr(address))


@pytest.mark.parametrize(
    "address", ["host/v1", "ftp://host", "http://", "http://h:x", "http://a b"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="TEST_URL is no address"):
        split_address(address, noun="TEST_URL")
