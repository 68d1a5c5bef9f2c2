import math
import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from markupsafe import Markup

from htbench.report import charts, format

NAN = math.nan
DEGENERATE = [
    [],
    [(1.0, 2.0)],
    [(1.0, 1.0), (1.0, 1.0)],
    [(0.0, 0.0)],
    [(NAN, 1.0), (2.0, math.inf)],
    [(1e-12, 1e12), (1e12, 1e-12)],
]


def draw(
    series: Sequence[charts.LineSeries], *, x: charts.Axis, y: charts.Axis, title: str = "t"
) -> Markup:
    return Markup(charts.LineChart(title=title, x=x, y=y, series=series))


def numbers(svg: str) -> list[float]:
    return [
        float(number)
        for attribute in re.findall(r' (?:d|x|y|cx|cy|width|transform)="([^"]*)"', svg)
        for number in re.findall(r"-?[\d.]+", attribute)
    ]


@pytest.mark.parametrize("places", DEGENERATE)
def test_linear_charts_of_degenerate_points_have_finite_coordinates_in_the_frame(
    places: list[tuple[float, float]],
) -> None:
    points = [
        charts.Point(x=x, y=y, label="1", x_range=(x, NAN), y_range=(y, y)) for x, y in places
    ]
    x, y = (
        charts.linear_axis("x", [point.x for point in points]),
        charts.linear_axis("y", [point.y for point in points]),
    )
    drawn = draw([charts.LineSeries(name="m", tone=1, points=points)], x=x, y=y)
    assert all(-90 <= number <= 460 for number in numbers(drawn))
    assert "nan" not in drawn
    assert "inf" not in drawn


@pytest.mark.parametrize("places", DEGENERATE)
def test_logarithmic_charts_of_degenerate_points_have_finite_coordinates_in_the_frame(
    places: list[tuple[float, float]],
) -> None:
    points = [charts.Point(x=x, y=y) for x, y in places]
    x, y = charts.count_axis("n", 0), charts.time_axis("time", [point.y for point in points])
    drawn = draw([charts.LineSeries(name="m", tone=1, points=points, crossings=points)], x=x, y=y)
    assert all(-90 <= number <= 460 for number in numbers(drawn))
    assert "nan" not in drawn


def test_names_in_a_chart_are_text() -> None:
    axis = charts.linear_axis("<b>", [0, 1])
    drawn = draw(
        [
            charts.LineSeries(
                name="<i>", tone=1, points=[charts.Point(x=0, y=0, tooltip='"<u>')] * 2
            )
        ],
        title='"><script>',
        x=axis,
        y=axis,
    )
    assert not re.search(r"<(b|i|u|script)>", drawn)


def labels(svg: str) -> list[str]:
    """Those that are seen while no series is shown alone."""
    return re.findall(r'<text class="mark [^>]*>([^<]*)<', svg)


def test_points_that_coincide_are_labelled_once() -> None:
    axis = charts.linear_axis("", [0, 1])
    series = [
        charts.LineSeries(name=name, tone=1, points=[charts.Point(x=0, y=0, label="start")])
        for name in "ab"
    ]
    assert labels(draw(series, x=axis, y=axis)) == ["start"]


@pytest.mark.parametrize(("count", "seen"), [(charts.TONES, True), (charts.TONES + 1, False)])
def test_labels_of_more_lines_than_there_are_colours_wait_until_one_is_shown_alone(
    count: int, seen: bool
) -> None:
    axis = charts.linear_axis("", [0, 1])
    series = [
        charts.LineSeries(
            name=str(k),
            tone=k,
            points=[charts.Point(x=x, y=k / count, label=f"{k} {x}") for x in (0, 1)],
        )
        for k in range(count)
    ]
    drawn = draw(series, x=axis, y=axis)
    assert bool(labels(drawn)) == seen
    assert ">0 1<" in drawn


def test_labels_of_crossings_that_are_close_stand_above_one_another() -> None:
    x, y = charts.count_axis("", 100), charts.linear_axis("", [0, 1])
    series = [
        charts.LineSeries(
            name=str(n), tone=1, points=[], crossings=[charts.Point(x=n, y=1, label=f"N* = {n}")]
        )
        for n in (10, 11, 12)
    ]
    drawn = draw(series, x=x, y=y)
    assert len(set(re.findall(r'<text class="mark [^>]* y="([\d.]+)"', drawn))) == 3


def test_ticks_are_round_and_inside_the_axis() -> None:
    axis = charts.linear_axis("", [0.03, 0.21])
    assert [text for _, text in axis.ticks] == ["0.05", "0.10", "0.15", "0.20"]


def test_the_last_tick_is_written_inside_the_frame() -> None:
    x = charts.count_axis("concepts", 10_000_000)
    drawn = draw([], x=x, y=charts.linear_axis("", [0, 1]))
    place = float(re.findall(r'x="([\d.]+)"[^>]*>10,000,000<', drawn)[0])
    assert place + 3 * len("10,000,000") <= 460


def test_a_mean_without_an_interval_has_a_dot_and_no_bar() -> None:
    drawn = charts.interval_bar(0.5, NAN, NAN, tone=1, scale=(0.5, 0.5))
    assert "circle" in drawn
    assert "rect" not in drawn


def test_methods_beyond_the_palette_differ_in_shape() -> None:
    assert charts.swatch(1) != charts.swatch(1 + charts.TONES)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (4.2e-6, "4.20 µs"),
        (0.0126, "12.6 ms"),
        (0.9999, "1.00 s"),
        (43.7, "43.7 s"),
        (1380, "23.0 min"),
        (9000, "2.50 h"),
        (864_000, "10.0 d"),
        (NAN, "—"),
    ],
)
def test_durations_are_in_the_unit_that_people_would_use(seconds: float, words: str) -> None:
    assert format.duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (0.01234, "0.0123"), (12.34, "12.3"), (3600, "3,600"), (math.inf, "∞")],
)
def test_quantities_have_three_significant_digits(value: float, words: str) -> None:
    assert format.quantity(value) == words


@pytest.mark.parametrize(
    ("value", "words"), [(0.15, "+.15"), (-0.15, "−.15"), (-0.0001, ".00"), (NAN, "—")]
)
def test_signed_scores_show_their_sign(value: float, words: str) -> None:
    assert format.score(value, signed=True) == words


def ends(svg: str) -> list[tuple[str, float]]:
    """The names at the ends of lines that are seen, with their heights."""
    found = re.findall(r'<text class="series [^>]* y="([\d.]+)">([^<]*)<', svg)
    return [(name, float(height)) for height, name in found]


def line(name: str, *heights: float) -> charts.LineSeries:
    points = [charts.Point(x=x, y=y) for x, y in enumerate(heights)]
    return charts.LineSeries(name=name, tone=1, points=points)


def test_names_of_lines_that_end_together_are_moved_apart() -> None:
    axis = charts.linear_axis("", [0, 1])
    drawn = draw([line("a", 0, 0.5), line("b", 1, 0.5), line("c", 0.5, 0.5)], x=axis, y=axis)
    heights = sorted(height for _, height in ends(drawn))
    assert len(heights) == 3
    assert all(upper - lower >= 12 for lower, upper in pairwise(heights))


def test_a_long_name_is_cut_and_whole_on_hover() -> None:
    axis = charts.linear_axis("", [0, 1])
    name = "a-method-with-a-very-long-name"
    drawn = draw([line(name, 0, 1)], x=axis, y=axis)
    assert ends(drawn)[0][0].endswith("…")
    assert f"<title>{name}</title></text>" in drawn


def test_names_of_more_lines_than_there_are_colours_wait_until_one_is_shown_alone() -> None:
    axis = charts.linear_axis("", [0, 1])
    lines = [line(str(k), 0, k / charts.TONES) for k in range(charts.TONES + 1)]
    assert ends(draw(lines, x=axis, y=axis)) == []
