"""Addresses of the pages of a board, which follow from names alone and so stay as they are.

A short plain name is its own address. Any other name is cut to plain characters, and a digest of it
follows, so that no two names share an address on any file system.
"""

import re

from htbench.core import content

_PLAIN = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,58}[a-z0-9_-])?")
_PLAIN_PATH = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}(?:/[a-z0-9][a-z0-9_-]{0,59}){0,3}")
_LIKE_DIGEST = re.compile(r".*-[0-9a-f]{16}")


def board_address(model: str, concept_set: str, version: str) -> str:
    """The path of a board's page, without its ending."""
    return "/".join(("boards", *map(slug, (model, concept_set, version))))


def method_address(method: str) -> str:
    """The path of a method's page, without its ending."""
    return f"methods/{slug(method)}"


def concept_address(concept_set: str, version: str, concept: str) -> str:
    """The path of a concept's page, without its ending; `style/sepia` is in a folder `style`."""
    own = concept if _PLAIN_PATH.fullmatch(concept) and not _is_taken(concept) else slug(concept)
    return "/".join(("concepts", slug(concept_set), slug(version), own))


def slug(name: str) -> str:
    """A name as one part of an address."""
    if _PLAIN.fullmatch(name) and not _is_taken(name):
        return name
    plain = re.sub(r"[^a-z0-9]+", "-", name[:200].lower()).strip("-")[:40].strip("-")
    return f"{plain or 'unnamed'}-{content.digest(name)}"


def _is_taken(name: str) -> bool:
    """True for a name that looks like the address of another one."""
    return _LIKE_DIGEST.fullmatch(name) is not None
