"""`htbench judge`: a tournament between a run's methods, with a calibration and audit of its
judge.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.judge_probe import print_probe
from htbench.cli.judge_result import (
    check_complete,
    print_calibration,
    print_forecast,
    print_result,
    print_thoughts,
)
from htbench.cli.options import (
    RUNS_DIR,
    Json,
    RunName,
    RunsDir,
    Verbose,
    Wide,
    run_folder,
)
from htbench.core.errors import HtbenchError, Refused, UnknownName, UsageError
from htbench.judging.judge import JudgeContext
from htbench.judging.schedule import ANCHORS, ScheduleSettings

if TYPE_CHECKING:
    from htbench.judging.tournament import Tournament

_WHAT, _HOW_MUCH, _CALLS, _VERDICTS = "What to compare", "How much", "Calls", "Verdicts"
"""Panels of the help page."""


def judge(
    run: RunName,
    judge: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Judge by name, or the path of its folder; see htbench list judges.",
            rich_help_panel=_WHAT,
        ),
    ] = "clip",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Model of the judge's endpoint, or its encoder.",
            show_default="that of the judge's card",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    criterion: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="presence, preservation, quality or overall. Repeatable.",
            show_default="all of the judge",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Method of the run. Repeatable.",
            show_default="all",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Compare with this method alone, such as prompt; or the bundle that the run was "
            "made against: add its newcomers to the bundle's tournament, as such a run does of "
            "itself.",
            rich_help_panel=_WHAT,
        ),
    ] = ScheduleSettings.against,
    strength: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Strength that images are compared at, or `tuned`.",
            show_default="1, or the largest of the run",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Pairs of images, balanced over methods and concepts.",
            show_default="all",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = ScheduleSettings.pairs,
    swiss: Annotated[
        int,
        typer.Option(
            min=0,
            max=50,
            metavar="N",
            help="Choose most pairs in N rounds, each between methods of similar rank; 0: a round "
            "robin.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = ScheduleSettings.swiss,
    anchors: Annotated[
        int,
        typer.Option(
            min=1,
            max=100,
            metavar="N",
            help="Methods of the bundle that each image of a newcomer is compared with.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = ANCHORS,
    controls: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Controls of each kind per criterion: repeats, identical pairs, noise, wrong "
            "concepts, text.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = ScheduleSettings.controls,
    one_order: Annotated[
        bool,
        typer.Option(
            "--one-order",
            help="Ask in one random order only: half the calls, but position bias stays unseen.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Random seed for the schedule and for intervals.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = ScheduleSettings.seed,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            metavar="N",
            help="Most tokens of a reply, thoughts included.",
            show_default="those of the judge's card",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Parameter of the calls, such as temperature=0.5, reasoning_effort=low or "
            "chat_template_kwargs.enable_thinking=false; null takes one away. Repeatable.",
            show_default="those of the judge's card",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    max_requests: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Most requests of this run to this model, with retries and earlier ones.",
            show_default="no limit",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="AMOUNT",
            help="Most that these requests may cost; needs --prices.",
            show_default="no limit",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Your table of prices in TOML; see docs/judging.md.",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1, max=256, metavar="N", help="Calls at the same time.", rich_help_panel=_CALLS
        ),
    ] = JudgeContext.concurrency,
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Longest wait that an endpoint may ask for.",
            rich_help_panel=_CALLS,
        ),
    ] = JudgeContext.wait,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="ACTION",
            help="submit: send all open calls in batches; collect: fetch those that are ready.",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="cpu, cuda or cuda:1, for judges on this machine.",
            show_default="the GPU if there is one",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    calibrate: Annotated[
        bool | None,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="Only ask about pairs of pictures whose truth is known, and show how often the "
            "judge is right; or leave those out: then it decides no claim.",
            show_default="those before the tournament",
            rich_help_panel=_VERDICTS,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Ask at most one question, and show what the others would take.",
            rich_help_panel=_VERDICTS,
        ),
    ] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Ask about known pictures and for one comparison; show the call, the reply and "
            "what the endpoint can do.",
            rich_help_panel=_VERDICTS,
        ),
    ] = False,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="Ask nothing; show the verdicts so far.",
            rich_help_panel=_VERDICTS,
        ),
    ] = False,
    reparse: Annotated[
        bool,
        typer.Option(
            "--reparse",
            help="Ask nothing; read verdicts from all raw replies again.",
            rich_help_panel=_VERDICTS,
        ),
    ] = False,
    thoughts: Annotated[
        bool,
        typer.Option(
            "--thoughts",
            help="Show also what the model thought before each answer.",
            rich_help_panel=_VERDICTS,
        ),
    ] = False,
    humans: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Votes of people as CSV, for the agreement with them and corrected win rates.",
            rich_help_panel=_VERDICTS,
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    wide: Wide = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Have images of a run's methods compared in pairs by a model. The same command again asks only
    what has no verdict yet.
    """
    from htbench.core.display import Display
    from htbench.judging import card as judge_cards
    from htbench.judging.agreement import read_votes
    from htbench.judging.budget import Budget
    from htbench.judging.known_pairs import find_calibration, plan_calibration
    from htbench.judging.ledger import Ledger
    from htbench.judging.parameters import read_parameters
    from htbench.judging.prepare import (
        TournamentOptions,
        build_tournament,
        prepare_tournament,
    )

    if batch not in (None, "submit", "collect"):
        raise UnknownName("thing to do with batches", batch, ["submit", "collect"])
    if probe and (offline or reparse or batch or dry_run or calibrate):
        raise UsageError(
            "--probe asks the endpoint, and another option says what else to do",
            remedy="Leave --offline, --reparse, --batch, --dry-run and --calibrate out.",
        )
    if calibrate and offline:
        raise UsageError(
            "--calibrate asks the judge, and --offline asks nothing", remedy="Leave one out."
        )
    folder, card = run_folder(run, runs_dir), judge_cards.load_judge_card(judge).with_model(model)
    card = card.with_parameters(read_parameters(parameter or ()))
    if max_tokens is not None:
        card = card.with_max_tokens(max_tokens)
    bundle = _bundle(against, folder, pairs=bool(method or pairs or swiss))
    schedule = ScheduleSettings(
        against="" if bundle else against,
        pairs=pairs,
        swiss=swiss,
        controls=controls,
        both_orders=not one_order,
        seed=seed,
    )
    context = JudgeContext(
        device=device, concurrency=concurrency, wait=wait, offline=offline or reparse
    )
    options = TournamentOptions(
        methods=tuple(method or ()),
        criteria=tuple(criterion or ()),
        strength=strength,
        schedule=schedule,
        context=context,
        budget=Budget(requests=max_requests, cost=max_cost),
        prices=prices,
        anchors=anchors,
    )
    votes = read_votes(humans) if humans else []
    display = Display(verbose=verbose, as_json=as_json)
    with Ledger.read(folder) if offline else Ledger.open(folder) as ledger, display.showing():
        prepare = build_tournament if calibrate else prepare_tournament
        tournament = prepare(folder, ledger, card, options, display)
        calibration = None
        if not offline and calibrate is not False:
            calibration = (find_calibration if reparse else plan_calibration)(tournament)
        if probe:
            print_probe(tournament, as_json=as_json)
            return
        if dry_run:
            both = (calibration, None if calibrate else tournament)
            print_forecast([each for each in both if each], as_json=as_json)
            return
        if calibrate:
            _calibrate(tournament, calibration, batch=batch, reparse=reparse, as_json=as_json)
            return
        stopped = None
        if not offline:
            stopped = _run_all(tournament, calibration, batch=batch, reparse=reparse)
        print_result(tournament, votes, run=None if offline else folder, wide=wide, as_json=as_json)
        if thoughts:
            print_thoughts(tournament, as_json=as_json)
        if stopped:
            raise stopped
        for each in (tournament, calibration):
            check_complete(each, offline=offline or reparse)


def _bundle(against: str, folder: Path, *, pairs: bool) -> bool:
    """True if `against` is a bundle, which has to be the one of the run.

    Raises:
        UsageError: if it is not, or if pairs are chosen too.
    """
    from htbench.bundles import against as newcomers

    if not newcomers.is_bundle_name(against):
        return False
    if pairs:
        raise UsageError(
            "a newcomer is compared with anchors of its bundle, and pairs are chosen too",
            remedy="Leave --method, --pairs and --swiss out, or --against.",
        )
    newcomers.check_digest(Path(against), folder)
    return True


def _calibrate(
    tournament: "Tournament",
    calibration: "Tournament | None",
    *,
    batch: str | None,
    reparse: bool,
    as_json: bool,
) -> None:
    """Make the calibration of a tournament's judge alone, and print its accuracy.

    Raises:
        UsageError: if no known pairs are for the criteria.
        Refused: if it fails by a criterion.
        HtbenchError: if the judge cannot be asked; the answers so far are shown before.
    """
    if calibration is None:
        raise UsageError(
            f"no known pairs {'were asked about' if reparse else 'are there'} by "
            f"{', '.join(tournament.design.criteria)}",
            remedy="Leave --calibrate out; the judge decides no claim then.",
        )
    stopped = _run(calibration, batch=batch, reparse=reparse)
    calibrations = print_calibration(calibration, as_json=as_json)
    if stopped:
        raise stopped
    check_complete(calibration, offline=reparse)
    if failed := [each.criterion for each in calibrations if each.status == "failed"]:
        raise _failed(tournament, failed)


def _run_all(
    tournament: "Tournament", calibration: "Tournament | None", *, batch: str | None, reparse: bool
) -> HtbenchError | None:
    """Calibrate the judge, and then make its tournament; gives the error that stopped either."""
    from htbench.judging.calibration import read_calibration

    if calibration is not None:
        if missing := calibration.ledger.count_calls(calibration.id)[1]:
            tournament.display.announce(
                f"calibration of judge {tournament.card.name}: {missing:,} calls about pictures "
                "whose truth is known"
            )
        if stopped := _run(calibration, batch=batch, reparse=reparse):
            return stopped
        calibrations = read_calibration(calibration.ledger, calibration.id)
        failed = [each.criterion for each in calibrations if each.status == "failed"]
        if not reparse and set(failed) == set(tournament.design.criteria):
            return _failed(tournament, failed)
    return _run(tournament, batch=batch, reparse=reparse)


def _failed(tournament: "Tournament", criteria: Sequence[str]) -> Refused:
    return Refused(
        f"judge {tournament.card.name} is not shown to tell right from wrong on known pairs, by "
        f"{', '.join(criteria)}",
        remedy="Give another --judge or --model. With --no-calibrate it is asked all the same, and "
        "its verdicts do not count.",
    )


def _run(tournament: "Tournament", *, batch: str | None, reparse: bool) -> HtbenchError | None:
    """Ask, send, collect or parse as the options say; gives the error that stopped it, so that the
    verdicts so far are shown before it is raised.
    """
    try:
        if reparse:
            tournament.display.info(f"{tournament.reparse():,} replies read again")
        elif batch == "submit":
            for shard in tournament.send_batches():
                typer.echo(f"batch {shard.id}: {len(shard.keys):,} calls", err=True)
        elif batch == "collect":
            for name, state in tournament.collect_batches().items():
                typer.echo(f"batch {name}: {state}", err=True)
        else:
            tournament.play()
    except HtbenchError as error:
        return error
    return None
