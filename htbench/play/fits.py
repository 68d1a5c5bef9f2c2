"""Fits in the background, one at a time, with the seconds that each takes."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from htbench.core.errors import HtbenchError, UsageError
from htbench.play.view import ConceptSource

MAX_WAITING = 16
"""Most fits that wait or go on at once."""
_REMEMBERED = 1000


@dataclass(kw_only=True)
class Fit:
    """A fit of one method to one concept."""

    method: str
    state: Literal["waiting", "fitting", "done", "failed"] = "waiting"
    began: float = 0.0
    took: float = 0.0
    problem: str = ""

    @property
    def seconds(self) -> float:
        """Time that it took, or has taken so far."""
        return time.perf_counter() - self.began if self.state == "fitting" else self.took


class Fits:
    """Calls `fit` for one method and concept after the other, in a thread of its own.

    Args:
        fit: makes the fit of a method to a concept, and keeps it.
        is_kept: True while it is kept; one that is not is made again.
    """

    def __init__(
        self,
        fit: Callable[[str, ConceptSource], object],
        is_kept: Callable[[str, ConceptSource], bool],
    ) -> None:
        self._fit, self._is_kept = fit, is_kept
        self._fits: dict[tuple[str, ConceptSource], Fit] = {}
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, "fit")

    def ask(self, method: str, source: ConceptSource) -> Fit:
        """The fit, begun if it was not before; one that failed is tried again.

        Raises:
            UsageError: if too many fits wait.
        """
        key = method, source
        with self._lock:
            known = self._fits.get(key)
            if known and known.state in ("waiting", "fitting"):
                return known
            if known and known.state == "done" and self._is_kept(method, source):
                return known
            if known and known.state == "failed":
                del self._fits[key]
                return known
            going = [fit for fit in self._fits.values() if fit.state in ("waiting", "fitting")]
            if len(going) >= MAX_WAITING:
                raise UsageError(f"{MAX_WAITING} fits wait already", remedy="Try again later.")
            while len(self._fits) >= _REMEMBERED:
                del self._fits[next(iter(self._fits))]
            fit = self._fits[key] = Fit(method=method)
        self._thread.submit(self._run, fit, source)
        return fit

    def expected_seconds(self, method: str) -> float | None:
        """The time that the last fit of a method took; None before the first."""
        with self._lock:
            took = [fit.took for fit in self._fits.values() if fit.method == method and fit.took]
        return took[-1] if took else None

    def stop(self) -> None:
        """Begin no further fits."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self, fit: Fit, source: ConceptSource) -> None:
        fit.began, fit.state = time.perf_counter(), "fitting"
        try:
            self._fit(fit.method, source)
        except HtbenchError as error:
            fit.problem, fit.state = str(error), "failed"
        except BaseException as error:  # a bug in a method, or its exit, must not end the page
            fit.problem, fit.state = f"{type(error).__name__}: {error}"[:300], "failed"
        else:
            fit.took, fit.state = time.perf_counter() - fit.began, "done"
