"""`htbench play`: a local page on which concepts are typed and pictures change at once."""

from collections.abc import Iterator
from contextlib import contextmanager
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
    open_run,
)
from htbench.core.errors import Missing, UnknownName, UsageError

if TYPE_CHECKING:
    from htbench.play.engine import Engine
    from htbench.play.run_maps import RunMaps

_MODEL = _CONCEPT_SET = "emoji"
METHODS = ("hypertransport", "prompt", "mean-shift", "linear-act-tokens", "lineas-l2")
"""Methods of the page unless some are named."""
FOLDER = RUNS_DIR / "play"


def play(
    model: ModelName = _MODEL,
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
    concept_set: ConceptSetName = _CONCEPT_SET,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Take the interventions that a run, or a bundle, has learnt, and learn none: its "
            "methods, concepts and model.",
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
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

    if run and export:
        raise UsageError("--export makes a page of its own concepts", remedy="Leave --run out.")
    with _run_maps(run, runs_dir) as maps:
        with Console(stderr=True).status("load the model") as status:
            engine = _engine(model, weights, model_option, method, concept_set, device, maps)
            engine.warm_up()
            if export:
                from htbench.play import demo

                typer.echo(str(demo.write(engine, export, advance=status.update)))
                return

        from htbench.play import server

        def ready(address: str) -> None:
            typer.echo(f"Page: {address} (Ctrl-C ends)")
            if open_page:
                typer.launch(address)

        server.serve(engine, port=port, ready=ready)


@contextmanager
def _run_maps(run: str | None, runs_dir: Path) -> "Iterator[RunMaps | None]":
    """The interventions of the run or bundle that was named; None where none was."""
    if run is None:
        yield None
        return
    from htbench.play import run_maps

    with open_run(run, runs_dir) as folder:
        yield run_maps.read(folder, name=Path(run).name)


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
    maps: "RunMaps | None",
) -> "Engine":
    from htbench.core import registry
    from htbench.steering import baseline
    from htbench.steering import concept as concept_sets

    if maps:
        model = maps.model if model == _MODEL else model
        concept_set = maps.concept_set if concept_set == _CONCEPT_SET else concept_set
        for name in methods or ():
            if name not in maps.cards:
                raise UnknownName("method in this run", name, maps.cards)
        methods = [maps.cards[name] for name in methods or maps.cards]
    cards = [baseline.load_card(name) for name in dict.fromkeys(methods or METHODS)]
    source = choose_model(model, weights, model_option)
    concepts = concept_sets.load(concept_set, model=model)

    from htbench.play.engine import Engine

    loaded = source.load(device)
    if maps:
        maps.check_model(loaded)
    # a second copy of a small model, so that pictures need not wait for a fit
    learner = (
        source.load(device) if not maps and registry.describe("models", model).shipped else loaded
    )
    scorer = registry.load("encoders", loaded.scorer)(loaded.device)
    FOLDER.mkdir(parents=True, exist_ok=True)
    by_name = {card.name: card for card in cards}
    return Engine(loaded, learner, scorer, by_name, concepts, FOLDER, run_maps=maps)
