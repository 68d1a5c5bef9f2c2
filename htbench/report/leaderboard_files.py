"""The leaderboard as files that other programs read: CSV, JSON and Markdown."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from htbench.core import content
from htbench.core.types import UNSTEERED
from htbench.report.format import duration, estimate
from htbench.run.costs import FitComparison
from htbench.run.summary import METRICS, LeaderboardRow, Summary
from htbench.stats.durations import Interval

_RANK_COLUMNS = ("rank", "rank_high", "rank_low", "tier")
"""The rank, the best and the worst rank of 95 % of resamples, and the tier; on leaderboard rows."""
_SPEED_COLUMNS = {"quality": ("equal quality", "best quality"), "paper": ("paper's setting",)}
"""Rules of the fits that speed is told against, by the prefix of their columns."""
FileRow = Mapping[str, str | float | int | bool | None]


def write(summary: Summary, folder: Path) -> None:
    """Write `leaderboard.csv`, `.json` and `.md` into `folder`; equal runs give equal bytes.

    Raises:
        OSError: if the folder cannot be written.
    """
    lines = rows(summary)
    table = io.StringIO(newline="")
    if lines:
        writer = csv.DictWriter(table, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    record = {
        "scorer": summary.scorer,
        "concepts": summary.concepts,
        "done": summary.done,
        "planned": summary.planned,
        "lines": lines,
    }
    texts = {
        "csv": table.getvalue(),
        "json": json.dumps(record, indent=1, ensure_ascii=False) + "\n",
        "md": _markdown(summary),
    }
    for kind, text in texts.items():
        content.write_whole(folder / f"leaderboard.{kind}", text.encode("utf-8", "replace"))


def rows(summary: Summary) -> list[FileRow]:
    """The lines of `leaderboard.csv`: the leaderboard, then all other strengths."""
    return [_row(summary, line) for line in _lines(summary)]


def _lines(summary: Summary) -> list[LeaderboardRow]:
    """The leaderboard, then its methods at other strengths."""
    board = summary.leaderboard
    listed = {(line.method, line.strength) for line in board}
    others = [
        summary.leaderboard_row(line.method, strength)
        for line in board
        for strength in summary.strengths
        if (line.method, strength) not in listed
    ]
    return [*board, *(line for line in others if line.planned)]


def _row(summary: Summary, line: LeaderboardRow) -> FileRow:
    cost = next((cost for cost in summary.costs if cost.method == line.method), None)
    scores: dict[str, float | None] = {}
    for metric, score in line.scores.items():
        parts = (score.mean, score.low, score.high) if score else (math.nan,) * 3
        scores |= {
            metric + end: None if math.isnan(part) else part
            for end, part in zip(("", "_low", "_high"), parts, strict=True)
        }
    place = (
        summary.ranks.get(line.method) if summary.ranks and line in summary.leaderboard else None
    )
    ranks = (
        {
            "rank": place.rank,
            "rank_high": place.highest,
            "rank_low": place.lowest,
            "tier": place.tier,
        }
        if place
        else dict.fromkeys(_RANK_COLUMNS)
    )
    return {
        "method": line.method,
        "strength": line.strength,
        **ranks,
        **scores,
        "concepts": max((score.n for score in line.scores.values() if score), default=0),
        "done": line.done,
        "planned": line.planned,
        "circular": line.circular,
        "concept_seconds": cost.concept.median if cost and cost.concept else None,
        "training_seconds": cost.training if cost else None,
        "failed": line.failed,
        "unranked": line.unranked,
        **{f"{metric}_best_case": line.best_case[metric] for metric in METRICS},
        "trained_on": cost.trained_on if cost else "",
        **_speed_columns(cost.comparisons if cost else ()),
    }


def _speed_columns(comparisons: Sequence[FitComparison]) -> dict[str, str | float | None]:
    """S and N* against the fit of equal quality and against the paper's setting, and C.

    C and N* are empty where training was not measured in the session of the other times.
    """
    columns: dict[str, str | float | None] = {}
    for name, rules in _SPEED_COLUMNS.items():
        found = next((each for each in comparisons if each.rule in rules), None)
        columns |= {
            f"{name}_fit": found.fit if found else "",
            f"{name}_rule": found.rule if found else "",
            **_interval_columns(f"{name}_speedup", found.saving.speedup() if found else None),
            **_interval_columns(f"{name}_break_even", found.saving.break_even if found else None),
        }
    cost = comparisons[0].saving.cost if comparisons else None
    return columns | _interval_columns("measured_training_seconds", cost)


def _interval_columns(name: str, interval: Interval | None) -> dict[str, float | None]:
    """A value and its interval, empty where they are not finite."""
    parts = (interval.value, interval.low, interval.high) if interval else (math.nan,) * 3
    return {
        name + end: part if math.isfinite(part) else None
        for end, part in zip(("", "_low", "_high"), parts, strict=True)
    }


def _markdown(summary: Summary) -> str:
    costs = {cost.method: cost for cost in summary.costs}
    head = [
        "method",
        "rank",
        "tier",
        *(name.lower() for name in METRICS.values()),
        "a concept",
        "training",
    ]
    rows = [head, ["---", *["--:"] * (len(head) - 1)]]
    for line in summary.leaderboard:
        cost, mark = costs.get(line.method), "°" if line.circular else ""
        seconds = duration(cost.concept.median) if cost and cost.concept else ""
        training = duration(cost.training) if cost and cost.training else ""
        at = "" if line.strength in (0, 1) else f" at {line.strength:g}"
        place = summary.ranks.get(line.method) if summary.ranks else None
        ranks = [place.rank_range, str(place.tier)] if place else ["", ""]
        rows.append(
            [
                f"`{line.method}`{mark}{at}",
                *ranks,
                *(estimate(line.scores[metric], _two_digits, missing="") for metric in METRICS),
                seconds,
                training,
            ]
        )
    table = "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |\n"
        for row in rows
    )
    cells = f"{summary.done} of {summary.planned} cells done"
    unranked = "".join(
        f"`{line.method}` is not ranked: {line.unranked}.\n"
        for line in summary.leaderboard
        if line.method != UNSTEERED and line.unranked and not line.circular
    )
    note = f"Mean over {summary.concepts} concepts [95 % interval]; {cells}.\n"
    return f"{table}\n{note}{unranked}"


def _two_digits(value: float) -> str:
    """Two digits, without a zero before the point."""
    return f"{value:.2f}".replace("0.", ".", 1)
