"""`python benchmarks/curves.py docs/curves docs/curves.svg`: the losses of the embedded models' trainings, each as a share of its start."""

import argparse
import json
from pathlib import Path

from htbench.report.chart import Axis, LineSeries, Point, line_chart, linear_axis

COLOURS = ("#0072b2", "#d55e00", "#00875f", "#b5478a", "#7a5c00")
STYLE = (
    "<style>svg { font: 11px system-ui, sans-serif; background: #fff } text { fill: #3c4250 } .middle { text-anchor: middle } .end { text-anchor: end } "
    ".grid { stroke: #e3e6ea; fill: none } .axis { stroke: #7b828d; fill: none } .line { stroke-width: 2; fill: none } "
    + " ".join(
        f".line.t{k} {{ stroke: {colour} }} .t{k} .marker {{ fill: {colour} }}"
        for k, colour in enumerate(COLOURS, start=1)
    )
    + "</style>"
)


def curve(log: Path, tone: int) -> LineSeries:
    """A stage's smoothed loss, as a share of its first."""
    rows = {row["step"]: row["loss"] for row in map(json.loads, log.read_text().splitlines())}
    steps = sorted(rows)
    points = [Point(x=step / steps[-1], y=rows[step] / rows[steps[0]]) for step in steps]
    return LineSeries(
        name=log.stem,
        tone=tone,
        points=[
            *points[:-1],
            Point(x=1, y=points[-1].y, label=f"{log.stem} {rows[steps[-1]]:.3f}"),
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "logs",
        type=Path,
        help="folder of STAGE.jsonl, each the curve.jsonl that a stage wrote beside its checkpoint",
    )
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    series = [
        curve(log, tone) for tone, log in enumerate(sorted(given.logs.glob("*.jsonl")), start=1)
    ]
    ends = [LineSeries(name=one.name, tone=one.tone, points=one.points[-1:]) for one in series]
    bare = [
        LineSeries(name=one.name, tone=one.tone, points=one.points, hide_markers=True)
        for one in series
    ]
    shares = [point.y for one in series for point in one.points]
    training = Axis(
        label="share of the training", low=0, high=1.7, ticks=[(0, "0"), (0.5, "0.5"), (1, "1")]
    )  # names stand beyond the end
    chart = line_chart(
        [*bare, *ends],
        title="Training losses",
        x=training,
        y=linear_axis("loss, share of its start", [0, *shares]),
    )
    given.out.write_text(
        str(chart)
        .replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        .replace(">", f">{STYLE}", 1),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
