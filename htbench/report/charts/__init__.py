"""Charts of the report: what they show, as values that draw themselves as SVG."""

from htbench.report.charts.axis import Axis, count_axis, linear_axis, time_axis
from htbench.report.charts.forest_plot import ForestPlot, ForestRow
from htbench.report.charts.funnel import Funnel, Stage
from htbench.report.charts.heat_map import HeatMap
from htbench.report.charts.line_chart import LineChart, LineSeries, Point
from htbench.report.charts.svg import TONES, Chart, Rows, interval_bar, swatch

__all__ = [
    "TONES",
    "Axis",
    "Chart",
    "ForestPlot",
    "ForestRow",
    "Funnel",
    "HeatMap",
    "LineChart",
    "LineSeries",
    "Point",
    "Rows",
    "Stage",
    "count_axis",
    "interval_bar",
    "linear_axis",
    "swatch",
    "time_axis",
]
