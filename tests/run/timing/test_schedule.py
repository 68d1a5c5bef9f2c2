"""The size of a timing session, worked out by hand."""

from functools import partial

import pytest

from htbench.run.timing.schedule import MIN_STEPS, MethodPace, Schedule, choose

FIT = MethodPace(concept=2.0, image=0.5, step=1.0)
PREDICTION = MethodPace(concept=0.1, image=0.5)
size = partial(choose, [FIT, PREDICTION], image=0.5, rounds=30, again=8, steps=None)


def test_steps_are_as_many_as_ten_rounds_with_repeats_have_time_for() -> None:
    # 10 (0.5 + 2.1 + 1.0) + 8 (2.1 + 2 * 0.5) + 18 n = 0.9 seconds
    assert size(seconds=(36 + 24.8 + 18 * 7.5) / 0.9).steps == 7


def test_the_schedule_fits_into_its_time_where_ten_rounds_do() -> None:
    for seconds in (90, 120, 200, 400, 2000):
        schedule = size(seconds=seconds)
        assert schedule.is_enough
        assert schedule.seconds(schedule.rounds) <= seconds


def test_repeats_are_given_up_before_rounds_and_steps_are_never_fewer_than_three() -> None:
    schedule = size(seconds=100)
    assert (schedule.steps, schedule.rounds) == (MIN_STEPS, 10)
    assert 0 < schedule.again < 8


def test_without_time_for_ten_rounds_there_are_as_many_as_fit() -> None:
    schedule = size(seconds=30)
    assert (schedule.steps, schedule.again, schedule.rounds) == (MIN_STEPS, 0, 4)
    assert not schedule.is_enough


@pytest.mark.parametrize("seconds", [-5.0, 0.0])
def test_one_round_remains_where_there_is_no_time(seconds: float) -> None:
    assert size(seconds=seconds).rounds == 1


def test_a_fixed_number_of_steps_is_kept() -> None:
    assert size(seconds=1.0, steps=50).steps == 50


def test_more_time_makes_more_rounds_up_to_the_most() -> None:
    assert size(seconds=1e6).rounds == 30
    assert size(seconds=1e6, rounds=4).rounds == 4


def test_the_first_rounds_are_those_with_repeats() -> None:
    schedule = Schedule(steps=3, again=2, rounds=5, round_seconds=10.0, repeat_seconds=4.0)
    assert [schedule.seconds(rounds) for rounds in (1, 2, 3)] == [14.0, 28.0, 38.0]
