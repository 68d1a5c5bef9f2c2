"""The file of a bundle: a ZIP archive of stored entries in a fixed order, with a manifest.

Entries are not compressed, so that the bytes depend on no compressor, and nothing unpacks to more
than it takes in the file. An entry whose name is none of those that a bundle has is refused.
"""

import hashlib
import json
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import IO, Annotated, Literal, Self
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from htbench.core import reading
from htbench.core.errors import Refused
from htbench.run.concept_source import OWN_SET

MANIFEST = "manifest.json"
LEADERBOARD = "leaderboard.csv"
PART = r"run(?:/tuning|/fit-seeds/[0-9]{1,19}|/wordings/(?:synonym|unknown|image))?"
"""Pattern of the folders of a run and of the runs within it."""
_NAMES = re.compile(
    rf"{MANIFEST}|{re.escape(LEADERBOARD)}|images/[0-9a-f]{{32}}\.png"
    rf"|{PART}/(?:tables|judge)/[a-z]{{1,20}}\.jsonl"
    rf"|{PART}/maps/(?:[0-9a-f]{{16}}\.safetensors|steering-[0-9a-f]{{16}})"
    rf"|run/studies/[\w-]{{1,90}}\.json|run/{re.escape(OWN_SET)}"
)
_MAX_FILES = 3_000_000
_MAX_MANIFEST = 1 << 29
_BLOCK = 1 << 20
_TIME = (1980, 1, 1, 0, 0, 0)
_REMEDY = "Get the bundle anew from where it was published."
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """The description of a bundle, with a digest of every other entry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["htbench-bundle"] = "htbench-bundle"
    version: Literal[1] = 1
    htbench: Annotated[str, Field(max_length=100)]
    """Version of htbench that packed the run."""
    pictures: bool
    """True if the images of the run are in the bundle."""
    files: dict[str, Sha256]
    """The SHA-256 digest of each entry, by name."""


def write(path: Path, entries: Mapping[str, Iterable[bytes]], *, pictures: bool) -> Manifest:
    """Write the archive `path` of entries, each in pieces, in the order of their names."""
    files = {}
    with ZipFile(path, "w", ZIP_STORED) as archive:
        for name in sorted(entries):
            total = hashlib.sha256()
            with archive.open(_info(name), "w", force_zip64=True) as file:
                for piece in entries[name]:
                    total.update(piece)
                    file.write(piece)
            files[name] = total.hexdigest()
        manifest = Manifest(htbench=version("htbench"), pictures=pictures, files=files)
        text = json.dumps(manifest.model_dump(), indent=1, ensure_ascii=False) + "\n"
        archive.writestr(_info(MANIFEST), text)
    return manifest


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A bundle that is open for reading; its entries are checked, their bytes are not yet."""

    path: Path
    file: ZipFile

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the bundle at `path`.

        Raises:
            UsageError: if there is no such file, or it is no ZIP archive.
            Refused: if it has an entry that no bundle has: of another name, compressed, a link, or
                two of one name.
        """
        reading.find_file(path, noun="bundle")
        try:
            file = ZipFile(path)
        except reading.ZIP_ERRORS as error:
            raise reading.UnreadableFile(
                f"{_shown(path)} is no bundle: {' '.join(str(error).split())[:200]}",
                remedy="A bundle is what htbench pack writes.",
            ) from None
        opened = cls(path=path, file=file)
        try:
            opened._check_entries()
        except BaseException:
            file.close()
            raise
        return opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, which lists exactly the other entries.

        Raises:
            Refused: if it does not.
        """
        info = self._infos.get(MANIFEST)
        if info is None:
            raise self.refuse(f"it has no {MANIFEST}")
        if info.file_size > _MAX_MANIFEST:
            raise self.refuse(f"its {MANIFEST} has {info.file_size:,} bytes")
        try:
            manifest = Manifest.model_validate(reading.parse_json(b"".join(self._pieces(MANIFEST))))
        except reading.Malformed as error:
            raise self.refuse(f"its {MANIFEST} is no JSON: {error}") from None
        except ValidationError as error:
            raise self.refuse(f"its {MANIFEST}: {reading.first_problem(error)}") from None
        for what, names in (
            ("is not in the manifest", self._infos.keys() - manifest.files.keys() - {MANIFEST}),
            ("is in the manifest and not in the bundle", manifest.files.keys() - self._infos),
        ):
            if names:
                others = f", and {len(names) - 1:,} others" * (len(names) > 1)
                raise self.refuse(f"{min(names)[:200]!r} {what}{others}")
        return manifest

    @property
    def names(self) -> list[str]:
        """Names of the entries besides the manifest, in order."""
        return sorted(self.manifest.files)

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of an entry in pieces; the last is given where they have their digest alone.

        Raises:
            Refused: if they do not, or the archive is damaged there.
        """
        total, held = hashlib.sha256(), b""
        for piece in self._pieces(name):
            total.update(piece)
            yield held
            held = piece
        if total.hexdigest() != self.manifest.files[name]:
            raise self.refuse(f"{name} is not what was packed: it has another digest")
        yield held

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of an entry, as `pieces` gives them."""
        rest = b""
        for piece in self.pieces(name):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
        if rest:
            yield rest

    def changed(self) -> list[str]:
        """Names of entries that do not have their digest."""
        names = []
        for name in self.names:
            try:
                for _ in self.pieces(name):
                    pass
            except Refused:
                names.append(name)
        return names

    def refuse(self, problem: str) -> Refused:
        """The error for a bundle that is not as it was packed."""
        return Refused(f"{_shown(self.path)} is refused: {problem}", remedy=_REMEDY)

    @cached_property
    def _infos(self) -> dict[str, ZipInfo]:
        return {info.filename: info for info in self.file.infolist()}

    def _check_entries(self) -> None:
        infos, size = self.file.infolist(), self.path.stat().st_size
        if len(infos) > _MAX_FILES:
            raise self.refuse(f"it has {len(infos):,} files, and {_MAX_FILES:,} is the limit")
        for info in infos:
            shown = repr(info.filename[:200])
            if not _NAMES.fullmatch(info.filename):
                raise self.refuse(
                    f"{shown} has no place in a bundle, which has {len(infos):,} files"
                )
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.compress_type != ZIP_STORED or info.file_size != info.compress_size:
                raise self.refuse(f"{shown} is compressed, which no file of a bundle is")
            if info.flag_bits & 1:
                raise self.refuse(f"{shown} is encrypted")
            if kind not in (0, stat.S_IFREG):
                raise self.refuse(f"{shown} is a link or a device")
        twice = [name for name, times in Counter(i.filename for i in infos).items() if times > 1]
        if twice:
            raise self.refuse(f"{twice[0]!r} is there twice")
        if sum(info.file_size for info in infos) > size:
            raise self.refuse(f"its files take more room than its own {size:,} bytes")

    def _pieces(self, name: str) -> Iterator[bytes]:
        try:
            with self.file.open(name) as file:
                yield from _blocks(file)
        except reading.ZIP_ERRORS as error:
            reason = " ".join(str(error).split())[:200]
            raise self.refuse(f"{name} is not what was packed: {reason}") from None


def is_bundle(path: Path) -> bool:
    """True for a file that begins like a ZIP archive."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except (OSError, ValueError):
        return False


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _info(name: str) -> ZipInfo:
    info = ZipInfo(name, _TIME)
    info.create_system = 3  # Unix, on every system
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _shown(path: Path) -> str:
    return f"bundle {str(path)[:300]!r}"
