"""All charts of a report, by the names of their files, for papers."""

import math
import re
from collections.abc import Iterator, Mapping
from itertools import chain

from htbench.core.types import UNSTEERED, strength_of
from htbench.report.charts import Chart, ForestPlot, ForestRow, HeatMap
from htbench.report.gallery.grid import concept_labels
from htbench.report.once import once
from htbench.report.page import method_tones
from htbench.report.sections import curves, judges, people, speed, time, wording
from htbench.run.summary import METRICS, Summary

Named = Iterator[tuple[str, Chart]]


def collect(summary: Summary) -> dict[str, Chart]:
    """The charts of a run, without those for which it has no data."""
    tones = method_tones(summary)
    parts = (
        *(_scores(summary, tones), _times(summary, tones)),
        *(_wordings(summary, tones), _judges(summary, tones)),
    )
    return dict(chain(*parts, _people(summary, tones)))


def _scores(summary: Summary, tones: Mapping[str, int]) -> Named:
    for metric, title in summary.metrics.items():
        if rows := _estimates(summary, metric, tones):
            name = f"leaderboard-{metric.replace('_', '-')}"
            yield name, ForestPlot(title=f"{title} by method", label=title, estimates=rows)
    lines = [
        line
        for method in summary.methods
        for strength in summary.strengths
        if (line := summary.leaderboard_row(method, strength)).planned
    ]
    names = ("gain-image-preservation", "gain-prompt-preservation", "presence-strength")
    for name, (_, chart) in zip(names, curves.collect(lines, tones), strict=True):
        yield name, chart
    yield "concepts", _concepts(summary)


def _times(summary: Summary, tones: Mapping[str, int]) -> Named:
    if total := speed.collect(summary, tones).chart:
        yield "total-time", total
    timed = time.collect(summary, tones)
    for k, times in enumerate(timed.models if timed else (), start=1):
        ending = f"-{_slug(times.model)}" if k > 1 else ""
        yield f"timed-total-time{ending}", times.total_time_chart
        if times.quality_chart:
            yield f"timed-gain{ending}", times.quality_chart


def _wordings(summary: Summary, tones: Mapping[str, int]) -> Named:
    if section := wording.collect(summary):
        for metric, plot in section.charts(tones).items():
            if plot.estimates:
                yield f"wording-{metric.replace('_', '-')}", plot


def _judges(summary: Summary, tones: Mapping[str, int]) -> Named:
    for k, result in enumerate(once(judges.collect)(summary).results, start=1):
        for block in result.criteria:
            name = f"judge-{k}-{_slug(block.criterion.name)}"
            if plot := block.rating_plot(result.name, lambda method: tones.get(method, 0)):
                yield f"{name}-ratings", plot
            if matrix := block.win_matrix(result.name):
                yield f"{name}-wins", matrix


def _people(summary: Summary, tones: Mapping[str, int]) -> Named:
    section = once(people.collect)(summary)
    for k, study in enumerate(section.studies, start=1):
        if funnel := section.funnel(study):
            yield f"study-{k}-exclusions", funnel
        for criterion in study.criteria:
            if criterion.standings:
                name = f"study-{k}-{_slug(criterion.name)}"
                plot = section.rating_plot(study, criterion, lambda method: tones.get(method, 0))
                yield f"{name}-ratings", plot
                yield f"{name}-wins", section.win_matrix(study, criterion)


def _estimates(summary: Summary, metric: str, tones: Mapping[str, int]) -> list[ForestRow]:
    """The leaderboard's methods by a score."""
    return [
        ForestRow(
            name=line.method,
            tone=tones.get(line.method, 0),
            value=score.mean,
            low=score.low,
            high=score.high,
        )
        for line in summary.leaderboard
        if (score := line.scores[metric])
    ]


def _concepts(summary: Summary) -> HeatMap:
    """The headline score of every concept by every method that steers."""
    methods = [method for method in summary.methods if method != UNSTEERED]
    means = [
        summary.means(method, strength_of(method, summary.full_strength)) for method in methods
    ]
    labels = concept_labels(summary)
    values = [[own.get(concept, math.nan) for own in means] for concept in labels]
    return HeatMap(
        title=f"{METRICS[summary.headline]} by concept and method",
        row_names=[label.text for label in labels.values()],
        column_names=methods,
        values=values,
        middle=0.0,
        reach=max((abs(v) for row in values for v in row if math.isfinite(v)), default=0.0) or 1.0,
    )


def _slug(text: str) -> str:
    """A text as a part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "criterion"
