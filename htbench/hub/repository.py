"""Names of repositories, as `OWNER/NAME` or `OWNER/NAME@REVISION`."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from htbench.core.errors import UsageError

Kind = Literal["dataset", "model"]
"""Bundles are in repositories of data sets, trained files in repositories of models."""
_PART = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?", re.ASCII)
_REVISION = re.compile(r"[\w./-]{1,200}", re.ASCII)
_MAX_LENGTH = 96
_PREFIX = re.compile(r"(?:https?://[^/]+/|hf:/{0,2})?(?:(?:datasets|models)/)?")


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository of a hub, by name."""

    owner: str
    name: str
    revision: str = ""
    """A branch, a tag or a commit; empty: the main branch."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The repository that a user named.

        Raises:
            UsageError: if the text is no such name, with the nearest that is one.
        """
        id_, at, revision = text.partition("@")
        owner, slash, name = id_.partition("/")
        if slash and _is_id(id_) and (not at or _REVISION.fullmatch(revision)):
            return cls(owner=owner, name=name, revision=revision)
        parts = _PREFIX.sub("", id_, count=1).split("/")
        near = "/".join(parts[:2])
        is_near = len(parts) >= 2 and near != id_ and _is_id(near)
        raise UsageError(
            f"{text[:120]!r} is no name of a repository",
            remedy=f"Did you mean {near}?"
            if is_near
            else "Write it as OWNER/NAME, in letters, "
            "digits, '-', '_' and '.', such as ann/my-runs; @REVISION may follow.",
        )

    @property
    def id(self) -> str:
        """`OWNER/NAME`."""
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        return f"{self.id}@{self.revision}" if self.revision else self.id


def _is_id(text: str) -> bool:
    """True for a name that a hub may have: of two parts, without `--`, `..` and `.git`."""
    owner, _, name = text.partition("/")
    return (
        len(text) <= _MAX_LENGTH
        and bool(_PART.fullmatch(owner) and _PART.fullmatch(name))
        and "--" not in text
        and ".." not in text
        and not text.endswith(".git")
    )
