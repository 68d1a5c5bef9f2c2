"""Keys and passwords: kept in objects that print as `***`, and taken out of all that is shown."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from htbench.core.errors import UsageError

HIDDEN = "***"
_MIN_LENGTH = 6
"""Shorter values are not searched for in texts: they would be found in ordinary words."""
_SECRET_VARIABLE = re.compile(
    r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASS|PWD|CREDENTIALS?)$", re.IGNORECASE
)
_IN_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@'\"<>]+@", re.IGNORECASE)
_AFTER_NAME = re.compile(
    r"\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{6,}"
    r"|([?&](?:api[-_]?key|key|token|access[-_]?token|sig|signature|password|secret)=)"
    r"[^\s&#'\"<>]+",
    re.IGNORECASE,
)
_known: set[str] = set()


class Secret:
    """A value that neither prints, nor formats, nor pickles as itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if len(value) >= _MIN_LENGTH:
            _known.add(value)

    def reveal(self) -> str:
        """The value, for the one place that needs it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> str:
        raise TypeError("a secret is not to be pickled")


@dataclass(frozen=True, kw_only=True)
class Address:
    """An address without its secrets, and these beside it."""

    shown: str
    """The address without user, password, query and fragment: the one that may be stored."""
    user: str = ""
    password: Secret | None = None
    query: Secret | None = None
    """The part after the question mark, which may hold a key."""


def from_environment(variable: str) -> Secret | None:
    """The key in an environment variable without white space around it; None without one.

    Raises:
        UsageError: if it holds characters that no header of a request can have.
    """
    value = (os.environ.get(variable) or "").strip()
    if not value:
        return None
    secret = Secret(value)
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise UsageError(
            f"the key in {variable} has white space in it, or characters that are not ASCII",
            remedy="Copy it again: keys are one line of letters and digits.",
        )
    return secret


def split_address(address: str, *, noun: str) -> Address:
    """An address of http or https, with its user, password and query taken out.

    Raises:
        UsageError: if it is no such address; `noun` says where it was given.
    """
    text = address.strip()
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises for a port that is none
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_valid = False
    if not is_valid or not text.isprintable() or " " in text:
        raise UsageError(
            f"{noun} is no address: {scrub(text)[:200]!r}",
            remedy="Give one such as http://localhost:8000/v1.",
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    for part in (parts.password, parts.username if not password else None, *_queries(parts.query)):
        Secret(part or "")
    return Address(
        shown=urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")),
        user=user,
        password=Secret(password) if password else None,
        query=Secret(parts.query) if parts.query else None,
    )


def scrub(text: str) -> str:
    """`text` with every known secret in it as `***`.

    Known are all `Secret`s, the values of environment variables that are named like a key, and
    whatever stands where addresses and headers have a password or key.
    """
    in_environment = {
        value.strip()
        for name, value in os.environ.items()
        if _SECRET_VARIABLE.search(name) and name != "PWD"  # the shell's working folder
    }
    text = _IN_ADDRESS.sub(rf"\1{HIDDEN}@", _without(_known | in_environment, text))
    return _AFTER_NAME.sub(
        lambda match: f"{match[3]}{HIDDEN}" if match[3] else f"{match[1]}{match[2]}{HIDDEN}", text
    )


def scrub_reply(text: str) -> str:
    """`text` with every `Secret` in it as `***`: what a server that was sent some can send back.

    All else stays as it is, so that JSON stays JSON.
    """
    return _without(_known, text)


def is_secret_name(name: str) -> bool:
    """True for the name of a variable, parameter or header that holds a key or password."""
    spelling = name.replace("-", "_")
    return bool(_SECRET_VARIABLE.search(spelling)) or spelling.lower() == "authorization"


def _without(values: Iterable[str], text: str) -> str:
    """`text` without secrets, the longest first."""
    for spelling in sorted(_spellings(values), key=len, reverse=True):
        if spelling in text:
            text = text.replace(spelling, HIDDEN)
    if "\\u00" in text or "\\/" in text:  # JSON may escape any letter, and JSON in JSON again
        for value in sorted(values, key=len, reverse=True):
            if len(value) >= _MIN_LENGTH and value.isascii():
                text = re.sub("".join(map(_escaped, value)), HIDDEN, text, flags=re.IGNORECASE)
    return text


def _escaped(letter: str) -> str:
    r"""A pattern for an ASCII letter, also as `\u0041`, with up to eight backslashes."""
    return rf"(?:\\{{0,8}}{re.escape(letter)}|\\{{1,8}}u00{ord(letter):02x})"


def _spellings(values: Iterable[str]) -> set[str]:
    """All secrets, as they are and as an address, a Python string or JSON would spell them."""
    from base64 import b64encode

    return {
        spelling
        for value in values
        if len(value) >= _MIN_LENGTH
        for spelling in (
            value,
            quote(value, safe=""),
            repr(value)[1:-1],
            json.dumps(value)[1:-1],
            b64encode(value.encode("utf-8", "surrogateescape")).decode(),
        )
        if len(spelling) >= _MIN_LENGTH
    }


def _queries(query: str) -> Iterator[str]:
    for part in query.split("&"):
        yield unquote(part.partition("=")[2])
