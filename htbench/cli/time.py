"""`htbench time`: the cost per concept of each method, measured on the same machine."""

import os
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import (
    RUNS_DIR,
    Device,
    Json,
    ModelOption,
    RunsDir,
    Verbose,
    Weights,
    load_options,
)
from htbench.core import registry
from htbench.core.errors import Missing, UsageError

if TYPE_CHECKING:
    from htbench.core.display import Display
    from htbench.run.timing.plan import TimingPlan
    from htbench.steering.concept import ConceptSet


def time(
    plan: Annotated[
        str | None,
        typer.Argument(
            metavar="PLAN",
            help="A shipped plan, paper-scale, or a TOML file; options override it.",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="Text-to-image model by name, or ./card.toml; see htbench list models. "
            "Repeatable: one after another.",
            show_default="emoji",
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="Method by name, or ./card.toml. Repeatable.",
            show_default="all",
        ),
    ] = None,
    weights: Weights = None,
    model_options: ModelOption = None,
    concept_set: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Concept set, shipped or your own file; see htbench list concepts.",
            show_default="emoji",
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=3,
            metavar="N",
            help="Most rounds, each on another concept; fewer once the noise is steady.",
            show_default="30",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="N",
            help="Minutes for everything; no round begins that would take longer.",
            show_default="9",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Steps of a fit that are timed; the time of longer fits is scaled up.",
            show_default="as many of 3 to 20 as leave time for 10 rounds",
        ),
    ] = None,
    together: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Concepts that methods fit side by side, if they can, in times of their own; 1: "
            "none.",
            show_default="8",
        ),
    ] = None,
    train_concepts: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            help="Concepts that training is timed on; its cost is scaled up.",
            show_default="8",
        ),
    ] = None,
    train_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Steps of training that are timed; its cost is scaled up.",
            show_default="8",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoder that reads concepts where the weights of the model's own are not "
            "downloaded; the report says so.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Random seed for learning.", show_default="0"),
    ] = None,
    device: Device = None,
    runs_dir: RunsDir = RUNS_DIR,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the folder; that of a run shows its scores beside the times.",
            show_default="PLAN, or time-MODEL",
        ),
    ] = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Measure the time per concept of methods, and what training once saves. Writes a report with
    every raw sample.
    """
    from htbench.core import device as devices
    from htbench.core.display import Display
    from htbench.run.timing import plan as timing_plan

    options = {
        "models": models or None,
        "weights": weights,
        "model_options": model_options or None,
        "methods": methods or None,
        "concept_set": concept_set,
        "rounds": rounds,
        "minutes": minutes,
        "steps": steps,
        "together": together,
        "train_concepts": train_concepts,
        "train_steps": train_steps,
        "encoder": encoder,
        "seed": seed,
    }
    if model_options:
        load_options(None, model_options)  # in the words of the option
    timed = timing_plan.build(plan, options)
    concepts = [_check(timed, model) for model in timed.models]
    display = Display(verbose=verbose, as_json=as_json)
    place = devices.choose(device)
    if timed.needs_gpu and place == "cpu" and timed.weights != "tiny":
        _refuse_cpu(timed, plan or "", display, is_named=device is not None)
    folder = runs_dir / (name or _folder_name(timed, plan))
    _run(timed, concepts, folder, device=place, display=display, as_json=as_json)


def _check(plan: "TimingPlan", model: str) -> "ConceptSet":
    """The concepts to time `model` on; raises for names that do not exist and sets too small."""
    from htbench.steering import baseline, concept

    registry.check("models", model)
    for name_or_path in plan.methods:
        baseline.load_method(baseline.load_card(name_or_path))
    if plan.encoder:
        registry.check("encoders", plan.encoder)
    concepts = concept.load(plan.concept_set, model=model)
    splits = concepts.splits
    if len(splits["test"]) < 3 or not splits["dev"] or len(splits["train"]) < 2:
        raise UsageError(
            f"concept set {plan.concept_set!r} is too small to time on",
            remedy="It needs 3 test, 1 dev and 2 train concepts.",
        )
    return concepts


def _folder_name(plan: "TimingPlan", name: str | None) -> str:
    ending = f"-{plan.weights}" if plan.weights in ("random", "tiny") else ""
    if name:
        return Path(name).stem + (ending if ending == "-tiny" else "")
    return "-".join(["time", *_model_names(plan)]) + ending


def _model_names(plan: "TimingPlan") -> tuple[str, ...]:
    return tuple(registry.own_name("models", model) for model in plan.models)


def _refuse_cpu(plan: "TimingPlan", name: str, display: "Display", *, is_named: bool) -> None:
    """Refuse work for a GPU on a CPU, or warn where the CPU was named, with the time it takes."""
    from htbench.run.timing.forecast import cpu_hours

    display.announce("no GPU is used: working out how long this takes")
    hours = cpu_hours(plan)
    length = f"at least {hours:,.0f} hours" if hours > 1 else "at least an hour"
    problem = f"{name} is for a GPU: on this CPU it takes {length}"
    if is_named:
        display.warn(f"{problem}, by the operations of its steps; Ctrl-C ends it with a report")
        return
    raise Missing(
        problem, remedy="Rehearse it with --weights tiny, or start it here with --device cpu."
    )


def _run(
    plan: "TimingPlan",
    concept_sets: "list[ConceptSet]",
    folder: Path,
    *,
    device: str,
    display: "Display",
    as_json: bool,
) -> None:
    """Time each model in its share of the time that is left, and write a report of them all."""
    from htbench.core.interrupts import Interrupted
    from htbench.run.timing import session
    from htbench.steering import baseline

    began = clock.monotonic()
    try:
        for k, (model, concepts) in enumerate(zip(plan.models, concept_sets, strict=True)):
            left = plan.minutes - (clock.monotonic() - began) / 60
            session.run(
                folder,
                list(dict.fromkeys(plan.methods or baseline.cards())),
                concepts,
                plan.protocol(max(0.0, left) / (len(plan.models) - k)),
                model=model,
                device=device,
                load_options=load_options(plan.weights or None, plan.model_options),
                display=display,
            )
    except Interrupted:
        _write_report(folder, plan, as_json=as_json)
        raise
    _write_report(folder, plan, as_json=as_json)


def _write_report(folder: Path, plan: "TimingPlan", *, as_json: bool) -> None:
    """Write and print the report, if anything was timed."""
    from htbench import report
    from htbench.report.sections import time as time_section
    from htbench.run.store import Store
    from htbench.run.timing import figures

    if not (folder / "run.sqlite").is_file():
        return
    with Store.read(folder) as store:
        if not figures.latest_of_models(store):
            return
    page = report.write(folder)
    with Store.read(folder) as store:
        time_section.show(store, os.path.relpath(page), models=_model_names(plan), as_json=as_json)
