"""Files of pairs that were picked by hand: JSON lines, a pair with both pictures in each."""

import math
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from htbench.core import content, pictures, reading
from htbench.core.errors import UsageError
from htbench.core.types import UNSTEERED, label_of, method_and_strength
from htbench.run.store import image_file
from htbench.study import csv_rows
from htbench.study.answer import NUMBER_RANGES
from htbench.study.ask.options import StudyOptions
from htbench.study.ask.shown import Shown, ShownPictures

_NOUN = "file of pairs"
_MAX_LINE = 1 << 27
"""The most characters of a line."""


def _check_strength(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("is not finite")
    return 0.0 + value  # -0 is 0


_LEAST_SEED, _LARGEST_SEED = NUMBER_RANGES["seed"]
Text = Annotated[str, Field(pattern=r"^[^\x00]+$", max_length=1000)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PickedPicture(_Record):
    """One picture of a pair."""

    method: Text
    strength: Annotated[float, AfterValidator(_check_strength)]
    png: str
    """The picture as a PNG file, in base64."""

    @classmethod
    def of(cls, method: str, strength: float, png: bytes) -> Self:
        """The record of a picture."""
        return cls(method=method, strength=strength, png=b64encode(png).decode())

    @property
    def data(self) -> bytes:
        """The file of the picture.

        Raises:
            UsageError: if it is none.
        """
        try:
            png = b64decode(self.png, validate=True)
        except ValueError as error:
            raise UsageError(f"the picture of {self.method!r} is no base64: {error}") from None
        pictures.open_picture(png, name=f"the picture of {self.method}")
        return png


class PickedPair(_Record):
    """Two pictures of one prompt, seed and concept, as a line of a file has them."""

    prompt: Text
    seed: Annotated[int, Field(ge=_LEAST_SEED, le=_LARGEST_SEED)]
    concept: Text
    """The id of the concept."""
    words: Text
    """The concept in words."""
    families: tuple[Text, ...] = ()
    """Labels of what the concept shares with others, which intervals count with."""
    pictures: tuple[PickedPicture, PickedPicture]


def is_pair_file(name: str) -> bool:
    """True for the name of a file of pairs."""
    return name.lower().endswith(".jsonl")


def choose(path: Path, options: StudyOptions, *, images: Path) -> ShownPictures:
    """All pairs of a file, whose pictures are written into the folder `images`.

    Where all pictures are at one strength they are named by their methods, else by METHOD@STRENGTH.
    Pairs of identical pictures are left out, unless strengths are compared.

    Raises:
        UsageError: if the file or a row of it is not valid, with its number, or for options that
            choose among the pictures of a run.
    """
    _refuse_choices(options)
    chosen = _Chosen(images=images, by_strength=options.task == "strength")
    for row, line in _lines(path):
        try:
            chosen.add(row, PickedPair.model_validate(reading.parse_json(line)))
        except ValidationError as error:
            problem = reading.first_problem(error)
        except (reading.Malformed, UsageError) as error:
            problem = str(error)
        else:
            continue
        raise csv_rows.row_error(path, row, problem, noun=_NOUN)
    if not chosen.shown:
        raise UsageError(
            f"{_NOUN} {str(path)[:300]!r} has no two different pictures",
            remedy="Pick pairs on the page of htbench play, and save them.",
        )
    return chosen.pictures


@dataclass(kw_only=True)
class _Chosen:
    """The pairs of a file so far, with pictures named METHOD@STRENGTH."""

    images: Path
    by_strength: bool
    shown: list[Shown] = field(default_factory=list)
    _rows: dict[object, int] = field(default_factory=dict)
    _concepts: dict[str, str] = field(default_factory=dict)
    _families: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add(self, row: int, pair: PickedPair) -> None:
        """Take the pair of a row.

        Raises:
            UsageError: if it is not one, or is there already.
        """
        names = self._names(pair)
        if names[0] == names[1]:
            raise UsageError(f"both pictures are of {names[0]}")
        key = pair.concept, pair.prompt, pair.seed, frozenset(names)
        if (first := self._rows.setdefault(key, row)) != row:
            raise UsageError(f"it is the pair of row {first} again")
        if self._concepts.setdefault(pair.concept, pair.words) != pair.words:
            raise UsageError(f"concept {pair.concept!r} had other words in a row before")
        self._families[pair.concept] = pair.families
        files = tuple(_keep(each.data, self.images) for each in pair.pictures)
        if self.by_strength or files[0] != files[1]:
            self.shown.append(
                Shown(
                    concept=pair.concept,
                    prompt=pair.prompt,
                    seed=pair.seed,
                    names=names,
                    files=files,
                )
            )

    @property
    def pictures(self) -> ShownPictures:
        """All of them."""
        strengths = {
            strength
            for shown in self.shown
            for method, strength in map(method_and_strength, shown.names)
            if method != UNSTEERED
        }
        is_one = len(strengths) == 1 and not self.by_strength
        return ShownPictures(
            images=self.images,
            shown=tuple(map(_by_method, self.shown) if is_one else self.shown),
            concepts=self._concepts,
            families=self._families,
            strength=strengths.pop() if is_one else None,
        )

    def _names(self, pair: PickedPair) -> tuple[str, ...]:
        """Methods with strengths; where strengths are compared, unsteered is strength 0 of the
        method beside it.
        """
        methods = {each.method for each in pair.pictures}
        if self.by_strength and len(methods - {UNSTEERED}) != 1:
            raise UsageError("its pictures are not of two strengths of one method")
        steered = next(iter(methods - {UNSTEERED}), UNSTEERED)
        return tuple(
            label_of(steered if self.by_strength else each.method, each.strength)
            for each in pair.pictures
        )


def _by_method(shown: Shown) -> Shown:
    return replace(shown, names=tuple(method_and_strength(name)[0] for name in shown.names))


def _keep(png: bytes, images: Path) -> str:
    """Write a picture under the name that its content gives it, and return that."""
    name = image_file(png)
    if not (images / name).exists():
        content.write_whole(images / name, png)
    return name


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with csv_rows.open_text(path, noun=_NOUN) as file:
        for row, line in enumerate(iter(lambda: file.readline(_MAX_LINE), ""), start=1):
            if len(line) == _MAX_LINE:
                raise csv_rows.row_error(
                    path, row, f"it has {_MAX_LINE:,} characters or more", noun=_NOUN
                )
            if line.strip():
                yield row, line


def _refuse_choices(options: StudyOptions) -> None:
    """Refuse options that choose among the pictures of a run."""
    if options.task not in ("pairs", "strength"):
        raise UsageError(
            f"--task {options.task} shows no pairs, and the file has pairs",
            remedy="Leave --task out, or give --task strength.",
        )
    given = {
        "--method": bool(options.methods),
        "--against": bool(options.against),
        "--strength": options.strength is not None,
        "--pairs": options.pairs is not None,
    }
    if named := next((name for name, is_given in given.items() if is_given), ""):
        raise UsageError(
            f"{named} chooses among the pictures of a run, and the file has its pairs",
            remedy=f"Leave {named} out.",
        )
