"""The stopwatch on work of known length, by a clock that the work moves on."""

from dataclasses import dataclass

import pytest

from htbench.core.phase import phase
from htbench.run.timing.stopwatch import Stopwatch

WATCH = Stopwatch(device="cpu", synchronise=lambda: None)


@dataclass
class Clock:
    """A clock that only work moves on."""

    now: float = 0.0

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("htbench.run.timing.stopwatch.time.perf_counter", lambda: clock.now)
    return clock


def test_spans_of_phases_and_of_the_whole_are_those_of_the_clock(clock: Clock) -> None:
    def work() -> None:
        with phase("extract"):
            clock.spend(1)
        with phase("fit"):
            clock.spend(2)
        clock.spend(4)

    lap = WATCH.measure(work)
    assert lap.phases == {"other": 4, "extract": 1, "fit": 2}
    assert lap.seconds == 7


def test_every_span_of_a_phase_is_a_lap_that_goes_on_after_a_phase_inside(clock: Clock) -> None:
    def work() -> None:
        for seconds in (2, 4):
            with phase("train"):
                clock.spend(seconds)
                with phase("install"):
                    clock.spend(1)
                with phase("encode-prompts"):
                    clock.spend(5)
                clock.spend(seconds)

    laps = WATCH.measure(work).laps
    assert (laps["train"], laps["encode-prompts"]) == ((5, 9), (5, 5))


def test_a_phase_inside_another_counts_for_itself_alone(clock: Clock) -> None:
    def work() -> None:
        with phase("fit"):
            clock.spend(1)
            with phase("encode-prompts"):
                clock.spend(5)
            clock.spend(2)

    phases = WATCH.measure(work).phases
    assert (phases["fit"], phases["encode-prompts"]) == (3, 5)


def test_work_that_names_no_phase_is_measured_as_a_whole() -> None:
    assert WATCH.measure(lambda: None).phases.keys() == {"other"}


def test_work_handed_to_a_device_is_waited_for(clock: Clock) -> None:
    queue: list[float] = []
    watch = Stopwatch(device="cpu", synchronise=lambda: clock.spend(queue.pop()) if queue else None)
    assert watch.measure(lambda: queue.append(3)).seconds == 3


def test_after_an_exception_nobody_listens() -> None:
    with pytest.raises(ZeroDivisionError):
        WATCH.measure(lambda: 1 / 0)
    with phase("fit"):
        pass


def test_what_a_phase_holds_shows_in_its_peak() -> None:
    def work() -> None:
        with phase("extract"):
            bytearray(300_000_000)

    peaks = WATCH.measure(work, memory=True).memory
    assert peaks["extract"] > peaks["other"] * 0.9
    assert peaks["extract"] > 300_000_000
