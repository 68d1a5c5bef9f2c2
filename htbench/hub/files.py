"""Files of a repository: which there are, and with which bytes."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htbench.core.errors import UsageError
from htbench.hub.connection import Connection
from htbench.hub.repository import Kind, Repository

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

_MAX_FILES = 10_000
"""The most files of a repository's first level that are looked at."""
_BLOCK = 1 << 20
_ADDRESS: dict[Kind, str] = {"dataset": "datasets/", "model": ""}


def find(repository: Repository, connection: Connection, kind: Kind) -> Any:
    """The hub's description of a repository; None if it has none of that name and kind.

    Who has no token is told the same of a private repository as of one that does not exist.
    """
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

    try:
        return connection.api.repo_info(
            repository.id, repo_type=kind, revision=repository.revision or None
        )
    except RevisionNotFoundError:
        raise
    except HfHubHTTPError as error:
        unseen = error.response.status_code == 401 and not connection.token
        if error.response.status_code == 404 or unseen:
            return None
        raise


def listed(
    repository: Repository, connection: Connection, kind: Kind, *, commit: str
) -> dict[str, "RepoFile"]:
    """The files at the first level of a repository at one commit, by name."""
    from huggingface_hub import RepoFile

    files: dict[str, RepoFile] = {}
    with connection.errors(repository):
        for entry in connection.api.list_repo_tree(
            repository.id, revision=commit, repo_type=kind, recursive=False
        ):
            if isinstance(entry, RepoFile):
                files[entry.path] = entry
            if len(files) > _MAX_FILES:
                raise UsageError(
                    f"repository {repository.id!r} has more than {_MAX_FILES:,} files",
                    remedy="Use one repository per bundle or few.",
                )
    return files


def address(repository: Repository, connection: Connection, kind: Kind) -> str:
    """The page of a repository."""
    return f"{connection.endpoint}/{_ADDRESS[kind]}{repository.id}"


def has_bytes(remote: "RepoFile", data: Path | bytes) -> bool:
    """True if `data` are the bytes of a file as its repository lists it.

    A large file is listed by its SHA-256 digest, a small one by git's, which is SHA-1.
    """
    size = len(data) if isinstance(data, bytes) else data.stat().st_size
    if size != remote.size:
        return False
    if remote.lfs:
        return sha256(data) == remote.lfs.sha256
    return _digest(data, hashlib.sha1(b"blob %d\0" % size)) == remote.blob_id


def sha256(data: Path | bytes) -> str:
    """SHA-256 digest of a file or of bytes, as `sha256sum` prints it."""
    return _digest(data, hashlib.sha256())


def _digest(data: Path | bytes, total: "hashlib._Hash") -> str:
    if isinstance(data, bytes):
        total.update(data)
        return total.hexdigest()
    with data.open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()
