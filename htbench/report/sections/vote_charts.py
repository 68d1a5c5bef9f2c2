"""Charts of pairwise votes, of judges and of people: ratings, win rates and exclusions."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

from htbench.report import format
from htbench.report.charts import ForestPlot, ForestRow, Funnel, HeatMap, Stage
from htbench.run.study_result import StepRecord

Tone = Callable[[str], int]
"""The tone of a method."""


class Bounded(Protocol):
    """A value with its 95 % interval."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class RatedEntry(Protocol):
    """A contender's rating; `limit` is the side on which only the prior bounds it."""

    @property
    def name(self) -> str: ...
    @property
    def limit(self) -> str | None: ...
    @property
    def rating(self) -> Bounded: ...


def rating_plot(
    source: str, entries: Sequence[RatedEntry], tone: Tone, *, struck: bool = False
) -> ForestPlot:
    """The ratings of a ranking, the best first; `struck` where they are not to be trusted."""
    return ForestPlot(
        title=f"Ratings by {source}",
        label="rating (log-odds)",
        estimates=[_rating_row(entry, tone(entry.name)) for entry in entries],
        reference=0.0,
        struck=struck,
    )


def _rating_row(entry: RatedEntry, tone: int) -> ForestRow:
    """A row of the plot; a rating that only the prior bounds is told in words."""
    rating = entry.rating
    if entry.limit:
        value = low = high = math.nan
    else:
        value, low, high = rating.value, rating.low, rating.high
    note = f"{entry.limit} all" if entry.limit else ""
    return ForestRow(name=entry.name, tone=tone, value=value, low=low, high=high, note=note)


def win_matrix(
    source: str, names: Sequence[str], rates: Mapping[tuple[str, str], Bounded]
) -> HeatMap:
    """The share of votes that each row won against each column; empty where two never met."""
    unknown = math.nan
    return HeatMap(
        title=f"Win rates by {source}",
        row_names=names,
        column_names=names,
        values=[
            [rates[row, other].value if (row, other) in rates else unknown for other in names]
            for row in names
        ],
        middle=0.5,
        reach=0.5,
        note="Share of votes won by the row; ties count half.",
        tooltips=[
            [_win_text(row, other, rates.get((row, other))) for other in names] for row in names
        ],
    )


def _win_text(row: str, other: str, rate: Bounded | None) -> str:
    if rate is None:
        return ""
    share = format.estimate_text(rate.value, rate.low, rate.high)
    return f"{row} won {share} of its votes against {other}"


def funnel(study: str, steps: Sequence[StepRecord]) -> Funnel:
    """People and answers that came, were excluded by each rule that excluded any, and were kept."""
    first, last = steps[0], steps[-1]
    excluded = [stage for stage in stages(steps) if stage.people_lost or stage.answers_lost]
    return Funnel(
        title=f"Exclusions of {study}",
        stages=[
            Stage(name="came", people=first.people, answers=first.answers),
            *excluded,
            Stage(name="kept", people=last.people, answers=last.answers),
        ],
    )


def stages(steps: Sequence[StepRecord]) -> list[Stage]:
    """The rules of exclusion, each with what it left and what it excluded."""
    return [
        Stage(
            name=step.name,
            people=step.people,
            answers=step.answers,
            people_lost=before.people - step.people,
            answers_lost=before.answers - step.answers,
        )
        for before, step in pairwise(steps)
    ]
