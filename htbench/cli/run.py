"""`htbench run`: from a plan to a report."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import Json, ModelOption, Verbose, Weights, load_options, parse_numbers
from htbench.cli.report import print_tables
from htbench.core import content
from htbench.core.errors import Incomplete
from htbench.run import plan as plans
from htbench.run import settings
from htbench.run.plan import Plan, RunOptions

Layers = Mapping[str, Mapping[str, object]]


def run(
    plan: Annotated[
        str | None,
        typer.Argument(
            help="A shipped plan such as quickstart, or a TOML file; HTBENCH_* variables and options override it."
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
            help="Encoder that scores, the headline's first, a gauge, or the path of a scorer's card; repeat."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of learning and resampling.")] = None,
    tune_strength: Annotated[
        bool | None,
        typer.Option(
            "--tune-strength/--no-tune-strength",
            help="Also run each method at a strength chosen on dev concepts, at its expense.",
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
    """Run methods on concepts, score the images and write the report; the same command again continues where it stopped."""
    load_options(weights, model_option)
    options: dict[str, object] = {
        "model": model, "weights": weights, "model_options": model_option, "methods": method,
        "concepts": concepts, "concept_set": concept_set, "limit": limit, "prompts": prompts, "seeds": seeds,
        "batch": batch, "scorers": scorer, "seed": seed, "strengths": None if strength is None else parse_numbers("strength", strength),
        "tune_strength": tune_strength, "device": device, "workers": workers, "ray": ray, "threads": threads,
        "out": out, "name": name, "allow_leak": allow_leak, "max_failures": max_failures,
    }  # fmt: skip
    layers = {
        f"plan {plan}": plans.read(plan) if plan else {},
        "environment": settings.environment(os.environ, Plan, RunOptions),
        "option": options,
    }
    chosen, how = plans.build(*layers.values()), plans.run_options(*layers.values())
    if print_plan:
        _print_plan(chosen, how, layers, as_json=as_json)
        return
    _, selected = plans.check(chosen)
    folder = Path(how.out) / (how.name or _name(plan, chosen))
    if dry_run:
        _print_forecast(chosen, len(selected), folder, Path(how.out), as_json=as_json)
        return
    raise typer.Exit(_run(chosen, folder, how, verbose=verbose, as_json=as_json))


def _run(plan: Plan, folder: Path, options: RunOptions, *, verbose: bool, as_json: bool) -> int:
    from htbench import report
    from htbench.core.display import Display
    from htbench.run import runner

    try:
        runner.run(plan, folder, options, display=Display(verbose=verbose, as_json=as_json))
    except Incomplete:
        print_tables(folder, report.write(folder), as_json=as_json)
        raise
    return print_tables(folder, report.write(folder), as_json=as_json)


def _name(plan: str | None, chosen: Plan) -> str:
    """A plan's own name if it is run as it stands; else one that differs when the settings do."""
    start = Path(plan).stem[:40] if plan else chosen.model
    return (
        start
        if plan and chosen == plans.build(plans.read(plan))
        else f"{start}-{content.digest(chosen.model_dump(mode='json'))[:8]}"
    )


def _print_plan(plan: Plan, options: RunOptions, layers: Layers, *, as_json: bool) -> None:
    from htbench.core.display import print_json, printable

    for each in settings.origins([plan, options], layers):
        if as_json:
            print_json(setting=each.name, value=each.value, origin=each.origin)
        else:
            value = (
                ", ".join(map(str, each.value))
                if isinstance(each.value, list)
                else "-"
                if each.value in (None, "")
                else each.value
            )
            typer.echo(
                f"{each.name:<15} {printable(value, max_length=200):<40} {printable(each.origin, max_length=200)}"
            )


def _print_forecast(plan: Plan, concepts: int, folder: Path, out: Path, *, as_json: bool) -> None:
    from dataclasses import asdict

    from htbench.core.display import print_json
    from htbench.report.format import duration
    from htbench.run.forecast import forecast

    found = forecast(plan, concepts=concepts, folder=folder, out=out)
    if as_json:
        print_json(folder=str(folder), **asdict(found))
        return
    typer.echo(f"Folder: {folder}\nCells: {found.cells:,}\nImages to make: {found.images:,}")
    if not found.basis:
        typer.echo(f"Time and disk: not known, since no run below {out} has used {plan.model}")
        return
    parts = {"learning": found.learning, "images": found.generating, "scores": found.scoring}
    known = {name: seconds for name, seconds in parts.items() if seconds is not None}
    lacking = [
        *(name for name in parts if name not in known),
        *(f"learning of {name}" for name in found.unknown),
    ]
    typer.echo(
        f"Time: about {duration(sum(known.values()))} of one worker ({', '.join(f'{name} {duration(s)}' for name, s in known.items())})"
    )
    if lacking:
        typer.echo(f"Left out, since no earlier run timed it: {', '.join(lacking)}")
    typer.echo(
        f"Disk: {'not known' if found.bytes is None else f'about {found.bytes / 1e6:,.0f} MB'}\nFrom: {', '.join(found.basis)}"
    )
