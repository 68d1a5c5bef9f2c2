"""Steering towards a concept of a set, any words, or images, shown at several strengths."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.core.errors import UsageError
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.concept import SPLITS, Concept, ConceptSet, ImageFile
from htbench.steering.edits import Edit, Edits, Strength
from htbench.steering.filmstrip import Filmstrip, FilmstripRow, heading

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
    id_ = f"maps/{', '.join(map(str, paths))}"
    return Concept(id=id_, kind="maps", text=text, template="")


def edits_from_words(
    concepts: ConceptSet,
    *,
    add: Sequence[str | Concept] = (),
    remove: Sequence[str | Concept] = (),
    replace: Mapping[str, str] | None = None,
    template: str | None = None,
) -> tuple[Edit, ...]:
    """Edits by concepts: those of `add` first, then those of `remove`, then the replacements.

    Args:
        concepts: the set that is searched for words, as `concept_from_words` does it.
        add: concepts, or their words, to add.
        remove: concepts, or their words, to remove.
        replace: words of the concept that takes a place, by the words of the one that had it.
        template: as for `concept_from_words`.

    Raises:
        UsageError: as `concept_from_words` does.
    """

    def read(concept: str | Concept) -> Concept:
        if isinstance(concept, Concept):
            return concept
        return concept_from_words(concept, concepts, template=template)

    return (
        *(Edit(added=read(concept)) for concept in add),
        *(Edit(removed=read(concept)) for concept in remove),
        *(Edit(removed=read(old), added=read(new)) for old, new in (replace or {}).items()),
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
    """The images of a filmstrip: a row per prompt, seed and method, a column per strength.

    All images of a prompt and seed start from the same noise.
    """

    prompts: tuple[str, ...]
    strengths: tuple[Strength, ...]
    """A column each, as `Edits.columns` gives them."""
    seeds: tuple[int, ...] = (0,)
    batch: int = 16
    """Number of images generated at once."""
    own_strengths: Mapping[str, tuple[Strength, ...]] = field(default_factory=dict)
    """By the name of a method, its own strength for each column, on a scale of strengths that it
    has; others are steered at `strengths`."""

    def count_images(self, *, methods: int, edits: Edits) -> int:
        """Number of images of so many methods, with those of prompts that ask for the edits."""
        columns = methods * len(self.strengths) + bool(edits.asked(self.prompts))
        return len(self.prompts) * len(self.seeds) * columns


def learn(
    cards: Sequence[Card],
    model: "Model",
    targets: Sequence[Concept],
    *,
    concepts: ConceptSet,
    folder: Path,
    seed: int = 0,
) -> "dict[str, dict[str, Intervention]]":
    """The interventions of methods towards concepts, by the name of the card and concept id.

    Args:
        targets: the concepts, which every method must be able to read.
        concepts: the set whose train split methods are trained on.
        folder: where trained methods are kept, and found again.
    """
    from htbench.steering.method import load_or_train

    folder.mkdir(parents=True, exist_ok=True)
    train = concepts.splits["train"]
    learnt: dict[str, dict[str, Intervention]] = {}
    for card in cards:
        steering = load_or_train(card, model, train, folder=folder, seed=seed).steering
        learnt[card.name] = {concept.id: steering.towards(concept) for concept in targets}
    return learnt


def make_filmstrip(
    learnt: "Mapping[str, Mapping[str, Intervention]]",
    model: "Model",
    edits: Edits,
    request: FilmstripRequest,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> Filmstrip:
    """Images at several strengths of edits by one method or more.

    Where prompts can ask for the edits, the unsteered image of such a prompt stands beside each
    row.

    Args:
        learnt: by the name of the method, the intervention that adds each concept, by its id.
        advance: called after each batch with the number of images generated so far.

    Raises:
        UsageError: if a concept is to be removed by inverse maps, and a method's have none.
        Refused: if the inverse of a method's maps cannot be calculated.
    """
    from htbench.steering.combined import apply_edits
    from htbench.steering.intervention import Intervention
    from htbench.steering.model import Request

    starts = list(product(request.prompts, request.seeds))
    steered = {
        method: [
            apply_edits(edits, changes, strength)
            for strength in request.own_strengths.get(method, request.strengths)
        ]
        for method, changes in learnt.items()
    }
    requests = [
        Request(prompt=prompt, seed=seed, intervention=part.intervention, strength=part.strength)
        for prompt, seed in starts
        for parts in steered.values()
        for part in parts
    ]
    asked = edits.asked(request.prompts)
    requests += [
        Request(prompt=asked[prompt], seed=seed, intervention=Intervention(), strength=0.0)
        for prompt, seed in (starts if asked else ())
    ]
    images: list[Image.Image] = []
    for start in range(0, len(requests), request.batch):
        images += model.generate(requests[start : start + request.batch])
        advance(len(images))
    keys = [(prompt, seed, method) for prompt, seed in starts for method in learnt]
    columns = len(request.strengths)
    prompted = dict(zip(starts, images[len(keys) * columns :], strict=False))
    return Filmstrip(
        title=edits.title,
        note=_note(learnt, model, edits, request),
        strengths=request.strengths,
        rows=tuple(
            FilmstripRow(
                label=_label(prompt, seed, method, request=request, methods=len(learnt)),
                prompt=prompt,
                images=tuple(images[k * columns : (k + 1) * columns]),
                prompted=prompted.get((prompt, seed)),
            )
            for k, (prompt, seed, method) in enumerate(keys)
        ),
        references=tuple(image.open() for image in edits.references),
    )


def _note(
    learnt: "Mapping[str, Mapping[str, Intervention]]",
    model: "Model",
    edits: Edits,
    request: FilmstripRequest,
) -> str:
    """The methods, model and seeds of a filmstrip, and the way that maps remove a concept.

    An inverse amplifies channels that the maps nearly silence, which can destroy the picture.
    """
    from htbench.steering.combined import largest_gain

    seeds = ", ".join(map(str, request.seeds))
    plural = "s" if len(request.seeds) > 1 else ""
    note = f"{', '.join(learnt)} on {model.name}, seed{plural} {seeds}"
    if len(edits.edits) > 1:
        note += ", strengths in the order of the title"
    for method, strengths in request.own_strengths.items():
        note += f", own strengths of {method}: {'; '.join(map(heading, strengths))}"
    removed = [edit.removed.id for edit in edits.edits if edit.removed]
    undone = {
        method: [changes[concept] for concept in removed if changes[concept].sites]
        for method, changes in learnt.items()
    }
    if not any(undone.values()):
        return note
    if edits.remove_by == "negative":
        return f"{note}, removal by negative strength"
    gains = ", ".join(
        f"{method} {max(map(largest_gain, changes)):.2g}"
        for method, changes in undone.items()
        if changes
    )
    return f"{note}, removal by inverse maps (greatest gain of a channel: {gains})"


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
