"""Repositories of the model hub of the tests: files at commits, small ones and large ones."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stored:
    """A file at one commit."""

    data: bytes
    is_large: bool

    @property
    def oid(self) -> str:
        text = self.pointer if self.is_large else self.data
        return hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def pointer(self) -> bytes:
        head = "version https://git-lfs.github.com/spec/v1"
        return f"{head}\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.oid


@dataclass
class Repo:
    """A repository with its history."""

    private: bool
    commits: dict[str, dict[str, Stored]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: Mapping[str, Stored], message: str, branch: str = "main") -> str:
        listing = sorted((name, file.oid) for name, file in files.items())
        sha = hashlib.sha1(json.dumps([listing, len(self.messages)]).encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        self.messages.append(message)
        return sha

    def find(self, revision: str) -> str | None:
        if revision in self.branches:
            return self.branches[revision]
        matches = [sha for sha in self.commits if len(revision) >= 7 and sha.startswith(revision)]
        return matches[0] if len(matches) == 1 else None

    @property
    def files(self) -> dict[str, Stored]:
        return self.commits[self.branches["main"]]
