"""The leaderboard as files that other programs read: CSV, JSON and Markdown."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from htbench.core import content
from htbench.core.csv_files import cell as csv_cell
from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.report.sections import equal_preservation, kinds, strengths, task, task_tables
from htbench.report.sections.equal_preservation import EqualPreservation
from htbench.report.sections.task import TaskSection
from htbench.run.costs import FitComparison, MethodCost
from htbench.run.summary import HEADLINE, METRICS, LeaderboardRow, Summary
from htbench.stats.durations import Interval
from htbench.stats.estimates import Estimate
from htbench.stats.ranking.ranks import ContenderRank

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
    lines, section = rows(summary), task.collect(summary)
    record = {
        "scorer": summary.scorer,
        "concepts": summary.concepts,
        "ranked_by": section.ranked_by if section else summary.ranked_by,
        "intervals": format.interval_basis(row.headline for row in summary.leaderboard),
        "done": summary.done,
        "planned": summary.planned,
        "lines": lines,
    }
    if tables := task_tables.collect(summary):
        columns = task_tables.FILE_COLUMNS
        record["task_tables"] = [
            dict(zip(columns, row, strict=True)) for row in task_tables.file_rows(tables)
        ]
    texts = {
        "csv": csv_text(lines),
        "json": json.dumps(record, indent=1, ensure_ascii=False) + "\n",
        "md": _task_markdown(summary, section) if section else _markdown(summary),
    }
    for kind, text in texts.items():
        content.write_whole(folder / f"leaderboard.{kind}", text.encode("utf-8", "replace"))


def csv_text(lines: Sequence[FileRow]) -> str:
    """The text of `leaderboard.csv` with these lines; empty without any."""
    table = io.StringIO(newline="")
    if lines:
        writer = csv.DictWriter(table, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(csv_row, lines))
    return table.getvalue()


def csv_row(row: FileRow) -> FileRow:
    """The row with texts that no spreadsheet takes for formulas."""
    return {
        name: csv_cell(value) if isinstance(value, str) else value for name, value in row.items()
    }


def rows(summary: Summary) -> list[FileRow]:
    """The lines of `leaderboard.csv`: the leaderboard, then all other strengths."""
    if section := task.collect(summary):
        return [*task.file_rows(summary, section)]
    matched = equal_preservation.collect(summary)
    return [_row(summary, line, matched) for line in _lines(summary)]


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


def _row(summary: Summary, line: LeaderboardRow, matched: EqualPreservation) -> FileRow:
    cost = next((cost for cost in summary.costs if cost.method == line.method), None)
    scores: dict[str, float | None] = {}
    for metric in summary.metrics:
        score = line.scores[metric]
        parts = (score.mean, score.low, score.high) if score else (math.nan,) * 3
        scores |= {
            metric + end: None if math.isnan(part) else part
            for end, part in zip(("", "_low", "_high"), parts, strict=True)
        }
    is_listed = line in summary.leaderboard
    place = summary.ranks.get(line.method) if summary.ranks and is_listed else None
    return {
        "method": line.method,
        "strength": line.strength,
        **_rank_columns("", place),
        **scores,
        "concepts": max((score.n for score in line.scores.values() if score), default=0),
        "done": line.done,
        "planned": line.planned,
        "circular": line.circular,
        **_time_columns(summary, line.method, cost),
        "failed": line.failed,
        "unranked": line.unranked,
        **{f"{metric}_best_case": line.best_case[metric] for metric in summary.metrics},
        **(
            {"trained_on": cost.trained_on if cost else ""} if not summary.facts.is_imported else {}
        ),
        "fit_seeds": line.headline.fit_seeds if line.headline else None,
        **{f"{metric}_seed_sd": _seed_sd(line.scores[metric]) for metric in summary.metrics},
        **(
            _speed_columns(cost.comparisons if cost else ())
            if not summary.facts.is_imported
            else {}
        ),
        "clusters": max((score.clusters for score in line.scores.values() if score), default=None),
        **_kind_columns(summary, line),
        **_preservation_columns(summary, matched, line.method if is_listed else ""),
        "ranked_by": summary.ranked_by if is_listed else "",
        **({"bundle": line.bundle} if summary.facts.against.methods else {}),
    }


def headlines(summary: Summary) -> list[FileRow]:
    """The columns of `leaderboard.csv` that tell gain by other rules, for leaderboard rows."""
    matched = equal_preservation.collect(summary)
    return [
        {
            "method": line.method,
            **_kind_columns(summary, line),
            **_preservation_columns(summary, matched, line.method),
        }
        for line in summary.leaderboard
    ]


def _time_columns(
    summary: Summary, method: str, cost: MethodCost | None
) -> dict[str, float | None]:
    """Times of a concept and of training; of imported pictures that of an image, if it is known."""
    if summary.facts.is_imported:
        time = summary.times.get(method)
        return {"image_seconds": time.median if time else None} if summary.timed else {}
    return {
        "concept_seconds": cost.concept.median if cost and cost.concept else None,
        "training_seconds": cost.training if cost else None,
    }


def _preservation_columns(
    summary: Summary, matched: EqualPreservation, method: str
) -> dict[str, str | float | None]:
    """The columns that need image preservation; none in a run without it."""
    if HEADLINE not in summary.metrics:
        return {}
    return {**_matched_columns(matched, method), **_regret_columns(summary, method)}


def _rank_columns(prefix: str, place: ContenderRank | None) -> dict[str, int | None]:
    values = (place.rank, place.highest, place.lowest, place.tier) if place else (None,) * 4
    return {prefix + name: value for name, value in zip(_RANK_COLUMNS, values, strict=True)}


def _kind_columns(summary: Summary, line: LeaderboardRow) -> dict[str, float | None]:
    """The headline with equal weight for every kind, and how many concepts are near the floor."""
    macro = kinds.macro_mean(summary, line.method, line.strength)
    return {
        **_estimate_columns(f"{summary.headline}_by_kind", macro.gain if macro else None),
        "kinds": macro.kinds if macro else None,
        "near_floor": macro.near_floor if macro else None,
    }


def _matched_columns(matched: EqualPreservation, method: str) -> dict[str, str | float | None]:
    """Gain at equal image preservation, on leaderboard rows."""
    own = matched.get(method)
    found = own.matched if own else None
    return {
        "matched_preservation": matched.level if own else None,
        **_estimate_columns("matched_gain", found.gain if found else None),
        "matched_strength": found.strength if found else None,
        "matched_reached": found.reached_share if found else None,
        **_rank_columns("matched_", own.rank if own else None),
        "matched_note": own.note if own else "",
    }


def _regret_columns(summary: Summary, method: str) -> dict[str, float | bool | None]:
    """The strength chosen on dev concepts and its regret, on leaderboard rows."""
    choice = summary.facts.tuned.get(method)
    at = choice.strength if choice and math.isfinite(choice.strength) else None
    kept = summary.leaderboard_row(method, at).scores["image_preservation"] if at else None
    return {
        "chosen_strength": at,
        "chosen_keeps": kept.mean >= strengths.preservation_floor(summary) if kept else None,
        **_interval_columns("regret", strengths.regret(summary, method)),
    }


def _seed_sd(score: Estimate | None) -> float | None:
    return score.seed_sd if score and score.fit_seeds > 1 else None


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
            f"{name}_fitted_together": found.together if found else None,
            **_interval_columns(f"{name}_speedup", found.saving.speedup() if found else None),
            **_interval_columns(f"{name}_break_even", found.saving.break_even if found else None),
        }
    cost = comparisons[0].saving.cost if comparisons else None
    return columns | _interval_columns("measured_training_seconds", cost)


def _estimate_columns(name: str, value: Estimate | None) -> dict[str, float | None]:
    return _interval_columns(
        name, Interval(value=value.mean, low=value.low, high=value.high) if value else None
    )


def _interval_columns(name: str, interval: Interval | None) -> dict[str, float | None]:
    """A value and its interval, empty where they are not finite."""
    parts = (interval.value, interval.low, interval.high) if interval else (math.nan,) * 3
    return {
        name + end: part if math.isfinite(part) else None
        for end, part in zip(("", "_low", "_high"), parts, strict=True)
    }


def _task_markdown(summary: Summary, section: TaskSection) -> str:
    head, rows = task.text_rows(summary, section)
    named = [[f"`{row[0]}`", *row[1:]] for row in rows]
    table = _table([head, ["---", *["--:"] * (len(head) - 1)], *named])
    cells = f"{summary.done} of {summary.planned} cells done"
    note = f"Ranked by {section.ranked_by}. Mean [95 % interval]; {cells}."
    more: list[str] = []
    for each in task_tables.collect(summary):
        columns, lines = each.text_rows()
        title = f"{each.title}, `{each.method}`" if each.method else each.title
        rule = ["---", *["--:"] * (len(columns) - 1)]
        more += ["", title, "", _table([columns, rule, *lines]), each.note]
    return "\n".join([table, note, "", *task.notes(section), *more, ""])


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |\n"
        for row in rows
    )


def _markdown(summary: Summary) -> str:
    table = _table(_markdown_rows(summary))
    cells = f"{summary.done} of {summary.planned} cells done"
    basis = format.interval_basis(line.headline for line in summary.leaderboard)
    note = f"Ranked by {summary.ranked_by}. Mean [95 % interval]; {cells}. {basis}".strip()
    seeded = "".join(
        f"`{line.method}`: {sentence}.\n"
        for line in summary.leaderboard
        if (sentence := format.fit_seed_spread(line.headline))
    )
    unranked = "".join(
        f"`{line.method}` is not ranked: {line.unranked}.\n"
        for line in summary.leaderboard
        if line.method != UNSTEERED and line.unranked and not line.circular
    )
    matched = equal_preservation.collect(summary)
    beside = "".join(f"`{own.method}` {own.note}.\n" for own in matched.methods if own.note)
    if beside:
        beside = f"\nWhere {format.score(matched.level)} of the image is kept:\n{beside}"
    against = summary.facts.against
    frozen = f"\\* {format.bundle_note(against)}\n" if against.methods else ""
    return f"{table}\n{note}\n{seeded}{unranked}{frozen}{beside}"


def _markdown_rows(summary: Summary) -> list[list[str]]:
    """The table's rows, headings first."""
    costs = {cost.method: cost for cost in summary.costs}
    matched = equal_preservation.collect(summary)
    kept = HEADLINE in summary.metrics
    score = "gain" if kept else METRICS[summary.headline].lower()
    head = [
        "method",
        "rank",
        "tier",
        *(name.lower() for name in summary.metrics.values()),
        f"{score}, mean of kinds",
        *([f"gain at {format.score(matched.level)} kept"] if kept else []),
        *([f"time per {summary.timed}"] if summary.timed else []),
        *([] if summary.facts.is_imported else ["training"]),
    ]
    rows = [head, ["---", *["--:"] * (len(head) - 1)]]
    number = format.score
    for line in summary.leaderboard:
        cost = costs.get(line.method)
        mark = ("°" if line.circular else "") + ("*" if line.bundle else "")
        at = "" if line.strength in (0, 1) else f" at {line.strength:g}"
        place = summary.ranks.get(line.method) if summary.ranks else None
        macro, own = kinds.macro_mean(summary, line.method, line.strength), matched.get(line.method)
        at_level = format.estimate(own.matched.gain, number) if own and own.matched else ""
        time = summary.times.get(line.method)
        rows.append(
            [
                f"`{line.method}`{mark}{at}",
                *([place.rank_range, str(place.tier)] if place else ["", ""]),
                *(
                    format.estimate(line.scores[each], number, missing="")
                    for each in summary.metrics
                ),
                format.estimate(macro.gain if macro else None, number, missing=""),
                *([at_level] if kept else []),
                *([_duration(time.median if time else None)] if summary.timed else []),
                *(
                    []
                    if summary.facts.is_imported
                    else [_duration(cost.training if cost else None)]
                ),
            ]
        )
    return rows


def _duration(seconds: float | None) -> str:
    return format.duration(seconds) if seconds else ""
