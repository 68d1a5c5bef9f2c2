"""The result of `htbench judge`, its calibration and its forecast, as text or JSON."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from htbench.cli.report import print_path
from htbench.core.errors import Incomplete

if TYPE_CHECKING:
    from htbench.judging.agreement import HumanVote
    from htbench.judging.calibration import CriterionCalibration
    from htbench.judging.leaderboard import TournamentResult
    from htbench.judging.pointwise import PointwiseResult
    from htbench.judging.strengths import StrengthResult
    from htbench.judging.tournament import Tournament


def print_result(
    tournament: "Tournament",
    votes: "list[HumanVote]",
    *,
    run: Path | None,
    wide: bool,
    as_json: bool,
) -> "TournamentResult":
    """Print a tournament's result, and write it and the report into the folder of its run."""
    from htbench import report
    from htbench.judging import agreement, panel, tables
    from htbench.judging.leaderboard import other_judges, read_result

    result = read_result(tournament.ledger, tournament.id)
    people = agreement.agreement_with_people(result, votes)
    corrected = agreement.corrected_rates(result, votes)
    others = {
        f"{other.metadata['judge']} {other.metadata['model']}": other
        for other in other_judges(tournament.ledger, result)
    }
    judges = {name: agreement.agreement_with_judge(result, other) for name, other in others.items()}
    own = f"{result.metadata['judge']} {result.metadata['model']}"
    panels = panel.panels({own: result, **others}, votes or _votes_of_studies(tournament))
    more: dict[str, object] = {
        "people": [asdict(row) for row in people],
        "corrected": [asdict(row) for row in corrected],
        "judges": {name: [asdict(row) for row in rows] for name, rows in judges.items()},
        "panels": [each.facts() for each in panels],
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
    tables.show_panels(panels)
    for path in paths:
        typer.echo(f"File: {os.path.relpath(path)}")
    if page:
        print_path(page)
    return result


def _votes_of_studies(tournament: "Tournament") -> "list[HumanVote]":
    """People's votes in the studies of the run, at the strength of a tournament."""
    from htbench import report
    from htbench.judging.run_votes import votes_at
    from htbench.report.sections import people

    with report.open_run(tournament.ledger.folder) as summary:
        studies, full = people.collect(summary).studies, summary.full_strength
        return votes_at(studies, tournament.design.strength, full_strength=full)


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


def print_thoughts(tournament: "Tournament", *, as_json: bool) -> None:
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


def print_pointwise(tournament: "Tournament", *, run: Path | None, as_json: bool) -> None:
    """Print pointwise scores, and write them and the report into the folder of their run."""
    from htbench.judging import pointwise_tables
    from htbench.judging.pointwise import read_pointwise

    result = read_pointwise(tournament.ledger, tournament.id)
    paths = pointwise_tables.write(result, run / "judged") if run else []
    show = partial(pointwise_tables.show, result)
    _print_figures("pointwise", result, show, paths, run, as_json=as_json)


def print_strengths(tournament: "Tournament", *, run: Path | None, as_json: bool) -> None:
    """Print comparisons of strengths, and write them and the report into their run's folder."""
    from htbench.judging import strength_tables
    from htbench.judging.strengths import read_strengths

    result = read_strengths(tournament.ledger, tournament.id)
    paths = strength_tables.write(result, run / "judged") if run else []
    show = partial(strength_tables.show, result)
    _print_figures("strength", result, show, paths, run, as_json=as_json)


def _print_figures(
    event: str,
    result: "PointwiseResult | StrengthResult",
    show: Callable[[], None],
    paths: Sequence[Path],
    run: Path | None,
    *,
    as_json: bool,
) -> None:
    from htbench import report
    from htbench.core.display import print_json

    page = report.write(run) if run else None
    if as_json:
        names = {"judge": result.metadata["judge"], "model": result.metadata["model"]}
        for criterion in result.criteria:
            print_json(event=event, **names, **criterion.facts())
        print_json(event="end", calls=result.calls, pending=result.pending)
        return
    show()
    for path in paths:
        typer.echo(f"File: {os.path.relpath(path)}")
    if page:
        print_path(page)


def print_calibration(calibration: "Tournament", *, as_json: bool) -> "list[CriterionCalibration]":
    """Print how often a judge is right on known pairs."""
    from htbench.core.display import print_json
    from htbench.judging import tables
    from htbench.judging.calibration import read_calibration

    found = read_calibration(calibration.ledger, calibration.id)
    if as_json:
        names = {"judge": calibration.card.name, "model": calibration.judge.model}
        for each in found:
            print_json(event="calibrated", **names, criterion=each.criterion, **each.facts())
    else:
        tables.show_calibrations(found)
    return found


def check_complete(tournament: "Tournament | None", *, offline: bool) -> None:
    """Raise `Incomplete` if calls have no verdict."""
    from htbench.judging.judge import FINAL_OUTCOMES

    if tournament is None:
        return
    calls, pending = tournament.ledger.count_calls(tournament.id)
    if not pending:
        return
    lost = {
        outcome: number
        for outcome, number in tournament.ledger.outcomes(tournament.id).items()
        if outcome not in FINAL_OUTCOMES
    }
    unasked = pending - sum(lost.values())
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
        decoding = tournament.card.decoding
        limits = [decoding.get(name) for name in ("max_tokens", "max_completion_tokens")]
        limit = max((each for each in limits if isinstance(each, int)), default=1024)
        remedy = f"Replies were cut off at their limit; --max-tokens {4 * limit} gives more room."
    raise Incomplete(
        f"{pending:,} of {calls:,} calls have no verdict: {', '.join(parts)}", remedy=remedy
    )


def print_forecast(tournaments: "Sequence[Tournament]", *, as_json: bool) -> None:
    """Print what tournaments of one judge would take, after one question if none was asked."""
    from htbench.core.display import print_json
    from htbench.judging.forecast import forecast

    first = tournaments[0]
    if not first.ledger.model_usage(first.judge.model).calls:
        first.ask(limit=1)
    expected = forecast(tournaments, first.meter.price)
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
