"""`htbench judge`: a tournament between a run's methods, with an audit of its judge."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.judge_probe import print_probe
from htbench.cli.options import (
    RUNS_DIR,
    Json,
    RunName,
    RunsDir,
    Verbose,
    Wide,
    run_folder,
)
from htbench.cli.report import print_path
from htbench.core.errors import HtbenchError, Incomplete, UnknownName, UsageError
from htbench.judging.judge import JudgeContext
from htbench.judging.schedule import ANCHORS, ScheduleSettings

if TYPE_CHECKING:
    from htbench.judging.agreement import HumanVote
    from htbench.judging.card import JudgeCard
    from htbench.judging.leaderboard import TournamentResult
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
    from htbench.judging.ledger import Ledger
    from htbench.judging.parameters import read_parameters
    from htbench.judging.prepare import TournamentOptions, prepare_tournament

    if batch not in (None, "submit", "collect"):
        raise UnknownName("thing to do with batches", batch, ["submit", "collect"])
    if probe and (offline or reparse or batch or dry_run):
        raise UsageError(
            "--probe asks the endpoint, and another option says what else to do",
            remedy="Leave --offline, --reparse, --batch and --dry-run out.",
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
        tournament = prepare_tournament(folder, ledger, card, options, display)
        if probe:
            print_probe(tournament, as_json=as_json)
            return
        if dry_run:
            _print_forecast(tournament, as_json=as_json)
            return
        stopped = None if offline else _run_tournament(tournament, batch=batch, reparse=reparse)
        result = _print_result(
            tournament, votes, run=None if offline else folder, wide=wide, as_json=as_json
        )
        if thoughts:
            _print_thoughts(tournament, as_json=as_json)
    if stopped:
        raise stopped
    if result.pending:
        raise _incomplete(result, tournament.card, offline=offline or reparse)


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


def _run_tournament(
    tournament: "Tournament", *, batch: str | None, reparse: bool
) -> HtbenchError | None:
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


def _print_result(
    tournament: "Tournament",
    votes: "list[HumanVote]",
    *,
    run: Path | None,
    wide: bool,
    as_json: bool,
) -> "TournamentResult":
    """Print a tournament's result, and write it and the report into the folder of its run."""
    from htbench import report
    from htbench.judging import agreement, tables
    from htbench.judging.leaderboard import other_judges, read_result

    result = read_result(tournament.ledger, tournament.id)
    people = agreement.agreement_with_people(result, votes)
    corrected = agreement.corrected_rates(result, votes)
    judges = {
        f"{other.metadata['judge']} {other.metadata['model']}": agreement.agreement_with_judge(
            result, other
        )
        for other in other_judges(tournament.ledger, result)
    }
    more: dict[str, object] = {
        "people": [asdict(row) for row in people],
        "corrected": [asdict(row) for row in corrected],
        "judges": {name: [asdict(row) for row in rows] for name, rows in judges.items()},
    }
    paths = tables.write(result, run / "judged", **more) if run else []
    page = report.write(run) if run else None
    if as_json:
        _print_lines(result, paths, page, more)
        return result
    tables.show(result, wide=wide)
    tables.show_agreement("People", people)
    tables.show_corrected_rates(corrected)
    for name, rows in judges.items():
        tables.show_agreement(f"Judge {name}", rows)
    for path in paths:
        typer.echo(f"File: {os.path.relpath(path)}")
    if page:
        print_path(page)
    return result


def _print_lines(
    result: "TournamentResult", paths: list[Path], page: Path | None, more: Mapping[str, object]
) -> None:
    from htbench.core.display import print_json
    from htbench.judging.newcomers import newcomer_ratings

    judge, model = result.metadata["judge"], result.metadata["model"]
    for criterion in result.criteria:
        print_json(event="judged", judge=judge, model=model, **criterion.facts())
    for rating in newcomer_ratings(result):
        print_json(event="newcomer", **asdict(rating))
    print_json(
        event="end",
        calls=result.calls,
        pending=result.pending,
        outcomes=result.outcomes,
        files=list(map(str, paths)),
        report=page and str(page),
        **more,
    )


def _print_thoughts(tournament: "Tournament", *, as_json: bool) -> None:
    """Print the thought and the verdict of each reply that shows a thought, the oldest first."""
    from htbench.core.display import print_json
    from htbench.core.secrets import scrub_reply
    from htbench.judging.judge import ShowsThoughts

    judge = tournament.judge
    if not isinstance(judge, ShowsThoughts):
        return
    for _, key, body in tournament.ledger.raw_replies(tournament.id):
        if not (thought := scrub_reply(judge.thought(body))):
            continue
        verdict = judge.read(body)
        said = verdict.choice or verdict.outcome
        if as_json:
            print_json(event="thought", key=key, verdict=said, thought=thought)
        else:
            typer.echo(f"\nThought before {said} ({key}):\n{thought}")


def _incomplete(result: "TournamentResult", card: "JudgeCard", *, offline: bool) -> Incomplete:
    from htbench.judging.judge import FINAL_OUTCOMES

    lost = {
        outcome: number
        for outcome, number in result.outcomes.items()
        if outcome not in FINAL_OUTCOMES
    }
    unasked = result.pending - sum(lost.values())
    parts = [
        *(f"{number:,} {outcome}" for outcome, number in lost.items()),
        *([f"{unasked:,} not asked"] if unasked else []),
    ]
    remedy = (
        "Leave --offline and --reparse out to ask them."
        if offline
        else "The same command asks them again; a larger --max-requests or --max-cost if that was "
        "the end."
    )
    if lost.get("truncated"):
        limits = [card.decoding.get(name) for name in ("max_tokens", "max_completion_tokens")]
        limit = max((each for each in limits if isinstance(each, int)), default=1024)
        remedy = f"Replies were cut off at their limit; --max-tokens {4 * limit} gives more room."
    return Incomplete(
        f"{result.pending:,} of {result.calls:,} calls have no verdict: {', '.join(parts)}",
        remedy=remedy,
    )


def _print_forecast(tournament: "Tournament", *, as_json: bool) -> None:
    from htbench.core.display import print_json
    from htbench.judging.forecast import forecast

    if not tournament.ledger.model_usage(tournament.judge.model).calls:
        tournament.ask(limit=1)
    expected = forecast(tournament, tournament.meter.price)
    if as_json:
        print_json(event="forecast", **asdict(expected))
        return
    typer.echo(f"Calls: {expected.calls:,}, {expected.pending:,} without a verdict")
    if expected.bytes is not None:
        typer.echo(f"To send: about {expected.bytes / 1e6:,.1f} MB")
    if expected.usage is not None:
        asked, replied = expected.usage.asked, expected.usage.replied
        basis = f"by {expected.basis:,} calls that were made"
        typer.echo(f"Tokens: about {asked:,} asked, {replied:,} replied; {basis}")
        unknown = expected.cost is None
        cost = "price unknown; give --prices" if unknown else f"about {expected.cost:,.2f}"
        typer.echo(f"Cost: {cost}")
