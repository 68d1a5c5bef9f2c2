"""Concepts that a method steers towards, and the sets of them that a benchmark is run on."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from htbench.core import content, pictures, reading
from htbench.core.errors import Refused, UnknownName, UsageError
from htbench.core.types import Digest
from htbench.steering import concept_files, words

if TYPE_CHECKING:
    from PIL.Image import Image

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
NEUTRAL_PROMPT_SET = "open"
"""The shipped set whose neutral prompts serve a user's own set that has none."""
REFERENCE_PIXELS = 1 << 21
"""The most pixels of a reference image as it is read; encoders see far fewer."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A reference image of a concept, packed in an archive."""

    archive: Path
    name: str
    checksum: int
    """CRC-32 of its file, as the archive has it."""

    def open(self) -> "Image":
        """The image as RGB, upright by its EXIF orientation, on white where it is transparent.

        It has at most `REFERENCE_PIXELS`; a larger one is reduced.

        Raises:
            UnreadablePicture: if it cannot be read.
        """
        picture = pictures.read_archived_picture(self.archive, self.name, pixels=REFERENCE_PIXELS)
        return pictures.on_background(picture)


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """A reference image in a file of the user's own."""

    path: Path
    checksum: int
    """CRC-32 of the file."""

    @property
    def name(self) -> str:
        """The file's name without its folder, which is no part of the concept's digest."""
        return self.path.name

    @classmethod
    def from_path(cls, path: Path) -> "ImageFile":
        """The image at `path`.

        Raises:
            UnknownName: if there is no such file, with the nearest ones beside it.
            Missing: if there is no file beside it either.
            UsageError: if it cannot be read as an image.
        """
        data = reading.read_bytes(path, noun="image file", most=pictures.MAX_BYTES)
        pictures.open_picture(data, name=str(path), pixels=REFERENCE_PIXELS)
        return cls(path=path.absolute(), checksum=crc32(data))

    def open(self) -> "Image":
        """The image as RGB, upright by its EXIF orientation, on white where it is transparent."""
        return pictures.on_background(pictures.read_picture(self.path, pixels=REFERENCE_PIXELS))


_DIGESTED = ("id", "kind", "text", "template", "sources")
"""Fields of a concept that its digest is made of, besides its references."""


@dataclass(frozen=True, kw_only=True)
class Concept:
    """Something that steering can add to an image, with the prompts that methods are fitted on.

    A concept has words (`text` and `template`), reference images, or both. Concepts come from a
    set (`load_concepts`), from words (`concept_from_words`) or from images
    (`concept_from_images`).
    """

    id: str
    """Unique in its set, such as `companion/lemon`."""
    kind: str
    """The concept's category, such as `companion` or `style`."""
    text: str
    """The concept in words: `with lemon`; empty if it is given by images alone."""
    template: str
    """The prompt that asks for it: `{prompt} with lemon`; empty if it has no words."""
    sources: tuple[str, ...] = ()
    """Neutral prompts to fit methods on."""
    references: tuple[Reference | ImageFile, ...] = ()
    """Images of it, for methods that steer towards images."""
    paraphrases: tuple[str, ...] = ()
    """Other phrasings of `text`, by which the robustness of a method is measured."""
    synonyms: tuple[str, ...] = ()
    """Other words for `text` that the model's encoders were trained on and its generator was not;
    in a set that has them, nothing was trained on the words of `paraphrases`."""
    families: tuple[str, ...] = ()
    """Labels of what it shares with other concepts, such as its content words. Scores of concepts
    that share one are not independent, and intervals count with that."""

    def reworded(self, text: str) -> "Concept":
        """This concept with `text` in place of its own, in the template too."""
        return replace(self, text=text, template=self.template.replace(self.text, text))

    def target(self, prompt: str) -> str:
        """The neutral `prompt` reworded so that it asks for this concept."""
        return self.template.replace("{prompt}", prompt)

    @property
    def targets(self) -> tuple[str, ...]:
        """The prompts that ask for this concept, one per prompt of `sources`."""
        return tuple(self.target(prompt) for prompt in self.sources)

    @cached_property
    def digest(self) -> Digest:
        """Changes with everything that can change a fitted intervention.

        Not with paraphrases and families.
        """
        fields = {field: getattr(self, field) for field in _DIGESTED}
        if self.synonyms:  # sets of before had none
            fields["synonyms"] = self.synonyms
        references = [[reference.name, reference.checksum] for reference in self.references]
        return content.digest({**fields, "references": references, "paraphrases": []})


@dataclass(frozen=True, kw_only=True)
class ConceptSet:
    """Concepts in three splits, with neutral prompts for evaluation.

    Methods are trained on the split `train`, tuned on `dev` and evaluated on `test`. The neutral
    prompts that they are fitted on are the `sources` of each concept. See docs/concepts.md.
    """

    name: str
    version: str
    licence: str
    about: str
    splits: dict[Split, tuple[Concept, ...]]
    prompts: tuple[str, ...]
    """Neutral prompts for evaluation, which no method is fitted on."""

    def select(self, selection: str) -> tuple[Concept, ...]:
        """Concepts in the order of `selection`: splits and ids, separated by commas.

        Raises:
            UnknownName: for a name that is neither, with the nearest right names.
            UsageError: if nothing is selected.
        """
        concepts: dict[str, Concept] = {}
        by_id = {concept.id: concept for split in SPLITS for concept in self.splits[split]}
        for name in filter(None, (part.strip() for part in selection.split(","))):
            if name in SPLITS:
                concepts.update((concept.id, concept) for concept in self.splits[name])
            elif name in by_id:
                concepts[name] = by_id[name]
            else:
                remedy = f"For the set, write: --concept-set {name}" if name in names() else ""
                raise UnknownName("concept or split", name, [*SPLITS, *by_id], remedy=remedy)
        if not concepts:
            raise UsageError(
                f"no concepts selected by {selection!r}",
                remedy=f"Name a split ({', '.join(SPLITS)}) or concept ids.",
            )
        return tuple(concepts.values())


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
    synonyms: tuple[str, ...] = ()
    family: tuple[str, ...] = ()


class _PromptRow(_Strict):
    text: str = Field(min_length=1)
    use: Literal["fit", "evaluation"]


_RowModel = TypeVar("_RowModel", _ConceptRow, _PromptRow)


def names() -> list[str]:
    """Names of the shipped concept sets."""
    return sorted(path.parent.name for path in content.folder("concepts").glob("*/card.toml"))


def load(name: str, *, model: str = "") -> ConceptSet:
    """The concept set `name`: a shipped one, such as `emoji`, or a user's own.

    A user's own set is named by its path (a CSV, JSON lines or a folder, such as `./mine`) or, on
    the Hugging Face hub, by `hf:owner/name`. Prompts that it lacks are those of the shipped set
    with the name of the `model`, else of `open`. See docs/concepts.md.

    Raises:
        UnknownName: if there is no shipped set of that name.
        Missing: if a path does not exist, or a data set cannot be loaded.
        Refused: if the files of a shipped set are damaged.
        UsageError: for the first invalid row of a user's own set, with its location.
    """
    if name not in names():
        if concept_files.is_user_set(name):
            return _user_set(concept_files.read(name), model)
        raise UnknownName(
            "concept set",
            name,
            names(),
            remedy="A set of your own is given by its path: ./mine or mine.csv",
        )
    folder = content.folder("concepts") / name
    try:
        card = content.read_card(folder / "card.toml", _SetCard)
        lines = reading.json_lines(folder / "concepts.jsonl")
        rows = [_ConceptRow.model_validate(row) for _, row in lines]
        lines = reading.json_lines(folder / "prompts.jsonl")
        prompts = [_PromptRow.model_validate(row) for _, row in lines]
        references = _references(folder / "references.zip")
    except (ValueError, OSError, UsageError) as error:
        raise Refused(
            f"concept set {name!r} is damaged: {' '.join(str(error).split())[:300]}"
        ) from None
    for what, keys in (
        ("concept", [row.id for row in rows]),
        ("prompt", [prompt.text for prompt in prompts]),
    ):
        if twice := [key for key, times in Counter(keys).items() if times > 1]:
            raise Refused(
                f"concept set {name!r} has {what} {twice[0]!r} twice: "
                "what is learnt from would be evaluated on"
            )
    return _concept_set(
        card,
        rows,
        references,
        fit=_texts(prompts, "fit"),
        evaluation=_texts(prompts, "evaluation"),
    )


def _user_set(files: concept_files.ConceptFiles, model: str) -> ConceptSet:
    """A user's own set, with prompts of a shipped one for each use that its own do not cover."""
    rows = [_validate(_ConceptRow, row) for row in files.concepts]
    prompts = [_validate(_PromptRow, row) for row in files.prompts]
    locations: dict[str, str] = {}
    for row, prompt in zip(files.prompts, prompts, strict=True):
        text = " ".join(prompt.text.casefold().split())
        if locations.setdefault(text, row.location) != row.location:
            row.fail(f"prompt {prompt.text[:80]!r} is there already: {locations[text]}")
    fit, evaluation = _texts(prompts, "fit"), _texts(prompts, "evaluation")
    if not (fit and evaluation):
        neutral = load(model if model in names() else NEUTRAL_PROMPT_SET)
        fit = fit or _unlisted(neutral.splits["train"][0].sources, locations)
        evaluation = evaluation or _unlisted(neutral.prompts, locations)
    try:
        card = _SetCard.model_validate(files.card)
        references = _references(files.reference_archive) if files.reference_archive else {}
    except ValidationError as error:
        raise UsageError(f"the set's card.toml: {reading.first_problem(error)}") from None
    return _concept_set(card, rows, references, fit=fit, evaluation=evaluation)


def _concept_set(
    card: _SetCard,
    rows: Iterable[_ConceptRow],
    references: Mapping[str, tuple[Reference, ...]],
    *,
    fit: tuple[str, ...],
    evaluation: tuple[str, ...],
) -> ConceptSet:
    by_split: dict[Split, list[_ConceptRow]] = {split: [] for split in SPLITS}
    for row in rows:
        by_split[row.split].append(row)
    families = words.families(
        {row.id: (row.kind, row.text) for split in SPLITS for row in by_split[split]}
    )
    splits = {
        split: [
            Concept(
                **row.model_dump(exclude={"split", "family"}),
                sources=fit,
                references=references.get(row.id, ()),
                families=row.family or families[row.id],
            )
            for row in by_split[split]
        ]
        for split in SPLITS
    }
    return ConceptSet(
        **card.model_dump(),
        splits={split: tuple(concepts) for split, concepts in splits.items()},
        prompts=evaluation,
    )


def _texts(prompts: Iterable[_PromptRow], use: str) -> tuple[str, ...]:
    return tuple(prompt.text for prompt in prompts if prompt.use == use)


def _unlisted(prompts: Iterable[str], locations: Mapping[str, str]) -> tuple[str, ...]:
    """The `prompts` that are not among the set's own."""
    return tuple(prompt for prompt in prompts if prompt.casefold() not in locations)


def _validate(model: type[_RowModel], row: concept_files.ConceptFileRow) -> _RowModel:
    try:
        return model.model_validate(row.values)
    except ValidationError as error:
        row.fail(reading.first_problem(error))


def _references(archive: Path) -> dict[str, tuple[Reference, ...]]:
    if not os.path.lexists(archive):
        return {}
    by_concept: dict[str, list[Reference]] = {}
    for name, checksum in pictures.archived_pictures(archive).items():
        reference = Reference(archive=archive, name=name, checksum=checksum)
        by_concept.setdefault(name.rpartition("/")[0], []).append(reference)
    return {concept: tuple(references) for concept, references in by_concept.items()}
