"""Steers towards anything: a concept of a set, any words, or pictures; and shows it at several strengths."""

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
    """The concept of the set whose id or words `text` is; else a new one, which `template` puts into prompts."""
    wanted = " ".join(text.split())
    if not wanted:
        raise UsageError(
            "the concept is empty", remedy='Give words, such as --concept "with lemon".'
        )
    if template is None:
        for known in (known for split in SPLITS for known in concepts.splits[split]):
            if wanted.casefold() in (known.id.casefold(), known.text.casefold()):
                return known
    template = DEFAULT_TEMPLATE if template is None else template
    if "{prompt}" not in template:
        raise UsageError(
            f"template {template!r} has no {{prompt}}",
            remedy=f'Write it as --template "{DEFAULT_TEMPLATE}"',
        )
    return Concept(
        id=f"words/{wanted}",
        kind="words",
        text=wanted,
        template=template.replace("{concept}", wanted),
        sources=_sources(concepts),
    )


def concept_from_images(paths: Sequence[Path]) -> Concept:
    """The concept that pictures show."""
    photos = tuple(ImageFile.from_path(path) for path in paths)
    return Concept(
        id=f"pictures/{'+'.join(photo.name for photo in photos)}",
        kind="pictures",
        text="",
        template="",
        references=photos,
    )


def check_readable(card: Card, concept: Concept) -> None:
    """Raise `UsageError` if a method cannot read a concept given as this one is, with the methods that can."""
    given = [
        what for what, there in (("text", concept.text), ("image", concept.references)) if there
    ]
    if set(given) & set(card.reads):
        return
    able = [name for name, other in baseline.cards().items() if set(given) & set(other.reads)]
    what = "words" if given == ["text"] else "images"
    raise UsageError(
        f"{card.name} cannot be given a concept in {what}",
        remedy=f"These methods can: {', '.join(able)}",
    )


@dataclass(frozen=True, kw_only=True)
class FilmstripRequest:
    """What to show: each prompt at each strength, all from the same noise."""

    prompts: tuple[str, ...]
    strengths: tuple[float, ...]
    seed: int = 0
    batch: int = 16
    """Images made at once."""


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
    """A method's images of a concept at rising strengths; what it shares between concepts is kept in `folder`."""
    from htbench.steering.method import load_or_train
    from htbench.steering.model import Request

    folder.mkdir(parents=True, exist_ok=True)
    change = load_or_train(
        card, model, concepts.splits["train"], folder=folder, seed=0
    ).steering.towards(concept)
    requests = [
        Request(prompt=prompt, seed=request.seed, intervention=change, strength=strength)
        for prompt in request.prompts
        for strength in request.strengths
    ]
    images = []
    for start in range(0, len(requests), request.batch):
        images += model.generate(requests[start : start + request.batch])
        advance(len(images))
    wide = len(request.strengths)
    return Filmstrip(
        title=concept.text or ", ".join(reference.name for reference in concept.references),
        note=f"{card.name} on {model.name}, seed {request.seed}",
        labels=request.prompts,
        strengths=request.strengths,
        rows=tuple(tuple(images[start : start + wide]) for start in range(0, len(images), wide)),
        references=()
        if concept.text
        else tuple(reference.open() for reference in concept.references),
    )


def _sources(concepts: ConceptSet) -> tuple[str, ...]:
    """The neutral prompts that the set's concepts are learnt from."""
    return next(concept.sources for split in SPLITS for concept in concepts.splits[split])
