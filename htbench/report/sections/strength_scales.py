"""Perceptual scales of strengths: whether equal steps have equal effects, before and after."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from htbench.core.display import print_json
from htbench.core.types import encoder_name
from htbench.report import format
from htbench.report.once import once
from htbench.report.sections.strengths import gain_curves
from htbench.run.fact_table import ScaleFacts
from htbench.run.summary import Summary
from htbench.stats import estimates
from htbench.stats.strength_scale import EvennessComparison, compare_evenness

ConceptCurves = dict[str, Float[np.ndarray, " strengths"]]


@dataclass(frozen=True, kw_only=True)
class ScaleRow:
    """The scale of one method, tested on the run's concepts."""

    method: str
    scale: ScaleFacts
    plain: list[float]
    """Mean gain at each of the plan's strengths above 0; empty without complete curves."""
    perceptual: list[float]
    """Mean gain at the method's own strength for each."""
    comparison: EvennessComparison | None
    p: float
    """p of equal evenness, adjusted for all methods of the run (Holm); NaN if it is not known."""

    @property
    def verdict(self) -> str:
        """The answer to whether the scale is more even, by the interval and the adjusted p."""
        if not self.scale.strengths:
            return "no effect on dev concepts"
        if self.comparison is None:
            return "no scores yet"
        if math.isnan(self.p):
            return "too few concepts"
        difference = self.comparison.difference
        if self.p >= 0.05 or difference.low <= 0 <= difference.high:
            return "not shown"
        return "yes" if difference.mean > 0 else "no, less even"

    @property
    def own_strengths(self) -> str:
        """The method's own strengths in words."""
        return ", ".join(map(format.strength, self.scale.strengths))


@dataclass(frozen=True, kw_only=True)
class ScaleSection:
    """The perceptual scales of a run."""

    requested: list[float]
    """The plan's strengths above 0."""
    rows: list[ScaleRow]
    is_independent: bool
    """True if the encoder that scales are learnt by is not the headline's."""
    encoder: str
    scorer: str

    @property
    def verdicts(self) -> str:
        """A sentence with the methods of each verdict."""
        methods: dict[str, list[str]] = {}
        for row in self.rows:
            methods.setdefault(row.verdict, []).append(row.method)
        parts = [f"{verdict}: {', '.join(names)}" for verdict, names in methods.items()]
        return f"Are steps on the perceptual scale more even? {'; '.join(parts)}."

    @property
    def note(self) -> str:
        """The sentences below the table."""
        learnt = (
            f"Each scale was learnt on {max((r.scale.concepts for r in self.rows), default=0):,} "
            f"dev concepts, by the concept gain that encoder {self.encoder} measures, and is "
            f"tested on this run’s concepts by the gain that {self.scorer} measures. "
        )
        same = "" if self.is_independent else "The run has no second encoder to learn it by. "
        return (
            f"{learnt}{same}Evenness is 1 where each step of strength adds its share of the gain, "
            "and 0 where one step adds all of it; that of a concept is of the mean curve of its "
            "pictures. A scale is more even if the whole 95 % interval of the difference is above "
            "0, and its p, adjusted for all methods (Holm), is below .05."
        )


@once
def collect(summary: Summary) -> ScaleSection | None:
    """The scales of the run; None where it has none."""
    scales = {
        method: summary.facts.strength_scales[method]
        for method in summary.methods
        if method in summary.facts.strength_scales
    }
    if not scales:
        return None
    requested = [at for at in summary.facts.plan.strengths or [] if at > 0]
    compared = {
        method: _compare(summary, method, each, requested) for method, each in scales.items()
    }
    ps = estimates.holm(
        [each.difference.p if each else math.nan for _, _, each in compared.values()]
    )
    encoder = next((each.encoder for each in scales.values()), "")
    return ScaleSection(
        requested=requested,
        rows=[
            ScaleRow(
                method=method,
                scale=scales[method],
                plain=_means(plain),
                perceptual=_means(perceptual),
                comparison=comparison,
                p=p,
            )
            for (method, (plain, perceptual, comparison)), p in zip(
                compared.items(), ps, strict=True
            )
        ],
        is_independent=encoder != summary.scorer,
        encoder=encoder_name(encoder),
        scorer=encoder_name(summary.scorer),
    )


def _compare(
    summary: Summary, method: str, scale: ScaleFacts, requested: list[float]
) -> tuple[ConceptCurves, ConceptCurves, EvennessComparison | None]:
    """Mean curves of the concepts on the plain and on the perceptual scale, of the same prompts
    and seeds."""
    if len(scale.strengths) != len(requested):
        return {}, {}, None
    both = [gain_curves(summary, method, at) for at in (requested, scale.strengths)]
    plain: ConceptCurves = {}
    perceptual: ConceptCurves = {}
    for concept in both[0].keys() & both[1].keys():
        one, two = both[0][concept], both[1][concept]
        complete = ~np.isnan(one).any(1) & ~np.isnan(two).any(1)
        if complete.any():
            plain[concept], perceptual[concept] = one[complete].mean(0), two[complete].mean(0)
    comparison = compare_evenness(
        dict(sorted(plain.items())), perceptual, np.array(requested), summary.families
    )
    return plain, perceptual, comparison


def _means(curves: ConceptCurves) -> list[float]:
    return np.mean(list(curves.values()), axis=0).tolist() if curves else []


def print_lines(section: ScaleSection | None) -> None:
    """Print the scales as lines of JSON."""
    for row in section.rows if section else ():
        found = row.comparison
        print_json(
            event="strength_scale",
            method=row.method,
            encoder=row.scale.encoder,
            strengths=row.scale.strengths,
            seconds=row.scale.seconds,
            verdict=row.verdict,
            p=row.p,
            **{
                name: vars(getattr(found, name)) if found else None
                for name in ("before", "after", "difference")
            },
        )


def csv_head() -> list[str]:
    """Columns of the CSV file of scales."""
    named = [f"{name}{end}" for name in _FIGURES for end in ("", "_low", "_high")]
    steps = ["requested", "strength", "gain_plain", "gain_perceptual"]
    return ["method", *steps, *named, "p", "verdict", "concepts", "encoder"]


_FIGURES = ("evenness_plain", "evenness_perceptual", "difference")


def csv_rows(section: ScaleSection) -> Iterator[list[str | float | int | None]]:
    """A row per method and strength; figures of the method are the same in all its rows."""
    for row in section.rows:
        found = row.comparison
        figures = [found.before, found.after, found.difference] if found else []
        ends: list[float | None] = [
            value for each in figures for value in (each.mean, each.low, each.high)
        ]
        steps = zip(section.requested, row.scale.strengths, strict=False)
        for k, (requested, own) in enumerate(steps):
            gains = [each[k] if each else None for each in (row.plain, row.perceptual)]
            yield [
                *(row.method, requested, own, *gains),
                *(ends or [None] * 9),
                *(row.p, row.verdict, found.difference.n if found else 0, row.scale.encoder),
            ]
