"""The saving of a method that learns once: the cells of its row, and where its line is marked."""

import math
import re

import pytest
from markupsafe import Markup

from htbench.report import charts
from htbench.report.speed_up import (
    COLUMNS,
    TotalTime,
    break_even_point,
    pays_off,
    saving_cells,
    saving_cells_with_intervals,
    total_time_chart,
)
from htbench.stats.durations import Amortisation, Saving


def saving(**changes: float) -> Amortisation:
    seconds = {"training": 90.0, "fit": 10.0, "predict": 1.0, "generate": 0.5}
    return Amortisation(**{**seconds, **changes})


def test_a_row_has_a_cell_per_column_with_what_was_divided() -> None:
    cells = saving_cells(saving())
    assert len(cells) == len(COLUMNS)
    assert [cell.value for cell in cells] == ["10.0×", "7.00×", "2.50×", "1.18×", "10.0"]
    assert [cells[0].parts, cells[1].parts, cells[-1].parts] == [
        "10.0 s / 1.00 s",
        "10.5 s / 1.50 s",
        "90.0 s / 9.00 s",
    ]


@pytest.mark.parametrize(
    ("changes", "value"), [({"predict": 10.0}, "never"), ({"training": 0.0}, "at once")]
)
def test_the_break_even_point_may_be_nowhere_or_at_the_start(
    changes: dict[str, float], value: str
) -> None:
    assert saving_cells(saving(**changes))[-1].value == value


def test_a_training_that_was_not_measured_is_said_not_to_be() -> None:
    cell = saving_cells(saving(training=math.nan))[-1]
    assert (cell.value, cell.parts) == ("—", "training was not measured here")


def test_a_prediction_that_takes_no_time_makes_no_ratio() -> None:
    assert saving_cells(saving(predict=0.0))[0].value == "—"


def test_a_terminal_writes_ratios_its_own_way() -> None:
    cells = saving_cells(saving(), ratio="{:.1f}x".format, count="{:.2f}".format)
    assert (cells[0].value, cells[-1].value) == ("10.0x", "10.00")


def test_intervals_stand_beside_the_same_values() -> None:
    times = Saving(training=90.0, fit=(9.0, 10.0, 11.0), predict=(1.0,) * 3, generate=(0.5,) * 3)
    cells = saving_cells_with_intervals(times)
    assert [cell.value for cell in cells] == [cell.value for cell in saving_cells(saving())]
    assert cells[0].interval == "9.00 – 11.0"


def test_a_cost_that_is_never_paid_back_has_no_interval() -> None:
    times = Saving(training=90.0, fit=(1.0,) * 3, predict=(2.0,) * 3, generate=(0.5,) * 3)
    assert saving_cells_with_intervals(times)[-1].interval == ""


def test_both_lines_meet_at_the_break_even_point() -> None:
    point = break_even_point(saving(), label="", tooltip="")
    assert point.y == pytest.approx(90.0 + point.x * 1.0) == pytest.approx(point.x * 10.0)


@pytest.mark.parametrize(("training", "pays"), [(90.0, True), (1.0, False)])
def test_training_that_costs_less_than_one_fit_has_no_point_to_mark(
    training: float, pays: bool
) -> None:
    assert pays_off(saving(training=training)) is pays


def test_total_time_is_drawn_to_ten_times_the_last_crossing() -> None:
    lines = [
        TotalTime(
            method="once",
            tone=1,
            training=1.0,
            concept=1.0,
            crossings=[charts.Point(x=5_000, y=5_001.0, label="N* = 5,000")],
        ),
        TotalTime(method="each", tone=2, training=0.0, concept=2.0),
    ]
    drawing = Markup(total_time_chart(lines))
    assert "N* = 5,000" in drawing
    assert "100,000" in re.findall(r">([\d,]+)</text>", drawing)
    assert "1,000,000" not in drawing


def test_total_time_without_crossings_goes_to_a_hundred_concepts() -> None:
    drawing = Markup(total_time_chart([TotalTime(method="a", tone=1, training=0.0, concept=1.0)]))
    assert re.findall(r">([\d,]+)</text>", drawing)[-1] == "100"
