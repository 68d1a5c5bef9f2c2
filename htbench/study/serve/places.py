"""Places of a served study for people who come by one common link, each with an identifier."""

import time
from collections.abc import Callable, Mapping
from threading import Lock

RESERVED_SECONDS = 1800.0
"""Time for which a sheet waits for the consent of the person who was sent to it."""


class Places:
    """Gives each identifier a sheet of its own, in the order of the sheets."""

    def __init__(self, sheets: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sheets, self._clock = sheets, clock
        self._reserved: dict[str, tuple[int, float]] = {}
        self._lock = Lock()

    def take(self, rater: str, begun: Callable[[], Mapping[int, str]]) -> int | None:
        """The sheet of a person, the same one at every call; None if no sheet is left.

        Args:
            begun: gives the identifiers of people who have begun, by their sheet.
        """
        with self._lock:
            raters, now = begun(), self._clock()
            for sheet, known in raters.items():
                if known == rater:
                    return sheet
            self._reserved = {
                name: (sheet, until)
                for name, (sheet, until) in self._reserved.items()
                if until > now and sheet not in raters
            }
            taken = {sheet for name, (sheet, _) in self._reserved.items() if name != rater}
            own = self._reserved.get(rater)
            free = (k for k in range(1, self._sheets + 1) if k not in raters and k not in taken)
            number = own[0] if own else next(free, None)
            if number is not None:
                self._reserved[rater] = number, now + RESERVED_SECONDS
            return number
