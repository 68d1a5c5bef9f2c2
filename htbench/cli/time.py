"""`htbench time`: the cost per concept of each method, measured on the same machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import Json, ModelOption, Out, Verbose, Weights, choose_model
from htbench.core import registry
from htbench.core.errors import UsageError


def time(
    model: Annotated[str, typer.Option(help="See: htbench list models")] = "emoji",
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="A baseline or the path of its card; repeat for several; all that there are if "
            "not given."
        ),
    ] = None,
    weights: Weights = None,
    model_option: ModelOption = None,
    concept_set: Annotated[
        str, typer.Option(help="Whose concepts are timed on; see: htbench list concepts")
    ] = "emoji",
    rounds: Annotated[
        int,
        typer.Option(
            min=3,
            help="At most so many, each on a concept that is new; from 10 on they end when the "
            "noise is steady.",
        ),
    ] = 30,
    minutes: Annotated[
        float,
        typer.Option(
            min=0.0, help="No round begins that would not end in so many, preparing included."
        ),
    ] = 9.0,
    steps: Annotated[
        int, typer.Option(min=1, help="A fit of more steps is measured over so many, and scaled.")
    ] = 20,
    train_concepts: Annotated[
        int,
        typer.Option(
            min=2,
            help="What is learnt beforehand is learnt from so many concepts, and its cost scaled.",
        ),
    ] = 8,
    train_steps: Annotated[int, typer.Option(min=1, help="And in so many steps.")] = 8,
    encoder: Annotated[
        str,
        typer.Option(
            help="Read concepts with this one, where weights of the model's conditioner are not at "
            "hand; the report says so."
        ),
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of learning.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or cuda:1; the GPU if there is one.")
    ] = None,
    out: Out = Path("runs"),
    name: Annotated[
        str | None,
        typer.Option(
            help="Folder below --out, also that of a run, whose scores are then shown beside the "
            "times."
        ),
    ] = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Time methods by one protocol and write what learning once saves, with every raw sample, into
    a report.
    """
    from htbench.steering import baseline, concept

    source = choose_model(model, weights, model_option)
    methods = list(dict.fromkeys(method or baseline.cards()))
    for name_or_path in methods:
        baseline.load_method(baseline.load_card(name_or_path))
    if encoder:
        registry.check("encoders", encoder)
    concepts = concept.load(concept_set)
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
    folder = out / (name or f"time-{model}" + ("-random" if weights == "random" else ""))
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
