"""`htbench check`: a method against its promises, scorers against known scenes, a run's files."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.help import HelpCommand, HelpGroup
from htbench.cli.options import (
    RUNS_DIR,
    ConceptSetName,
    Json,
    MethodCard,
    ModelName,
    ModelOption,
    RunOrBundle,
    RunsDir,
    Weights,
    choose_model,
    open_run,
)
from htbench.core import registry
from htbench.core.errors import Refused, UsageError

if TYPE_CHECKING:
    from rich.status import Status

    from htbench.report.requirements import Rule
    from htbench.run.check import RunStatus
    from htbench.steering.contracts import PromiseResult


class _RunByDefault(HelpGroup):
    """A word that is no command names a run: `htbench check RUN` is `htbench check run RUN`."""

    # its types are those of click, which Typer ships under a private name
    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]
        return super().resolve_command(
            ctx, args if args[0] in self.commands or "run" not in self.commands else ["run", *args]
        )


app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check a run, a method or the scorers. A run: htbench check RUN.",
    epilog="htbench check quickstart\nhtbench check method ./mine.toml\nhtbench check scorers",
)


@app.command(
    cls=HelpCommand, epilog="htbench check method lineas\nhtbench check method ./mine.toml"
)
def method(
    name: MethodCard,
    model: ModelName = "emoji",
    weights: Weights = None,
    model_option: ModelOption = None,
    concept_set: ConceptSetName = "emoji",
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="cpu, cuda or cuda:1; on a CPU promises about images hold to the bit.",
        ),
    ] = "cpu",
) -> None:
    """Test a method against every promise that methods give. Exit code 5 if it breaks one."""
    from htbench.steering import baseline, concept

    card = baseline.load_card(name)
    source = choose_model(model, weights, model_option)
    concepts = concept.load(concept_set, model=model)
    from rich.console import Console

    from htbench.steering import contracts

    baseline.load_method(card)
    status, broken = Console(stderr=True).status(f"{card.name} on {model}"), 0
    with tempfile.TemporaryDirectory() as folder:
        with status:
            case = contracts.Case(
                card=card, model=source.load(device), concepts=concepts, folder=Path(folder)
            )
        results = contracts.check(case)
        while result := _next_result(results, status):
            if result.problem is None:
                typer.echo(f"✓ {result.promise}")
            else:
                typer.echo(f"✗ {result.promise}: {result.problem}")
                broken += 1
    if broken:
        raise Refused(
            f"{card.name} breaks {broken} promise{'s' if broken > 1 else ''}",
            remedy="What methods promise: docs/add-a-method.md",
        )
    typer.echo(f"{card.name} keeps every promise.")


@app.command("instruments", hidden=True, help="Former name of `htbench check scorers`.")
@app.command(cls=HelpCommand, epilog="htbench check scorers\nhtbench check scorers --split dev")
def scorers(
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Model that draws scenes of known content.")
    ] = "emoji",
    split: Annotated[
        str, typer.Option(metavar="SPLIT", help="Concepts to test: train, dev or test.")
    ] = "test",
    scenes: Annotated[
        int, typer.Option(min=2, metavar="N", help="Scenes per concept, with it and without it.")
    ] = 20,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda or cuda:1.")] = "cpu",
) -> None:
    """Test scorers on scenes that are known to show a concept or not. Exit code 5 if a scorer
    misses one.
    """
    registry.check("models", model)
    if model not in registry.plugins("calibrations"):
        raise UsageError(
            f"{model} draws no scenes whose truth is known",
            remedy=f"Use --model {' or '.join(registry.plugins('calibrations'))}.",
        )
    from rich.console import Console

    from htbench.core import device as devices

    with Console(stderr=True).status(f"scorers of {model}"):
        table, trusted = registry.load("calibrations", model)(
            devices.choose(device), split=split, scenes=scenes
        )
    typer.echo(table)
    if not trusted:
        raise Refused(
            "not every concept can be told",
            remedy="The concepts above are no test of a method: leave them out.",
        )


@app.command(
    "run",
    cls=HelpCommand,
    epilog="htbench check quickstart\nhtbench check quickstart --quick\n"
    "htbench check quickstart --require 'concept_gain[prompt] >= 0.2'",
)
def run(
    run: RunOrBundle,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Only look whether images are there, without reading them."),
    ] = False,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="A rule that the unfavourable end of the 95 % interval has to keep: "
            "'concept_gain[METHOD] >= 0.2', 'S[FIT] >= 1000' or 'win_rate[METHOD] > 0.5'. "
            "Repeatable.",
            show_default=False,
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Check what a run has done, that no file of it has changed, and that it keeps rules. Exit code
    3 if cells are missing, 5 if anything is damaged or a rule is broken.
    """
    from htbench.bundles.archive import is_bundle
    from htbench.core.display import print_json
    from htbench.report import requirements
    from htbench.run import check

    rules = [requirements.parse(text) for text in require or ()]
    with open_run(run, runs_dir) as folder:
        is_bare = is_bundle(Path(run)) and not any((folder / "images").iterdir())
        result = check.check(folder, hashes=not quick, images=not is_bare)
        if as_json:
            print_json(run=run, **asdict(result))
        else:
            _print_status(result, images="packed" if is_bare else "there" if quick else "read")
        if result.is_damaged:
            raise Refused(
                f"run {run!r} is damaged",
                remedy="Delete the images named above; then the command of the run makes them "
                "again.",
            )
        _check_rules(folder, rules, as_json=as_json)
    raise typer.Exit(0 if result.is_complete else 3)


def _check_rules(folder: Path, rules: "Sequence[Rule]", *, as_json: bool) -> None:
    """Print a line per rule.

    Raises:
        Refused: if one is broken.
    """
    from htbench.core.display import print_json, printable
    from htbench.report import open_run as open_summary
    from htbench.report import requirements

    if not rules:
        return
    with open_summary(folder) as summary:
        verdicts = requirements.check(summary, rules)
    for verdict in verdicts:
        if as_json:
            print_json(rule=verdict.rule.text, kept=verdict.kept, reason=verdict.reason)
        else:
            line = f"{'✓' if verdict.kept else '✗'} {verdict.rule.text}: {verdict.reason}"
            typer.echo(printable(line, max_length=600))
    if broken := sum(not verdict.kept for verdict in verdicts):
        raise Refused(
            f"{broken} of {len(verdicts)} rules {'is' if broken == 1 else 'are'} broken",
            remedy="Lines with ✗ name them, with the figures.",
        )


def _print_status(result: "RunStatus", *, images: str) -> None:
    from htbench.core.display import printable

    _print_cells(result, images=images)
    for finding in result.findings:
        typer.echo(f"{finding.kind}: {printable(finding.what, max_length=300)}")
    for wording, status in result.wordings.items():
        typer.echo(f"Wording {wording}:")
        _print_status(status, images=images)


def _print_cells(result: "RunStatus", *, images: str) -> None:
    parts = {
        "failed": result.failed,
        "not made yet": result.pending,
        "not scored yet": result.unscored,
    }
    rest = "".join(f", {number:,} {what}" for what, number in parts.items() if number)
    typer.echo(f"Cells: {result.done:,}/{result.planned:,} done{rest}")
    typer.echo(f"Images: {result.images:,} {images}")


def _next_result(results: "Iterator[PromiseResult]", status: "Status") -> "PromiseResult | None":
    """The next promise's result; the status leaves the terminal before it is printed, since the
    status takes stdout while it is shown.
    """
    with status:
        return next(results, None)
