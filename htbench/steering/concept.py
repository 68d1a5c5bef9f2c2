"""Concepts: what a method steers towards, and the sets of them that a benchmark is run on."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args
from zipfile import BadZipFile, ZipFile
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from htbench.core import content
from htbench.core.errors import Refused, UnknownName, UsageError
from htbench.core.types import Digest
from htbench.steering import concept_files

if TYPE_CHECKING:
    from PIL.Image import Image

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
NEUTRAL_PROMPT_SET = "open"
"""The shipped set whose neutral prompts a user's own set has unless it brings some."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One picture of a concept, packed in an archive."""

    archive: Path
    name: str
    checksum: int
    """CRC-32 of its file, as the archive has it."""

    def open(self) -> "Image":
        """The picture, as RGB."""
        from PIL import Image

        with ZipFile(self.archive) as archive:
            return Image.open(BytesIO(archive.read(self.name))).convert("RGB")


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """A picture file of the user's own."""

    path: Path
    checksum: int
    """CRC-32 of the file."""

    @property
    def name(self) -> str:
        """The file's name without its folder, which changes nothing."""
        return self.path.name

    @classmethod
    def from_path(cls, path: Path) -> "ImageFile":
        """The picture at `path`.

        Raises:
            UnknownName: if there is no such file, with the nearest ones beside it.
            UsageError: if it is not a picture that can be read.
        """
        if not path.is_file():
            beside = (
                [file.name for file in path.parent.iterdir() if file.is_file()]
                if path.parent.is_dir()
                else []
            )
            raise UnknownName(
                "image file", path.name, beside, remedy=f"Looked in {str(path.parent)!r}."
            )
        photo = cls(path=path, checksum=crc32(path.read_bytes()))
        try:
            photo.open()
        except OSError as error:
            raise UsageError(
                f"image {str(path)!r} cannot be read: {error}",
                remedy="Give a PNG, JPEG or WebP file.",
            ) from None
        return photo

    def open(self) -> "Image":
        """The picture, upright, as RGB; what is transparent is white."""
        from PIL import Image, ImageOps

        with Image.open(self.path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert(
            "RGB"
        )


@dataclass(frozen=True, kw_only=True)
class Concept:
    """Something that can be added to an image, with the prompts to learn it from."""

    id: str
    kind: str
    text: str
    """The concept in words: `with lemon`; empty if it is given by pictures alone."""
    template: str
    """How a prompt asks for it: `{prompt} with lemon`; empty if it has no words."""
    sources: tuple[str, ...] = ()
    """Neutral prompts to learn from."""
    references: tuple[Reference | ImageFile, ...] = ()
    """Pictures of it, for methods that steer towards images."""
    paraphrases: tuple[str, ...] = ()
    """Other words for `text`, which say how brittle a reading is."""

    def reworded(self, text: str) -> "Concept":
        """This concept in other words, also where a prompt asks for it."""
        return replace(self, text=text, template=self.template.replace(self.text, text))

    def target(self, prompt: str) -> str:
        """`prompt` with this concept asked for."""
        return self.template.replace("{prompt}", prompt)

    @property
    def targets(self) -> tuple[str, ...]:
        """The neutral prompts, each with this concept asked for."""
        return tuple(self.target(prompt) for prompt in self.sources)

    @cached_property
    def digest(self) -> Digest:
        """Changes with anything that could change what is learnt."""
        pictures = [[reference.name, reference.checksum] for reference in self.references]
        return content.digest({**asdict(replace(self, paraphrases=())), "references": pictures})


@dataclass(frozen=True, kw_only=True)
class ConceptSet:
    """Concepts in three splits, with neutral prompts: some to learn from, others to evaluate on."""

    name: str
    version: str
    licence: str
    about: str
    splits: dict[Split, tuple[Concept, ...]]
    prompts: tuple[str, ...]
    """Neutral prompts for evaluation, unseen by every method."""

    def select(self, selection: str) -> tuple[Concept, ...]:
        """Concepts named by `wanted`: a split, or ids separated by commas.

        Raises:
            UnknownName: for anything else, with the nearest right names.
        """
        chosen: dict[str, Concept] = {}
        by_id = {concept.id: concept for split in SPLITS for concept in self.splits[split]}
        for name in filter(None, (part.strip() for part in selection.split(","))):
            if name in SPLITS:
                chosen.update((concept.id, concept) for concept in self.splits[name])
            elif name in by_id:
                chosen[name] = by_id[name]
            else:
                raise UnknownName("concept or split", name, [*SPLITS, *by_id])
        if not chosen:
            raise UsageError(
                f"no concepts selected by {selection!r}",
                remedy=f"Name a split ({', '.join(SPLITS)}) or concept ids.",
            )
        return tuple(chosen.values())


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _SetCard(_Strict):
    name: str
    version: str
    licence: str
    about: str


class _ConceptRow(_Strict):
    id: str = Field(min_length=1, max_length=200)
    kind: str
    split: Split
    text: str = Field(min_length=1)
    template: str = Field(pattern=r"\{prompt\}")
    paraphrases: tuple[str, ...] = ()


class _PromptRow(_Strict):
    text: str = Field(min_length=1)
    use: Literal["fit", "evaluation"]


_RowModel = TypeVar("_RowModel", _ConceptRow, _PromptRow)


def names() -> list[str]:
    """Names of the concept sets that are shipped."""
    return sorted(path.parent.name for path in content.folder("concepts").glob("*/card.toml"))


def load(name: str) -> ConceptSet:
    """The shipped concept set `name`; or a user's own, of which `name` is the path or `hf:owner/name`.

    Raises:
        UnknownName: if there is none.
        Refused: if its files are damaged.
        UsageError: if a user's own set has a row that makes no sense.
    """
    import tomllib

    if name not in names():
        if concept_files.is_user_set(name):
            return _user_set(concept_files.read(name))
        raise UnknownName(
            "concept set",
            name,
            names(),
            remedy="A set of your own is given by its path: ./mine or mine.csv",
        )
    folder = content.folder("concepts") / name
    try:
        card = _SetCard.model_validate(
            tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))
        )
        rows = [_ConceptRow.model_validate(row) for row in _json_lines(folder / "concepts.jsonl")]
        prompts = [_PromptRow.model_validate(row) for row in _json_lines(folder / "prompts.jsonl")]
        references = _references(folder / "references.zip")
    except (ValidationError, ValueError, RecursionError, OSError, BadZipFile) as error:
        raise Refused(
            f"concept set {name!r} is damaged: {' '.join(str(error).split())[:300]}"
        ) from None
    for what, keys in (
        ("concept", [row.id for row in rows]),
        ("prompt", [prompt.text for prompt in prompts]),
    ):
        if twice := [key for key, times in Counter(keys).items() if times > 1]:
            raise Refused(
                f"concept set {name!r} has {what} {twice[0]!r} twice: what is learnt from would be evaluated on"
            )
    sources = tuple(prompt.text for prompt in prompts if prompt.use == "fit")
    concepts = {
        split: tuple(
            Concept(
                **row.model_dump(exclude={"split"}),
                sources=sources,
                references=references.get(row.id, ()),
            )
            for row in rows
            if row.split == split
        )
        for split in SPLITS
    }
    evaluation = tuple(prompt.text for prompt in prompts if prompt.use == "evaluation")
    return ConceptSet(**card.model_dump(), splits=concepts, prompts=evaluation)


def _user_set(files: concept_files.ConceptFiles) -> ConceptSet:
    """A user's own set, with prompts of a shipped one where it brings none that are needed."""
    rows = [_validate(_ConceptRow, row) for row in files.concepts]
    asked = [(row, _validate(_PromptRow, row)) for row in files.prompts]
    seen: dict[str, str] = {}
    for row, prompt in asked:
        words = " ".join(prompt.text.casefold().split())
        if seen.setdefault(words, row.location) != row.location:
            row.fail(f"prompt {prompt.text[:80]!r} is there already: {seen[words]}")
    fit, evaluation = (
        tuple(prompt.text for _, prompt in asked if prompt.use == use)
        for use in ("fit", "evaluation")
    )
    if not (fit and evaluation):
        neutral = load(NEUTRAL_PROMPT_SET)
        fit = fit or tuple(
            prompt for prompt in neutral.splits["train"][0].sources if prompt.casefold() not in seen
        )
        evaluation = evaluation or tuple(
            prompt for prompt in neutral.prompts if prompt.casefold() not in seen
        )
    try:
        card = _SetCard.model_validate(files.card)
        references = _references(files.reference_archive) if files.reference_archive else {}
    except (ValidationError, OSError, BadZipFile) as error:
        raise UsageError(
            f"the set's card.toml or references.zip cannot be read: {' '.join(str(error).split())[:200]}"
        ) from None
    concepts = {
        split: tuple(_make_concept(row, fit, references) for row in rows if row.split == split)
        for split in SPLITS
    }
    return ConceptSet(**card.model_dump(), splits=concepts, prompts=evaluation)


def _make_concept(
    row: _ConceptRow, sources: tuple[str, ...], references: Mapping[str, tuple[Reference, ...]]
) -> Concept:
    return Concept(
        **row.model_dump(exclude={"split"}), sources=sources, references=references.get(row.id, ())
    )


def _validate(model: type[_RowModel], row: concept_files.ConceptFileRow) -> _RowModel:
    try:
        return model.model_validate(row.values)
    except ValidationError as error:
        first = error.errors()[0]
        row.fail(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _json_lines(path: Path) -> Iterable[object]:
    return (
        json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
    )


def _references(archive: Path) -> dict[str, tuple[Reference, ...]]:
    if not archive.exists():
        return {}
    found: dict[str, list[Reference]] = {}
    with ZipFile(archive) as file:
        for info in sorted(file.infolist(), key=lambda info: info.filename):
            if not info.is_dir():
                reference = Reference(archive=archive, name=info.filename, checksum=info.CRC)
                found.setdefault(info.filename.rpartition("/")[0], []).append(reference)
    return {concept: tuple(references) for concept, references in found.items()}
