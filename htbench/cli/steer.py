"""`htbench steer`: a filmstrip of any concept, or of several at once, at several strengths."""

import math
import os
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import (
    RUNS_DIR,
    ConceptSetName,
    Device,
    ModelName,
    ModelOption,
    RunsDir,
    Weights,
    choose_model,
    parse_numbers,
)
from htbench.core.errors import UsageError, check_installed

if TYPE_CHECKING:
    from htbench.steering.edits import Edits, Strength
    from htbench.steering.model import Model

FORMATS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".html")
FOLDER = RUNS_DIR / "steer"
_METHOD = "hypertransport"
_RISING, _ONE = "0,0.25,0.5,0.75,1", "1"


def steer(
    model: ModelName = "emoji",
    weights: Weights = None,
    model_option: ModelOption = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Method by name, or ./card.toml; several make a row each. Repeatable.",
            show_default="hypertransport",
        ),
    ] = None,
    concept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help='Concept in any words: "woodcut style"; or a concept of the set. Several are '
            "combined. Repeatable.",
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Concept to remove. Repeatable."),
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW", help="Concept to remove, and the one to add instead. Repeatable."
        ),
    ] = None,
    combine: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="`sum` adds up the changes of several concepts; `sequence` makes one after the "
            "other, in the order --maps, --image, --concept, --remove, --replace.",
            show_default="sum",
        ),
    ] = None,
    remove_by: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="`inverse` removes a concept by the exact inverse of its affine maps, `negative` "
            "by a negative strength. Prompting leaves the words out, or asks against them.",
        ),
    ] = "inverse",
    image: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Picture of the concept instead. Repeatable."),
    ] = None,
    maps: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Steer with the maps in this file, of htbench maps, instead of learning a "
            "concept; several make a row each, or are combined if there is --combine or another "
            "concept. Repeatable.",
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Prompt to steer; each makes a row. Repeatable.",
            show_default="the first three of the concept set",
        ),
    ] = None,
    strength: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIST",
            help="Strengths separated by commas; below 0 removes the concept, above 1 exaggerates. "
            "Of several concepts: one for each, or one for all, shown beside each concept alone; "
            "repeated, each makes one column.",
            show_default="0,0.25,0.5,0.75,1, and of several concepts 1",
        ),
    ] = None,
    strength_scale: Annotated[
        str,
        typer.Option(
            metavar="SCALE",
            help="plain, or perceptual: each method at strengths of its own, learnt on dev "
            "concepts in the run of --run, at which equal steps of strength have equal effects.",
        ),
    ] = "plain",
    run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Run with --strength-scale perceptual, by name, its folder or a bundle.",
        ),
    ] = None,
    seed: Annotated[
        str,
        typer.Option(metavar="LIST", help="Random seeds of the noise, such as 0,1; a row each."),
    ] = "0",
    template: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Prompt that asks for new words, for methods that learn from prompts.",
            show_default="{prompt}, {concept}",
        ),
    ] = None,
    concept_set: ConceptSetName = "emoji",
    allow_unknown: Annotated[
        bool,
        typer.Option("--allow-unknown", help="Steer with words that the model does not know."),
    ] = False,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Images generated at once.")] = 16,
    device: Device = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Picture to write: .png or .jpg, an animation (.gif, .webp), or a page with a "
            "slider (.html).",
            show_default="in runs/steer",
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Show images at rising strengths of any concept, given in words or as pictures, or of several
    concepts at once, added or removed. Each prompt, seed and method makes a row, each strength a
    column.
    """
    from htbench.cli.strength_scale import own_strengths
    from htbench.steering import baseline
    from htbench.steering import concept as concept_sets
    from htbench.steering import steer as steering
    from htbench.steering.edits import Edits, split_replacements

    described = bool(concept or remove or replace)
    if maps and not (described or image) and (method or template is not None):
        raise UsageError(
            "--maps are learnt already; --method and --template are for learning",
            remedy="Leave them out.",
        )
    if image and not described and template is not None:
        raise UsageError(
            "--template is for words; pictures are not put into prompts",
            remedy="Leave --template out.",
        )
    names = [] if maps and not (described or image) else dict.fromkeys(method or [_METHOD])
    cards = [baseline.load_card(name) for name in names]
    source = choose_model(model, weights, model_option)
    concepts = concept_sets.load(concept_set, model=model)
    maps_in_rows = bool(maps) and not (described or image or combine)
    files = [] if maps_in_rows else [steering.concept_of_maps([path]) for path in maps or ()]
    wanted = Edits.of(
        steering.edits_from_words(
            concepts,
            add=[
                *([steering.concept_of_maps(maps or ())] if maps_in_rows else files),
                *([steering.concept_from_images(image)] if image else ()),
                *(concept or ()),
            ],
            remove=remove or (),
            replace=split_replacements(replace or ()),
            template=template,
        ),
        combine=combine or "sum",
        remove_by=remove_by,
    )
    to_learn = [each for each in wanted.concepts if each.kind != "maps"]
    for card in cards:
        for each in to_learn:
            steering.check_readable(card, each)
    columns = _columns(strength, wanted)
    own = own_strengths(
        strength_scale,
        run,
        runs_dir,
        cards=cards,
        model=model,
        columns=columns,
        only_adds=not (remove or replace or maps),
    )
    request = steering.FilmstripRequest(
        prompts=tuple(prompt or concepts.prompts[:3]),
        strengths=columns,
        seeds=_seeds(seed),
        batch=batch,
        own_strengths=own.by_method,
    )
    methods = "+".join(card.name for card in cards) or "maps"
    path = _check_writable(out or FOLDER / f"{_slug(wanted)}-{methods[:100]}.png")

    from rich.console import Console

    from htbench.steering import intervention

    with Console(stderr=True).status(f"load {model}") as status:
        loaded = source.load(device)
        own.check_model(loaded)
        _check_words(loaded, wanted, request.prompts, allow_unknown=allow_unknown)
        kept = {str(file): intervention.load(file, model=loaded) for file in maps or ()}
        if maps_in_rows:
            learnt = {file: {wanted.concepts[0].id: change} for file, change in kept.items()}
        else:
            status.update(f"{methods} learns {wanted.title}")
            learnt = steering.learn(
                cards, loaded, to_learn, concepts=concepts, folder=FOLDER / "learnt"
            ) or {methods: {}}
            changes = zip(files, kept.values(), strict=True)
            by_concept = {concept.id: change for concept, change in changes}
            learnt = {name: {**own, **by_concept} for name, own in learnt.items()}
        total = request.count_images(methods=len(learnt), edits=wanted)
        film = steering.make_filmstrip(
            learnt,
            loaded,
            wanted,
            request,
            advance=lambda done: status.update(f"make images: {done} of {total}"),
        )
        if path.suffix.lower() == ".html":
            from htbench.report import filmstrip_page

            filmstrip_page.write(film, path)
        else:
            film.save(path)
    typer.echo(os.path.relpath(path))


def _check_words(
    model: "Model", wanted: "Edits", prompts: Sequence[str], *, allow_unknown: bool
) -> None:
    """Refuse words that the model does not know, or say that there are some if they are allowed."""
    from htbench.steering.model import (
        UNKNOWN_WORDS_REMEDY,
        describe_unknown_words,
        unknown_words,
    )

    texts = [each.target(prompt) or prompt for prompt in prompts for each in wanted.concepts]
    if unknown := unknown_words(model, texts):
        problem = describe_unknown_words(model.name, unknown)
        if not allow_unknown:
            raise UsageError(problem, remedy=UNKNOWN_WORDS_REMEDY)
        typer.echo(f"htbench: {problem}", err=True)


def _columns(texts: list[str] | None, wanted: "Edits") -> "tuple[Strength, ...]":
    """Columns of strengths: each number for one edit, each list for several."""
    from htbench.steering.edits import with_each_alone

    several = len(wanted.edits) > 1
    lists = [parse_numbers("strength", text) for text in texts or [_ONE if several else _RISING]]
    for strength in chain.from_iterable(lists):
        if not math.isfinite(strength) or abs(strength) > 10:
            raise UsageError(
                f"--strength {strength:g} is not between -10 and 10",
                remedy="Write it as --strength 0,0.5,1",
            )
    if not several:
        return wanted.columns(chain.from_iterable(lists))
    columns = wanted.columns(lists)
    first = columns[0]
    return with_each_alone(first) if len(columns) == 1 and isinstance(first, tuple) else columns


def _seeds(text: str) -> tuple[int, ...]:
    numbers = parse_numbers("seed", text)
    for number in numbers:
        if number != int(number) or not 0 <= number < 2**63:
            raise UsageError(
                f"--seed {number:g} is no whole number from 0", remedy="Write it as --seed 0,1"
            )
    return tuple(dict.fromkeys(map(int, numbers)))


def _check_writable(path: Path) -> Path:
    """The path, in a folder that is made unless something is missing for the picture itself."""
    check_installed("torch")
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"--out {str(path)!r} is not a picture", remedy=f"End it in one of {', '.join(FORMATS)}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write {str(path)!r}: {error.strerror}", remedy="Give another --out."
        ) from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write {str(path)!r}", remedy="Give another --out.")
    return path


def _slug(wanted: "Edits") -> str:
    text = wanted.title
    if len(wanted.edits) == 1 and wanted.references:
        text = Path(wanted.references[0].name).stem
    return re.sub(r"[^\w.-]+", "-", text).strip("-")[:60] or "concept"
