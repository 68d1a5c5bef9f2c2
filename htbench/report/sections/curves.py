"""The charts over strengths."""

from collections.abc import Mapping, Sequence

from htbench.report import charts, format
from htbench.run.summary import HEADLINE, METRICS, LeaderboardRow


def collect(
    lines: Sequence[LeaderboardRow], tones: Mapping[str, int]
) -> list[tuple[str, charts.LineChart]]:
    """The charts over strengths, each with its heading."""
    return [
        (
            "Concept gain against image preservation",
            _curve(lines, tones, "image_preservation", HEADLINE),
        ),
        (
            "Concept gain against prompt preservation",
            _curve(lines, tones, "prompt_preservation", HEADLINE),
        ),
        ("Presence against strength", _curve(lines, tones, "", "presence")),
    ]


def _curve(
    lines: Sequence[LeaderboardRow], tones: Mapping[str, int], across: str, up: str
) -> charts.LineChart:
    """The metric `up` against `across`, or against the strength if that is empty, by method."""
    lines_by_method: dict[str, list[charts.Point]] = {}
    for line in lines:
        over, height = line.scores.get(across), line.scores[up]
        if height and (over or not across):
            strength = format.strength(line.strength)
            note = f"{line.method}, strength {strength}: {_metric_text(up, height.mean)}"
            lines_by_method.setdefault(line.method, []).append(
                charts.Point(
                    x=over.mean if over else line.strength,
                    y=height.mean,
                    label=strength if across else "",
                    tooltip=f"{note}, {_metric_text(across, over.mean)}" if over else note,
                    x_range=(over.low, over.high) if over else None,
                    y_range=(height.low, height.high),
                )
            )
    points = [point for several in lines_by_method.values() for point in several]
    x = charts.linear_axis(
        METRICS.get(across, "Strength"),
        [value for point in points for value in (point.x, *(point.x_range or ()))],
    )
    y = charts.linear_axis(
        METRICS[up], [value for point in points for value in (point.y, *(point.y_range or ()))]
    )
    series = [
        charts.LineSeries(name=method, tone=tones.get(method, 0), points=several)
        for method, several in lines_by_method.items()
    ]
    title = f"{y.label} against {x.label.lower()}, one line per method"
    return charts.LineChart(title=title, x=x, y=y, series=series)


def _metric_text(metric: str, value: float) -> str:
    return f"{METRICS[metric].lower()} {format.score(value)}"
