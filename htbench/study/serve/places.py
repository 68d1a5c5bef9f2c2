"""Places of a served study for people who come by one common link, each with an identifier."""

import time
from collections.abc import Callable, Collection, Mapping
from threading import Lock

RESERVED_SECONDS = 1800.0
"""Time for which a sheet waits for the consent of the person who was sent to it."""


class Places:
    """Gives each identifier a sheet of its own, in the order of the sheets."""

    def __init__(self, sheets: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sheets, self._clock = sheets, clock
        self._reserved: dict[str, tuple[int, float]] = {}
        self._lock = Lock()

    def take(
        self,
        rater: str,
        begun: Callable[[], Mapping[int, str]],
        overdue: Callable[[], Collection[int]] = tuple,
    ) -> int | None:
        """The sheet of a person, the same one at every call; None if no sheet is left.

        Args:
            begun: gives the identifiers of people who have begun, by their sheet.
            overdue: gives the sheets of those who stay away, which are taken after all others.
        """
        with self._lock:
            raters, late, now = begun(), overdue(), self._clock()
            for sheet, known in raters.items():
                if known == rater:
                    return sheet
            self._reserved = {
                name: (sheet, until)
                for name, (sheet, until) in self._reserved.items()
                if until > now and (sheet not in raters or sheet in late)
            }
            taken = {sheet for name, (sheet, _) in self._reserved.items() if name != rater}
            own = self._reserved.get(rater)
            sheets = [*(k for k in range(1, self._sheets + 1) if k not in raters), *late]
            free = (k for k in sheets if k not in taken)
            number = own[0] if own else next(free, None)
            if number is not None:
                self._reserved[rater] = number, now + RESERVED_SECONDS
            return number
