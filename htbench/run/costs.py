"""The costs of a run's methods, and what training once saves against fitting each concept.

Speed is told against two fits side by side: the quickest of those that score at least as high here
("time to equal quality"), and the slowest that has published figures (the paper's setting).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np

from htbench.run.fact_table import Facts, SessionFacts
from htbench.run.store import FitTiming, Store
from htbench.run.timing import figures
from htbench.stats import durations
from htbench.stats.estimates import Estimate

FitRule = Literal["equal quality", "best quality", "paper's setting"]
"""The reason a fit was chosen: the quickest that scores as high as the method; where none does, the
one that scores highest; the slowest with published figures."""
_SURROUNDINGS = ("cpu", "threads", "device", "torch")
"""Parts of the environment that times of one ratio share."""
IMAGE_COUNTS = (0, 1, 10, 100)
"""Numbers of images m that S(m) is given for."""


@dataclass(frozen=True, kw_only=True)
class FitComparison:
    """A method that was trained beforehand against one that fits each concept."""

    fit: str
    rule: FitRule
    gain: Estimate | None
    """The headline score of the fit."""
    saving: durations.Saving
    together: int = 1
    """Number of concepts that were fitted side by side; 1: each by itself."""

    @property
    def fit_name(self) -> str:
        """The fit, with the number of concepts that were fitted side by side."""
        return self.fit + (f", {self.together} at a time" if self.together > 1 else "")

    def facts(self) -> dict[str, object]:
        """The figures without raw samples, as JSON-like values."""
        return {
            "fit": self.fit,
            "rule": self.rule,
            "together": self.together,
            "gain": self.gain and asdict(self.gain),
            **{f"s{m}": asdict(self.saving.speedup(m)) for m in IMAGE_COUNTS},
            "break_even": asdict(self.saving.break_even),
        }


@dataclass(frozen=True, kw_only=True)
class MethodCost:
    """The cost of a method in seconds, and its saving against methods that fit each concept."""

    method: str
    training: float
    """Training before the first concept as it was recorded, and choosing a strength on dev
    concepts. The record may be of another machine, so no break-even point is made of it."""
    trained_on: str
    """The machine of the record; empty for no training."""
    tuning: float
    """The part of `training` spent on choosing the strength."""
    concept: durations.Quartiles | None
    """Time from a concept to its intervention, while the run was made."""
    together: int
    """Number of concepts that were fitted side by side, by which their time is divided."""
    gain: Estimate | None
    """The headline score."""
    comparisons: tuple[FitComparison, ...] = ()
    """Empty for methods that are not trained beforehand, and where no fit was timed beside it."""

    @property
    def amortisation(self) -> durations.Amortisation | None:
        """The first comparison's saving, by medians."""
        return self.comparisons[0].saving.point_estimate if self.comparisons else None

    def facts(self) -> dict[str, object]:
        """All figures, as JSON-like values."""
        saving = self.amortisation
        fields = ("method", "training", "trained_on", "tuning", "concept", "together", "gain")
        return {
            **{name: value for name, value in asdict(self).items() if name in fields},
            "amortisation": saving and asdict(saving),
            "comparisons": [comparison.facts() for comparison in self.comparisons],
        }


@dataclass(frozen=True, kw_only=True)
class TimedSession:
    """Seconds that were measured on one machine in one environment."""

    protocol: bool
    """True for a session of `htbench time`, False for the times of the run itself."""
    fits: Mapping[str, tuple[float, ...]]
    """Samples of c, by method."""
    predictions: Mapping[str, tuple[float, ...]]
    """Samples of h, by method."""
    generate: tuple[float, ...]
    """Samples of g."""
    training: Mapping[str, durations.ScaledCost]
    """C, by method; nothing where it was not measured in this session."""
    published: Collection[str]
    """Fits that have published figures."""
    together: Mapping[str, int] = field(default_factory=dict)
    """Number of concepts that were fitted side by side, by method; 1 where there is none."""


def latest_times(store: Store, facts: Facts) -> TimedSession | None:
    """The last session of `htbench time` on the run's model, else the run's own times.

    None where the run's own times are of several machines or versions, which make no ratio.
    """
    session = figures.latest(store, revision=facts.model.revision)
    cards = facts.methods
    published = {method for method, card in cards.items() if card.published}
    if session and session.comparisons:
        return TimedSession(
            protocol=True,
            fits={
                each.per_concept.method: each.per_concept.seconds for each in session.comparisons
            },
            predictions={
                each.amortised.method: each.amortised.seconds for each in session.comparisons
            },
            generate=session.image_seconds,
            training={
                each.amortised.method: each.amortised.training_cost for each in session.comparisons
            },
            published={row.method for row in session.method_times if row.published} or published,
        )
    if differing_surroundings(store, facts):
        return None
    times = fit_times(store)
    fits, predictions = (
        {
            method: times[method].seconds
            for method in times
            if method in cards and cards[method].kind == kind
        }
        for kind in ("per-concept", "amortised")
    )
    return TimedSession(
        protocol=False,
        fits=fits,
        predictions=predictions,
        generate=tuple(store.image_seconds(without=_sessions_elsewhere(store, facts))),
        training={},
        published=published,
        together={method: each.together for method, each in times.items()},
    )


def differing_surroundings(store: Store, facts: Facts) -> list[str]:
    """Parts of the environment in which the sessions that timed methods differ; empty for none."""
    timed = _timed_sessions(store, facts)
    return [
        part
        for part in _SURROUNDINGS
        if len({repr(each.environment.stored.get(part)) for each in timed}) > 1
    ]


def _sessions_elsewhere(store: Store, facts: Facts) -> list[int]:
    """Sessions in other surroundings than those that timed methods, which are alike."""

    def surroundings(session: SessionFacts) -> list[object]:
        return [session.environment.stored.get(part) for part in _SURROUNDINGS]

    timed = [surroundings(session) for session in _timed_sessions(store, facts)]
    return [each.id for each in facts.sessions if timed and surroundings(each) not in timed]


def _timed_sessions(store: Store, facts: Facts) -> list[SessionFacts]:
    rows = store.select("SELECT DISTINCT session FROM timings WHERE phase = 'towards'")
    return [session for session in facts.sessions if (session.id,) in rows]


@dataclass(frozen=True, kw_only=True)
class FitTimes:
    """The times of a method's fits, all of as many concepts side by side."""

    seconds: tuple[float, ...]
    """Seconds per concept."""
    together: int
    """Number of concepts side by side; 1: each by itself."""


def fit_times(store: Store) -> dict[str, FitTimes]:
    """Times from a concept to its intervention while the run was made, by method.

    Times of other numbers of concepts side by side are not mixed: of each method they are those of
    the number with which most concepts were fitted, the smaller one of two.
    """
    times: dict[str, list[FitTiming]] = {}
    for timing in store.fit_timings():
        times.setdefault(timing.method, []).append(timing)
    return {method: _most_frequent(rows) for method, rows in times.items()}


def _most_frequent(rows: Sequence[FitTiming]) -> FitTimes:
    counts = Counter(row.together for row in rows)
    together = min(counts, key=lambda number: (-counts[number], number))
    seconds = tuple(row.seconds for row in rows if row.together == together)
    return FitTimes(seconds=seconds, together=together)


def compare_with_fits(
    session: TimedSession,
    method: str,
    *,
    gains: Mapping[str, Estimate | None],
    gaps: Mapping[str, float],
) -> tuple[FitComparison, ...]:
    """The method against the fit of equal quality and against the paper's setting.

    `gains` are headline scores by method; `gaps` as for `choose_fits`. Empty for a method that was
    not trained beforehand, or without times of both and of images.
    """
    if method not in session.predictions or not session.generate:
        return ()
    medians = {fit: float(np.median(seconds)) for fit, seconds in session.fits.items()}
    return tuple(
        FitComparison(
            fit=fit,
            rule=rule,
            gain=gains.get(fit),
            saving=durations.Saving(
                training=session.training.get(method, durations.UNKNOWN_COST),
                fit=session.fits[fit],
                predict=session.predictions[method],
                generate=session.generate,
            ),
            together=session.together.get(fit, 1),
        )
        for fit, rule in choose_fits(medians, gaps=gaps, published=session.published)
    )


def choose_fits(
    seconds: Mapping[str, float], *, gaps: Mapping[str, float], published: Collection[str]
) -> list[tuple[str, FitRule]]:
    """The fits to compare a method with, of those with known `seconds` per concept.

    `gaps` are their scores less that of the method, for fits that can be compared with it.
    """
    chosen: list[tuple[str, FitRule]] = []
    as_good = [fit for fit, gap in gaps.items() if gap >= 0]
    if as_good:
        chosen.append((min(as_good, key=lambda fit: seconds[fit]), "equal quality"))
    elif gaps:
        chosen.append((max(gaps, key=lambda fit: gaps[fit]), "best quality"))
    of_papers = [fit for fit in seconds if fit in published]
    if of_papers:
        chosen.append((max(of_papers, key=lambda fit: seconds[fit]), "paper's setting"))
    return chosen
