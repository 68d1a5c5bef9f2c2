"""`htbench play`: a local page on which concepts are typed and pictures change at once."""

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
)
from htbench.core.errors import Missing

if TYPE_CHECKING:
    from htbench.play.engine import Engine

METHODS = ("hypertransport", "prompt", "mean-shift", "linear-act-tokens", "lineas-l2")
"""Methods of the page unless some are named."""
FOLDER = RUNS_DIR / "play"


def play(
    model: ModelName = "emoji",
    weights: Weights = None,
    model_option: ModelOption = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Method by name, or ./card.toml, to be chosen on the page. Repeatable.",
            show_default=", ".join(METHODS),
        ),
    ] = None,
    concept_set: ConceptSetName = "emoji",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="N", help="Port of this machine; another if it is taken."
        ),
    ] = 8642,
    device: Device = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write a page with pictures made ahead, which needs no server, and end.",
        ),
    ] = None,
) -> None:
    """Steer on a page of this machine: type a concept or drop a picture, and move the strength.
    Pictures of all methods change at once. Nothing leaves the machine. Ctrl-C ends it.
    """
    _check_installed()
    from rich.console import Console

    with Console(stderr=True).status(f"load {model}") as status:
        engine = _engine(model, weights, model_option, method, concept_set, device)
        engine.warm_up()
        if export:
            from htbench.play import demo

            page = demo.write(engine, export, advance=status.update)
    if export:
        typer.echo(str(page))
        return

    from htbench.play import server

    def ready(address: str) -> None:
        typer.echo(f"Page: {address} (Ctrl-C ends)")
        if open_page:
            typer.launch(address)

    server.serve(engine, port=port, ready=ready)


def _check_installed() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("cachetools", "starlette", "uvicorn") if not find_spec(name)]
    if missing:
        raise Missing(
            f"htbench play needs {', '.join(missing)}", remedy="Run: pip install 'htbench[play]'"
        )


def _engine(
    model: str,
    weights: str | None,
    model_option: list[str] | None,
    methods: list[str] | None,
    concept_set: str,
    device: str | None,
) -> "Engine":
    from htbench.core import registry
    from htbench.steering import baseline
    from htbench.steering import concept as concept_sets

    cards = [baseline.load_card(name) for name in dict.fromkeys(methods or METHODS)]
    source = choose_model(model, weights, model_option)
    concepts = concept_sets.load(concept_set, model=model)

    from htbench.play.engine import Engine

    loaded = source.load(device)
    # a second copy of a small model, so that pictures need not wait for a fit
    learner = source.load(device) if registry.describe("models", model).shipped else loaded
    scorer = registry.load("encoders", loaded.scorer)(loaded.device)
    FOLDER.mkdir(parents=True, exist_ok=True)
    return Engine(loaded, learner, scorer, {card.name: card for card in cards}, concepts, FOLDER)
