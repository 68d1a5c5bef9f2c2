"""Verification of the scores of sets of pictures: all are made anew from the pictures."""

import math
from collections.abc import Iterator, Sequence

from htbench.bundles.findings import Finding, each_differs, holds, unchecked
from htbench.bundles.records import Part
from htbench.bundles.rescore import TOLERANCE
from htbench.core.display import Display
from htbench.core.errors import HtbenchError
from htbench.run.add_scores import add_scores
from htbench.run.fact_table import Facts, SetScoreRowFacts
from htbench.run.store import Store
from htbench.scorers.scorer import is_set_scorer

_END_TOLERANCE = 0.1
"""Largest difference of an end of an interval, as a share of its width: a transport plan may have
several dual potentials, from which its interval follows."""
_Key = tuple[str, str, float]
"""Name of the score, method and strength."""


def rescore_sets(
    parts: Sequence[Part], *, device: str | None, display: Display
) -> Iterator[Finding]:
    """Score all sets of the parts anew, and compare each score with the bundle's.

    The scores in the folders of the parts are replaced.
    """
    for part in parts:
        if part.facts.set_scores:
            yield from _rescore(part, device=device, display=display)


def _rescore(part: Part, *, device: str | None, display: Display) -> Iterator[Finding]:
    packed = _rows(part.facts)
    names = list(dict.fromkeys(each.name for each in part.facts.set_scores))
    unknown = [name for name in names if not is_set_scorer(name)]
    if unknown:
        yield unchecked(f"{len(packed):,} scores of sets: {unknown[0][:60]!r} is not installed")
        return
    try:
        with Store.open(part.folder) as store:
            store.set_facts(set_scores=[])
        add_scores(part.folder, names, device=device, display=display, command="")
    except HtbenchError as error:
        yield unchecked(f"{len(packed):,} scores of sets: {error}")
        return
    with Store.read(part.folder) as store:
        anew = _rows(Facts.read(store))
    differences = [
        f"{part.title}{name} of {method} at {strength:g} is "
        f"{_text(packed.get(key))} in the bundle, and {_text(anew.get(key))} by its pictures"
        for key in {**packed, **anew}
        if not _agree(packed.get(key), anew.get(key))
        for name, method, strength in [key]
    ]
    yield from each_differs(differences, "scores of sets")
    if not differences:
        yield holds(f"{len(packed):,} scores of sets follow from the pictures")


def _rows(facts: Facts) -> dict[_Key, SetScoreRowFacts]:
    return {
        (each.name, row.method, row.strength): row for each in facts.set_scores for row in each.rows
    }


def _agree(one: SetScoreRowFacts | None, two: SetScoreRowFacts | None) -> bool:
    if one is None or two is None:
        return False
    width = two.high - two.low
    end = max(TOLERANCE, 0.0 if math.isnan(width) else _END_TOLERANCE * width)
    return (
        (one.pictures, one.planned, one.concepts) == (two.pictures, two.planned, two.concepts)
        and bool(one.reason) == bool(two.reason)
        and _near(one.value, two.value, TOLERANCE * max(1.0, abs(two.value)))
        and _near(one.floor, two.floor, TOLERANCE * max(1.0, abs(two.floor)))
        and _near(one.low, two.low, end)
        and _near(one.high, two.high, end)
    )


def _near(one: float, two: float, tolerance: float) -> bool:
    """True if two numbers differ by at most the tolerance; NaN agrees with NaN alone."""
    if math.isnan(one) or math.isnan(two):
        return math.isnan(one) and math.isnan(two)
    return abs(one - two) <= tolerance


def _text(row: SetScoreRowFacts | None) -> str:
    if row is None:
        return "missing"
    if row.reason:
        return f"without a score ({row.reason[:80]})"
    floor = "" if math.isnan(row.floor) else f", floor {row.floor:.6g}"
    return f"{row.value:.6g} [{row.low:.6g}, {row.high:.6g}]{floor}, of {row.pictures:,} pictures"
