"""Charts of votes by judges and people."""

import math

import pytest
from markupsafe import Markup

from htbench.report.sections import vote_charts
from htbench.run.study_result import IntervalRecord, StandingRecord, StepRecord


def rate(value: float) -> IntervalRecord:
    return IntervalRecord(value=value, low=value - 0.1, high=value + 0.1)


def standing(name: str, rating: float, *, limit: str | None = None) -> StandingRecord:
    return StandingRecord(
        name=name,
        rank=1,
        ranks="1",
        tier=1,
        limit=limit,
        rating=rate(rating),
        win_rate=rate(0.5),
        votes=10,
    )


def steps(*left: tuple[str, int, int]) -> list[StepRecord]:
    return [StepRecord(name=name, people=people, answers=n) for name, people, n in left]


FLOW = steps(("all answers", 5, 50), ("returned", 5, 50), ("too fast", 3, 20))


def test_a_funnel_leaves_out_rules_that_excluded_nobody() -> None:
    assert vote_charts.funnel("a", FLOW).rows[1:] == [
        ["came", 5, 50, 0, 0],
        ["too fast", 3, 20, 2, 30],
        ["kept", 3, 20, 0, 0],
    ]


def test_the_table_of_exclusions_has_every_rule() -> None:
    assert [stage.name for stage in vote_charts.stages(FLOW)] == ["returned", "too fast"]


def test_a_funnel_that_keeps_nothing_is_drawn() -> None:
    drawn = Markup(vote_charts.funnel("a", steps(("all answers", 2, 9), ("too fast", 0, 0))))
    assert "0 people, 0 answers" in drawn


def test_a_cell_of_two_methods_that_never_met_is_empty() -> None:
    chart = vote_charts.win_matrix("a judge", ["a", "b"], {("a", "b"): rate(0.75)})
    assert Markup(chart).count("<rect") == 1
    assert chart.values[0][1] == 0.75
    assert math.isnan(chart.values[1][0])


@pytest.mark.parametrize(("value", "side"), [(0.75, "above"), (0.25, "below")])
def test_the_colour_of_a_win_rate_says_which_side_won(value: float, side: str) -> None:
    drawn = Markup(vote_charts.win_matrix("a judge", ["a", "b"], {("a", "b"): rate(value)}))
    assert f'class="heat-cell {side}"' in drawn


def test_a_rating_that_only_the_prior_bounds_is_told_in_words() -> None:
    entries = [standing("a", 9.0, limit="above"), standing("b", 0.0)]
    chart = vote_charts.rating_plot("a judge", entries, lambda name: 1)
    assert [row.note for row in chart.estimates] == ["above all", ""]
    assert chart.axis.high < 1


def test_ratings_that_are_not_to_be_trusted_are_struck_through() -> None:
    chart = vote_charts.rating_plot("a judge", [standing("a", 0.0)], lambda name: 1, struck=True)
    assert "struck" in Markup(chart)
