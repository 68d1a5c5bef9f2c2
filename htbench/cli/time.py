"""`htbench time`: the cost per concept of each method, measured on the same machine."""

import os
from typing import Annotated

import typer

from htbench.cli.options import (
    RUNS_DIR,
    ConceptSetName,
    Device,
    Json,
    ModelName,
    ModelOption,
    RunsDir,
    Verbose,
    Weights,
    choose_model,
)
from htbench.core import registry
from htbench.core.errors import UsageError


def time(
    model: ModelName = "emoji",
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Method by name, or ./card.toml. Repeatable.",
            show_default="all",
        ),
    ] = None,
    weights: Weights = None,
    model_option: ModelOption = None,
    concept_set: ConceptSetName = "emoji",
    rounds: Annotated[
        int,
        typer.Option(
            min=3,
            metavar="N",
            help="Most rounds, each on another concept; fewer once the noise is steady.",
        ),
    ] = 30,
    minutes: Annotated[
        float,
        typer.Option(
            min=0.0,
            metavar="N",
            help="Minutes for everything; no round begins that would take longer.",
        ),
    ] = 9.0,
    steps: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Steps of a fit that are timed; the time of longer fits is scaled up.",
        ),
    ] = 20,
    train_concepts: Annotated[
        int,
        typer.Option(
            min=2,
            metavar="N",
            help="Concepts that training is timed on; its cost is scaled up.",
        ),
    ] = 8,
    train_steps: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Steps of training that are timed; its cost is scaled up."
        ),
    ] = 8,
    encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Encoder that reads concepts where the weights of the model's own are not "
            "downloaded; the report says so.",
        ),
    ] = "",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed for learning.")] = 0,
    device: Device = None,
    runs_dir: RunsDir = RUNS_DIR,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the folder; that of a run shows its scores beside the times.",
            show_default="time-MODEL",
        ),
    ] = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Measure the time per concept of methods, and what training once saves. Writes a report with
    every raw sample.
    """
    from htbench.steering import baseline, concept

    source = choose_model(model, weights, model_option)
    methods = list(dict.fromkeys(method or baseline.cards()))
    for name_or_path in methods:
        baseline.load_method(baseline.load_card(name_or_path))
    if encoder:
        registry.check("encoders", encoder)
    concepts = concept.load(concept_set, model=model)
    splits = concepts.splits
    if len(splits["test"]) < 3 or not splits["dev"] or len(splits["train"]) < 2:
        raise UsageError(
            f"concept set {concept_set!r} is too small to time on",
            remedy="It needs 3 test, 1 dev and 2 train concepts.",
        )
    from htbench import report
    from htbench.core import device as devices
    from htbench.core.display import Display
    from htbench.report.sections import time as time_section
    from htbench.run.store import Store
    from htbench.run.timing import session
    from htbench.run.timing.protocol import TimingProtocol

    protocol = TimingProtocol(
        rounds=rounds,
        minutes=minutes,
        steps=steps,
        train_concepts=train_concepts,
        train_steps=train_steps,
        encoder=encoder,
        seed=seed,
    )
    folder = runs_dir / (name or f"time-{model}" + ("-random" if weights == "random" else ""))
    session.run(
        folder,
        methods,
        concepts,
        protocol,
        model=model,
        device=devices.choose(device),
        load_options=source.load_options,
        display=Display(verbose=verbose, as_json=as_json),
    )
    page = report.write(folder)
    with Store.read(folder) as store:
        time_section.show(store, os.path.relpath(page), as_json=as_json)
