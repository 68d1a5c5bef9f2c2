"""`htbench.steer`: images of a prompt steered towards a concept, at several strengths."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.core import device as devices
from htbench.core import registry
from htbench.steering import baseline
from htbench.steering import concept as concept_sets
from htbench.steering import steer as steering
from htbench.steering.concept import Concept
from htbench.steering.edits import Edits, Strength, with_each_alone
from htbench.steering.filmstrip import Filmstrip
from htbench.steering.steer import FilmstripRequest

if TYPE_CHECKING:
    from PIL.Image import Image

    from htbench.steering.model import Model

_FOLDER = Path("runs") / "steer" / "learnt"
"""Folder of methods that are trained here, as for `htbench steer`."""
_RISING = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True)
class SteeredImages:
    """Images of prompts at rising strengths; a notebook shows them as one picture."""

    filmstrip: Filmstrip

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts, a row of images each."""
        return tuple(dict.fromkeys(row.prompt for row in self.filmstrip.rows))

    @property
    def strengths(self) -> tuple[Strength, ...]:
        """The strengths, a column of images each: numbers, or tuples with one for each concept."""
        return self.filmstrip.strengths

    @property
    def images(self) -> "tuple[Image, ...]":
        """All images: those of the first prompt at each strength, then those of the next."""
        return tuple(image for row in self.filmstrip.rows for image in row.images)

    def save(self, path: str | PathLike[str]) -> None:
        """Write all images as one labelled picture, or as an animation; the suffix says which."""
        self.filmstrip.save(Path(path))

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.filmstrip.draw().save(buffer, "PNG")
        return buffer.getvalue()


def steer(
    prompt: str | Sequence[str],
    concept: str | Concept | Sequence[str | Concept] = (),
    *,
    remove: str | Concept | Sequence[str | Concept] = (),
    replace: Mapping[str, str] | None = None,
    combine: str = "sum",
    remove_by: str = "inverse",
    method: str = "hypertransport",
    strengths: Iterable[float | Sequence[float]] | None = None,
    seed: int = 0,
    model: str = "emoji",
    concept_set: str = "emoji",
    device: str | None = None,
) -> SteeredImages:
    """Generate images of a prompt, steered towards a concept or several, at several strengths.

    A model stays loaded for the next call.

    Args:
        prompt: the prompt, or several.
        concept: words such as `with lemon`, or the id of a concept of the set; or a `Concept`; or
            several of these.
        remove: the concept to remove, or several.
        replace: the concept to add by the one that it takes the place of.
        combine: `sum` adds up the changes of several concepts; `sequence` makes one after the
            other: those of `concept`, of `remove`, and of `replace`.
        remove_by: `inverse` removes a concept by the exact inverse of its affine maps, `negative`
            by a negative strength. Prompting leaves the words out, or asks against them.
        method: a baseline of `htbench list methods`, or the path of its card.
        strengths: one per column of images: 0 leaves the image as it is, 1 is the learnt change,
            below 0 pushes away. With several concepts a column is a number for all of them, or a
            number for each, such as `(1, 0.5)`; a replacement counts as one. None: 0 to 1 in four
            steps; with several concepts no change, each concept alone, and all together.
        seed: seed of the noise that images start from, the same for all.
        model: a model of `htbench list models`.
        concept_set: the set whose concepts and neutral prompts are used.
        device: `cpu`, `cuda` or `cuda:1`; None: the GPU if there is one.

    Raises:
        UnknownName: for a method, model, set or way to combine or remove that does not exist.
        UsageError: if the method cannot be given such a concept, or has no inverse for it; or if
            strengths or concepts do not fit together.
    """
    card, concepts = baseline.load_card(method), concept_sets.load(concept_set)
    added, removed = (
        (part,) if isinstance(part, str | Concept) else part for part in (concept, remove)
    )
    edits = Edits.of(
        steering.edits_from_words(concepts, add=added, remove=removed, replace=replace),
        combine=combine,
        remove_by=remove_by,
    )
    for target in edits.concepts:
        steering.check_readable(card, target)
    several = len(edits.edits) > 1
    default = with_each_alone((1.0,) * len(edits.edits)) if several else _RISING
    request = FilmstripRequest(
        prompts=(prompt,) if isinstance(prompt, str) else tuple(prompt),
        strengths=edits.columns(default if strengths is None else strengths),
        seeds=(seed,),
    )
    loaded = _load_model(model, devices.choose(device))
    learnt = steering.learn([card], loaded, edits.concepts, concepts=concepts, folder=_FOLDER)
    filmstrip = steering.make_filmstrip(learnt, loaded, edits, request)
    return SteeredImages(filmstrip=filmstrip)


@lru_cache(maxsize=1)
def _load_model(name: str, device: str) -> "Model":
    registry.check("models", name)
    model: Model = registry.load_model(name, device, {})
    return model
