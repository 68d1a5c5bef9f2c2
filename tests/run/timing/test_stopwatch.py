"""The stopwatch on work of known length; spins take the processor, so a busy machine shows."""

import time

import pytest

from htbench.core.phase import phase
from htbench.run.timing.stopwatch import Stopwatch

WATCH = Stopwatch(device="cpu", synchronise=lambda: None)


def sleep(seconds: float) -> float:
    """Sleeps for about `seconds`; gives how long it was, which a busy machine decides."""
    began = time.perf_counter()
    time.sleep(seconds)
    return time.perf_counter() - began


def spin(seconds: float) -> float:
    """Keeps the processor busy until `seconds` have passed; gives how many did."""
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        pass
    return passed


def test_sleeps_in_phases_are_measured_within_2_percent() -> None:
    def work() -> tuple[float, float]:
        with phase("extract"):
            first = sleep(0.1)
        with phase("fit"):
            return first, sleep(0.2)

    lap = WATCH.measure(work)
    assert (lap.phases["extract"], lap.phases["fit"]) == tuple(
        pytest.approx(each, rel=0.02) for each in lap.result
    )
    assert lap.seconds == pytest.approx(sum(lap.result), rel=0.02)


def test_every_span_of_a_phase_is_a_lap_that_goes_on_after_a_phase_inside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("htbench.run.timing.stopwatch.time.perf_counter", lambda: clock[0])

    def work() -> None:
        for seconds in (2, 4):
            with phase("train"):
                clock[0] += seconds
                with phase("install"):
                    clock[0] += 1
                with phase("encode-prompts"):
                    clock[0] += 5
                clock[0] += seconds

    laps = WATCH.measure(work).laps
    assert (laps["train"], laps["encode-prompts"]) == ((5, 9), (5, 5))


def test_spins_are_measured_within_2_percent() -> None:
    lap = WATCH.measure(lambda: spin(0.2))
    assert lap.seconds == pytest.approx(lap.result, rel=0.02)


def test_a_phase_inside_another_counts_for_itself_alone() -> None:
    def work() -> tuple[float, float]:
        with phase("fit"):
            before = sleep(0.05)
            with phase("encode-prompts"):
                inside = sleep(0.1)
            return before + sleep(0.05), inside

    lap = WATCH.measure(work)
    assert (lap.phases["fit"], lap.phases["encode-prompts"]) == tuple(
        pytest.approx(each, rel=0.02) for each in lap.result
    )


def test_phases_add_up_to_the_whole() -> None:
    def work() -> None:
        with phase("fit"):
            spin(0.01)
        spin(0.01)

    lap = WATCH.measure(work)
    assert sum(lap.phases.values()) == pytest.approx(lap.seconds)


def test_work_that_names_no_phase_is_measured_as_a_whole() -> None:
    assert WATCH.measure(lambda: None).phases.keys() == {"other"}


def test_work_handed_to_a_device_is_waited_for() -> None:
    queue: list[float] = []
    watch = Stopwatch(device="cpu", synchronise=lambda: time.sleep(queue.pop()) if queue else None)
    assert watch.measure(lambda: queue.append(0.1)).seconds >= 0.1


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
