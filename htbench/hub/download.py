"""Pulling: a file of a repository onto this machine, checked, whole or not at all.

What an interrupted pull has got lies in a folder `.pull-…` beside the target, and the same pull
continues from there. Nothing that comes is executed.
"""

import errno
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.core import content, locks
from htbench.core.errors import Missing, Refused, UnknownName, UsageError
from htbench.hub import contents, files, method_card
from htbench.hub.connection import Connection, transport_error
from htbench.hub.contents import BUNDLE, TRAINED, Content
from htbench.hub.repository import Kind, Repository

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

_KINDS: tuple[Kind, ...] = ("dataset", "model")
_ENDINGS: dict[Kind, str] = {"dataset": BUNDLE, "model": TRAINED}
_MAX_COMPANION = 1 << 16
"""The most bytes of a signature or a card."""
_TRIES = 5
"""Number of requests in a row that may bring no byte."""
_BUSY = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""Answers after which a request is made again."""
_PARTS = ".pull-"
_LONGEST_WAIT = 60.0


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A file of a repository that is to be pulled, with the file that belongs to it."""

    repository: Repository
    kind: Kind
    commit: str
    file: "RepoFile"
    companion: "RepoFile | None"

    @property
    def files(self) -> list["RepoFile"]:
        """The companion, if there is one, and the file, which is written last."""
        return [*([self.companion] if self.companion else []), self.file]


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """The result of a pull."""

    content: Content
    commit: str
    sha256: str
    was_there: bool
    """True if the file was there already."""


def choose(repository: Repository, connection: Connection, name: str | None) -> Choice:
    """The file called `name`, or the only bundle or trained file, of a repository.

    A data set is looked for first, then a model of the same name.

    Raises:
        UsageError: if there is no such repository or file, or are several without a `name`.
        Missing: if the hub is out of reach.
    """
    seen: dict[Kind, dict[str, RepoFile]] = {}
    for kind in _KINDS:
        with connection.errors(repository):
            info = files.find(repository, connection, kind)
        if info is not None:
            listed = files.listed(repository, connection, kind, commit=str(info.sha))
            seen[kind] = listed
            names = [each for each in sorted(listed) if each.endswith(_ENDINGS[kind])]
            names = [each for each in names if name in (None, each)]
            if len(names) > 1:
                raise UsageError(
                    f"repository {repository.id!r} has {len(names):,} files to pull",
                    remedy=f"Choose one: --file {names[0]}, or {_listed(names[1:])}",
                )
            if names:
                return _choice(repository, kind, str(info.sha), listed, names[0])
    if not seen:
        raise connection.not_found(repository)
    if name is not None:
        endings = tuple(_ENDINGS.values())
        there = {each for listed in seen.values() for each in listed if each.endswith(endings)}
        raise UnknownName(f"file in repository {repository.id!r} called", name, there)
    raise UsageError(
        f"repository {repository.id!r} has no bundle and no trained file",
        remedy="A bundle ends in .zip, a trained file in .safetensors; htbench push writes them.",
    )


def pull(choice: Choice, target: Path, connection: Connection) -> Pulled:
    """Write a chosen file to `target`, and its companion beside it.

    Raises:
        UsageError: if another file is there, or `target` cannot be written.
        Refused: if it is not what the repository or its own record says; nothing is written then.
        Missing: if the hub is out of reach, or the disk has no room.
    """
    targets = {_beside(target, choice, file): file for file in choice.files}
    lost = {path: file for path, file in targets.items() if not _is_here(path, file)}
    if not lost:
        return _pulled(choice, contents.read(target), was_there=True)
    folder = target.parent / f"{_PARTS}{content.digest([choice.commit, target.name])}"
    try:
        with locks.locked(folder, noun=f"{str(target)[:300]!r}", activity="pulled", wait=0.0):
            try:
                _check_room(folder, lost)
                for path, file in lost.items():
                    _fetch(file, choice, folder / path.name, connection)
                whole = _checked(folder if target in lost else target.parent, target.name, choice)
                for path, file in lost.items():
                    _is_here(path, file)  # refuses one that was written meanwhile
                    (folder / path.name).replace(path)
            finally:
                if not any(map(_size, folder.glob("[!.]*"))):  # nothing to continue from
                    shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UsageError(
            f"cannot write {str(target)[:300]!r}: {error.strerror}", remedy="Give another PATH."
        ) from None
    return _pulled(choice, replace(whole, path=target), was_there=False)


def _choice(
    repository: Repository, kind: Kind, commit: str, listed: dict[str, "RepoFile"], name: str
) -> Choice:
    if Path(name).name != name or not name.isprintable() or name.startswith("."):
        raise Refused(
            f"repository {repository.id!r} has a file {name[:120]!r}, which is no name to write to",
            remedy="Ask its owner to rename it.",
        )
    beside = f"{name}.sig" if kind == "dataset" else f"{name.removesuffix(TRAINED)}.toml"
    companion = listed.get(beside)
    if companion and companion.size > _MAX_COMPANION:
        raise Refused(
            f"{beside!r} of repository {repository.id!r} has {companion.size:,} bytes, and "
            f"{_MAX_COMPANION:,} is the limit",
            remedy="Ask its owner to push it again.",
        )
    return Choice(
        repository=repository, kind=kind, commit=commit, file=listed[name], companion=companion
    )


def _beside(target: Path, choice: Choice, file: "RepoFile") -> Path:
    """The path for a file of a choice.

    Raises:
        UsageError: for another name of a trained file with a card, which names it.
    """
    if file is choice.file:
        return target
    if choice.kind == "dataset":
        return target.with_name(f"{target.name}.sig")
    if target.name != choice.file.path:
        raise UsageError(
            f"{choice.file.path!r} has a card that names it, so it cannot be written as "
            f"{target.name[:120]!r}",
            remedy="Give a folder that there is as PATH.",
        )
    return target.with_suffix(".toml")


def _is_here(path: Path, file: "RepoFile") -> bool:
    """True if `path` has the bytes of a file of a repository, False if there is nothing.

    Raises:
        UsageError: if there is something else.
    """
    if not os.path.lexists(path):
        return False
    if path.is_file() and files.has_bytes(file, path):
        return True
    raise UsageError(
        f"{str(path)[:300]!r} exists, and is another file", remedy="Give another PATH."
    )


def _check_room(folder: Path, lost: Mapping[Path, "RepoFile"]) -> None:
    """Raise `Missing` if the disk has no room for the bytes that are to come."""
    here = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    wanted = sum(file.size for file in lost.values()) - here
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise Missing(
            f"no space left on the disk: {wanted:,} bytes are to come, and {free:,} are free",
            remedy="Make room, or give a PATH on another disk; the same command continues.",
        )


def _fetch(file: "RepoFile", choice: Choice, part: Path, connection: Connection) -> None:
    """Write the bytes of a file to `part`, after those that are there.

    Raises:
        Refused: if they are not those that the repository lists; then `part` is deleted.
        Missing: if they do not come.
    """
    tries = 0
    while (size := _size(part)) < file.size:
        with connection.errors(choice.repository):
            wait = _request(file, choice, part, connection, is_last=tries + 1 == _TRIES)
        came = _size(part)
        tries = 0 if came > size else tries + 1
        if tries == _TRIES:
            raise Missing(
                f"{connection.host} sent {came:,} of the {file.size:,} bytes of {file.path!r}, and "
                "then no more",
                remedy="The same command continues.",
            )
        if came < file.size:
            time.sleep(min(max(wait, 2.0**tries / 2), _LONGEST_WAIT))
    part.touch()
    if not files.has_bytes(file, part):
        part.unlink()
        raise Refused(
            f"{file.path!r} came from {connection.host} with other bytes than "
            f"{choice.repository.id!r} lists",
            remedy="The same command gets it anew; tell the owner if that does not help.",
        )


def _request(
    file: "RepoFile", choice: Choice, part: Path, connection: Connection, *, is_last: bool
) -> float:
    """Ask once for the bytes that are missing, and add those that come; returns seconds to wait.

    A busy server is no error before the last request. The client follows to where the hub keeps
    large files, and gives that place no token.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    size = _size(part)
    address = hf_hub_url(
        choice.repository.id,
        file.path,
        repo_type=choice.kind,
        revision=choice.commit,
        endpoint=connection.endpoint,
    )
    headers = build_hf_headers(
        token=connection.token.reveal() if connection.token else False,
        library_name="htbench",
        library_version=version("htbench"),
        headers={"Accept-Encoding": "identity", "Range": f"bytes={size}-"},
    )
    with get_session().stream("GET", address, headers=headers) as response:
        if response.status_code in _BUSY and not is_last:
            after = response.headers.get("Retry-After", "")
            return float(after) if after.isdigit() else 0.0
        hf_raise_for_status(response)
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {size}-")
        keeps = response.status_code == HTTPStatus.PARTIAL_CONTENT and begins
        with part.open("ab" if keeps else "wb") as out:
            left = file.size - (size if keeps else 0)
            try:
                for block in response.iter_bytes():  # of no fixed size: a break would lose the last
                    out.write(block[: left + 1])  # one more than is listed: the digest tells
                    left -= len(block)
                    if left < 0:
                        break
            except transport_error():
                return 0.0  # it broke off; what came is kept
    return 0.0


def _checked(folder: Path, name: str, choice: Choice) -> Content:
    """The content of a file that came, whose own digests hold.

    Raises:
        Refused: if they do not, or a card names code; then what came is deleted.
    """
    try:
        if choice.kind == "model" and (folder / name).with_suffix(".toml").exists():
            method_card.check((folder / name).with_suffix(".toml"), name)
        return contents.read(folder / name)
    except (Refused, UsageError) as error:
        if folder.name.startswith(_PARTS):
            shutil.rmtree(folder, ignore_errors=True)
        problem = str(error).partition(" is refused: ")[2] or str(error)
        raise Refused(
            f"{choice.file.path!r} of {choice.repository.id!r} is not taken: {problem}",
            remedy="Tell its owner; nothing was written.",
        ) from None


def _pulled(choice: Choice, pulled: Content, *, was_there: bool) -> Pulled:
    return Pulled(
        content=pulled,
        commit=choice.commit,
        sha256=files.sha256(pulled.path),
        was_there=was_there,
    )


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
