"""Scales with round ticks: linear, of times, and of counts."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from htbench.report.format import _UNITS

_TIME_TICKS = (
    *(10.0**k for k in range(-6, 2)),
    60.0,
    600.0,
    3600.0,
    36_000.0,
    360_000.0,
    *(86_400.0 * 10**k for k in range(2, 8)),
)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale with its ticks."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def position(self, value: float) -> float:
        """The position of `value`: 0 at the low end, 1 at the high end."""
        scale = math.log10 if self.log else float
        low, high = scale(self.low), scale(self.high)
        return (scale(value) - low) / (high - low)

    def contains(self, value: float) -> bool:
        """True if `value` can be drawn."""
        return math.isfinite(value) and self.low <= value <= self.high

    def clip(self, value: float) -> float:
        """The position of `value`, at an end where it lies beyond it."""
        return min(1.0, max(0.0, self.position(value)))


def linear_axis(label: str, values: Iterable[float]) -> Axis:
    """An axis that holds all finite `values` with some room, ticks at round numbers."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    room = 0.06 * (high - low) or max(0.1, 0.1 * abs(low))
    low, high = low - room, high + room
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= raw * 0.999)
    decimals = max(0, -math.floor(math.log10(step)))
    marks = [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Axis(
        label=label,
        low=low,
        high=high,
        ticks=[(mark, f"{mark + 0.0:.{decimals}f}".replace("-", "−")) for mark in marks],
    )


def time_axis(label: str, values: Iterable[float]) -> Axis:
    """A logarithmic axis of seconds that holds all `values` above zero, ticks at round times."""
    positive = [value for value in values if math.isfinite(value) and value > 0] or [1.0]
    low, high = min(positive) / 1.5, max(positive) * 1.5
    ticks = [(mark, _time_label(mark)) for mark in _TIME_TICKS if low <= mark <= high]
    return Axis(label=label, low=low, high=high, ticks=ticks[:: 1 + len(ticks) // 9], log=True)


def count_axis(label: str, highest: float) -> Axis:
    """A logarithmic axis from 1 to a power of ten not below `highest`, at least 100."""
    decades = max(2, math.ceil(math.log10(max(1.0, highest)) - 1e-9))
    ticks = [(10.0**k, f"{10**k:,}") for k in range(decades + 1)]
    return Axis(
        label=label, low=1, high=10.0**decades, ticks=ticks[:: 1 + len(ticks) // 9], log=True
    )


def _time_label(seconds: float) -> str:
    size, unit = next(((size, unit) for size, _, unit in _UNITS if seconds >= size), (1e-6, "µs"))
    return f"{round(seconds / size):,} {unit}"
