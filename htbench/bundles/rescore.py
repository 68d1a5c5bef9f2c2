"""Verification of scores: all are made anew from the images, and of tables: from the scores."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from htbench.bundles.findings import Finding, differs, each_differs, holds, unchecked
from htbench.bundles.records import Part
from htbench.core import registry
from htbench.core.display import Display
from htbench.core.errors import HtbenchError
from htbench.run.add_scores import add_scores
from htbench.run.store import Store

TOLERANCE = 1e-3
"""Largest difference of a score from the one that is made here, where other machines and numbers
of threads change last digits; relative for scores above 1."""
_TABLE_TOLERANCE = 1e-6
ScoreKey = tuple[str, int, str, str]
"""Title of the part, cell, metric and scorer."""
Scores = Mapping[ScoreKey, float | None]


@dataclass(frozen=True, kw_only=True)
class Rescored:
    """Scores that were made here, and the findings on those of the bundle."""

    findings: Sequence[Finding]
    scorers: Sequence[str]
    """Names of scorers that scored here as they did there."""


def rescore(parts: Sequence[Part], *, device: str | None, display: Display) -> Rescored:
    """Score all images of the parts anew, and compare each score with the bundle's.

    The scores in the folders of the parts are replaced.
    """
    packed = _all_scores(parts)
    for part in parts:
        drop_scores(part)
    ids, reasons = _scorers(parts), dict[str, str]()
    for name, id_ in ids.items():
        try:
            _score(parts, name, device=device, display=display)
        except HtbenchError as error:
            reasons[id_] = str(error)
    anew = _all_scores(parts)
    made = {key[3] for key in anew}
    for name, id_ in ids.items():
        if id_ not in made:
            here = next((each for each in sorted(made) if each.split("@")[0] == name), "nothing")
            reasons.setdefault(id_, f"here is {here}")
    findings: list[Finding] = []
    for id_ in dict.fromkeys([*ids.values(), *sorted({key[3] for key in packed})]):
        own, other = (
            {key: value for key, value in scores.items() if key[3] == id_}
            for scores in (packed, anew)
        )
        if id_ not in ids.values():
            findings.append(differs(f"{len(own):,} scores by {id_}, which the run does not list"))
        elif own and id_ in reasons:
            findings.append(unchecked(f"{len(own):,} scores by {id_}: {reasons[id_]}"))
        else:
            findings += _compare(own, other, id_, parts)
    usable = [name for name, id_ in ids.items() if id_ not in reasons]
    return Rescored(findings=findings, scorers=usable)


def _all_scores(parts: Sequence[Part]) -> dict[ScoreKey, float | None]:
    return {key: value for part in parts for key, value in read_scores(part).items()}


def read_scores(part: Part) -> dict[ScoreKey, float | None]:
    """The scores of a part."""
    with Store.read(part.folder) as store:
        return {
            (part.title, cell, metric, scorer): value
            for cell, metric, scorer, value in store.scores()
        }


def drop_scores(part: Part) -> None:
    """Delete the scores of a part."""
    with Store.open(part.folder) as store, store.writing() as (write, _):
        write.execute("DELETE FROM scores")


def check_table(packed: bytes, made: bytes) -> Iterator[Finding]:
    """Compare `leaderboard.csv` of the bundle with the one that follows from its scores."""
    one, two = (_rows(text) for text in (packed, made))
    differences: list[str] = []
    if one is None or two is None or len(one) != len(two):
        differences.append("leaderboard.csv is not the table of the run's scores")
    else:
        for before, after in zip(one, two, strict=True):
            name = f"{after.get('method')} at {after.get('strength')}"
            differences += [
                f"leaderboard.csv: {column} of {name} is {str(before.get(column))[:40]!r}, and "
                f"{after.get(column)!r} by the scores"
                for column in {**after, **before}
                if not _same_entry(before.get(column), after.get(column))
            ]
    yield from each_differs(differences, "entries of leaderboard.csv")
    if not differences:
        yield holds("leaderboard.csv follows from the scores")


def is_near(one: float | None, two: float | None, *, tolerance: float = TOLERANCE) -> bool:
    """True if two scores agree within the tolerance; undefined ones agree with each other."""
    if one is None or two is None:
        return one is two
    return abs(one - two) <= tolerance * max(1.0, abs(two))


def _scorers(parts: Sequence[Part]) -> dict[str, str]:
    """Ids of the scorers of the run by name, the encoder of the headline first."""
    facts = parts[0].facts
    encoders = {each.name: each.id for each in (facts.scorer, *facts.scorers) if each.name}
    return encoders | {each.name: each.id for each in facts.gauges if each.name}


def _score(parts: Sequence[Part], name: str, *, device: str | None, display: Display) -> None:
    """Score by an installed scorer what was scored by one of its name.

    Further fit seeds are scored with their run.

    Raises:
        HtbenchError: if it is not installed: no bundle names a command of this machine.
    """
    if name not in registry.plugins("encoders") and (
        name == "command" or name not in registry.plugins("scorers")
    ):
        raise HtbenchError("it is not installed")
    for part in parts:
        facts = part.facts
        own = {each.name for each in facts.scorers} | {each.name for each in facts.gauges}
        if name in own and not facts.repeats:
            add_scores(part.folder, [name], device=device, display=display, command="")


def _compare(packed: Scores, anew: Scores, scorer: str, parts: Sequence[Part]) -> Iterator[Finding]:
    wrong = [
        key
        for key in {**packed, **anew}
        if key not in packed or key not in anew or not is_near(packed[key], anew[key])
    ]
    cells = {part.title: part for part in parts}
    differences: list[str] = []
    for key in wrong:
        title, cell, metric, _ = key
        here, there = (
            "missing" if key not in scores else f"{scores[key]!r}" for scores in (packed, anew)
        )
        where = _cell_name(cells[title], cell) if len(differences) < 10 else ""
        differences.append(
            f"{title}{metric} by {scorer} of {where} is {here} in the bundle, and {there} by its "
            "picture"
        )
    yield from each_differs(differences, f"scores by {scorer}")
    if not wrong and packed:
        largest = max(
            (
                abs(value - other)
                for key, value in packed.items()
                if value is not None and (other := anew[key]) is not None
            ),
            default=0.0,
        )
        exact = "to the bit" if not largest else f"within {largest:.1g}"
        yield holds(f"{len(packed):,} scores by {scorer} follow from the pictures, {exact}")


def _cell_name(part: Part, cell: int) -> str:
    with Store.read(part.folder) as store:
        rows = store.cells([cell])
    if not rows:
        return f"cell {cell}"
    row = rows[0]
    return f"{row.method}, {row.concept}, {row.prompt[:60]!r}, strength {row.strength:g}"


def _rows(text: bytes) -> list[dict[str, str]] | None:
    try:
        return list(csv.DictReader(StringIO(text.decode()), strict=True))
    except (csv.Error, UnicodeError):
        return None


def _same_entry(one: object, two: object) -> bool:
    if one == two:
        return True
    try:
        first, second = float(str(one)), float(str(two))
    except ValueError:
        return False
    return math.isclose(first, second, rel_tol=_TABLE_TOLERANCE, abs_tol=1e-12)
