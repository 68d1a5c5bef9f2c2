"""Training losses of the embedded models, each as a share of its first value, in one chart.

python benchmarks/curves.py docs/curves docs/curves.svg
"""

import argparse
import json
import re
from pathlib import Path

from markupsafe import Markup

from htbench.report.charts import Axis, LineChart, LineSeries, Point, linear_axis

COLOURS = ("#0072b2", "#d55e00", "#00875f", "#b5478a", "#7a5c00")
STYLE = (
    "<style>svg { font: 11px system-ui, sans-serif; background: #fff } text { fill: #3c4250 } "
    ".middle { text-anchor: middle } .end { text-anchor: end } "
    ".grid { stroke: #e3e6ea; fill: none } .axis { stroke: #7b828d; fill: none } "
    ".line { stroke-width: 2; fill: none } "
    + " ".join(
        f".line.t{k} {{ stroke: {colour} }} .series.t{k} {{ fill: {colour} }}"
        for k, colour in enumerate(COLOURS, start=1)
    )
    + "</style>"
)


def curve(log: Path, tone: int) -> LineSeries:
    """The smoothed loss of a training stage, as a share of its first value."""
    rows = {row["step"]: row["loss"] for row in map(json.loads, log.read_text().splitlines())}
    steps = sorted(rows)
    points = [Point(x=step / steps[-1], y=rows[step] / rows[steps[0]]) for step in steps]
    name = f"{log.stem} {rows[steps[-1]]:.3f}"
    return LineSeries(name=name, tone=tone, points=points, hide_markers=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "logs",
        type=Path,
        help="folder of STAGE.jsonl, each the curve.jsonl that a stage wrote beside its checkpoint",
    )
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    logs = sorted(args.logs.glob("*.jsonl"))
    curves = [curve(log, tone) for tone, log in enumerate(logs, start=1)]
    shares = [point.y for series in curves for point in series.points]
    ticks = [(0, "0"), (0.5, "0.5"), (1, "1")]
    chart = LineChart(
        title="Training losses",
        x=Axis(label="share of the training", low=0, high=1, ticks=ticks),
        y=linear_axis("loss, share of its start", [0, *shares]),
        series=curves,
    )
    drawn = re.sub(' data-rows="[^"]*"', "", Markup(chart))
    svg = drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    args.out.write_text(svg.replace(">", f">{STYLE}", 1), encoding="utf-8")


if __name__ == "__main__":
    main()
