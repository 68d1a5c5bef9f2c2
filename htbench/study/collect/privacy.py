"""Pseudonyms of people, and a check of texts for identifiers before they are written."""

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
"""Hexadecimal digits of a pseudonym; 10,000 people collide with probability 1 in 20,000."""
_EMAIL = re.compile(rb"[\w.+-]+@[\w-]+\.[\w.-]+")
_IP_ADDRESS = re.compile(
    rb"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])"
)
_MIN_IDENTIFIER_CHARS = 5
"""Length below which an identifier may occur in a text by chance."""


@dataclass(frozen=True, kw_only=True)
class Pseudonyms:
    """Pseudonyms from a keyed hash: without the secret, known identifiers cannot be tried out.

    References:
        Krawczyk, Bellare, Canetti. HMAC: Keyed-Hashing for Message Authentication. RFC 2104. 1997.
    """

    secret: bytes
    identifiers: set[str] = field(default_factory=set, repr=False, compare=False)
    """Identifiers that have a pseudonym, kept only in memory."""

    def pseudonym(self, identifier: str) -> str:
        """The pseudonym of a person."""
        self.identifiers.add(identifier)
        code = hmac.new(self.secret, identifier.strip().encode(), sha256)
        return code.hexdigest()[:PSEUDONYM_LENGTH]


def load_or_create_secret(path: Path, *, shared_folder: Path) -> bytes:
    """The study's secret, created if the file does not exist, readable by its owner only.

    Raises:
        UsageError: if it is in `shared_folder`, which is passed on to others, or is too short.
    """
    if path.resolve().is_relative_to(shared_folder.resolve()):
        raise UsageError(
            f"the secret {str(path)!r} lies in {str(shared_folder)!r}, which is for others to see",
            remedy="Give --secret a path elsewhere.",
        )
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_bytes().strip()
    else:
        secret = secrets.token_hex(32).encode()
        with os.fdopen(handle, "wb") as file:
            file.write(secret + b"\n")
    if len(secret) < 32:
        raise UsageError(
            f"the secret {str(path)!r} has {len(secret)} characters; 32 are the least",
            remedy="Delete it, and a new one is made.",
        )
    return secret


def refuse_identifiers(texts: Iterable[bytes], identifiers: Iterable[str]) -> None:
    """Refuse texts that contain an identifier, an e-mail address or an internet address.

    Identifiers below five characters are ignored, since they occur by chance.

    Raises:
        Refused: if a text does; the message does not repeat it.
    """
    encoded = [name.encode() for name in identifiers if len(name) >= _MIN_IDENTIFIER_CHARS]
    remedy = (
        "Nothing was written. Take it out of the study's own texts, or tell the profile another "
        "column."
    )
    for text in texts:
        if any(identifier in text for identifier in encoded):
            raise Refused("the result would hold a person's raw identifier", remedy=remedy)
        if _EMAIL.search(text) or _IP_ADDRESS.search(text):
            raise Refused("the result would hold an e-mail or internet address", remedy=remedy)
