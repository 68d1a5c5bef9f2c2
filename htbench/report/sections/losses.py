"""The section on losses: what steering does to pictures beside adding the concept."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from htbench.core.display import print_json, printable
from htbench.core.tables import TextTable, print_paragraph
from htbench.core.types import strength_of
from htbench.report import format
from htbench.report.gallery import pictures
from htbench.report.once import once
from htbench.run import flaws
from htbench.run.fact_table import (
    ActivationRowFacts,
    ActivationScoreFacts,
    SetScoreFacts,
    SetScoreRowFacts,
)
from htbench.run.flaws import MIN_UNSTEERED, TAIL, FlawTable, FlawThreshold
from htbench.run.store import CellRow
from htbench.run.summary import Summary
from htbench.stats.proportions import Proportion

_MAX_SHOWN = 40
"""Largest number of methods of which pictures are shown."""


@dataclass(frozen=True, kw_only=True)
class LossSection:
    """The losses of the pictures of every method."""

    flaws: FlawTable
    sets: list[SetScoreFacts]
    """Scores of sets of pictures."""
    activations: list[ActivationScoreFacts]
    """Scores of activations."""
    full: list[tuple[str, float]]
    """Each method at full strength, in the order of the plan."""

    @property
    def other(self) -> list[tuple[str, float]]:
        """Each method at its other strengths."""
        return [row for row in self._keys if row not in self.full]

    @property
    def notes(self) -> list[str]:
        """Sentences on the thresholds of this run."""
        return list(_notes(self.flaws))

    @property
    def activation_methods(self) -> list[str]:
        """Methods whose activations were scored, or were to be, in the order of the plan."""
        return list(dict.fromkeys(row.method for each in self.activations for row in each.rows))

    @property
    def activation_problems(self) -> list[str]:
        """Sentences on the methods whose activations have no score."""
        reasons: dict[str, list[str]] = {}
        for each in self.activations:
            for row in each.rows:
                if row.reason:
                    reasons.setdefault(f"{each.title}: {row.reason}", []).append(row.method)
        return _without_scores(reasons)

    def has_set(self, method: str, strength: float) -> bool:
        """True if the pictures of a method at a strength were scored as a set."""
        return any(each.row(method, strength) for each in self.sets)

    @property
    def encoders(self) -> list[str]:
        """Ids of the encoders whose embeddings scores of sets are made of."""
        return list(dict.fromkeys(each.encoder or "an unknown encoder" for each in self.sets))

    @property
    def set_problems(self) -> list[str]:
        """Sentences on the sets of pictures that have no score."""
        reasons: dict[str, list[str]] = {}
        for each in self.sets:
            for row in each.rows:
                if row.reason:
                    place = f"{row.method} at {format.strength(row.strength)}"
                    reasons.setdefault(f"{each.title}: {row.reason}", []).append(place)
        return _without_scores(reasons)

    @property
    def _keys(self) -> list[tuple[str, float]]:
        keys = [(row.method, row.strength) for row in self.flaws.rows]
        keys += [(row.method, row.strength) for each in self.sets for row in each.rows]
        return list(dict.fromkeys(keys))


@dataclass(frozen=True, kw_only=True)
class WorstPicture:
    """The picture of a method that is furthest beyond the threshold of a flaw."""

    address: str
    unsteered: str
    """`data:` addresses; empty for a picture that cannot be read."""
    text: str
    """Its concept and prompt."""


@dataclass(frozen=True, kw_only=True)
class WorstRow:
    """The worst pictures of one method, by name of the flaw."""

    method: str
    strength: float
    pictures: Mapping[str, WorstPicture]


def worst_pictures(summary: Summary) -> list[WorstRow]:
    """The worst pictures of every method at full strength; of a method without a flaw none."""
    section = collect(summary)
    rows = [section.flaws.row(*key) for key in section.full] if section else []
    flawed = [row for row in rows if row and row.worst and row.strength][:_MAX_SHOWN]
    ids = sorted({cell for row in flawed for cell in row.worst.values()})
    store, cells = summary.store, {cell.id: cell for cell in summary.store.cells(ids)}
    unsteered = store.unsteered_images() if ids else {}

    def picture(cell: CellRow) -> WorstPicture:
        concept = summary.facts.concepts.get(cell.concept)
        pair = unsteered.get((cell.prompt, cell.seed))
        return WorstPicture(
            address=pictures.small_address(store.image_path(str(cell.file))),
            unsteered=pictures.small_address(store.image_path(pair[1])) if pair else "",
            text=f"{cell.prompt} · {concept.text if concept else cell.concept}",
        )

    return [
        WorstRow(
            method=row.method,
            strength=row.strength,
            pictures={name: picture(cells[cell]) for name, cell in row.worst.items()},
        )
        for row in flawed
    ]


@once
def collect(summary: Summary) -> LossSection | None:
    """The losses of a run; None where nothing was measured for them."""
    table, sets = flaws.flaw_table(summary), summary.facts.set_scores
    activations = summary.facts.activation_scores
    if not table.thresholds and not sets and not activations:
        return None
    full = [(method, strength_of(method, summary.full_strength)) for method in summary.methods]
    return LossSection(flaws=table, sets=sets, activations=activations, full=full)


def show(section: LossSection | None) -> None:
    """Print the rates and the scores of sets at full strength to stdout."""
    if section is None:
        return
    columns = section.flaws.flaws
    rows = [row for key in section.full if (row := section.flaws.row(*key))]
    if section.flaws.thresholds:
        print()
        TextTable(
            title="Flawed pictures, in percent: fewer are better",
            columns=("Method", "Strength", *(flaw.title for flaw in columns)),
            rows=[
                (
                    printable(row.method, max_length=200),
                    f"{row.strength:g}",
                    *(share_text(row.shares[flaw.name]) for flaw in columns),
                )
                for row in rows
            ],
        ).print()
        for note in section.notes:
            print_paragraph(note)
    if section.sets:
        print()
        _set_table(section).print()
        for better in ("higher", "lower"):
            if names := [each.name for each in section.sets if each.better == better]:
                print_paragraph(f"{better.capitalize()} is better: {', '.join(names)}.")
        print_paragraph("In brackets: the distance of two random halves, by chance alone.")
        for problem in section.set_problems:
            print_paragraph(printable(problem, max_length=300))
    if section.activations:
        print()
        _activation_table(section).print()
        print_paragraph(
            "In brackets: unsteered activations, and two halves of the targets, which are apart by "
            "chance alone."
        )
        for problem in section.activation_problems:
            print_paragraph(printable(problem, max_length=300))


def _activation_table(section: LossSection) -> TextTable:
    best = {each.name: f"{each.name}, best {each.best:g}" for each in section.activations}
    return TextTable(
        title="Steered activations beside target ones",
        columns=("Method", *best.values()),
        rows=[
            (
                printable(method, max_length=200),
                *(_activation_text(each.row(method)) for each in section.activations),
            )
            for method in section.activation_methods
        ],
    )


def _activation_text(row: ActivationRowFacts | None) -> str:
    """A score with its interval, the unsteered score and the floor."""
    if row is None or math.isnan(row.value):
        return "-"
    around = "" if math.isnan(row.low) else f" {format.interval(row.low, row.high, _number)}"
    return f"{_number(row.value)}{around} ({_number(row.unsteered)}, {_number(row.floor)})"


def _set_table(section: LossSection) -> TextTable:
    return TextTable(
        title="Sets of pictures",
        columns=(
            *("Method", "Strength"),
            *(each.name for each in section.sets),
        ),
        rows=[
            (printable(method, max_length=200), f"{strength:g}", *values)
            for method, strength in section.full
            if section.has_set(method, strength)
            for values in [[_set_text(each.row(method, strength)) for each in section.sets]]
        ],
    )


def _set_text(row: SetScoreRowFacts | None) -> str:
    """A score with its interval and floor, such as `1.2 [0.9, 1.5] (0.2)`."""
    if row is None or math.isnan(row.value):
        return "-"
    around = "" if math.isnan(row.low) else f" {format.interval(row.low, row.high, _number)}"
    floor = "" if math.isnan(row.floor) else f" ({_number(row.floor)})"
    return _number(row.value) + around + floor


def _number(value: float) -> str:
    return f"{value:.3g}"


def print_lines(section: LossSection | None) -> None:
    """Print thresholds and rates as lines of JSON."""
    if section is None:
        return
    for threshold in section.flaws.thresholds:
        print_json(event="flaw_threshold", **_threshold_facts(threshold))
    for row in section.flaws.rows:
        shares = {name: _share_facts(share) for name, share in row.shares.items()}
        print_json(
            event="flaws",
            method=row.method,
            strength=row.strength,
            failed=row.failed,
            **shares,
        )
    for each in section.sets:
        about = {name: each.stored.get(name) for name in ("name", "better", "encoder")}
        for scored in each.rows:
            print_json(event="set_score", **about, **scored.stored)
    for one in section.activations:
        about = {name: one.stored.get(name) for name in ("name", "best", "model", "images")}
        for steered in one.rows:
            print_json(event="activation_score", **about, **steered.stored)


def csv_head() -> list[str]:
    """Columns of the CSV file of flaws."""
    return ["method", "strength", "flaw", "pictures", "flawed", "share", "share_low", "share_high"]


def csv_rows(section: LossSection) -> Iterator[list[str | float | int | None]]:
    """Rows of the CSV file of flaws, one per method, strength and flaw."""
    for row in section.flaws.rows:
        for name, share in row.shares.items():
            yield [row.method, row.strength, name, share.of, share.count, *_bounds(share)]


def share_text(share: Proportion) -> str:
    """A share in percent with its interval, such as `4.2 [1.1, 9.8]`."""
    if math.isnan(share.value):
        return "-"
    low, high = share.interval
    around = "" if math.isnan(low) else f" {format.interval(low, high, _percent)}"
    return _percent(share.value) + around


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share > 1e-12 else "0"


def _without_scores(reasons: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence per reason why there is no score, with the first places."""
    return [
        f"No {reason} ({', '.join(places[:6])}{', …' if places[6:] else ''})."
        for reason, places in reasons.items()
    ]


def _notes(table: FlawTable) -> Iterator[str]:
    parts = []
    for each in table.thresholds:
        if math.isnan(each.value):
            yield (
                f"{each.flaw.title}: no threshold, since it needs {MIN_UNSTEERED} unsteered "
                f"pictures that are not blank, and the run has {each.unsteered}."
            )
            continue
        side = "below" if each.flaw.is_low else "above"
        parts.append(
            f"{each.flaw.title.lower()} is {each.flaw.scorer} {side} "
            f"{format.quantity(each.value)} ({each.beyond} of {each.unsteered} unsteered pictures)"
        )
    if parts:
        yield (
            "Thresholds are fixed on this run’s unsteered pictures, of which at most "
            f"{TAIL:.0%} are beyond each: {'; '.join(parts)}. Cells that failed count as flawed."
        )


def _threshold_facts(threshold: FlawThreshold) -> Mapping[str, object]:
    return {
        "flaw": threshold.flaw.name,
        "scorer": threshold.flaw.scorer,
        "side": "below" if threshold.flaw.is_low else "above",
        "value": threshold.value,
        "unsteered": threshold.unsteered,
        "beyond": threshold.beyond,
    }


def _share_facts(share: Proportion) -> Mapping[str, object]:
    low, high = share.interval
    return {"flawed": share.count, "of": share.of, "share": share.value, "low": low, "high": high}


def _bounds(share: Proportion) -> tuple[float, float, float]:
    low, high = share.interval
    return share.value, low, high
