"""`htbench judge`: a tournament between a run's methods, and whether its judge can be believed."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import Json, Out, RunName, Verbose, run_folder
from htbench.core.errors import HtbenchError, Incomplete, UnknownName
from htbench.judging import card as judge_cards
from htbench.judging.judge import FINAL_OUTCOMES

if TYPE_CHECKING:
    from htbench.judging.agreement import HumanVote
    from htbench.judging.leaderboard import TournamentResult
    from htbench.judging.tournament import Tournament


def judge(
    run: RunName,
    judge: Annotated[
        str, typer.Option(help="See: htbench list judges; or the path of a judge's folder.")
    ] = "clip",
    model: Annotated[
        str | None,
        typer.Option(help="The endpoint's model, or the encoder; the card's if not given."),
    ] = None,
    criterion: Annotated[
        list[str] | None,
        typer.Option(help="presence, preservation, quality or overall; repeat for several."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="A method of the run; repeat for several; all if not given."),
    ] = None,
    against: Annotated[str, typer.Option(help="Only pairs with this method: prompt.")] = "",
    strength: Annotated[
        str | None,
        typer.Option(
            help="Strength that pictures are compared at, or `tuned`; 1 if the run has it."
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="So many pairs of pictures, balanced over methods and concepts; all if not given.",
        ),
    ] = None,
    swiss: Annotated[
        int,
        typer.Option(
            min=0,
            max=50,
            help="Choose most pairs in so many rounds between neighbours by then; 0: a round robin.",
        ),
    ] = 0,
    controls: Annotated[
        int,
        typer.Option(
            min=0,
            help="Controls of each kind and criterion: repeats, identical pairs, noise, wrong concepts, text.",
        ),
    ] = 20,
    one_order: Annotated[
        bool,
        typer.Option(
            "--one-order", help="Ask in one random order only: half the calls, and less to trust."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the schedule and of intervals.")] = 0,
    max_requests: Annotated[
        int | None,
        typer.Option(min=0, help="Calls in this run to this model, earlier ones included."),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="What they may cost; needs --prices.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(help="Your table of prices, a TOML file; see docs/judging.md.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Calls under way at once.")] = 8,
    wait: Annotated[
        float, typer.Option(min=0, help="Longest that an endpoint may ask to wait for, in seconds.")
    ] = 120,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Ask one question at most, and say what the others would take."
        ),
    ] = False,
    batch: Annotated[
        str | None,
        typer.Option(help="submit: send what is pending in batches; collect: fetch what is ready."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask nothing; show what was said until now.")
    ] = False,
    reparse: Annotated[
        bool,
        typer.Option(
            "--reparse", help="Read all raw replies again, which costs nothing, and ask nothing."
        ),
    ] = False,
    humans: Annotated[
        Path | None,
        typer.Option(
            help="People's votes, a CSV: agreement with them, and win rates corrected by them."
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or cuda:1, for judges on this machine.")
    ] = None,
    out: Out = Path("runs"),
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Have pictures of a run's methods compared in pairs; the same command again asks only what has no verdict yet."""
    from htbench.core.display import Display
    from htbench.judging.agreement import read_votes
    from htbench.judging.ledger import Ledger
    from htbench.judging.prepare import TournamentOptions, prepare_tournament

    if batch not in (None, "submit", "collect"):
        raise UnknownName("thing to do with batches", batch, ["submit", "collect"])
    folder, card = run_folder(run, out), judge_cards.load_judge_card(judge).with_model(model)
    wish = TournamentOptions(
        methods=tuple(method or ()), criteria=tuple(criterion or ()), strength=strength, against=against, pairs=pairs, swiss=swiss, controls=controls,
        both_orders=not one_order, seed=seed, max_requests=max_requests, max_cost=max_cost, prices=prices,
        concurrency=concurrency, wait=wait, offline=offline or reparse, device=device,
    )  # fmt: skip
    votes = read_votes(humans) if humans else []
    voice = Display(verbose=verbose, as_json=as_json)
    with Ledger.read(folder) if offline else Ledger.open(folder) as ledger, voice.showing():
        tournament = prepare_tournament(folder, ledger, card, wish, voice)
        if dry_run:
            _print_forecast(tournament, as_json=as_json)
            return
        stopped = None if offline else _run_tournament(tournament, batch=batch, reparse=reparse)
        board = _print_result(
            tournament, votes, files=None if offline else folder / "judged", as_json=as_json
        )
    if stopped:
        raise stopped
    if board.pending:
        raise _incomplete(board, offline=offline or reparse)


def _run_tournament(
    tournament: "Tournament", *, batch: str | None, reparse: bool
) -> HtbenchError | None:
    """What was asked for; gives what stopped it, so that what there is can be shown first."""
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
    tournament: "Tournament", votes: "list[HumanVote]", *, files: Path | None, as_json: bool
) -> "TournamentResult":
    from htbench.core.display import print_json
    from htbench.judging import agreement, tables
    from htbench.judging.leaderboard import other_judges, read_result

    found = read_result(tournament.ledger, tournament.id)
    people, corrected = (
        agreement.agreement_with_people(found, votes),
        agreement.corrected_rates(found, votes),
    )
    judges = {
        f"{other.metadata['judge']} {other.metadata['model']}": agreement.agreement_with_judge(
            found, other
        )
        for other in other_judges(tournament.ledger, found)
    }
    more = {
        "people": [asdict(each) for each in people],
        "corrected": [asdict(each) for each in corrected],
        "judges": {name: [asdict(each) for each in agreed] for name, agreed in judges.items()},
    }
    paths = tables.write(found, files, **more) if files else []
    if as_json:
        for criterion in found.criteria:
            print_json(
                event="judged",
                judge=found.metadata["judge"],
                model=found.metadata["model"],
                **criterion.facts(),
            )
        print_json(
            event="end",
            calls=found.calls,
            pending=found.pending,
            outcomes=found.outcomes,
            files=list(map(str, paths)),
            **more,
        )
        return found
    tables.show(found)
    tables.show_agreement("People", people)
    tables.show_corrected_rates(corrected)
    for name, agreed in judges.items():
        tables.show_agreement(f"Judge {name}", agreed)
    for path in paths:
        typer.echo(f"File: {os.path.relpath(path)}")
    return found


def _incomplete(board: "TournamentResult", *, offline: bool) -> Incomplete:
    lost = {
        outcome: number
        for outcome, number in board.outcomes.items()
        if outcome not in FINAL_OUTCOMES
    }
    unasked = board.pending - sum(lost.values())
    parts = [
        *(f"{number:,} {outcome}" for outcome, number in lost.items()),
        *([f"{unasked:,} not asked"] if unasked else []),
    ]
    remedy = (
        "Leave --offline and --reparse out to ask them."
        if offline
        else "The same command asks them again; a larger --max-requests or --max-cost if that was the end."
    )
    return Incomplete(
        f"{board.pending:,} of {board.calls:,} calls have no verdict: {', '.join(parts)}",
        remedy=remedy,
    )


def _print_forecast(tournament: "Tournament", *, as_json: bool) -> None:
    from htbench.core.display import print_json
    from htbench.judging.forecast import forecast

    if not tournament.ledger.model_usage(tournament.judge.model).calls:
        tournament.ask(limit=1)
    found = forecast(tournament, tournament.budget.price)
    if as_json:
        print_json(event="forecast", **asdict(found))
        return
    typer.echo(f"Calls: {found.calls:,}, {found.pending:,} without a verdict")
    if found.bytes is not None:
        typer.echo(f"To send: about {found.bytes / 1e6:,.1f} MB")
    if found.usage is not None:
        typer.echo(
            f"Tokens: about {found.usage.asked:,} asked, {found.usage.replied:,} replied; by {found.basis:,} calls that were made"
        )
        typer.echo(
            f"Cost: about {found.cost:,.2f}"
            if found.cost is not None
            else "Cost: price unknown; give --prices"
        )
