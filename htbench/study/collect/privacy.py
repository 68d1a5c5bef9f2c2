"""Pseudonyms of people, and a check of texts for identifiers before they are written."""

import hmac
import os
import re
import secrets
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv6Address
from pathlib import Path

from htbench.core import reading
from htbench.core.errors import Refused, UsageError
from htbench.core.secrets import Secret

PSEUDONYM_LENGTH = 10
"""Hexadecimal digits of a pseudonym; 10,000 people collide with probability 1 in 20,000."""
_MARK_LENGTH = 16
_EMAIL = re.compile(
    r"""(?<=[\w.!#$%&'*+/=?^`{|}~"-])@(?:\[[\da-f]|(?:[\w-]{1,63}\.){1,10}[^\W\d_])"""
)
"""The end of a mailbox, quoted or not, with a domain or an address in brackets.

It begins at the sign, of which there are few, so that long words take no quadratic time.
"""
_IPV4 = re.compile(
    r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])"
)
_IPV6_LIKE = re.compile(r"(?<![\w:.])[0-9a-f:]{0,40}:[0-9a-f:.]{1,40}(?![\w:])")
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
MIN_IDENTIFIER_CHARS = 5
"""Length below which an identifier may occur in a text by chance."""
_MAX_SECRET_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Pseudonyms:
    """Pseudonyms from a keyed hash: without the secret, known identifiers cannot be tried out.

    References:
        Krawczyk, Bellare, Canetti. HMAC: Keyed-Hashing for Message Authentication. RFC 2104. 1997.
    """

    secret: Secret
    identifiers: set[str] = field(default_factory=set, repr=False, compare=False)
    """Identifiers that have a pseudonym, kept only in memory."""

    def pseudonym(self, identifier: str) -> str:
        """The pseudonym of a person."""
        self.identifiers.add(identifier)
        return self._keyed_digest(identifier.strip())[:PSEUDONYM_LENGTH]

    def mark(self, pseudonym: str) -> str:
        """The digest that is kept of a person who withdrew; it does not give the pseudonym."""
        return self._keyed_digest(f"withdrawn\n{pseudonym}")[:_MARK_LENGTH]

    def _keyed_digest(self, text: str) -> str:
        key = self.secret.reveal().encode("utf-8", "surrogateescape")
        return hmac.new(key, text.encode(), sha256).hexdigest()


def load_or_create_secret(path: Path, *, shared_folder: Path) -> Secret:
    """The study's secret, created if the file does not exist, readable by its owner only.

    Raises:
        UsageError: if it is in `shared_folder`, which is passed on to others, is no file, or is too
            short.
    """
    if path.resolve().is_relative_to(shared_folder.resolve()):
        raise UsageError(
            f"the secret {str(path)!r} lies in {str(shared_folder)!r}, which is for others to see",
            remedy="Give --secret a path elsewhere.",
        )
    if not os.path.lexists(path):
        _create_secret(path)
    data = reading.read_bytes(path, noun="secret", most=_MAX_SECRET_BYTES).strip()
    if len(data) < 32:
        raise UsageError(
            f"the secret {str(path)!r} has {len(data)} characters; 32 are the least",
            remedy="Delete it, and a new one is made.",
        )
    return Secret(data.decode("utf-8", "surrogateescape"))


def _create_secret(path: Path) -> None:
    """Make the file whole or not at all; that of a process that was quicker is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_hex(32).encode() + b"\n")
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            if not path.exists():
                fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def refuse_identifiers(texts: Iterable[tuple[str, str]], identifiers: Iterable[str]) -> None:
    """Refuse columns whose text contains an identifier, an e-mail address or an internet address.

    Case and Unicode form do not matter. Identifiers below five characters are ignored, since they
    occur by chance. The name of the study, which is the user's, may be an identifier.

    Raises:
        Refused: if a column does; the message names it and does not repeat the text.
    """
    normalised = {_normalised(name.strip()) for name in identifiers}
    index = _Identifiers({name for name in normalised if len(name) >= MIN_IDENTIFIER_CHARS})
    remedy = (
        "Nothing was written. Take it out of the study's own texts, or tell the profile another "
        "column."
    )
    for column, text in texts:
        normal = _normalised(text)
        if column != "study" and index.occur_in(normal):
            raise Refused(
                f"column {column!r} of the result would hold a person's raw identifier",
                remedy=remedy,
            )
        if _has_address(normal):
            raise Refused(
                f"column {column!r} of the result would hold an e-mail or internet address",
                remedy=remedy,
            )


class _Identifiers:
    """An index of texts by their first characters, to find any of them in one pass."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        lengths: dict[str, set[int]] = defaultdict(set)
        for name in names:
            lengths[name[:MIN_IDENTIFIER_CHARS]].add(len(name))
        self._lengths = {start: sorted(own) for start, own in lengths.items()}

    def occur_in(self, text: str) -> bool:
        return any(text[at : at + length] in self._names for at, length in self._candidates(text))

    def _candidates(self, text: str) -> Iterator[tuple[int, int]]:
        """Places and lengths at which one of the texts may be."""
        if not self._lengths:
            return
        for at in range(len(text) - MIN_IDENTIFIER_CHARS + 1):
            for length in self._lengths.get(text[at : at + MIN_IDENTIFIER_CHARS], ()):
                yield at, length


def _normalised(text: str) -> str:
    """A text without differences of case, Unicode form, and invisible characters."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _INVISIBLE.sub("", folded).replace("\u3002", ".")


def _has_address(text: str) -> bool:
    """True if there is an e-mail or internet address in a normalised text."""
    if _EMAIL.search(text) or _IPV4.search(text):
        return True
    return any(_is_ipv6(match[0].rstrip(".")) for match in _IPV6_LIKE.finditer(text))


def _is_ipv6(text: str) -> bool:
    """True for an address that is not as short as a ratio or a name of programs, such as `a::b`."""
    try:
        address = IPv6Address(text)
    except ValueError:
        return False
    return len(text) > 5 and any(char.isdigit() for char in text) and not address.is_loopback
