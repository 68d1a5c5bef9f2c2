"""Pushing: a file and its page into a repository, in one commit that replaces nothing unasked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.core.errors import Missing, Refused, UsageError
from htbench.hub import files, readme
from htbench.hub.connection import Connection
from htbench.hub.contents import Content
from htbench.hub.repository import Repository

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

_MAIN = "main"


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """Settings of a push."""

    public: bool = False
    """True if everybody may see the repository."""
    replace: bool = False
    """True if files of the same names are replaced."""
    licence: str = readme.UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """The result of a push."""

    address: str
    """The page of the repository."""
    commit: str
    private: bool
    uploaded: tuple[str, ...]
    """Names of the files that were written."""
    unchanged: tuple[str, ...]
    """Names of the files whose bytes were there already."""
    kept: tuple[str, ...]
    """The page, where it was written by hand or for another file, and stays as it is."""


def push(
    content: Content, repository: Repository, connection: Connection, options: PushOptions
) -> Pushed:
    """Write a file, its companion and its page into a repository, which is made if there is none.

    A file whose bytes are there already is not sent again. An interrupted push continues: what was
    sent is kept by the hub, and nothing is seen before the whole commit is made.

    Raises:
        UsageError: for a revision, which a push cannot have.
        Refused: if a file of the name is there with other bytes, or the repository is public and
            that was not asked for.
        Missing: if the hub is out of reach, or the token has no right to write.
    """
    if repository.revision:
        raise UsageError(
            f"{str(repository)!r} has a revision, and a push makes a new one",
            remedy=f"Write it as {repository.id}",
        )
    _open_repository(content, repository, connection, options)
    head, private = _head(content, repository, connection)
    there = files.listed(repository, connection, content.repository_kind, commit=head)
    page = readme.write(content, repository, licence=options.licence).encode()
    local: dict[str, Path | bytes] = {content.name: content.path, readme.README: page}
    if content.companion:
        local[content.companion_name] = content.companion
    changed = {name: data for name, data in local.items() if not _is_there(there.get(name), data)}
    kept = [readme.README] if readme.README in changed and readme.README in there else []
    if options.replace:
        kept = []
    for name in kept:
        del changed[name]
    _refuse_to_replace(changed, there, repository, options)
    commit = _commit(changed, content, repository, connection, head) if changed else head
    return Pushed(
        address=files.address(repository, connection, content.repository_kind),
        commit=commit,
        private=private,
        uploaded=tuple(sorted(changed)),
        unchanged=tuple(sorted(local.keys() - changed.keys() - set(kept))),
        kept=tuple(kept),
    )


def _open_repository(
    content: Content, repository: Repository, connection: Connection, options: PushOptions
) -> None:
    """Make the repository where there is none; one that is there stays private or public."""
    from huggingface_hub.errors import HfHubHTTPError

    kind = content.repository_kind
    with connection.errors(repository):
        info = files.find(repository, connection, kind)
        if info is None:
            try:
                connection.api.create_repo(
                    repository.id, repo_type=kind, private=not options.public, exist_ok=False
                )
            except HfHubHTTPError as error:
                if error.response.status_code != 409:  # made by another process meanwhile
                    raise
            return
    if not info.private and not options.public:
        raise Refused(
            f"repository {repository.id!r} is public, so everybody would see {content.name!r}",
            remedy="Give --public if that is meant, or push to another repository.",
        )


def _head(content: Content, repository: Repository, connection: Connection) -> tuple[str, bool]:
    """The last commit, and True if the repository is private."""
    with connection.errors(repository):
        info = files.find(repository, connection, content.repository_kind)
        if info is None or not info.sha:
            raise Missing(
                f"repository {repository.id!r} was made, and {connection.host} does not show it",
                remedy="Try again; the same command continues.",
            )
        return info.sha, bool(info.private)


def _refuse_to_replace(
    changed: Mapping[str, object],
    there: Mapping[str, "RepoFile"],
    repository: Repository,
    options: PushOptions,
) -> None:
    taken = sorted(changed.keys() & there.keys())
    if taken and not options.replace:
        raise Refused(
            f"repository {repository.id!r} has another file {taken[0]!r}",
            remedy="Rename yours, or give --replace; what is there now stays in the history.",
        )


def _commit(
    changed: Mapping[str, Path | bytes],
    content: Content,
    repository: Repository,
    connection: Connection,
    head: str,
) -> str:
    """Send the changed files, and make one commit of them; returns it."""
    from huggingface_hub import CommitOperationAdd

    with connection.errors(repository):
        operations = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=data)
            for name, data in changed.items()
        ]
        info = connection.api.create_commit(
            repository.id,
            operations,
            commit_message=f"{content.name} by htbench push",
            repo_type=content.repository_kind,
            revision=_MAIN,
            parent_commit=head,
        )
        return info.oid


def _is_there(remote: "RepoFile | None", data: Path | bytes) -> bool:
    return remote is not None and files.has_bytes(remote, data)
