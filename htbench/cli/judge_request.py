"""The request of `htbench judge` and its execution: a calibration, then a tournament or scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from htbench.cli.judge_probe import print_probe
from htbench.cli.judge_result import (
    check_complete,
    print_calibration,
    print_forecast,
    print_pointwise,
    print_result,
    print_strengths,
    print_thoughts,
)
from htbench.core.errors import HtbenchError, Refused, UnknownName, UsageError

if TYPE_CHECKING:
    from htbench.judging.agreement import HumanVote
    from htbench.judging.tournament import Tournament


@dataclass(frozen=True, kw_only=True)
class JudgeRequest:
    """The options that say what to do, and not what to compare."""

    calibrate: bool | None
    """True: nothing else; False: not at all."""
    pointwise: bool
    task: str
    """`pairs`, or `strength`."""
    probe: bool
    dry_run: bool
    batch: str | None
    """`submit` or `collect`; None: each call by itself."""
    offline: bool
    reparse: bool
    thoughts: bool
    wide: bool
    as_json: bool

    @property
    def compares_pairs(self) -> bool:
        """True if a tournament is planned."""
        return not (self.calibrate or self.pointwise)

    def check(self, about_pairs: Mapping[str, object]) -> None:
        """Check that no option contradicts another; `about_pairs` are those for pairs, by name.

        Raises:
            UnknownName: for an unknown action on batches.
            UsageError: for options that contradict each other.
        """
        if self.task not in ("pairs", "strength"):
            raise UnknownName("task", self.task, ["pairs", "strength"])
        if self.task == "strength":
            others = {**about_pairs, "--pointwise": self.pointwise}
            if unfit := [name for name, value in others.items() if value]:
                raise UsageError(
                    f"--task strength compares strengths, and {unfit[0]} is about methods",
                    remedy=f"Leave {' and '.join(unfit)} out.",
                )
        if self.batch not in (None, "submit", "collect"):
            raise UnknownName("thing to do with batches", self.batch, ["submit", "collect"])
        if self.probe and (
            self.offline or self.reparse or self.batch or self.dry_run or self.calibrate
        ):
            raise UsageError(
                "--probe asks the endpoint, and another option says what else to do",
                remedy="Leave --offline, --reparse, --batch, --dry-run and --calibrate out.",
            )
        about_pairs = {**about_pairs, "--probe": self.probe, "--calibrate": self.calibrate}
        given = [name for name, value in about_pairs.items() if value]
        if self.pointwise and given:
            raise UsageError(
                f"--pointwise asks about one image at a time, and {given[0]} is about pairs",
                remedy=f"Leave {' and '.join(given)} out.",
            )
        if self.calibrate and self.offline:
            raise UsageError(
                "--calibrate asks the judge, and --offline asks nothing", remedy="Leave one out."
            )


def conduct(tournament: "Tournament", request: JudgeRequest, votes: "list[HumanVote]") -> None:
    """Ask a tournament's judge for what is requested, and print it.

    Raises:
        HtbenchError: if the judge cannot be asked, fails its calibration, or gives no verdict on
            some pictures; what there is is shown before.
    """
    from htbench.judging.known_pairs import find_calibration, plan_calibration
    from htbench.judging.pointwise_questions import prepare_pointwise

    as_json, calibration = request.as_json, None
    if not request.offline and request.calibrate is not False:
        calibration = (find_calibration if request.reparse else plan_calibration)(tournament)
    if request.probe:
        print_probe(tournament, as_json=as_json)
        return
    if request.pointwise:
        tournament = prepare_pointwise(tournament, offline=request.offline or request.reparse)
    if request.dry_run:
        both = (calibration, None if request.calibrate else tournament)
        print_forecast([each for each in both if each], as_json=as_json)
        return
    if request.calibrate:
        _calibrate(tournament, calibration, request)
        return
    stopped = None if request.offline else _ask_all(tournament, calibration, request)
    run = None if request.offline else tournament.ledger.folder
    if request.pointwise:
        print_pointwise(tournament, run=run, as_json=as_json)
    elif request.task == "strength":
        print_strengths(tournament, run=run, as_json=as_json)
    else:
        print_result(tournament, votes, run=run, wide=request.wide, as_json=as_json)
    if request.thoughts:
        print_thoughts(tournament, as_json=as_json)
    if stopped:
        raise stopped
    for each in (tournament, calibration):
        check_complete(each, offline=request.offline or request.reparse)


def _calibrate(
    tournament: "Tournament", calibration: "Tournament | None", request: JudgeRequest
) -> None:
    """Make the calibration of a tournament's judge alone, and print its accuracy.

    Raises:
        UsageError: if no known pairs are for the criteria.
        Refused: if it fails by a criterion.
        HtbenchError: if the judge cannot be asked; the answers so far are shown before.
    """
    if calibration is None:
        raise UsageError(
            f"no known pairs {'were asked about' if request.reparse else 'are there'} by "
            f"{', '.join(tournament.design.criteria)}",
            remedy="Leave --calibrate out; the judge decides no claim then.",
        )
    stopped = _ask(calibration, request)
    calibrations = print_calibration(calibration, as_json=request.as_json)
    if stopped:
        raise stopped
    check_complete(calibration, offline=request.reparse)
    if failed := [each.criterion for each in calibrations if each.status == "failed"]:
        raise _failed(tournament, failed)


def _ask_all(
    tournament: "Tournament", calibration: "Tournament | None", request: JudgeRequest
) -> HtbenchError | None:
    """Calibrate the judge, and then make its tournament; gives the error that stopped either."""
    from htbench.judging.calibration import read_calibration

    if calibration is not None:
        if missing := calibration.ledger.count_calls(calibration.id)[1]:
            tournament.display.announce(
                f"calibration of judge {tournament.card.name}: {missing:,} calls about pictures "
                "whose truth is known"
            )
        if stopped := _ask(calibration, request):
            return stopped
        calibrations = read_calibration(calibration.ledger, calibration.id)
        failed = [each.criterion for each in calibrations if each.status == "failed"]
        if not request.reparse and set(failed) == set(tournament.design.criteria):
            return _failed(tournament, failed)
    return _ask(tournament, request)


def _failed(tournament: "Tournament", criteria: Sequence[str]) -> Refused:
    return Refused(
        f"judge {tournament.card.name} is not shown to tell right from wrong on known pairs, by "
        f"{', '.join(criteria)}",
        remedy="Give another --judge or --model. With --no-calibrate it is asked all the same, and "
        "its verdicts do not count.",
    )


def _ask(tournament: "Tournament", request: JudgeRequest) -> HtbenchError | None:
    """Ask, send, collect or parse as the options say; gives the error that stopped it, so that the
    verdicts so far are shown before it is raised.
    """
    try:
        if request.reparse:
            tournament.display.info(f"{tournament.reparse():,} replies read again")
        elif request.batch == "submit":
            for shard in tournament.send_batches():
                typer.echo(f"batch {shard.id}: {len(shard.keys):,} calls", err=True)
        elif request.batch == "collect":
            for name, state in tournament.collect_batches().items():
                typer.echo(f"batch {name}: {state}", err=True)
        else:
            tournament.play()
    except HtbenchError as error:
        return error
    return None
