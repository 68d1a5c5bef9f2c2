"""`htbench check`: methods, models, encoders and judges against their promises, scorers against
known scenes, and a run's files.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
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

    from htbench.core.promises import PromiseResult
    from htbench.report.requirements import Rule
    from htbench.run.check import RunStatus


CheckDevice = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="cpu, cuda or cuda:1; on a CPU promises about images hold to the bit.",
    ),
]


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
    help="Check a run, a method, a model, an encoder, a judge or the scorers. A run: htbench check "
    "RUN.",
    epilog="htbench check quickstart\nhtbench check method ./mine.toml\n"
    "htbench check model ./mine.toml\nhtbench check scorers",
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
    device: CheckDevice = "cpu",
) -> None:
    """Test a method against every promise that methods give. Exit code 5 if it breaks one."""
    from htbench.steering import baseline, concept

    card = baseline.load_card(name)
    source = choose_model(model, weights, model_option)
    concepts = concept.load(concept_set, model=model)
    from rich.console import Console

    from htbench.steering import contracts

    baseline.load_method(card)
    status = Console(stderr=True).status(f"{card.name} on {model}")
    with tempfile.TemporaryDirectory() as folder:
        with status:
            case = contracts.Case(
                card=card, model=source.load(device), concepts=concepts, folder=Path(folder)
            )
        _print_results(
            card.name,
            contracts.check(case),
            status,
            remedy="What methods promise: docs/add-a-method.md",
        )


@app.command(
    cls=HelpCommand,
    epilog="htbench check model emoji\nhtbench check model ./mine.toml\n"
    "htbench check model dmd2 --weights tiny",
)
def model(
    name: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Name of a model, or the path of its card."),
    ],
    weights: Weights = None,
    model_option: ModelOption = None,
    concept_set: Annotated[
        str,
        typer.Option(metavar="NAME", help="Concept set whose prompts the model gets."),
    ] = "emoji",
    device: CheckDevice = "cpu",
) -> None:
    """Test a model against every promise that models give. Exit code 5 if it breaks one."""
    from htbench.steering import concept

    source = choose_model(name, weights, model_option)
    prompts = concept.load(concept_set).prompts
    if len(prompts) < 2:
        raise UsageError(
            f"concept set {concept_set!r} has one prompt, and two are needed",
            remedy="Name another with --concept-set.",
        )
    from rich.console import Console

    from htbench.steering import model_contracts

    status = Console(stderr=True).status(f"check {name}")
    with status:
        case = model_contracts.ModelCase(model=source.load(device), prompts=prompts)
    _print_results(
        case.model.name,
        model_contracts.check(case),
        status,
        remedy="What models promise: docs/add-a-model.md",
    )


@app.command(cls=HelpCommand, epilog="htbench check encoder emoji-clip-b")
def encoder(
    name: Annotated[
        str,
        typer.Argument(metavar="ENCODER", help="Name of an encoder; see htbench list encoders."),
    ],
    device: CheckDevice = "cpu",
) -> None:
    """Test an encoder against every promise that encoders give. Exit code 5 if it breaks one."""
    registry.check("encoders", name)
    from rich.console import Console

    from htbench.steering import encoder_contracts

    status = Console(stderr=True).status(f"check {name}")
    with status:
        case = encoder_contracts.EncoderCase(encoder=registry.load("encoders", name)(device))
    _print_results(
        name,
        encoder_contracts.check(case),
        status,
        remedy="What encoders promise: docs/add-a-model.md",
    )


@app.command(
    cls=HelpCommand, epilog="htbench check judge clip\nhtbench check judge ./my-judge --ask"
)
def judge(
    name: Annotated[
        str,
        typer.Argument(
            metavar="JUDGE", help="Name of a judge, or the path of its folder or its card.toml."
        ),
    ],
    ask: Annotated[
        bool,
        typer.Option(
            "--ask",
            help="Also ask a judge behind an API: three questions, which may cost money. Without "
            "it nothing is sent.",
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Model of the judge's endpoint, or its encoder.",
            show_default="that of the judge's card",
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table of prices in TOML that has to be readable too."),
    ] = None,
    device: CheckDevice = "cpu",
) -> None:
    """Test a judge against every promise that judges give. Exit code 5 if it breaks one."""
    from rich.console import Console

    from htbench.judging import card as judge_cards
    from htbench.judging import contracts
    from htbench.judging.judge import JudgeContext
    from htbench.judging.prepare import check_installed

    folder = name.removesuffix("card.toml") or "."
    if folder not in judge_cards.judge_names() and not (Path(folder) / "card.toml").is_file():
        judge_cards.load_judge_card(folder)  # says that there is none
    with suppress(UsageError):  # a card that is not valid breaks a promise
        check_installed(judge_cards.load_judge_card(folder), JudgeContext(device=device))
    status = Console(stderr=True).status(f"check {name}")
    case = contracts.JudgeCase(
        name=folder,
        model=model,
        prices=prices,
        device=device,
        may_ask=ask,
    )
    _print_results(
        name, contracts.check(case), status, remedy="What judges promise: docs/add-a-model.md"
    )
    if not case.is_asked:
        typer.echo(
            f"Nothing was sent, so {len(contracts.PROMISES_OF_ANSWERS)} promises of its answers "
            "are not checked. With --ask it is asked three questions.",
            err=True,
        )


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
    """Test scorers on scenes that are known to show a concept or not, and on flaws, lost diversity
    and strengths planted into them. Exit code 5 if a scorer misses one.
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
            "not every concept or loss can be told",
            remedy="The concepts above are no test of a method, and the scorers of losses above no "
            "measure: leave them out.",
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


def _print_results(
    name: str, results: "Iterator[PromiseResult]", status: "Status", *, remedy: str
) -> None:
    """Print a line per promise.

    Raises:
        Refused: if one is broken.
    """
    broken = 0
    while result := _next_result(results, status):
        if result.problem is None:
            typer.echo(f"✓ {result.promise}")
        else:
            typer.echo(f"✗ {result.promise}: {result.problem}")
            broken += 1
    if broken:
        raise Refused(f"{name} breaks {broken} promise{'s' if broken > 1 else ''}", remedy=remedy)
    typer.echo(f"{name} keeps every promise.")


def _next_result(results: "Iterator[PromiseResult]", status: "Status") -> "PromiseResult | None":
    """The next promise's result; the status leaves the terminal before it is printed, since the
    status takes stdout while it is shown.
    """
    with status:
        return next(results, None)
