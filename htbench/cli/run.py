"""`htbench run`: from a plan to a report."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from htbench.cli.forecast import announce, print_forecast
from htbench.cli.help import HelpCommand
from htbench.cli.options import (
    MACHINE,
    OUTPUT,
    Device,
    Json,
    ModelOption,
    Open,
    Verbose,
    Weights,
    Wide,
    load_options,
    parse_numbers,
    parse_wordings,
)
from htbench.cli.report import open_page, write_and_print
from htbench.core.errors import Incomplete, UsageError, check_installed

if TYPE_CHECKING:
    from htbench.core.display import Display
    from htbench.run.plan import Plan, ResolvedPlan, RunOptions

Layers = Mapping[str, Mapping[str, object]]
"""Settings by name, of each origin; later ones override earlier ones."""

WHAT, HOW_MUCH, SCORED = "What to run", "How much", "How it is scored"
"""Panels of the help page."""
_SHORT_HELP = """\
Usage: htbench run [PLAN] [OPTIONS]

  htbench run quickstart              # a shipped plan: minutes on two cores
  htbench run --method prompt --method lineas --limit 12
  htbench run mine.toml --dry-run     # your own plan: its size and its time

All options: --help
Shipped plans: htbench list plans
"""


class RunCommand(HelpCommand):
    """`htbench run`: its defaults are those of plans, and without words it runs nothing."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line; without any, show examples and end with 2."""
        if not args:
            typer.echo(_SHORT_HELP, err=True, nl=False)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def defaults(self) -> Mapping[str, object]:
        """The default of every setting."""
        from htbench.run.plan import Plan, RunOptions

        fields = {**Plan.model_fields, **RunOptions.model_fields}
        return {name: field.default for name, field in fields.items()}


def run(
    context: typer.Context,
    plan: Annotated[
        str | None,
        typer.Argument(
            metavar="PLAN",
            help="A shipped plan such as quickstart, or a TOML file. HTBENCH_* variables and "
            "options override it.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Text-to-image model by name, or ./card.toml; see htbench list models.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="Method by name, or ./card.toml. Repeatable.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="BUNDLE",
            help="Run the methods against this bundle of a finished run: all else is the bundle's, "
            "and one report has its rows and the new ones.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    concept_set: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Concept set, shipped or your own file; see htbench list concepts.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    concepts: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Concepts of the set: train, dev, test, or ids separated by commas.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    strengths: Annotated[
        str | None,
        typer.Option(
            "--strength",
            metavar="LIST",
            help="Strengths separated by commas: 0,0.5,1 or 0,0.25,...,1.",
            callback=lambda text: None if text is None else parse_numbers("strength", text),
            rich_help_panel=WHAT,
        ),
    ] = None,
    tune_strength: Annotated[
        bool | None,
        typer.Option(
            "--tune-strength/--no-tune-strength",
            help="Also choose a strength per method on dev concepts, and run the method at it.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    tune_concepts: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Choose strengths on the first N dev concepts.",
            show_default="all",
            rich_help_panel=WHAT,
        ),
    ] = None,
    tune_floor: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Image preservation that a chosen strength must keep on average.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    strength_scale: Annotated[
        str | None,
        typer.Option(
            metavar="SCALE",
            help="plain, or perceptual: also run each method at strengths of its own, learnt on "
            "dev concepts, at which equal steps of strength have equal effects.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What methods are asked to do with concepts: add each, remove each from images of "
            "prompts that ask for it, replace each by another of its kind, or compose two in one "
            "image. See docs/tasks.md.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    wording: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Ways to say each concept, separated by commas: canonical, synonym, unknown "
            "(the set's paraphrases), image (its reference images).",
            callback=lambda text: None if text is None else parse_wordings(text),
            rich_help_panel=WHAT,
        ),
    ] = None,
    per_concept_words: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help="Words that per-concept methods are fitted on in other wordings: canonical, "
            "once, or the wording's own.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    reuse: Annotated[
        bool | None,
        typer.Option(
            "--reuse/--no-reuse",
            help="Take over what other runs beside it have made already by the same model and "
            "method, or make everything anew.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    allow_leak: Annotated[
        bool | None,
        typer.Option(
            "--allow-leak/--no-allow-leak",
            help="Run methods on concepts that they were trained on; the report says so.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    allow_unknown: Annotated[
        bool | None,
        typer.Option(
            "--allow-unknown/--no-allow-unknown",
            help="Run concepts and prompts with words that the model does not know.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Use only the first N concepts.",
            show_default="all",
            rich_help_panel=HOW_MUCH,
        ),
    ] = None,
    prompts: Annotated[
        int | None,
        typer.Option(metavar="N", help="Evaluation prompts per concept.", rich_help_panel=HOW_MUCH),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", help="Images per prompt.", rich_help_panel=HOW_MUCH),
    ] = None,
    fit_seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Train and fit each method with N random seeds: --seed and the next ones. More "
            "seeds continue a run.",
            rich_help_panel=HOW_MUCH,
        ),
    ] = None,
    max_failures: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Stop when more cells than this have failed: 20 or 5%.",
            rich_help_panel=HOW_MUCH,
        ),
    ] = None,
    scorers: Annotated[
        list[str] | None,
        typer.Option(
            "--scorer",
            metavar="NAME",
            help="Encoder, other scorer, or ./card.toml. Repeatable; the first encoder makes the "
            "headline.",
            show_default="the model's own",
            rich_help_panel=SCORED,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Random seed for training, fitting and resampling.",
            rich_help_panel=SCORED,
        ),
    ] = None,
    weights: Weights = None,
    model_options: ModelOption = None,
    batch: Annotated[
        int | None,
        typer.Option(metavar="N", help="Images generated at once.", rich_help_panel=MACHINE),
    ] = None,
    fit_together: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Concepts that a method fits side by side in one batch, if it can. Pays where "
            "small batches leave the device idle; needs N times the memory.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: Device = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Processes that share the work, on this machine or with --ray on others.",
            show_default="1",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Work on the Ray cluster at this address; auto: the one this machine is in.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Processor threads per worker.",
            show_default="an equal share of the cores",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    runs: Annotated[
        str | None,
        typer.Option(
            "--runs-dir",
            metavar="FOLDER",
            help="Folder where runs are; also HTBENCH_RUNS.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of this run's folder.",
            show_default="made from the plan",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    print_plan: Annotated[
        bool,
        typer.Option(
            "--print-plan",
            help="Show every setting and where it is from, and run nothing.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show the number of cells, the time and the disk space, and run nothing.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    wide: Wide = False,
    open_: Open = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Run methods on concepts, score the images and write the report. The same command again
    continues where it stopped.
    """
    from htbench.core.display import Display
    from htbench.run import plan as plans
    from htbench.run import settings as plan_settings
    from htbench.run.run_folder import find_folder

    load_options(weights, model_options)
    # parameters have the names of the settings that they give
    known = {*plans.Plan.model_fields, *plans.RunOptions.model_fields}
    options = {
        name: value
        for name, value in context.params.items()
        if name in known and value not in (None, (), [])
    }
    layers = {
        f"plan {plan}": plans.read(plan) if plan else {},
        "environment": plan_settings.environment(os.environ, plans.Plan, plans.RunOptions),
        "option": options,
    }
    run_options = plans.run_options(*layers.values())
    display = Display(verbose=verbose, as_json=as_json)
    if against is not None:
        if plan:
            raise UsageError(
                "a plan and a bundle are given, and a newcomer is run as the bundle was",
                remedy="Leave the plan out.",
            )
        code, folder = _run_against(
            against,
            layers,
            run_options,
            display=display,
            wide=wide,
            shown="plan" if print_plan else "size" if dry_run else "",
        )
        _end(code, folder, open_=open_)
    settings = plans.build(*layers.values())
    if print_plan:
        _print_plan(settings, run_options, layers, as_json=as_json)
        return
    place = find_folder(settings, run_options, given=plan)
    if place.note:
        typer.echo(f"htbench: {place.note}", err=True)
    resolved, runs_dir = plans.resolve(place.plan), Path(run_options.runs)
    if dry_run:
        print_forecast(resolved, place.folder, runs_dir, as_json=as_json)
        return
    code = _run(resolved, place.folder, run_options, display=display, wide=wide)
    _end(code, place.folder, open_=open_)


def _end(code: int, folder: Path, *, open_: bool) -> NoReturn:
    from htbench.report.current import find_current_page

    if open_:
        open_page(find_current_page(folder))
    raise typer.Exit(code)


def _run_against(
    bundle: Path,
    layers: Layers,
    options: "RunOptions",
    *,
    display: "Display",
    wide: bool,
    shown: str,
) -> tuple[int, Path]:
    """Run newcomers against a bundle, or only show their `plan` or its `size`; gives the exit code
    and the folder.
    """
    from htbench.bundles import against

    run = against.prepare(bundle, list(layers.values()), options)
    settings, as_json = run.plan.settings, display.as_json
    if shown == "plan":
        origin = {f"bundle {bundle.name}": settings.model_dump(mode="json")}
        _print_plan(settings, options, {**origin, **layers}, as_json=as_json)
        return 0, run.folder
    if shown == "size":
        runs = Path(options.runs)
        print_forecast(run.plan, run.folder, runs, as_json=as_json, against=run.sha256)
        return 0, run.folder
    with against.seeding(run):
        code = _run(run.plan, run.folder, options, display=display, wide=wide, against=run.sha256)
    return code, run.folder


def _run(
    plan: "ResolvedPlan",
    folder: Path,
    options: "RunOptions",
    *,
    display: "Display",
    wide: bool,
    against: str = "",
) -> int:
    from htbench.run.finished import is_finished

    if is_finished(plan, folder, options, against=against):
        return _show_finished(folder, wide=wide, as_json=display.as_json)
    check_installed("torch")
    if announcement := announce(plan, folder, against=against):
        display.announce(announcement)

    from htbench.run import runner  # imports torch

    try:
        runner.run_resolved(plan, folder, options, display=display, against=against)
    except Incomplete:
        write_and_print(folder, wide=wide, as_json=display.as_json)
        raise
    return write_and_print(folder, wide=wide, as_json=display.as_json)


def _show_finished(folder: Path, *, wide: bool, as_json: bool) -> int:
    """The tables of a run that has nothing left to do; its page is made only if it is not there."""
    from htbench.report.current import find_current_page
    from htbench.run.store import Store

    if not as_json:
        with Store.read(folder) as store:
            typer.echo(f"Nothing is left to do: all {store.count():,} cells are done and scored.")
    return write_and_print(folder, page=find_current_page(folder), wide=wide, as_json=as_json)


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
