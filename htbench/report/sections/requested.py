"""The section on requests: attributes of pictures that are asked for, beside what is obtained.

The target of a concept is the attribute of the pictures that ask for it in words. Strength `s` asks
for the share `s` of the way from the unsteered pictures to the target.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float

from htbench.core.display import print_json, printable
from htbench.core.tables import TextTable, print_paragraph
from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.report.once import once
from htbench.run import cell_table
from htbench.run.summary import Summary
from htbench.stats import estimates, reach
from htbench.stats.estimates import Estimate

TARGET_METHOD = "prompt"
"""The method whose pictures are the target."""
LEAST_CHANGE = {
    **{"brightness": 0.05, "saturation": 0.05, "sharpness": 0.05, "hue-shift": 20.0},
    **{"coverage": 0.05, "object-count": 1.0, "shift-right": 0.1, "shift-down": 0.1},
}
"""By scorer of an attribute: the least change of a concept's target that counts as a request."""
REQUESTS = (0.5, 1.0)
"""Shares whose failures are counted."""
_CSV_HEAD = (
    *("attribute", "method", "concepts", "requested", "obtained", "obtained_low", "obtained_high"),
    *("error", "error_low", "error_high", "reachable", "failures", "failures_at_most"),
)


@dataclass(frozen=True, kw_only=True)
class ReachedRequest:
    """The concepts that do not reach a share of the requested change at any strength."""

    share: float
    failures: int
    at_most: float
    """Upper 95 % bound of their rate, by Clopper and Pearson."""


@dataclass(frozen=True, kw_only=True)
class RequestRow:
    """A method's answers to the requests for one attribute."""

    method: str
    concepts: int
    """Number of concepts that have all their pictures."""
    obtained: Mapping[float, Estimate]
    """Mean share obtained by requested share: the calibration curve."""
    error: Estimate
    """Mean distance of obtained from requested shares."""
    reachable: float
    """Largest share that nine of ten concepts reach at one of the strengths."""
    reached: Sequence[ReachedRequest]


@dataclass(frozen=True, kw_only=True)
class AttributeRequests:
    """The requests for one attribute."""

    name: str
    summary: str
    concepts: int
    """Number of concepts whose target changes it by `least` or more."""
    of: int
    """Number of concepts that have a target."""
    least: float
    requested: Sequence[float]
    rows: Sequence[RequestRow]


@once
def collect(summary: Summary) -> list[AttributeRequests]:
    """The requests for every attribute that a run has scores for.

    None without prompting, with fewer than two strengths above 0 that all methods have, or with
    scores of sharpness alone, which runs have for their flaws.
    """
    methods = [each for each in summary.methods if each not in (UNSTEERED, TARGET_METHOD)]
    asked = [
        strength
        for strength in _of_the_plan(summary)
        if 0 < strength <= summary.full_strength
        and all((method, strength) in summary.planned_by_row for method in methods)
    ]
    scorers = {each.name: each for each in summary.facts.gauges if each.name in LEAST_CHANGE}
    if not scorers.keys() - {"sharpness"}:
        return []
    if len(asked) < 2 or not methods or TARGET_METHOD not in summary.methods:
        return []
    answers = (
        _attribute(summary, name, each.id, str(each.stored.get("summary", "")), asked, methods)
        for name, each in scorers.items()
    )
    return [answer for answer in answers if answer]


def show(attributes: Sequence[AttributeRequests]) -> None:
    """Print a table per attribute to stdout."""
    answered = [each for each in attributes if each.rows]
    for each in answered:
        print()
        TextTable(
            title=f"Requested and obtained: {each.name}, {each.concepts} concepts",
            columns=(
                "Method",
                *(f"Asked {share:g}" for share in each.requested),
                *("Error", "Reachable"),
                *(f"Fail {share:g}" for share in REQUESTS),
            ),
            rows=[
                (
                    printable(row.method, max_length=200),
                    *(f"{row.obtained[share].mean:.2f}" for share in each.requested),
                    estimate_text(row.error),
                    f"{row.reachable:.2f}",
                    *(
                        f"{answer.failures}/{row.concepts} (≤ {answer.at_most:.0%})"
                        for answer in row.reached
                    ),
                )
                for row in each.rows
            ],
        ).print()
    if answered:
        print_paragraph(
            "Shares of the change that asking in words makes. Fail: concepts that reach the share "
            "at no strength, and the upper 95 % bound of their rate by Clopper and Pearson."
        )


def print_lines(attributes: Sequence[AttributeRequests]) -> None:
    """Print the requests as lines of JSON."""
    for each in attributes:
        about = {"attribute": each.name, "least": each.least}
        for row in each.rows:
            print_json(
                event="requested",
                **about,
                method=row.method,
                concepts=row.concepts,
                obtained=[
                    {"requested": share, **_bounds(value)} for share, value in row.obtained.items()
                ],
                error=_bounds(row.error),
                reachable=row.reachable,
                reached=[asdict(answer) for answer in row.reached],
            )


def csv_head() -> Sequence[str]:
    """Columns of the CSV file of requests."""
    return _CSV_HEAD


def csv_rows(
    attributes: Sequence[AttributeRequests],
) -> Iterator[list[str | float | int | None]]:
    """Rows of the CSV file, one per attribute, method and requested share."""
    for each in attributes:
        for row in each.rows:
            reached = {answer.share: answer for answer in row.reached}
            for share, value in row.obtained.items():
                answer = reached.get(share)
                yield [
                    *(each.name, row.method, row.concepts, share),
                    *(value.mean, value.low, value.high),
                    *(row.error.mean, row.error.low, row.error.high, row.reachable),
                    answer.failures if answer else None,
                    answer.at_most if answer else None,
                ]


def estimate_text(value: Estimate) -> str:
    """A share with its interval, such as `.21 [.12, .30]`."""
    if math.isnan(value.low):
        return f"{value.mean:.2f}"
    return f"{value.mean:.2f} {format.interval(value.low, value.high, lambda end: f'{end:.2f}')}"


def _of_the_plan(summary: Summary) -> list[float]:
    """The run's strengths, without those that a method has of its own on a perceptual scale."""
    planned = summary.facts.plan.strengths
    return [each for each in summary.strengths if planned is None or each in planned]


def _attribute(
    summary: Summary,
    name: str,
    scorer: str,
    about: str,
    asked: Sequence[float],
    methods: Sequence[str],
) -> AttributeRequests | None:
    means = _concept_means(summary, scorer)
    targets = {
        concept: (plain, target)
        for (method, strength, concept), target in means.items()
        if (method, strength) == (TARGET_METHOD, summary.full_strength)
        for plain in [means.get((UNSTEERED, 0.0, concept), math.nan)]
        if math.isfinite(plain) and math.isfinite(target)
    }
    least = LEAST_CHANGE[name]
    chosen = {concept: pair for concept, pair in targets.items() if abs(pair[1] - pair[0]) >= least}
    rows = [
        row
        for method in methods
        if chosen and (row := _row(summary, method, means, chosen, asked)) is not None
    ]
    return (
        AttributeRequests(
            name=name,
            summary=about,
            concepts=len(chosen),
            of=len(targets),
            least=least,
            requested=[strength / summary.full_strength for strength in asked],
            rows=rows,
        )
        if targets
        else None
    )


def _row(
    summary: Summary,
    method: str,
    means: Mapping[tuple[str, float, str], float],
    chosen: Mapping[str, tuple[float, float]],
    asked: Sequence[float],
) -> RequestRow | None:
    own = [
        strength
        for strength in summary.strengths
        if strength > 0 and (method, strength) in summary.planned_by_row
    ]
    values: Float[np.ndarray, "concepts strengths"] = np.array(
        [
            [means.get((method, strength, concept), math.nan) for strength in own]
            for concept in chosen
        ]
    )
    complete = np.isfinite(values).all(1)
    if not complete.any():
        return None
    names = [concept for concept, whole in zip(chosen, complete, strict=True) if whole]
    plain, target = np.array([chosen[name] for name in names]).T
    shares = reach.obtained_shares(values[complete], plain, target)
    requested = [strength / summary.full_strength for strength in asked]
    columns = [own.index(strength) for strength in asked]

    def over(column: Float[np.ndarray, " concepts"], least: float) -> Estimate:
        by_concept = {name: [float(value)] for name, value in zip(names, column, strict=True)}
        found = estimates.over_concepts(by_concept, summary.families, within=(least, math.inf))
        assert found is not None  # there is a concept
        return found

    largest = shares.max(1)
    failures = {share: int((largest < share).sum()) for share in REQUESTS}
    return RequestRow(
        method=method,
        concepts=len(names),
        obtained={
            share: over(shares[:, column], -math.inf)
            for share, column in zip(requested, columns, strict=True)
        },
        error=over(reach.request_errors(shares[:, columns], requested), 0),
        reachable=reach.reachable_share(shares),
        reached=[
            ReachedRequest(
                share=share, failures=number, at_most=reach.failure_bound(number, len(names))
            )
            for share, number in failures.items()
        ],
    )


def _concept_means(summary: Summary, scorer: str) -> dict[tuple[str, float, str], float]:
    """Mean attribute by method, strength and concept; NaN where a cell has none."""
    table = summary.table
    values = cell_table.read_values(summary.store, table, scorer)
    values = np.where(table.made, values, np.nan)
    count = len(table.group.names)
    sums = np.bincount(table.group.numbers, values, minlength=count)
    sizes = np.bincount(table.group.numbers, minlength=count)
    return dict(zip(table.group.names, (sums / sizes).tolist(), strict=True))


def _bounds(value: Estimate) -> dict[str, float]:
    return {"value": value.mean, "low": value.low, "high": value.high}
