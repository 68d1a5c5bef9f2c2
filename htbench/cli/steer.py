"""`htbench steer`: a filmstrip of any concept, at rising strengths."""

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import (
    RUNS_DIR,
    ConceptSetName,
    Device,
    ModelName,
    ModelOption,
    Weights,
    choose_model,
    parse_numbers,
)
from htbench.core.errors import UsageError

if TYPE_CHECKING:
    from htbench.steering.concept import Concept, ConceptSet

FORMATS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".html")
FOLDER = RUNS_DIR / "steer"
_METHOD = "hypertransport"


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
        str | None,
        typer.Option(
            metavar="TEXT", help='Concept in any words: "woodcut style"; or a concept of the set.'
        ),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Picture of the concept instead. Repeatable."),
    ] = None,
    maps: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Steer with the maps in this file, of htbench maps, instead of learning a "
            "concept; several make a row each. Repeatable.",
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
        str,
        typer.Option(
            metavar="LIST",
            help="Strengths separated by commas; below 0 removes the concept, above 1 exaggerates.",
        ),
    ] = "0,0.25,0.5,0.75,1",
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
) -> None:
    """Show images at rising strengths of any concept, given in words or as pictures. Each prompt,
    seed and method makes a row, each strength a column.
    """
    from htbench.steering import baseline
    from htbench.steering import concept as concept_sets
    from htbench.steering import steer as steering

    if maps and (method or template is not None):
        raise UsageError(
            "--maps are learnt already; --method and --template are for learning",
            remedy="Leave them out.",
        )
    names = [] if maps else dict.fromkeys(method or [_METHOD])
    cards = [baseline.load_card(name) for name in names]
    source = choose_model(model, weights, model_option)
    concepts = concept_sets.load(concept_set, model=model)
    target = _target_concept(concept, image, template, maps, concepts)
    for card in cards:
        steering.check_readable(card, target)
    request = steering.FilmstripRequest(
        prompts=tuple(prompt or concepts.prompts[:3]),
        strengths=_strengths(strength),
        seeds=_seeds(seed),
        batch=batch,
    )
    methods = "+".join(card.name for card in cards) or "maps"
    path = _check_writable(out or FOLDER / f"{_slug(target)}-{methods[:100]}.png")

    from rich.console import Console

    from htbench.steering import intervention
    from htbench.steering.model import (
        UNKNOWN_WORDS_REMEDY,
        describe_unknown_words,
        unknown_words,
    )

    with Console(stderr=True).status(f"load {model}") as status:
        loaded = source.load(device)
        prompts = [target.target(prompt) or prompt for prompt in request.prompts]
        if unknown := unknown_words(loaded, prompts):
            problem = describe_unknown_words(model, unknown)
            if not allow_unknown:
                raise UsageError(problem, remedy=UNKNOWN_WORDS_REMEDY)
            typer.echo(f"htbench: {problem}", err=True)
        if maps:
            learnt = {str(each): intervention.load(each, model=loaded) for each in maps}
        else:
            status.update(f"{methods} learns {target.text or 'from pictures'}")
            learnt = steering.learn(
                cards, loaded, target, concepts=concepts, folder=FOLDER / "learnt"
            )
        total = request.count_images(methods=len(learnt), concept=target)
        film = steering.make_filmstrip(
            learnt,
            loaded,
            target,
            request,
            advance=lambda done: status.update(f"make images: {done} of {total}"),
        )
        if path.suffix.lower() == ".html":
            from htbench.report import filmstrip_page

            filmstrip_page.write(film, path)
        else:
            film.save(path)
    typer.echo(os.path.relpath(path))


def _target_concept(
    concept: str | None,
    image: list[Path] | None,
    template: str | None,
    maps: list[Path] | None,
    concept_set: "ConceptSet",
) -> "Concept":
    from htbench.steering import steer as steering

    if sum(each is not None for each in (concept, image or None, maps or None)) != 1:
        raise UsageError(
            "give either --concept, --image or --maps",
            remedy='Such as: htbench steer --concept "woodcut style" --prompt panda',
        )
    if image and template is not None:
        raise UsageError(
            "--template is for words; pictures are not put into prompts",
            remedy="Leave --template out.",
        )
    if image:
        return steering.concept_from_images(image)
    if maps:
        return steering.concept_of_maps(maps)
    return steering.concept_from_words(concept or "", concept_set, template=template)


def _strengths(text: str) -> tuple[float, ...]:
    strengths = tuple(parse_numbers("strength", text))
    for strength in strengths:
        if not math.isfinite(strength) or abs(strength) > 10:
            raise UsageError(
                f"--strength {strength:g} is not between -10 and 10",
                remedy="Write it as --strength 0,0.5,1",
            )
    return strengths


def _seeds(text: str) -> tuple[int, ...]:
    numbers = parse_numbers("seed", text)
    for number in numbers:
        if number != int(number) or not 0 <= number < 2**63:
            raise UsageError(
                f"--seed {number:g} is no whole number from 0", remedy="Write it as --seed 0,1"
            )
    return tuple(dict.fromkeys(map(int, numbers)))


def _check_writable(path: Path) -> Path:
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


def _slug(concept: "Concept") -> str:
    text = concept.text or Path(concept.references[0].name).stem
    return re.sub(r"[^\w.-]+", "-", text).strip("-")[:60] or "concept"
