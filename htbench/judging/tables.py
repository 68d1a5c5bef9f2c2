"""Tables of a judged leaderboard for the terminal, and its files."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from htbench.core import content
from htbench.core.csv_files import cell
from htbench.core.display import printable
from htbench.core.tables import WIDE, TextTable, print_paragraph, terminal_width
from htbench.judging.agreement import CorrectedRate, JudgeAgreement
from htbench.judging.audit import MEANING, ControlResult, JudgeAudit
from htbench.judging.calibration import FLOOR, CriterionCalibration, Status
from htbench.judging.leaderboard import CriterionLeaderboard, TournamentResult
from htbench.judging.newcomers import NewcomerRating, newcomer_ratings
from htbench.judging.panel import Panel
from htbench.stats import crossed
from htbench.stats.durations import Interval
from htbench.stats.estimates import Estimate
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


def show(result: TournamentResult, *, wide: bool = False) -> None:
    """Print every criterion's verdict and leaderboard to stdout; with `wide` also its audit."""
    wide = wide or terminal_width() >= WIDE
    metadata = result.metadata
    judge, model = printable(metadata["judge"]), printable(metadata["model"])
    print_paragraph(f"Judge {judge}, {model}: {printable(metadata['label'], max_length=400)}")
    show_calibrations([each.calibration for each in result.criteria if each.calibration])
    for criterion in result.criteria:
        print()
        print_paragraph(f"{criterion.name}: {_verdict(criterion)} {_pairs(criterion)}")
        _leaderboard(criterion, wide=wide).print()
        for line in _notes(criterion, metadata, newcomer_ratings(result), wide=wide):
            print_paragraph(line)
    print()
    rankings = [criterion.ranking for criterion in result.criteria if criterion.ranking]
    captions = [ranking.caption for ranking in rankings] if wide else []
    warnings = [warning for ranking in rankings for warning in ranking.warnings]
    for line in dict.fromkeys([*captions, *warnings]):
        print_paragraph(line)
    outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in result.outcomes.items())
    calls = f"Calls: {result.calls - result.pending:,}/{result.calls:,} have a verdict"
    print_paragraph(f"{calls} ({outcomes})" if outcomes else calls)


def show_calibrations(calibrations: Sequence[CriterionCalibration]) -> None:
    """Print how often the judge is right on known pairs, by criterion and difficulty."""
    for each in calibrations:
        shares = [
            f"{name} {share.count}/{share.of}"
            for name, share in each.by_difficulty.items()
            if share.of
        ]
        line = "; ".join([str(each), *([", ".join(shares)] if shares else [])])
        print_paragraph(f"Calibration, {each.criterion}: {line}. {_COUNTED[each.status]}")


_COUNTED: dict[Status, str] = {
    "passed": "Its verdicts count.",
    "failed": f"Its verdicts do not count: not shown to be better than {FLOOR:g}.",
    "incomplete": "Its verdicts decide no claim before all are answered.",
}


def _verdict(criterion: CriterionLeaderboard) -> str:
    """The conclusion that the ranking allows, in a sentence."""
    if criterion.ranking is None:
        return f"not ranked: {criterion.unranked}."
    leader, *others = criterion.ranking.entries
    name = printable(leader.name, max_length=200)
    if ties := [printable(entry.name, max_length=200) for entry in others if entry.tier == 1]:
        return f"{name} ranks first, but not significantly ahead of {', '.join(ties)}."
    return f"{name} ranks first, significantly ahead of the others."


def _pairs(criterion: CriterionLeaderboard) -> str:
    """The number of pairs, and of those without a winner by outcome."""
    undecided = [
        f"{number:,} {outcome}"
        for outcome, number in criterion.match_outcomes.items()
        if outcome not in ("won", "lost")
    ]
    pairs = sum(criterion.match_outcomes.values())
    return f"{pairs:,} pairs, {', '.join(undecided) or 'all decided'}."


def _notes(
    criterion: CriterionLeaderboard,
    metadata: Mapping[str, Any],
    newcomers: Sequence[NewcomerRating],
    *,
    wide: bool,
) -> Iterator[str]:
    """The lines below a leaderboard."""
    audit = criterion.audit
    if audit.flags:
        flags = ", ".join(f"{flag} ({MEANING[flag]})" for flag in audit.flags)
        yield f"FLAGGED, do not rely on this ranking: {flags}."
    else:
        yield "The audit of the judge raises no flags."
    preferred = _preference_rates(criterion, metadata["design"]["shows"])
    if wide:
        yield preferred
        yield _audit(audit)
    yield from (str(each) for each in newcomers if each.criterion == criterion.name)
    if criterion.ranking and criterion.unranked:
        yield f"Not ranked: {criterion.unranked}"
    if criterion.calibration is None:
        yield "The judge was not calibrated by this criterion, so it decides no claim."
    if criterion.circular:
        encoders = f"{', '.join(metadata['encoders'])}, by which this judge sees"
        yield f"{_CIRCULAR} reads concepts with {encoders}: listed, not ranked"


def show_agreement(title: str, agreements: list[JudgeAgreement]) -> None:
    """Print the agreement of a judge with people or with another judge."""
    for row in agreements:
        ceiling = f"; two people agree on {_share(row.ceiling)}" if row.ceiling else ""
        alike = f"alike on {_share(row.decided)} that both decide, {_share(row.all)} of all"
        line = f"{title}, {row.criterion}: {alike}; kappa {row.kappa:.2f}, tau {row.tau:.2f}"
        print_paragraph(line + ceiling)


def show_corrected_rates(rates: list[CorrectedRate]) -> None:
    """Print win rates corrected by people's votes."""
    for rate in rates:
        alone = f"judge alone {_interval(rate.raw)}"
        corrected = f"corrected by {rate.labelled} judged by people {_interval(rate.corrected)}"
        if math.isnan(rate.corrected.low):
            corrected += f" [{crossed.NO_INTERVAL}]"
        print_paragraph(
            f"{rate.criterion}: {rate.one} preferred to {rate.two}: {alone}, {corrected}"
        )


def show_panels(panels: Sequence[Panel]) -> None:
    """Print the pooled ranking of several judges by each criterion."""
    for panel in panels:
        names = ", ".join(
            f"{printable(each.judge, max_length=60)} {each.weight:.0%}" for each in panel.members
        )
        print()
        print_paragraph(
            f"Panel, {panel.criterion}: {names}; {panel.pairs:,} pairs that all judged, members "
            f"differ on {_share(panel.disagreement)} that two decide."
        )
        for judge, reason in panel.left_out.items():
            print_paragraph(f"Not in the panel: {printable(judge, max_length=60)}, {reason}.")
        if panel.ranking is None:
            print_paragraph(f"Not ranked: {panel.unranked}")
            continue
        rows: list[tuple[str, ...]] = [
            (
                entry.rank_range,
                str(entry.tier),
                printable(entry.name, max_length=200),
                _interval(entry.win_rate),
            )
            for entry in panel.ranking.entries
        ]
        TextTable(columns=("#", "Tier", "Method", "Win rate"), rows=rows, names=2).print()


def write(result: TournamentResult, folder: Path, **more: object) -> list[Path]:
    """Write a result as a JSON and a CSV file in `folder`; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    name = file_name(result.metadata["judge"], result.tournament)
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
        for method, rate in (*criterion.circular.items(), *criterion.uncounted.items()):
            names = cell(criterion.name), cell(method)
            rows.writerow((*names, *[""] * 6, _cell(rate), *[""] * 5))
    content.write_whole(csv_path, table.getvalue())
    return [json_path, csv_path]


class JudgedResult(Protocol):
    """Answers of a judge to questions other than those of a tournament."""

    @property
    def id(self) -> str: ...
    @property
    def metadata(self) -> dict[str, Any]: ...
    @property
    def calls(self) -> int: ...
    @property
    def pending(self) -> int: ...
    @property
    def outcomes(self) -> Mapping[Any, int]: ...
    @property
    def criteria(self) -> Sequence["JudgedCriterion"]: ...


class JudgedCriterion(Protocol):
    """The part of one criterion."""

    def facts(self) -> dict[str, object]: ...


def write_files(
    kind: str,
    result: JudgedResult,
    folder: Path,
    *,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
) -> list[Path]:
    """Write figures as a JSON file and `rows` as a CSV file, named by kind; gives the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{kind}-{file_name(result.metadata['judge'], result.id)}"
    json_path, csv_path = folder / f"{name}.json", folder / f"{name}.csv"
    facts = {
        kind: result.id,
        **result.metadata,
        "calls": result.calls,
        "pending": result.pending,
        "outcomes": result.outcomes,
        "criteria": [criterion.facts() for criterion in result.criteria],
    }
    text = json.dumps(content.without_nan(facts), indent=1, sort_keys=True, allow_nan=False)
    content.write_whole(json_path, text + "\n")
    table = io.StringIO(newline="")
    csv.writer(table).writerows([columns, *rows])
    content.write_whole(csv_path, table.getvalue())
    return [json_path, csv_path]


def file_name(judge: str, id_: str) -> str:
    """The stem of the files of a judge's tournament."""
    return f"{_NO_FILE_NAME.sub('-', judge)[:60]}-{id_[:8]}"


def estimate_text(estimate: Estimate) -> str:
    """A mean with its interval, such as `0.62 [0.55, 0.70]`."""
    return _interval(Interval(value=estimate.mean, low=estimate.low, high=estimate.high))


def _csv_row(entry: LeaderboardEntry) -> tuple[object, ...]:
    rating = ("" if entry.limit else entry.rating.value, entry.rating.low, entry.rating.high)
    win_rate = (entry.win_rate.value, entry.win_rate.low, entry.win_rate.high)
    place = (cell(entry.name), entry.rank, entry.rank_range, entry.tier)
    return (*place, *map(_cell, (*rating, *win_rate)), entry.votes, entry.ties, entry.missing)


def _leaderboard(criterion: CriterionLeaderboard, *, wide: bool) -> TextTable:
    columns = ("#", "Tier", "Method", "Win rate", "Votes", "Ties")
    more = ("Rating", "P(best)", "Concepts", "Missing") if wide else ()
    missing = criterion.audit.missing_by_method
    rows: list[tuple[str, ...]] = [
        (
            entry.rank_range,
            str(entry.tier),
            printable(entry.name, max_length=200),
            _interval(entry.win_rate),
            f"{entry.votes:,}",
            f"{entry.ties:.0%}",
            f"{entry.limit} all" if entry.limit else _interval(entry.rating),
            "-" if math.isnan(entry.best) else f"{entry.best:.2f}",
            str(entry.concepts),
            f"{own.value:.0%}" if (own := missing.get(entry.name)) else "-",
        )
        for entry in (criterion.ranking.entries if criterion.ranking else ())
    ]
    rows += [
        ("-", "-", f"{printable(method, max_length=200)}{_CIRCULAR}", f"{rate:.2f}", *["-"] * 6)
        for method, rate in criterion.circular.items()
    ]
    rows += [
        ("-", "-", printable(method, max_length=200), f"{rate:.2f}", *["-"] * 6)
        for method, rate in sorted(criterion.uncounted.items(), key=lambda item: -item[1])
    ]
    number = len(columns) + len(more)
    return TextTable(columns=(*columns, *more), rows=[row[:number] for row in rows], names=2)


def _preference_rates(criterion: CriterionLeaderboard, reference: str) -> str:
    """The rates at which methods are preferred to the reference, which is prompting if possible."""
    rates = ", ".join(
        f"{printable(entry.name, max_length=60)} {_interval(rate)}"
        for entry in (criterion.ranking.entries if criterion.ranking else ())
        if (rate := criterion.preference_rate(entry.name, reference))
    )
    return f"Preferred to {reference}: {rates}" if rates else ""


def _audit(audit: JudgeAudit) -> str:
    """The figures of the audit that are known."""
    shares = {
        "same verdict in both orders": audit.consistent,
        "first picture preferred where the order decides": audit.position_bias,
        "same verdict when asked again": audit.stable,
        "difference seen between identical pictures": audit.identical,
        f"cycles of three methods ({audit.cycles_expected:.3f} expected by chance)": audit.cycles,
    }
    controls = {
        "picture preferred to noise": _trial(audit.noise),
        "right concept preferred to wrong": _trial(audit.wrong_concept),
        "not fooled by text": _trial(audit.text, fooled=True),
    }
    known = [f"{name} {_share(share)}" for name, share in shares.items() if share and share.of]
    known += [f"{name} {trial}" for name, trial in controls.items() if trial]
    return f"Audit: {'; '.join(known)}." if known else ""


def _trial(trial: ControlResult, *, fooled: bool = False) -> str:
    total = trial.right + trial.wrong + trial.other
    good = total - trial.wrong if fooled else trial.right
    return f"{good}/{total}" if total else ""


def _share(share: Proportion | None) -> str:
    if share is None or not share.of:
        return "not known"
    low, high = share.interval
    interval = crossed.NO_INTERVAL if math.isnan(low) else f"{low:.3f}, {high:.3f}"
    return f"{share.value:.3f} [{interval}] of {share.of:,}"


def _interval(interval: Interval) -> str:
    return (
        f"{interval.value:.2f}"
        if math.isnan(interval.low)
        else f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
    )


def _cell(value: object) -> object:
    return "" if isinstance(value, float) and math.isnan(value) else value
