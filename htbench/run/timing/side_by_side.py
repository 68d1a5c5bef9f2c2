"""Times of fits of several concepts side by side, which are measured before the rounds.

They are measured apart from single fits, since a batch of concepts takes as long as many rounds.
"""

import time
from dataclasses import dataclass
from functools import partial

from htbench.run.timing import schedule
from htbench.run.timing.protocol import REPEATED_SHARE, TimedMethod, TimingHarness, to_samples
from htbench.stats import durations
from htbench.steering import baseline
from htbench.steering.method import FitsSideBySide, Method, towards_many


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """The size of a method's measured fits of several concepts."""

    concepts: int
    """Concepts side by side, by which the seconds of a fit are divided."""
    steps: int
    """Steps that were measured; 0: all of them."""
    scale: float
    """Number of steps of a fit per measured step."""


def measure(harness: TimingHarness, entry: TimedMethod) -> SideBySide | None:
    """Time fits of `protocol.together` training concepts; None for a method that has no such fits.

    There are three, each of other concepts, or fewer where they would take more than a twentieth of
    the session. Long fits are measured over their first three steps. The method should have been
    warmed up before.
    """
    count, method = harness.protocol.together, _method(entry)
    if (
        count < 2
        or count > len(harness.training_concepts)
        or not isinstance(method, FitsSideBySide)
    ):
        return None
    steering = method.train(harness.model, (), seed=harness.protocol.seed)
    began = time.monotonic()
    repeats = min(durations.MIN_PIECES, len(harness.training_concepts) // count)
    for number in range(1, repeats + 1):
        group = harness.training_concepts[(number - 1) * count : number * count]
        measurement = harness.measure(partial(towards_many, steering, group))
        name, first = entry.card.name, group[0].id
        harness.sink(
            to_samples(measurement, method=name, work="together", concept=first, number=number)
        )
        spent = time.monotonic() - began
        if spent * repeats / number > REPEATED_SHARE * 60 * harness.protocol.minutes:
            break
    steps = _steps(entry)
    scale = entry.of_steps / steps if steps else 1.0
    return SideBySide(concepts=count, steps=steps, scale=scale)


def _steps(entry: TimedMethod) -> int:
    """Steps of a fit that are measured; 0: all of them."""
    return min(entry.of_steps, schedule.MIN_STEPS) if entry.steps else 0


def _method(entry: TimedMethod) -> Method:
    """The method of `entry` with as many steps as are measured."""
    steps = _steps(entry)
    method: Method = baseline.load_method(
        entry.card.with_settings({"steps": steps}) if steps else entry.card
    )
    return method
