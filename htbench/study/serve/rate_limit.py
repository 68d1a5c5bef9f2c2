"""A limit to the requests of one link in a time."""

import time
from collections.abc import Callable
from threading import Lock


class RateLimit:
    """Allows `burst` requests at once, and `per_second` more in each second, for each key."""

    def __init__(
        self, *, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._left: dict[int, tuple[float, float]] = {}
        self._lock = Lock()

    def take(self, key: int) -> bool:
        """Count a request, and return True if it is allowed."""
        with self._lock:
            now = self._clock()
            left, since = self._left.get(key, (float(self._burst), now))
            left = min(float(self._burst), left + (now - since) * self._per_second)
            is_allowed = left >= 1
            self._left[key] = (left - 1 if is_allowed else left, now)
            return is_allowed
