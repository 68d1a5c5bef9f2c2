"""A judged leaderboard for a terminal, and as files for others."""

import csv
import json
import math
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from htbench.core.display import printable
from htbench.judging.agreement import CorrectedRate, JudgeAgreement
from htbench.judging.audit import MEANING, ControlResult, JudgeAudit
from htbench.judging.leaderboard import CriterionLeaderboard, TournamentResult
from htbench.stats.durations import Interval
from htbench.stats.proportions import Proportion

_CIRCULAR = "°"
_COLUMNS = (
    "method",
    "rank",
    "ranks",
    "tier",
    "rating",
    "rating_low",
    "rating_high",
    "win_rate",
    "win_rate_low",
    "win_rate_high",
    "votes",
    "ties",
    "missing",
)


def show(result: TournamentResult) -> None:
    """Print every criterion's leaderboard with its audit to stdout."""
    console = Console(width=None if Console().is_terminal else 140)
    about = result.metadata
    console.print(
        Text(
            f"Judge {printable(about['judge'], max_length=60)}, {printable(about['model'], max_length=80)}: {printable(about['label'], max_length=400)}"
        )
    )
    for criterion in result.criteria:
        console.print()
        console.print(_leaderboard(criterion))
        if criterion.ranking:
            console.print(Text(criterion.ranking.caption))
            for warning in criterion.ranking.warnings:
                console.print(Text(warning))
        if preferred := _preference_rates(criterion, about["design"]["shows"]):
            console.print(Text(preferred))
        if criterion.unranked:
            console.print(Text(f"Not ranked: {criterion.unranked}"))
        if criterion.circular:
            encoders = ", ".join(about["encoders"])
            console.print(
                Text(
                    f"{_CIRCULAR} reads concepts with {encoders}, by which this judge sees: listed, not ranked"
                )
            )
        console.print(_audit(criterion.audit))
    console.print()
    said = ", ".join(f"{number:,} {outcome}" for outcome, number in result.outcomes.items())
    console.print(
        Text(
            f"Calls: {result.calls - result.pending:,}/{result.calls:,} have a verdict"
            + (f" ({said})" if said else "")
        )
    )


def show_agreement(title: str, agreements: list[JudgeAgreement]) -> None:
    """Print how far a judge agrees with somebody."""
    for each in agreements:
        ceiling = f"; two people agree on {_share(each.ceiling)}" if each.ceiling else ""
        alike = f"alike on {_share(each.decided)} that both decide, {_share(each.all)} of all"
        line = f"{title}, {each.criterion}: {alike}; kappa {each.kappa:.2f}, tau {each.tau:.2f}"
        Console(width=None if Console().is_terminal else 140).print(Text(line + ceiling))


def show_corrected_rates(rates: list[CorrectedRate]) -> None:
    """Print win rates as people's votes correct them."""
    for each in rates:
        line = f"{each.criterion}: {each.one} preferred to {each.two}: judge alone {_interval(each.raw)}, corrected by {each.labelled} judged by people "
        Console(width=None if Console().is_terminal else 140).print(
            Text(line + _interval(each.corrected))
        )


def write(result: TournamentResult, folder: Path, **more: object) -> list[Path]:
    """The same as a JSON and a CSV file in `folder`; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{result.metadata['judge']}-{result.tournament[:8]}".replace("/", "-")
    paths = [folder / f"{name}.json", folder / f"{name}.csv"]
    paths[0].write_text(
        json.dumps(
            nan_to_null({**result.facts(), **more}), indent=1, sort_keys=True, allow_nan=False
        )
        + "\n",
        encoding="utf-8",
    )
    with paths[1].open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("criterion", *_COLUMNS))
        for criterion in result.criteria:
            for one in criterion.ranking.entries if criterion.ranking else ():
                rating = ("" if one.limit else one.rating.value, one.rating.low, one.rating.high)
                wins = (one.win_rate.value, one.win_rate.low, one.win_rate.high)
                rows.writerow(
                    (
                        criterion.name,
                        one.name,
                        one.rank,
                        one.rank_range,
                        one.tier,
                        *map(_cell, (*rating, *wins)),
                        one.votes,
                        one.ties,
                        one.missing,
                    )
                )
            for method, rate in criterion.circular.items():
                rows.writerow((criterion.name, method, *[""] * 6, _cell(rate), *[""] * 5))
    return paths


def nan_to_null(value: object) -> object:
    """`value` with NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(key): nan_to_null(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [nan_to_null(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _leaderboard(criterion: CriterionLeaderboard) -> Table:
    rest = ", ".join(
        f"{number:,} {what}"
        for what, number in criterion.match_outcomes.items()
        if what not in ("won", "lost")
    )
    title = f"{criterion.name}: {sum(criterion.match_outcomes.values()):,} pairs, {rest or 'all decided'}"
    table = Table(title=Text(title), title_justify="left", show_edge=False)
    for column in (
        "Method",
        "Rank",
        "Tier",
        "Rating",
        "Win rate",
        "P(best)",
        "Concepts",
        "Votes",
        "Ties",
        "Missing",
    ):
        table.add_column(column, justify="left" if column == "Method" else "right")
    lost = criterion.audit.missing_by_method
    for one in criterion.ranking.entries if criterion.ranking else ():
        rating = f"{one.limit} all" if one.limit else _interval(one.rating)
        best = "-" if math.isnan(one.best) else f"{one.best:.2f}"
        table.add_row(
            Text(printable(one.name, max_length=60)), one.rank_range, str(one.tier), Text(rating), Text(_interval(one.win_rate)), best,
            str(one.concepts), str(one.votes), f"{one.ties:.0%}", f"{lost[one.name].value:.0%}" if one.name in lost else "-",
        )  # fmt: skip
    for method, rate in criterion.circular.items():
        table.add_row(
            Text(printable(method, max_length=60) + _CIRCULAR),
            "-",
            "-",
            "-",
            f"{rate:.3f}",
            "-",
            "-",
            "-",
            "-",
            "-",
        )
    return table


def _preference_rates(criterion: CriterionLeaderboard, reference: str) -> str:
    """How often each method is preferred to the reference, prompting where there is prompting."""
    found = {
        one.name: criterion.preference_rate(one.name, reference)
        for one in (criterion.ranking.entries if criterion.ranking else ())
    }
    rates = ", ".join(
        f"{printable(name, max_length=60)} {_interval(rate)}"
        for name, rate in found.items()
        if rate
    )
    return f"Preferred to {reference}: {rates}" if rates else ""


def _audit(audit: JudgeAudit) -> Text:
    flags = ", ".join(f"{flag} ({MEANING[flag]})" for flag in audit.flags)
    parts = [
        f"same in both orders {_share(audit.consistent)}",
        f"first slot in flips {_share(audit.position_bias)}",
        f"same when asked again {_share(audit.stable)}",
        f"difference seen in identical pairs {_share(audit.identical)}",
        f"picture over noise {_trial(audit.noise)}",
        f"right concept over wrong {_trial(audit.wrong_concept)}",
        f"not fooled by text {_trial(audit.text, fooled=True)}",
        f"circles {_share(audit.cycles)}, {audit.cycles_expected:.3f} expected"
        if audit.cycles.of
        else "circles: no triples",
    ]
    return Text(f"Audit: {'; '.join(parts)}.\n" + (f"FLAGGED: {flags}." if flags else "No flags."))


def _trial(trial: ControlResult, *, fooled: bool = False) -> str:
    total = trial.right + trial.wrong + trial.other
    good = total - trial.wrong if fooled else trial.right
    return f"{good}/{total}" if total else "not tried"


def _share(share: Proportion | None) -> str:
    if share is None or not share.of:
        return "not known"
    low, high = share.interval
    return f"{share.value:.3f} [{low:.3f}, {high:.3f}] of {share.of:,}"


def _interval(interval: Interval) -> str:
    return (
        f"{interval.value:.3f}"
        if math.isnan(interval.low)
        else f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    )


def _cell(value: object) -> object:
    return "" if isinstance(value, float) and math.isnan(value) else value
