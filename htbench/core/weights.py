"""Weights: where they are, whether they are whole, and what tells them from others."""

import hashlib
import json
import os
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htbench.core import content
from htbench.core.errors import Missing, Refused
from htbench.core.types import Digest

if TYPE_CHECKING:
    from torch import Tensor

_BLOCKS, _BLOCK_SIZE = 64, 1 << 16
_COMMIT = re.compile("[0-9a-f]{40}")
_SHARD_NAME = re.compile(r"(?P<name>.+)-\d{5}-of-(?P<of>\d{5})\.\w+")


@dataclass(frozen=True, kw_only=True)
class HubFiles:
    """Files of a repository of a model hub."""

    repository: str
    files: tuple[str, ...]
    """Glob patterns, each of which something must match, but for indices of weights in several files."""
    revision: str = "main"
    """A commit, or a branch: then the commit that the first download got is the one from there on."""

    @property
    def commit(self) -> str:
        """The revision that is used here."""
        return (
            self.revision
            if _COMMIT.fullmatch(self.revision)
            else _pins().get(self.repository, self.revision)
        )

    def find(self) -> Path | None:
        """The folder that they were downloaded to, if they are all there."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            folder = Path(
                snapshot_download(
                    self.repository,
                    revision=self.commit,
                    allow_patterns=list(self.files),
                    local_files_only=True,
                )
            )
        except (LocalEntryNotFoundError, OSError):
            return None
        return None if missing_files(folder, self.files) else folder

    def download(self) -> Path:
        """The folder with all of them, downloaded if they are not there.

        Raises:
            Missing: if the hub cannot be reached, or does not give them.
        """
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        remedy = "Check the network and, where a licence must be accepted, that you are logged in; the same command continues."
        try:
            folder = Path(
                snapshot_download(
                    self.repository, revision=self.commit, allow_patterns=list(self.files)
                )
            )
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise Missing(
                f"{self.repository!r} cannot be downloaded: {' '.join(str(error).split())[:200]}",
                remedy=remedy,
            ) from None
        if lost := missing_files(folder, self.files):
            raise Missing(f"{self.repository!r} came without {lost[0]!r}", remedy=remedy)
        if not _COMMIT.fullmatch(self.revision):
            _pin(self.repository, folder.name)
        return folder

    def shards(self, folder: Path) -> tuple[Path, ...]:
        """The files in `folder` that the first pattern matches: one, or all parts of one that was cut into several.

        Raises:
            Missing: if there is none, or a part is missing.
            Refused: if there are several that are not parts of one.
        """
        found = sorted(folder.glob(self.files[0]))
        if not found:
            raise Missing(
                f"no file {self.files[0]!r} in {str(folder)!r}",
                remedy=f"It is in the repository {self.repository}.",
            )
        parts = [match for path in found if (match := _SHARD_NAME.fullmatch(path.name))]
        if len(found) > 1 and (
            len(parts) < len(found) or len({(part["name"], part["of"]) for part in parts}) > 1
        ):
            raise Refused(
                f"{len(found)} files match {self.files[0]!r} in {str(folder)!r}, one was expected",
                remedy="Leave only the denoiser's there.",
            )
        if parts and len(parts) != int(parts[0]["of"]):
            raise Missing(
                f"{len(parts)} of {int(parts[0]['of'])} parts {self.files[0]!r} are in {str(folder)!r}",
                remedy="Get the others too.",
            )
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class LocalFiles:
    """Where a generator is on this disk."""

    base: Path
    """A folder as diffusers saves a pipeline."""
    denoiser: tuple[Path, ...]


def locate(base: HubFiles, denoiser: HubFiles, *, location: str, name: str) -> LocalFiles:
    """A generator's files: downloaded ones, or in a folder that has the pipeline and beside it the denoiser's weights.

    Raises:
        Missing: if they are not there, with the command that gets them.
    """
    if location != "hub":
        folder = Path(location)
        if not folder.is_dir():
            raise Missing(
                f"no folder {location!r} with weights", remedy="Give a folder, or hub, or random."
            )
        if lost := missing_files(
            folder,
            [pattern for pattern in base.files if pattern.endswith(".json") and "*" not in pattern],
        ):
            raise Missing(
                f"no {lost[0]!r} in {location!r}",
                remedy="The folder must have a pipeline as diffusers saves it, and the denoiser's weights beside it.",
            )
        return LocalFiles(base=folder, denoiser=denoiser.shards(folder))
    folders = base.find(), denoiser.find()
    if folders[0] is None or folders[1] is None:
        lost = [
            source.repository
            for source, there in zip((base, denoiser), folders, strict=True)
            if there is None
        ]
        raise Missing(
            f"the weights of {name} are not on this machine: {', '.join(lost)}",
            remedy=f"Get them: htbench fetch --model {name}",
        )
    return LocalFiles(base=folders[0], denoiser=denoiser.shards(folders[1]))


def missing_files(folder: Path, patterns: tuple[str, ...] | list[str]) -> list[str]:
    """Patterns that nothing in `folder` matches, and files that an index there names and that are not there."""
    lost = [
        pattern
        for pattern in patterns
        if not pattern.endswith("*.index.json") and not any(folder.glob(pattern))
    ]
    for index in (
        path
        for pattern in patterns
        if pattern.endswith("*.index.json")
        for path in folder.glob(pattern)
    ):
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        lost += sorted(
            str((index.parent / name).relative_to(folder))
            for name in named
            if not (index.parent / name).exists()
        )
    return lost


def read(*paths: Path) -> "Mapping[str, Tensor]":
    """The tensors in files, by name; a pickle is read as data, and one with code in it is refused.

    Raises:
        Refused: if one is damaged, or is something else.
    """
    return {name: tensor for path in paths for name, tensor in _read(path).items()}


def _read(path: Path) -> "Mapping[str, Tensor]":
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    remedy = "Delete it and get it again: htbench fetch --model NAME"
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except pickle.UnpicklingError as error:
        why = (
            "it holds code"
            if "Unsupported" in str(error) or "GLOBAL" in str(error)
            else "it is damaged, or no file of weights"
        )
        raise Refused(f"weights {str(path)!r} are refused: {why}", remedy=remedy) from None
    except (SafetensorError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise Refused(
            f"weights {str(path)!r} cannot be read: {' '.join(str(error).split())[:160]}",
            remedy=remedy,
        ) from None
    if not isinstance(state, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise Refused(
            f"weights {str(path)!r} are refused: they are no table of tensors", remedy=remedy
        )
    return state


def read_config(path: Path) -> dict[str, Any]:
    """Settings in a JSON file.

    Raises:
        Refused: if it is damaged, or is something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(
            f"settings {str(path)!r} cannot be read: {' '.join(str(error).split())[:160]}",
            remedy="Get the file again.",
        ) from None
    if not isinstance(found, dict):
        raise Refused(f"settings {str(path)!r} are no table", remedy="Get the file again.")
    return found


def check(state: "Mapping[str, Tensor]", expected: "Mapping[str, Tensor]", path: Path) -> None:
    """Raise `Refused` unless `state` has the names and shapes of `wanted`."""
    odd = sorted(state.keys() ^ expected.keys()) or sorted(
        key for key in expected if state[key].shape != expected[key].shape
    )
    if odd:
        what = "not of the same shape" if state.keys() == expected.keys() else "too many or too few"
        raise Refused(
            f"weights {str(path)!r} are of another model: {len(odd)} tensors {what}, such as {odd[0]!r}",
            remedy="Give the file of this model.",
        )


def fingerprint(*paths: Path) -> Digest:
    """Digest of files, or of all files in folders: their sizes and 64 evenly spread blocks of 64 KiB of each, which no two trainings share."""
    return content.digest(
        [
            [path.name, *_sample(path)]
            for where in paths
            for path in (sorted(_files(where)) if where.is_dir() else [where])
        ]
    )


def cache_folder() -> Path:
    """The folder that is kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "htbench"


def _pins() -> dict[str, str]:
    """Commits that downloads of repositories without a pinned one got, by repository."""
    try:
        found = json.loads((cache_folder() / "revisions.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {str(name): str(commit) for name, commit in found.items()}
        if isinstance(found, dict)
        else {}
    )


def _pin(repository: str, commit: str) -> None:
    """Write down what a first download got."""
    path = cache_folder() / "revisions.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps({repository: commit, **_pins()}, indent=1), encoding="utf-8")
    fresh.replace(path)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _sample(path: Path) -> tuple[int, str]:
    size = path.stat().st_size
    total = hashlib.sha256()
    with path.open("rb") as file:
        for k in range(_BLOCKS):
            file.seek(max(0, size - _BLOCK_SIZE) * k // (_BLOCKS - 1))
            total.update(file.read(_BLOCK_SIZE))
            if size <= _BLOCK_SIZE:
                break
    return size, total.hexdigest()
