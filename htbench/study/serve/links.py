"""Links of a served study: an unguessable token for each participant, one for the researcher, and
one that leads each person with an identifier to a participant's. A sheet has spare links, for
somebody who takes the place of a participant who dropped out.

Tokens follow from the study's secret, so that a server that starts anew knows the same links, and
no file holds them.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

from htbench.core.secrets import Secret

TOKEN_LENGTH = 32
"""Hexadecimal digits of a token: 128 bits."""
MAX_SPARE = 9
"""Number of spare links of a sheet."""


class SheetLink(NamedTuple):
    """A link to a sheet."""

    sheet: int
    number: int
    """0: the first link of the sheet; further ones are spare."""


@dataclass(frozen=True, kw_only=True)
class Links:
    """The links of a study of `sheets` participants, of which each has one sheet."""

    secret: Secret
    study: str
    """The digest of the study: no other study has the same tokens."""
    sheets: int

    @cached_property
    def researcher(self) -> str:
        """The path of the overview."""
        return f"r/{self._token('researcher')}/"

    @cached_property
    def common(self) -> str:
        """The path that leads people with an identifier to a sheet of their own."""
        return f"j/{self._token('everybody')}/"

    @cached_property
    def participants(self) -> Mapping[int, str]:
        """The path of each participant's page, by the number of the sheet from 1."""
        return {sheet: self.path(SheetLink(sheet, 0)) for sheet in range(1, self.sheets + 1)}

    @cached_property
    def by_path(self) -> Mapping[str, SheetLink]:
        """The link of a page by its path."""
        links = (SheetLink(sheet, k) for sheet in self.participants for k in range(MAX_SPARE + 1))
        return {self.path(link): link for link in links}

    def path(self, link: SheetLink) -> str:
        """The path of a participant's page."""
        spare = f" spare {link.number}" if link.number else ""
        return f"p/{self._token(f'{link.sheet}{spare}')}/"

    def _token(self, holder: str) -> str:
        """The digest of the holder's name, keyed by the secret."""
        key = self.secret.reveal().encode("utf-8", "surrogateescape")
        text = f"link of a study\n{self.study}\n{holder}"
        return hmac.new(key, text.encode(), sha256).hexdigest()[:TOKEN_LENGTH]
