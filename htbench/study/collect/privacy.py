"""Names that cannot be led back to people, and a look at what is written for what should not be in it."""

import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from htbench.core.errors import Refused, UsageError

PSEUDONYM_LENGTH = 10
"""Hexadecimal digits of a pseudonym: among 10,000 people two share one with a chance of 1 in 20,000."""
_EMAIL = re.compile(rb"[\w.+-]+@[\w-]+\.[\w.-]+")
_IP_ADDRESS = re.compile(
    rb"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])"
)
_MIN_IDENTIFIER_CHARS = 5
"""Characters from which on an identifier that occurs somewhere does not do so by chance."""


@dataclass(frozen=True, kw_only=True)
class Pseudonyms:
    """Names for people by a keyed hash: without the secret nobody can try out identifiers that are known from elsewhere.

    References:
        Krawczyk, Bellare, Canetti. HMAC: Keyed-Hashing for Message Authentication. RFC 2104. 1997.
    """

    secret: bytes
    identifiers: set[str] = field(default_factory=set, repr=False, compare=False)
    """Identifiers that were given names, in memory alone."""

    def pseudonym(self, identifier: str) -> str:
        """The name of a person."""
        self.identifiers.add(identifier)
        return hmac.new(self.secret, identifier.strip().encode(), sha256).hexdigest()[
            :PSEUDONYM_LENGTH
        ]


def load_or_create_secret(path: Path, *, shared_folder: Path) -> bytes:
    """The study's secret, made at first if the file is not there; nobody else may read it.

    Raises:
        UsageError: if it lies in the folder `shared_folder`, which is given away, or is too short.
    """
    if path.resolve().is_relative_to(shared_folder.resolve()):
        raise UsageError(
            f"the secret {str(path)!r} lies in {str(shared_folder)!r}, which is for others to see",
            remedy="Give --secret a path elsewhere.",
        )
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        found = path.read_bytes().strip()
    else:
        found = secrets.token_hex(32).encode()
        with os.fdopen(handle, "wb") as file:
            file.write(found + b"\n")
    if len(found) < 32:
        raise UsageError(
            f"the secret {str(path)!r} has {len(found)} characters; 32 are the least",
            remedy="Delete it, and a new one is made.",
        )
    return found


def refuse_identifiers(texts: Iterable[bytes], identifiers: Iterable[str]) -> None:
    """Refuse texts that hold one of the identifiers, an e-mail or an internet address. Identifiers below five characters occur by chance and are not sought.

    Raises:
        Refused: without repeating what was found.
    """
    sought = [
        identifier.encode()
        for identifier in identifiers
        if len(identifier) >= _MIN_IDENTIFIER_CHARS
    ]
    remedy = "Nothing was written. Take it out of the study's own texts, or tell the profile another column."
    for text in texts:
        if any(each in text for each in sought):
            raise Refused("the result would hold a person's raw identifier", remedy=remedy)
        if _EMAIL.search(text) or _IP_ADDRESS.search(text):
            raise Refused("the result would hold an e-mail or internet address", remedy=remedy)
