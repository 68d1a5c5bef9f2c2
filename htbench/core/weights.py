"""Files of weights: location, download, completeness, fingerprint."""

import hashlib
import json
import os
import pickle
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htbench.core import content, reading
from htbench.core.errors import Missing, Refused, UsageError
from htbench.core.types import Digest

if TYPE_CHECKING:
    from torch import Tensor

_BLOCKS, _BLOCK_SIZE = 64, 1 << 16
_COMMIT = re.compile("[0-9a-f]{40}")
_MAX_NAME = 255
"""The longest name of a file, in bytes."""
_SHARD_NAME = re.compile(r"(?P<name>.+)-\d{5}-of-(?P<of>\d{5})\.\w+")


@dataclass(frozen=True, kw_only=True)
class HubFiles:
    """Files of a repository of a model hub."""

    repository: str
    files: tuple[str, ...]
    """Glob patterns; each must match a file, except those for indices of sharded weights."""
    revision: str = "main"
    """A commit, or a branch; of a branch, the commit of the first download is used ever after."""

    @property
    def commit(self) -> str:
        """The revision that this machine uses."""
        if _COMMIT.fullmatch(self.revision):
            return self.revision
        return _pins().get(self.repository, self.revision)

    def find(self) -> Path | None:
        """The folder with all of the files, if they were downloaded."""
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
        """The folder with all of the files, downloaded where they are missing.

        Raises:
            Missing: if the hub cannot be reached, or does not serve them.
        """
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        remedy = (
            "Check the network and, where a licence must be accepted, that you are logged in; "
            "the same command continues."
        )
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
        """The files in `folder` that the first pattern matches: one file, or all its shards.

        Raises:
            Missing: if there is none, or a shard is missing.
            Refused: if there are several that are not shards of one file.
        """
        paths = sorted(folder.glob(self.files[0]))
        if not paths:
            raise Missing(
                f"no file {self.files[0]!r} in {str(folder)!r}",
                remedy=f"It is in the repository {self.repository}.",
            )
        parts = [match for path in paths if (match := _SHARD_NAME.fullmatch(path.name))]
        wholes = {(part["name"], part["of"]) for part in parts}
        if len(paths) > 1 and (len(parts) < len(paths) or len(wholes) > 1):
            raise Refused(
                f"{len(paths)} files match {self.files[0]!r} in {str(folder)!r}, one was expected",
                remedy="Leave only the denoiser's there.",
            )
        if parts and len(parts) != (count := int(parts[0]["of"])):
            raise Missing(
                f"{len(parts)} of {count} parts {self.files[0]!r} are in {str(folder)!r}",
                remedy="Get the others too.",
            )
        return tuple(paths)


@dataclass(frozen=True, kw_only=True)
class LocalFiles:
    """Paths of a generator on this disk."""

    base: Path
    """A folder in the layout of a saved diffusers pipeline."""
    denoiser: tuple[Path, ...]
    lora: Path | None = None
    """Low-rank updates of the denoiser's weights."""


def locate(
    base: HubFiles,
    denoiser: HubFiles,
    *,
    location: str,
    name: str,
    lora: HubFiles | None = None,
) -> LocalFiles:
    """A generator's files: downloaded ones, or a folder's.

    The folder `location` has the pipeline and, beside it, the denoiser's weights; `hub` stands for
    downloaded files.

    Raises:
        Missing: if they are not there, with the command that gets them.
    """
    if location != "hub":
        folder = Path(location)
        if not folder.is_dir():
            raise Missing(
                f"no folder {location!r} with weights", remedy="Give a folder, or hub, or random."
            )
        configs = [name for name in base.files if name.endswith(".json") and "*" not in name]
        if lost := missing_files(folder, configs):
            raise Missing(
                f"no {lost[0]!r} in {location!r}",
                remedy="The folder must have a pipeline as diffusers saves it, and the denoiser's "
                "weights beside it.",
            )
        updates = lora.shards(folder)[0] if lora else None
        return LocalFiles(base=folder, denoiser=denoiser.shards(folder), lora=updates)
    sources = [base, denoiser, *([lora] if lora else [])]
    folders = {source: path for source in sources if (path := source.find()) is not None}
    if lost := [source.repository for source in sources if source not in folders]:
        raise Missing(
            f"the weights of {name} are not on this machine: {', '.join(dict.fromkeys(lost))}",
            remedy=f"Get them: htbench fetch --model {name}",
        )
    updates = lora.shards(folders[lora])[0] if lora else None
    shards = denoiser.shards(folders[denoiser])
    return LocalFiles(base=folders[base], denoiser=shards, lora=updates)


def missing_files(folder: Path, patterns: tuple[str, ...] | list[str]) -> list[str]:
    """Patterns that no file in `folder` matches, and missing files that an index there names."""
    index_patterns = [pattern for pattern in patterns if pattern.endswith("*.index.json")]
    lost = [
        pattern
        for pattern in patterns
        if pattern not in index_patterns and not any(folder.glob(pattern))
    ]
    for index in (path for pattern in index_patterns for path in folder.glob(pattern)):
        names = _indexed_files(index)
        lost += sorted(
            str((index.parent / name).relative_to(folder))
            for name in set(names)
            if not (index.parent / name).exists()
        )
    return lost


def _indexed_files(index: Path) -> list[str]:
    """The files that an index of sharded weights names, which are beside it.

    Raises:
        Refused: if the index is damaged, or names files elsewhere.
    """
    names = read_config(index).get("weight_map")
    if not isinstance(names, dict) or not all(
        isinstance(name, str) and Path(name).name == name and len(name.encode()) <= _MAX_NAME
        for name in names.values()
    ):
        raise Refused(
            f"index of weights {str(index)[:300]!r} is damaged: its 'weight_map' is no table of "
            "files beside it",
            remedy="Get the file again.",
        )
    return list(names.values())


def read(*paths: Path) -> "Mapping[str, Tensor]":
    """The tensors in files, by name; a pickle is read as data, and one with code in it is refused.

    Raises:
        Refused: if a file is damaged, or holds anything but tensors.
    """
    return {name: tensor for path in paths for name, tensor in _read(path).items()}


def _read(path: Path) -> "Mapping[str, Tensor]":
    import torch
    from safetensors.torch import load_file

    remedy = "Delete it and get it again: htbench fetch --model NAME"
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except pickle.UnpicklingError as error:
        is_code = "Unsupported" in str(error) or "GLOBAL" in str(error)
        why = "it holds code" if is_code else "it is damaged, or no file of weights"
        raise Refused(f"weights {str(path)!r} are refused: {why}", remedy=remedy) from None
    except Exception as error:  # a damaged pickle ends in many kinds of errors
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
    """The settings in a JSON file.

    Raises:
        Refused: if the file is damaged, or holds anything but a table.
    """
    try:
        # not `read_json`: diffusers writes -Infinity
        text = reading.read_text(path, noun="settings of the model")
        config = reading.without_surrogates(json.loads(text))
    except (ValueError, RecursionError, UsageError) as error:
        raise Refused(
            f"settings {str(path)[:300]!r} cannot be read: {' '.join(str(error).split())[:300]}",
            remedy="Get the file again.",
        ) from None
    if not isinstance(config, dict):
        raise Refused(f"settings {str(path)!r} are no table", remedy="Get the file again.")
    return config


def check(state: "Mapping[str, Tensor]", expected: "Mapping[str, Tensor]", path: Path) -> None:
    """Raise `Refused` unless `state` has the names and shapes of `expected`."""
    odd = sorted(state.keys() ^ expected.keys()) or sorted(
        key for key in expected if state[key].shape != expected[key].shape
    )
    if odd:
        what = "not of the same shape" if state.keys() == expected.keys() else "too many or too few"
        raise Refused(
            f"weights {str(path)!r} are of another model: {len(odd)} tensors {what}, "
            f"such as {odd[0]!r}",
            remedy="Give the file of this model.",
        )


def fingerprint(*paths: Path) -> Digest:
    """Digest of files, or of all files in folders.

    It is made of each file's size and 64 evenly spread blocks of 64 KiB, which no two trainings
    share.
    """
    return content.digest(
        [
            [path.name, *_sample(path)]
            for file_or_folder in paths
            for path in (_files(file_or_folder) if file_or_folder.is_dir() else [file_or_folder])
        ]
    )


def cache_folder() -> Path:
    """The user's cache folder of htbench, which lasts between runs.

    That of the operating system, unless XDG_CACHE_HOME names another or `~/.cache` has one.
    """
    from platformdirs import user_cache_path

    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "htbench"
    former = Path.home() / ".cache" / "htbench"
    return former if former.is_dir() else user_cache_path("htbench", appauthor=False)


def _pins() -> dict[str, str]:
    """Commits of the first downloads of repositories that no commit is given for."""
    try:
        commits = reading.read_json(cache_folder() / "revisions.json")
    except UsageError:
        return {}
    if not isinstance(commits, dict):
        return {}
    return {
        repository: commit
        for repository, commit in commits.items()
        if isinstance(commit, str) and _COMMIT.fullmatch(commit)
    }


def _pin(repository: str, commit: str) -> None:
    """Record the commit of a first download."""
    path = cache_folder() / "revisions.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content.write_whole(path, json.dumps({repository: commit, **_pins()}, indent=1))
    except OSError as error:
        sys.stderr.write(
            f"htbench: the revision of {repository} is not kept, since {str(path)[:300]!r} cannot "
            f"be written: {error.strerror}; XDG_CACHE_HOME names another folder\n"
        )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


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
