"""Tables of a judged leaderboard for the terminal, and its files."""

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from htbench.core import content
from htbench.core.csv_files import cell
from htbench.core.display import printable, stdout_console
from htbench.judging.agreement import CorrectedRate, JudgeAgreement
from htbench.judging.audit import MEANING, ControlResult, JudgeAudit
from htbench.judging.leaderboard import CriterionLeaderboard, TournamentResult
from htbench.stats import crossed
from htbench.stats.durations import Interval
from htbench.stats.proportions import Proportion
from htbench.stats.ranking.leaderboard import LeaderboardEntry

_NO_FILE_NAME = re.compile(r"[^\w.-]+")
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


_TITLES = (
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
)


def show(result: TournamentResult) -> None:
    """Print every criterion's leaderboard with its audit to stdout."""
    console = stdout_console()
    metadata = result.metadata
    judge = printable(metadata["judge"], max_length=60)
    model = printable(metadata["model"], max_length=80)
    label = printable(metadata["label"], max_length=400)
    console.print(Text(f"Judge {judge}, {model}: {label}"))
    for criterion in result.criteria:
        console.print()
        console.print(_leaderboard(criterion))
        for line in _notes(criterion, metadata):
            console.print(Text(line))
        console.print(_audit(criterion.audit))
    console.print()
    outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in result.outcomes.items())
    calls = f"Calls: {result.calls - result.pending:,}/{result.calls:,} have a verdict"
    console.print(Text(f"{calls} ({outcomes})" if outcomes else calls))


def _notes(criterion: CriterionLeaderboard, metadata: Mapping[str, Any]) -> Iterator[str]:
    """The lines below a leaderboard."""
    if criterion.ranking:
        yield criterion.ranking.caption
        yield from criterion.ranking.warnings
    if preferred := _preference_rates(criterion, metadata["design"]["shows"]):
        yield preferred
    if criterion.unranked:
        yield f"Not ranked: {criterion.unranked}"
    if criterion.circular:
        encoders = f"{', '.join(metadata['encoders'])}, by which this judge sees"
        yield f"{_CIRCULAR} reads concepts with {encoders}: listed, not ranked"


def show_agreement(title: str, agreements: list[JudgeAgreement]) -> None:
    """Print the agreement of a judge with people or with another judge."""
    for row in agreements:
        ceiling = f"; two people agree on {_share(row.ceiling)}" if row.ceiling else ""
        alike = f"alike on {_share(row.decided)} that both decide, {_share(row.all)} of all"
        line = f"{title}, {row.criterion}: {alike}; kappa {row.kappa:.2f}, tau {row.tau:.2f}"
        stdout_console().print(Text(line + ceiling))


def show_corrected_rates(rates: list[CorrectedRate]) -> None:
    """Print win rates corrected by people's votes."""
    for rate in rates:
        alone = f"judge alone {_interval(rate.raw)}"
        corrected = f"corrected by {rate.labelled} judged by people {_interval(rate.corrected)}"
        if math.isnan(rate.corrected.low):
            corrected += f" [{crossed.NO_INTERVAL}]"
        line = f"{rate.criterion}: {rate.one} preferred to {rate.two}: {alone}, {corrected}"
        stdout_console().print(Text(line))


def write(result: TournamentResult, folder: Path, **more: object) -> list[Path]:
    """Write a result as a JSON and a CSV file in `folder`; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    judge = _NO_FILE_NAME.sub("-", result.metadata["judge"])[:60]
    name = f"{judge}-{result.tournament[:8]}"
    json_path, csv_path = folder / f"{name}.json", folder / f"{name}.csv"
    facts = content.without_nan({**result.facts(), **more})
    text = json.dumps(facts, indent=1, sort_keys=True, allow_nan=False)
    content.write_whole(json_path, text + "\n")
    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(("criterion", *_COLUMNS))
    for criterion in result.criteria:
        for entry in criterion.ranking.entries if criterion.ranking else ():
            rows.writerow((cell(criterion.name), *_csv_row(entry)))
        for method, rate in criterion.circular.items():
            names = cell(criterion.name), cell(method)
            rows.writerow((*names, *[""] * 6, _cell(rate), *[""] * 5))
    content.write_whole(csv_path, table.getvalue())
    return [json_path, csv_path]


def _csv_row(entry: LeaderboardEntry) -> tuple[object, ...]:
    rating = ("" if entry.limit else entry.rating.value, entry.rating.low, entry.rating.high)
    win_rate = (entry.win_rate.value, entry.win_rate.low, entry.win_rate.high)
    place = (cell(entry.name), entry.rank, entry.rank_range, entry.tier)
    return (*place, *map(_cell, (*rating, *win_rate)), entry.votes, entry.ties, entry.missing)


def _leaderboard(criterion: CriterionLeaderboard) -> Table:
    undecided = ", ".join(
        f"{number:,} {outcome}"
        for outcome, number in criterion.match_outcomes.items()
        if outcome not in ("won", "lost")
    )
    pairs = sum(criterion.match_outcomes.values())
    title = f"{criterion.name}: {pairs:,} pairs, {undecided or 'all decided'}"
    table = Table(title=Text(title), title_justify="left", show_edge=False)
    for column in _TITLES:
        table.add_column(column, justify="left" if column == "Method" else "right")
    missing = criterion.audit.missing_by_method
    for entry in criterion.ranking.entries if criterion.ranking else ():
        table.add_row(*_row(entry, missing.get(entry.name)))
    for method, rate in criterion.circular.items():
        name = Text(printable(method, max_length=60) + _CIRCULAR)
        table.add_row(name, *["-"] * 3, f"{rate:.3f}", *["-"] * 5)
    return table


def _row(entry: LeaderboardEntry, missing: Proportion | None) -> Iterator[str | Text]:
    yield Text(printable(entry.name, max_length=60))
    yield from (entry.rank_range, str(entry.tier))
    yield Text(f"{entry.limit} all" if entry.limit else _interval(entry.rating))
    yield Text(_interval(entry.win_rate))
    yield "-" if math.isnan(entry.best) else f"{entry.best:.2f}"
    yield from (str(entry.concepts), str(entry.votes), f"{entry.ties:.0%}")
    yield f"{missing.value:.0%}" if missing else "-"


def _preference_rates(criterion: CriterionLeaderboard, reference: str) -> str:
    """The rates at which methods are preferred to the reference, which is prompting if possible."""
    rates = ", ".join(
        f"{printable(entry.name, max_length=60)} {_interval(rate)}"
        for entry in (criterion.ranking.entries if criterion.ranking else ())
        if (rate := criterion.preference_rate(entry.name, reference))
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
    interval = crossed.NO_INTERVAL if math.isnan(low) else f"{low:.3f}, {high:.3f}"
    return f"{share.value:.3f} [{interval}] of {share.of:,}"


def _interval(interval: Interval) -> str:
    return (
        f"{interval.value:.3f}"
        if math.isnan(interval.low)
        else f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    )


def _cell(value: object) -> object:
    return "" if isinstance(value, float) and math.isnan(value) else value
