"""`htbench run`: from a plan to a report."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import Json, ModelOption, Verbose, Weights, load_options, parse_numbers
from htbench.cli.report import write_and_print
from htbench.core.errors import Incomplete

if TYPE_CHECKING:
    from htbench.run.plan import Plan, ResolvedPlan, RunOptions

Layers = Mapping[str, Mapping[str, object]]
"""Settings by name, of each origin; later ones override earlier ones."""


def run(
    plan: Annotated[
        str | None,
        typer.Argument(
            help="A shipped plan such as quickstart, or a TOML file; HTBENCH_* variables and "
            "options override it."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="See: htbench list models")] = None,
    weights: Weights = None,
    model_option: ModelOption = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="A baseline or the path of its card; repeat for several."),
    ] = None,
    concepts: Annotated[
        str | None,
        typer.Option(help="Split (train, dev, test) or concept ids, separated by commas."),
    ] = None,
    concept_set: Annotated[str | None, typer.Option(help="See: htbench list concepts")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many concepts.")] = None,
    strength: Annotated[
        str | None, typer.Option(help="Strengths separated by commas: 0,0.5,1")
    ] = None,
    prompts: Annotated[int | None, typer.Option(help="Evaluation prompts a concept.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Images a prompt.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images generated at once.")] = None,
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            help="Encoder that scores, the headline's first, a gauge, or the path of a scorer's "
            "card; repeat."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of learning and resampling.")] = None,
    fit_seeds: Annotated[
        int | None,
        typer.Option(
            help="Train and fit each method with so many seeds: --seed and the numbers after it. "
            "Prompting, and methods that predict from a trained file, are not repeated. A run "
            "goes on when it is given more; 1 if not given."
        ),
    ] = None,
    tune_strength: Annotated[
        bool | None,
        typer.Option(
            "--tune-strength/--no-tune-strength",
            help="Also run each method at a strength chosen on all dev concepts, at its expense.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or cuda:1; the GPU if there is one.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="So many processes share the work, on this machine or with --ray on others."
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="auto|ADDRESS",
            help="Work on a Ray cluster: the one this machine is in, or the one at an address.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Processor threads of each worker; all share the cores if not given."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder that runs are kept in; runs if not given.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Folder of this run below --out; from the plan if not given.")
    ] = None,
    reuse: Annotated[
        bool | None,
        typer.Option(
            "--reuse/--no-reuse",
            help="Take over what other runs beside it have made already by the same model and "
            "method, or make everything anew.",
        ),
    ] = None,
    allow_leak: Annotated[
        bool | None,
        typer.Option(
            "--allow-leak/--no-allow-leak",
            help="Run methods on concepts that they were trained on; the report says so.",
        ),
    ] = None,
    max_failures: Annotated[
        str | None, typer.Option(help="Stop once more cells than this have failed: 20 or 5%.")
    ] = None,
    print_plan: Annotated[
        bool,
        typer.Option(
            "--print-plan", help="Show every setting and where it came from, and run nothing."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show how many cells, how much time and disk it takes, and run nothing.",
        ),
    ] = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Run methods on concepts, score the images and write the report; the same command again
    continues where it stopped.
    """
    from htbench.run import plan as plans
    from htbench.run import settings as plan_settings
    from htbench.run.run_folder import find_folder

    load_options(weights, model_option)
    strengths = None if strength is None else parse_numbers("strength", strength)
    options: dict[str, object] = {
        "model": model, "weights": weights, "model_options": model_option, "methods": method,
        "concepts": concepts, "concept_set": concept_set, "limit": limit, "strengths": strengths,
        "prompts": prompts, "seeds": seeds, "batch": batch, "scorers": scorer, "seed": seed,
        "fit_seeds": fit_seeds, "tune_strength": tune_strength, "device": device,
        "workers": workers, "ray": ray, "threads": threads, "out": out, "name": name,
        "reuse": reuse, "allow_leak": allow_leak, "max_failures": max_failures,
    }  # fmt: skip
    layers = {
        f"plan {plan}": plans.read(plan) if plan else {},
        "environment": plan_settings.environment(os.environ, plans.Plan, plans.RunOptions),
        "option": options,
    }
    settings, run_options = plans.build(*layers.values()), plans.run_options(*layers.values())
    if print_plan:
        _print_plan(settings, run_options, layers, as_json=as_json)
        return
    place = find_folder(settings, run_options, given=plan)
    if place.note:
        typer.echo(f"htbench: {place.note}", err=True)
    resolved, runs = plans.resolve(place.plan), Path(run_options.out)
    if dry_run:
        _print_forecast(resolved, place.folder, runs, as_json=as_json)
        return
    raise typer.Exit(_run(resolved, place.folder, run_options, verbose=verbose, as_json=as_json))


def _run(
    plan: "ResolvedPlan", folder: Path, options: "RunOptions", *, verbose: bool, as_json: bool
) -> int:
    from htbench.core.display import Display
    from htbench.run.finished import is_finished

    if is_finished(plan, folder, options):
        return _show_finished(folder, as_json=as_json)

    from htbench.run import runner  # imports torch

    try:
        display = Display(verbose=verbose, as_json=as_json)
        runner.run_resolved(plan, folder, options, display=display)
    except Incomplete:
        write_and_print(folder, as_json=as_json)
        raise
    return write_and_print(folder, as_json=as_json)


def _show_finished(folder: Path, *, as_json: bool) -> int:
    """The tables of a run that has nothing left to do; its page is made only if it is not there."""
    from htbench.report.current import find_current_page
    from htbench.run.store import Store

    if not as_json:
        with Store.read(folder) as store:
            typer.echo(f"Nothing is left to do: all {store.count():,} cells are done and scored.")
    return write_and_print(folder, page=find_current_page(folder), as_json=as_json)


def _print_plan(plan: "Plan", options: "RunOptions", layers: Layers, *, as_json: bool) -> None:
    from htbench.core.display import print_json, printable
    from htbench.run.settings import origins

    for setting in origins([plan, options], layers):
        if as_json:
            print_json(setting=setting.name, value=setting.value, origin=setting.origin)
            continue
        value = "-" if setting.value in (None, "") else setting.value
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        columns = (printable(part, max_length=200) for part in (text, setting.origin))
        typer.echo("{:<15} {:<40} {}".format(setting.name, *columns))


def _print_forecast(plan: "ResolvedPlan", folder: Path, out: Path, *, as_json: bool) -> None:
    from dataclasses import asdict

    from htbench.core.display import print_json
    from htbench.report.format import duration
    from htbench.run.forecast import forecast

    expected = forecast(plan, folder=folder, out=out)
    if as_json:
        print_json(folder=str(folder), **asdict(expected))
        return
    typer.echo(f"Folder: {folder}\nCells: {expected.cells:,}\nImages to make: {expected.images:,}")
    if expected.tuning_concepts:
        typer.echo(
            f"Of these, to choose strengths on {expected.tuning_concepts} dev concepts: "
            f"{expected.tuning_cells:,} cells, {expected.tuning_images:,} images"
        )
    if not expected.basis:
        model = plan.settings.model
        typer.echo(f"Time and disk: not known, since no run below {out} has used {model}")
        return
    stages = {
        "learning": expected.learning,
        "images": expected.generating,
        "scores": expected.scoring,
    }
    seconds = {name: value for name, value in stages.items() if value is not None}
    lacking = [
        *(name for name in stages if name not in seconds),
        *(f"learning of {name}" for name in expected.unknown),
    ]
    parts = ", ".join(f"{name} {duration(value)}" for name, value in seconds.items())
    typer.echo(f"Time: about {duration(sum(seconds.values()))} of one worker ({parts})")
    if lacking:
        typer.echo(f"Left out, since no earlier run timed it: {', '.join(lacking)}")
    disk = "not known" if expected.bytes is None else f"about {expected.bytes / 1e6:,.0f} MB"
    typer.echo(f"Disk: {disk}\nFrom: {', '.join(expected.basis)}")
