"""Steering towards a concept of a set, any words, or images, shown at several strengths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.core.errors import UsageError
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.concept import SPLITS, Concept, ConceptSet, ImageFile
from htbench.steering.filmstrip import Filmstrip

if TYPE_CHECKING:
    from htbench.steering.model import Model

DEFAULT_TEMPLATE = "{prompt}, {concept}"


def concept_from_words(text: str, concepts: ConceptSet, *, template: str | None = None) -> Concept:
    """The concept of the set with this id or text, whatever its case; else a new concept.

    A new concept takes its neutral prompts from the set, so that methods can be fitted to it.

    Args:
        text: the concept in words, such as `with lemon`.
        concepts: the set that is searched first, unless a template is given.
        template: wording of prompts that ask for the concept, with `{prompt}` and perhaps
            `{concept}`; None: `DEFAULT_TEMPLATE`.

    Raises:
        UsageError: if `text` is empty, or `template` has no `{prompt}`.
    """
    words = " ".join(text.split())
    if not words:
        raise UsageError(
            "the concept is empty", remedy='Give words, such as --concept "with lemon".'
        )
    if template is None:
        for concept in (concept for split in SPLITS for concept in concepts.splits[split]):
            if words.casefold() in (concept.id.casefold(), concept.text.casefold()):
                return concept
    template = DEFAULT_TEMPLATE if template is None else template
    if "{prompt}" not in template:
        raise UsageError(
            f"template {template!r} has no {{prompt}}",
            remedy=f'Write it as --template "{DEFAULT_TEMPLATE}"',
        )
    return Concept(
        id=f"words/{words}",
        kind="words",
        text=words,
        template=template.replace("{concept}", words),
        sources=_sources(concepts),
    )


def concept_from_images(paths: Sequence[Path]) -> Concept:
    """A concept given by reference images instead of words; only some methods can read it.

    Raises:
        UnknownName: if a file does not exist, with the nearest ones beside it.
        UsageError: if a file cannot be read as an image.
    """
    images = tuple(ImageFile.from_path(path) for path in paths)
    return Concept(
        id=f"pictures/{'+'.join(image.name for image in images)}",
        kind="pictures",
        text="",
        template="",
        references=images,
    )


def check_readable(card: Card, concept: Concept) -> None:
    """Raise `UsageError`, which names other methods, if a method cannot read words or images."""
    values = (("text", concept.text), ("image", concept.references))
    modalities = [modality for modality, value in values if value]
    if set(modalities) & set(card.reads):
        return
    able = [name for name, other in baseline.cards().items() if set(modalities) & set(other.reads)]
    what = "words" if modalities == ["text"] else "images"
    raise UsageError(
        f"{card.name} cannot be given a concept in {what}",
        remedy=f"These methods can: {', '.join(able)}",
    )


@dataclass(frozen=True, kw_only=True)
class FilmstripRequest:
    """The images of a filmstrip: each prompt at each strength, all from the same noise."""

    prompts: tuple[str, ...]
    strengths: tuple[float, ...]
    seed: int = 0
    batch: int = 16
    """Images generated at once."""


def make_filmstrip(
    card: Card,
    model: "Model",
    concept: Concept,
    request: FilmstripRequest,
    *,
    concepts: ConceptSet,
    folder: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> Filmstrip:
    """A method's images of a concept at several strengths.

    Args:
        concepts: the set whose train split methods are trained on.
        folder: where a trained method is kept, and found again.
        advance: called after each batch with the number of images generated so far.
    """
    from htbench.steering.method import load_or_train
    from htbench.steering.model import Request

    folder.mkdir(parents=True, exist_ok=True)
    trained = load_or_train(card, model, concepts.splits["train"], folder=folder, seed=0)
    intervention = trained.steering.towards(concept)
    requests = [
        Request(prompt=prompt, seed=request.seed, intervention=intervention, strength=strength)
        for prompt in request.prompts
        for strength in request.strengths
    ]
    images = []
    for start in range(0, len(requests), request.batch):
        images += model.generate(requests[start : start + request.batch])
        advance(len(images))
    columns = len(request.strengths)
    references = () if concept.text else tuple(image.open() for image in concept.references)
    return Filmstrip(
        title=concept.text or ", ".join(reference.name for reference in concept.references),
        note=f"{card.name} on {model.name}, seed {request.seed}",
        labels=request.prompts,
        strengths=request.strengths,
        rows=tuple(
            tuple(images[start : start + columns]) for start in range(0, len(images), columns)
        ),
        references=references,
    )


def _sources(concepts: ConceptSet) -> tuple[str, ...]:
    """The neutral prompts that methods are fitted on for this set."""
    return next(concept.sources for split in SPLITS for concept in concepts.splits[split])
