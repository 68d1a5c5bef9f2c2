"""Steering towards a concept of a set, any words, or images, shown at several strengths."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.core.errors import UsageError
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.concept import SPLITS, Concept, ConceptSet, ImageFile
from htbench.steering.filmstrip import Filmstrip, FilmstripRow

if TYPE_CHECKING:
    from PIL import Image

    from htbench.steering.intervention import Intervention
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


def concept_of_maps(paths: Sequence[Path]) -> Concept:
    """The concept that files of maps were learnt for, as a title; no prompt asks for it.

    Raises:
        UnknownName: if a file does not exist, with the nearest ones beside it.
        Refused: if a file is damaged, or has no affine maps.
    """
    from htbench.steering.map_files import MapFile

    text = ", ".join(MapFile.read(path).name for path in paths)
    return Concept(id=f"maps/{text}", kind="maps", text=text, template="")


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
    """The images of a filmstrip: a row per prompt, seed and method, a column per strength.

    All images of a prompt and seed start from the same noise.
    """

    prompts: tuple[str, ...]
    strengths: tuple[float, ...]
    seeds: tuple[int, ...] = (0,)
    batch: int = 16
    """Number of images generated at once."""

    def count_images(self, *, methods: int, concept: Concept) -> int:
        """Number of images of so many methods, with those of prompts that ask for the concept."""
        columns = methods * len(self.strengths) + bool(concept.target(""))
        return len(self.prompts) * len(self.seeds) * columns


def learn(
    cards: Sequence[Card],
    model: "Model",
    concept: Concept,
    *,
    concepts: ConceptSet,
    folder: Path,
    seed: int = 0,
) -> "dict[str, Intervention]":
    """The interventions of methods towards a concept, by the name of the card.

    Args:
        concepts: the set whose train split methods are trained on.
        folder: where trained methods are kept, and found again.
    """
    from htbench.steering.method import load_or_train

    folder.mkdir(parents=True, exist_ok=True)
    train = concepts.splits["train"]
    return {
        card.name: load_or_train(card, model, train, folder=folder, seed=seed).steering.towards(
            concept
        )
        for card in cards
    }


def make_filmstrip(
    interventions: "Mapping[str, Intervention]",
    model: "Model",
    concept: Concept,
    request: FilmstripRequest,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> Filmstrip:
    """Images at several strengths of one intervention towards a concept or more.

    Where the concept has a template, the unsteered image of the prompt that asks for it stands
    beside each row.

    Args:
        interventions: by the name of the method.
        advance: called after each batch with the number of images generated so far.
    """
    from htbench.steering.intervention import Intervention
    from htbench.steering.model import Request

    starts = list(product(request.prompts, request.seeds))
    requests = [
        Request(prompt=prompt, seed=seed, intervention=intervention, strength=strength)
        for prompt, seed in starts
        for intervention in interventions.values()
        for strength in request.strengths
    ]
    if concept.target(""):
        requests += [
            Request(
                prompt=concept.target(prompt), seed=seed, intervention=Intervention(), strength=0.0
            )
            for prompt, seed in starts
        ]
    images: list[Image.Image] = []
    for start in range(0, len(requests), request.batch):
        images += model.generate(requests[start : start + request.batch])
        advance(len(images))
    keys = [(prompt, seed, method) for prompt, seed in starts for method in interventions]
    columns = len(request.strengths)
    prompted = dict(zip(starts, images[len(keys) * columns :], strict=False))
    seeds = ", ".join(map(str, request.seeds))
    return Filmstrip(
        title=concept.text or ", ".join(reference.name for reference in concept.references),
        note=f"{', '.join(interventions)} on {model.name}, "
        f"seed{'s' if len(request.seeds) > 1 else ''} {seeds}",
        strengths=request.strengths,
        rows=tuple(
            FilmstripRow(
                label=_label(prompt, seed, method, request=request, methods=len(interventions)),
                prompt=prompt,
                images=tuple(images[k * columns : (k + 1) * columns]),
                prompted=prompted.get((prompt, seed)),
            )
            for k, (prompt, seed, method) in enumerate(keys)
        ),
        references=() if concept.text else tuple(image.open() for image in concept.references),
    )


def _label(prompt: str, seed: int, method: str, *, request: FilmstripRequest, methods: int) -> str:
    """The label of a row: its prompt, and whatever else differs between rows."""
    parts = [prompt]
    if len(request.seeds) > 1:
        parts.append(f"seed {seed}")
    if methods > 1:
        parts.append(method)
    return ", ".join(parts)


def _sources(concepts: ConceptSet) -> tuple[str, ...]:
    """The neutral prompts that methods are fitted on for this set."""
    return next(concept.sources for split in SPLITS for concept in concepts.splits[split])
