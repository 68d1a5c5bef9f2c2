"""The summary at the end of a run, for a terminal."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from htbench.core.display import print_json, printable
from htbench.core.tables import WIDE, TextTable, print_paragraph, terminal_width
from htbench.core.types import UNSTEERED, encoder_name
from htbench.report import leaderboard_files
from htbench.report.format import (
    bundle_note,
    duration,
    estimate,
    fit_seed_spread,
    interval_basis,
)
from htbench.report.sections import (
    claims,
    equal_preservation,
    kinds,
    leaderboard,
    speed,
    strength_ranges,
    strength_scales,
    strengths,
    task,
    wording,
)
from htbench.report.sections.equal_preservation import EqualPreservation
from htbench.report.sections.task import TaskSection
from htbench.report.sections.wording import WordingRow
from htbench.report.speed_up import COLUMNS, saving_cells
from htbench.run.costs import MethodCost
from htbench.run.summary import HEADLINE, METRICS, LeaderboardRow, Summary
from htbench.stats.estimates import Estimate

_CIRCULAR, _FROM_BUNDLE = "°", "*"
_SHORT = {"concept_gain": "Gain", "presence": "Presence", "image_preservation": "Kept"}
"""The scores of the short table, with headings for them."""
_WIDE = dict(
    zip(METRICS, ("Gain", "Presence", "Identity", "Prompt kept", "Image kept"), strict=True)
)
"""The headings of the wide table, by score."""
_TIMED = {"concept": "new concept", "image": "image"}


def show(summary: Summary, *, wide: bool = False) -> None:
    """Print the conclusion, the leaderboard, speed-ups and what is missing to stdout.

    With `wide`, and on terminals of `WIDE` columns, also every score with its interval, gain at
    equal image preservation, and the verdicts on speed.
    """
    if section := task.collect(summary):
        _show_task(summary, section)
        return
    wide = wide or terminal_width() >= WIDE
    print_paragraph(leaderboard.conclusion(summary))
    print()
    (_wide_leaderboard if wide else _short_leaderboard)(summary, summary.leaderboard).print()
    _print_notes(summary, wide=wide)
    if summary.tuned:
        print()
        _at_full_strength(summary).print()
        floor = strengths.preservation_floor(summary)
        print_paragraph(
            "Regret of the chosen strength: gain below the best gain of any strength that keeps "
            f"{floor:g} of the image."
        )
    if wide and HEADLINE in summary.metrics:
        _print_equal_preservation(summary)
    _print_costs(summary, wide=wide)
    _print_wordings(summary)
    if scales := strength_scales.collect(summary):
        print_paragraph(scales.verdicts)
    _print_claims(summary, wide=wide)
    for line in _problems(summary):
        print_paragraph(line)


def _show_task(summary: Summary, section: TaskSection) -> None:
    """Print the conclusion and the leaderboard of a task, and what is missing."""
    print_paragraph(section.conclusion)
    print()
    TextTable(
        title=f"Task {section.task.name}",
        columns=("#", "Method", *(each.title for each in section.measures)),
        names=2,
        rows=[
            (
                place.rank_range if (place := section.rank(row)) else "-",
                printable(row.method, max_length=200) + (_CIRCULAR if row.circular else ""),
                *(_short(row.scores[each.name]) for each in section.measures),
            )
            for row in section.rows
        ],
    ).print()
    print_paragraph(
        f"Ranked by {section.ranked_by}. Mean over concepts with ± half the 95 % interval, scored "
        f"by {printable(encoder_name(summary.scorer) or 'an unknown encoder', max_length=60)}."
    )
    for line in task.notes(section):
        print_paragraph(printable(line, max_length=400))
    for problem in summary.failures:
        print_paragraph(
            f"{problem.cells} cells failed: {printable(problem.message, max_length=300)}"
        )
    print_paragraph(f"Cells done: {summary.done}/{summary.planned}")


def print_lines(summary: Summary, page: Path) -> None:
    """Print the figures of `show` as lines of JSON."""
    section = task.collect(summary)
    for each in task.file_rows(summary, section) if section else ():
        print_json(event="task", **each)
    for board, lines in (("leaderboard", summary.leaderboard), ("tuned", summary.tuned)):
        for line in () if section else lines:
            print_json(event=board, **asdict(line))
    for row in () if section else leaderboard_files.headlines(summary):
        print_json(event="headline", **row)
    for cost in () if summary.facts.is_imported else summary.costs:
        print_json(event="cost", **cost.facts())
    if wordings := wording.collect(summary):
        for wording_row in wordings.rows:
            print_json(event="wording", **asdict(wording_row))
    strength_ranges.print_lines(strength_ranges.collect(summary))
    strength_scales.print_lines(strength_scales.collect(summary))
    for problem in summary.failures:
        print_json(event="problem", **asdict(problem))
    print_json(
        event="end",
        done=summary.done,
        planned=summary.planned,
        flaws=summary.blank_images,
        report=str(page),
    )


def _short_leaderboard(summary: Summary, rows: Sequence[LeaderboardRow]) -> TextTable:
    """Ranks and the scores that matter most, each with half the width of its interval."""
    chosen = ("Strength",) if summary.tuned else ()
    shown = {metric: title for metric, title in _SHORT.items() if metric in summary.metrics}
    return TextTable(
        columns=("#", "Tier", "Method", *chosen, *shown.values(), *_time_column(summary)),
        names=2,
        rows=[
            (
                *_place(summary, row),
                _name(row),
                *(f"{row.strength:g}" for _ in chosen),
                *(_short(row.scores[metric]) for metric in shown),
                *(_fit_time(summary, row.method) for _ in _time_column(summary)),
            )
            for row in rows
        ],
    )


def _wide_leaderboard(summary: Summary, rows: Sequence[LeaderboardRow]) -> TextTable:
    """Ranks and every score, each with its interval."""
    titles = [title for metric, title in _WIDE.items() if metric in summary.metrics]
    chosen = ("Strength",) if summary.tuned else ()
    return TextTable(
        columns=("#", "Tier", "Method", *chosen, *titles, *_time_column(summary), "Done"),
        names=2,
        rows=[
            (
                *_place(summary, row),
                _name(row),
                *(f"{row.strength:g}" for _ in chosen),
                *(_with_interval(row.scores[metric]) for metric in summary.metrics),
                *(_fit_time(summary, row.method) for _ in _time_column(summary)),
                f"{row.done}/{row.planned}",
            )
            for row in rows
        ],
    )


def _at_full_strength(summary: Summary) -> TextTable:
    chosen = {row.method: row for row in summary.tuned}
    return TextTable(
        title=f"At strength {summary.full_strength:g}",
        columns=("Method", *_SHORT.values(), "Regret"),
        rows=[
            (
                _name(row),
                *(_short(row.scores[metric]) for metric in _SHORT),
                _regret(summary, chosen[row.method]) if row.method in chosen else "-",
            )
            for row in summary.at_full_strength
        ],
    )


def _print_notes(summary: Summary, *, wide: bool) -> None:
    """Print what the figures of the leaderboard are."""
    scorer = printable(encoder_name(summary.scorer) or "an unknown encoder", max_length=60)
    ends = "95 % interval" if wide else "± half the 95 % interval"
    kept = "image_preservation" in summary.metrics
    columns = [
        *(["Kept: similarity to the unsteered image."] if kept else []),
        *([f"Time: per {_TIMED[summary.timed]}."] if summary.timed else []),
    ]
    print_paragraph(
        " ".join(
            [
                f"Ranked by {summary.ranked_by}.",
                f"Mean over concepts with {ends}, scored by {scorer}.",
                *columns,
                *(summary.facts.imported.lacks if summary.facts.is_imported else ()),
            ]
        )
    )
    print_paragraph(interval_basis(row.headline for row in summary.leaderboard))


def _print_equal_preservation(summary: Summary) -> None:
    """Print gain with equal weight for every kind, and where equally much of the image is kept."""
    matched = equal_preservation.collect(summary)
    print()
    _beside_strength_1(summary, matched).print()
    for own in matched.methods:
        print_paragraph(f"{own.method} {own.note}" if own.note else "")
    if matched.advice:
        print_paragraph(
            f"Gain at equal image preservation needs two strengths above 0: {matched.advice}"
        )


def _print_costs(summary: Summary, *, wide: bool) -> None:
    """Print the speed-ups of trained methods, if any was compared with a fit."""
    compared = [cost for cost in summary.costs if cost.comparisons]
    if not compared:
        return
    print()
    _speed_ups(compared, columns=COLUMNS if wide else ("S", "S(10)", "N*")).print()
    print_paragraph(
        "S(m): times as fast with m images per concept. N*: concepts after which training has paid."
    )
    for cost in compared if wide else ():
        print_paragraph(speed.verdict(cost))


def _print_wordings(summary: Summary) -> None:
    """Print presence in each wording, and its change from that in canonical words."""
    section = wording.collect(summary)
    if section is None:
        return
    print()
    TextTable(
        title="Presence by wording (change from canonical words)",
        columns=("Method", *(each.capitalize() for each in section.wordings)),
        rows=[
            (
                printable(name, max_length=200),
                *(_wording_cell(section.row(name, each)) for each in section.wordings),
            )
            for name in section.methods
        ],
    ).print()
    notes = {
        "given": "Changes are over the concepts that have the wording.",
        "same": "same: fitted once, on canonical words.",
        "absent": "-: a wording that the method cannot be given.",
    }
    shown = [note for how, note in notes.items() if any(r.treatment == how for r in section.rows)]
    print_paragraph(" ".join(shown))


def _wording_cell(row: WordingRow) -> str:
    own = row.scores["presence"]
    if own is None or row.treatment == "absent":
        return "-"
    if row.treatment == "same":
        return f"{_number(own.score.mean)} (same)"
    change = f" ({_signed(own.change.mean)})" if own.change else ""
    return f"{_number(own.score.mean)}{change}"


def _print_claims(summary: Summary, *, wide: bool) -> None:
    """Print the verdicts on the paper's claims, or how many there are of each."""
    if summary.facts.is_imported:
        return
    section = claims.from_summary(summary)
    if not section.tests_any:
        return
    print()
    if wide:
        claims.show(section)
        return
    counts = Counter(claim.verdict for claim in section.claims)
    verdicts = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    print_paragraph(f"Claims of {section.name}: {verdicts}; the report shows the evidence.")


def _problems(summary: Summary) -> Iterator[str]:
    """Sentences on what is not ranked, missing, failed or blank."""
    for row in summary.leaderboard:
        if row.method != UNSTEERED and row.unranked and not row.circular:
            yield f"{row.method} is not ranked: {row.unranked}{_bounds(row)}"
    for row in summary.leaderboard:
        if sentence := fit_seed_spread(row.headline):
            yield f"{row.method}: {sentence}"
    if any(row.circular for row in summary.leaderboard):
        yield f"{_CIRCULAR} reads concepts with the encoder that scores here: listed, not ranked"
    if any(row.bundle for row in summary.leaderboard):
        yield f"{_FROM_BUNDLE} {printable(bundle_note(summary.facts.against), max_length=300)}"
    for problem in summary.failures:
        yield f"{problem.cells} cells failed: {printable(problem.message, max_length=300)}"
    imported = summary.facts.imported
    if imported.left_out:
        yield f"Pictures left out: {imported.left_out:,}"
        yield from (printable(problem, max_length=300) for problem in imported.problems)
    for method, flaws in summary.blank_images.items():
        if shown := ", ".join(f"{number} {flaw}" for flaw, number in flaws.items() if number):
            yield f"{method} has blank images: {shown}"
    yield f"Cells done: {summary.done}/{summary.planned}"
    for name, cells in summary.wording_cells.items():
        failed = f", {cells.failed} failed" if cells.failed else ""
        yield f"Cells done in wording {name}: {cells.done}/{cells.planned}{failed}"
    done, planned = (sum(cells.values()) for cells in (summary.done_cells, summary.planned_cells))
    if planned > summary.planned:
        further = f"{done - summary.done}/{planned - summary.planned}"
        yield f"Cells done at further fit seeds: {further}"


def _beside_strength_1(summary: Summary, matched: EqualPreservation) -> TextTable:
    rows = []
    for line in summary.leaderboard:
        macro, own = kinds.macro_mean(summary, line.method, line.strength), matched.get(line.method)
        if line.method == UNSTEERED or not macro:
            continue
        place, found = (own.rank, own.matched) if own else (None, None)
        rows.append(
            (
                _name(line),
                estimate(macro.gain, _number),
                "" if macro.near_floor is None else f"{macro.near_floor} of {macro.gain.n}",
                estimate(found.gain if found else None, _number),
                place.rank_range if place else "-",
                str(place.tier) if place else "-",
                f"{found.strength:.2f}" if found else "-",
            )
        )
    kept = f"Where {matched.level:g} is kept"
    return TextTable(
        title="Concept gain with equal weight for kinds, and at equal image preservation",
        columns=("Method", "Mean of kinds", "Near the floor", kept, "#", "Tier", "Strength"),
        rows=rows,
    )


def _regret(summary: Summary, line: LeaderboardRow) -> str:
    found, kept = strengths.regret(summary, line.method), line.scores["image_preservation"]
    below = kept and kept.mean < strengths.preservation_floor(summary)
    number = f"{found.value:+.2f}" if found else "-"
    return f"{number}, does not keep it" if below else number


def _bounds(line: LeaderboardRow) -> str:
    """The headline with failed cells as the worst and as the best values."""
    best = line.best_case[line.ranked_by]
    if best is None or line.headline is None:
        return ""
    ends = f"{line.headline.mean:.3f} to {best:.3f}"
    score = METRICS[line.ranked_by].lower()
    return f"; with failed cells as the worst and as the best, {score} is {ends}"


def _speed_ups(costs: Sequence[MethodCost], *, columns: Sequence[str]) -> TextTable:
    rows: dict[str, tuple[str, ...]] = {}
    for cost in costs:
        rules: dict[str, list[str]] = {}
        for each in cost.comparisons:
            rules.setdefault(each.fit, []).append(each.rule)
        for each in cost.comparisons:
            cells = dict(zip(COLUMNS, saving_cells(each.saving.point_estimate), strict=True))
            pair = f"{cost.method} vs {each.fit_name} ({', '.join(rules[each.fit])})"
            rows[printable(pair, max_length=400)] = tuple(cells[name].value for name in columns)
    return TextTable(
        title="Speed-up of trained methods over methods that fit each concept",
        columns=("Method", *columns),
        rows=[(pair, *cells) for pair, cells in rows.items()],
    )


def _place(summary: Summary, row: LeaderboardRow) -> tuple[str, str]:
    """The range of ranks and the tier."""
    rank = summary.ranks.get(row.method) if summary.ranks else None
    return (rank.rank_range, str(rank.tier)) if rank else ("-", "-")


def _name(row: LeaderboardRow) -> str:
    marks = (_CIRCULAR if row.circular else "") + (_FROM_BUNDLE if row.bundle else "")
    return printable(row.method, max_length=200) + marks


def _time_column(summary: Summary) -> tuple[str, ...]:
    return ("Time",) if summary.timed else ()


def _fit_time(summary: Summary, method: str) -> str:
    time = summary.times.get(method)
    return duration(time.median) if time else "-"


def _short(value: Estimate | None) -> str:
    """The mean and half the width of its interval, such as `.33 ±.10`."""
    if value is None:
        return "-"
    half = "" if math.isnan(value.low) else f" ±{_number((value.high - value.low) / 2)}"
    return _number(value.mean) + half


def _with_interval(value: Estimate | None) -> str:
    return estimate(value, _number)


def _signed(value: float) -> str:
    number = _number(value)
    return number if number.startswith("-") else f"+{number}"


def _number(value: float) -> str:
    """Two decimals without the zero before the point: `.33`, `-.05`, `1.00`."""
    return f"{round(value, 2) + 0.0:.2f}".replace("0.", ".", 1)
