"""The useful range of strengths of each method, in the section on strengths and in files."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from htbench.core.display import print_json
from htbench.report import format
from htbench.report.once import once
from htbench.run import strength_ranges
from htbench.run.fact_table import RangeEndFacts
from htbench.run.flaws import BLANK
from htbench.run.strength_ranges import FALSE_ALARMS, MethodRange, RangeTable, range_facts
from htbench.run.summary import Summary
from htbench.stats.durations import Interval
from htbench.stats.useful_range import COLLAPSED, NOTICED, SATURATED, UsefulRange

_ENDS = ("onset", "saturation", "collapse", "end")


@dataclass(frozen=True, kw_only=True)
class RangeRow:
    """The range of one method in words."""

    method: str
    onset: str
    end: str
    reason: str
    """The reason why the range ends there: saturation, collapse, or the last strength."""
    width: str
    on_dev: str
    """The range on dev concepts; empty where none was looked for."""
    concepts: str
    """Onsets of single concepts, and how many concepts have a range of their own."""


@dataclass(frozen=True, kw_only=True)
class RangeSection:
    """The ranges of all methods, and the rules that they follow."""

    table: RangeTable
    rows: list[RangeRow]

    @property
    def rules(self) -> str:
        """The definitions of both ends, with this run's threshold."""
        flawed = "blank" if self.table.flaw == BLANK.name else "flawed"
        return (
            "A picture is noticed if the presence of its concept is above "
            f"{format.quantity(self.table.threshold)}, as it is for at most {FALSE_ALARMS:.0%} of "
            f"the {self.table.unsteered:,} pairs of an unsteered picture and a concept. The range "
            f"begins where {NOTICED:.0%} of the pictures are noticed. It ends where "
            f"{SATURATED:.0%} of the largest gain are reached, unless gain still rises with the "
            f"last step by its 95 % interval, or where the share of {flawed} pictures is "
            f"{COLLAPSED:.0%} above that of unsteered ones, whichever is first. Between two "
            "strengths, shares and gains are taken to be linear. Intervals resample families of "
            "concepts."
        )


@once
def collect(summary: Summary) -> RangeSection | None:
    """The ranges of the run; None where nothing can be told of them."""
    table = strength_ranges.range_table(summary)
    if table is None:
        return None
    return RangeSection(table=table, rows=[_row(summary, each) for each in table.methods])


def _row(summary: Summary, found: MethodRange) -> RangeRow:
    own, top = found.all_concepts, found.strengths[-1]
    low, median, high = (_strength(value, top) for value in found.quartiles("onset"))
    number = len(found.by_concept)
    return RangeRow(
        method=found.method,
        onset=_end(own.onset, top),
        end=_end(own.end, top),
        reason=_reason(own),
        width=_width(own),
        on_dev=_on_dev(summary, found.method),
        concepts=f"{median} ({low} to {high}); {found.useful_concepts:,} of {number:,}",
    )


def _reason(found: UsefulRange) -> str:
    if math.isinf(found.end.value):
        return "gain still rises" if found.is_rising else "not reached"
    return "collapse" if found.collapse.value < found.saturation.value else "saturation"


def _width(found: UsefulRange) -> str:
    if math.isinf(found.onset.value):
        return "none: not noticed"
    if found.width == 0:
        return "none: it ends before it is noticed"
    return "open" if math.isinf(found.width) else format.score(found.width)


def _on_dev(summary: Summary, method: str) -> str:
    scale = summary.facts.strength_scales.get(method)
    if scale is None or scale.range is None:
        return ""
    tried = max((at for at, *_ in scale.curve), default=math.nan)
    onset, end = (_known(each.value, tried) for each in (scale.range.onset, scale.range.end))
    return f"{onset} to {end} on {scale.range.concepts:,} dev concepts"


def _end(interval: Interval | RangeEndFacts, top: float) -> str:
    """A strength with its interval, such as `0.42 [0.38, 0.51]`."""
    value = _strength(interval.value, top)
    if math.isnan(interval.low):
        return value
    return f"{value} [{_strength(interval.low, top)}, {_strength(interval.high, top)}]"


def _known(value: float, top: float) -> str:
    """A stored strength; one that is not reached is stored as null."""
    return _strength(math.inf if math.isnan(value) else value, top)


def _strength(value: float, top: float) -> str:
    return f"above {top:g}" if math.isinf(value) else f"{value:.2f}"


def print_lines(section: RangeSection | None) -> None:
    """Print the ranges as lines of JSON; null for a strength that is not reached."""
    for each in section.table.methods if section else ():
        print_json(event="strength_range", method=each.method, **range_facts(each.all_concepts))


def csv_head() -> list[str]:
    """Columns of the CSV file of ranges."""
    ends = [f"{end}{side}" for end in _ENDS for side in ("", "_low", "_high")]
    return ["method", "concept", *ends, "gain_still_rises", "largest_strength", "concepts"]


def csv_rows(section: RangeSection) -> Iterator[list[str | float | int | None]]:
    """A row per method over all concepts, whose concept is empty, and one per concept."""
    for each in section.table.methods:
        for concept, found in [("", each.all_concepts), *each.by_concept.items()]:
            ends = [getattr(found, end) for end in _ENDS]
            yield [
                *(each.method, concept),
                *(value for end in ends for value in (end.value, end.low, end.high)),
                *(found.is_rising, each.strengths[-1], found.concepts),
            ]
