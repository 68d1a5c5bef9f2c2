"""The rival: the per-concept method that methods trained on many concepts are held against."""

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np

from htbench.core.errors import HtbenchError
from htbench.report.roles import Roles
from htbench.run.store import Store
from htbench.run.summary import Summary


@dataclass(frozen=True, kw_only=True)
class Rival:
    """The per-concept method with the highest mean concept gain at full strength."""

    method: str
    chosen_on: Literal["dev concepts", "this run"]
    """The concepts of that mean; dev concepts are not among those that the run evaluates."""


def find_rival(summary: Summary, roles: Roles) -> Rival | None:
    """The rival, chosen on dev concepts where the run has dev results, else on this run.

    None without a per-concept method that is scored and that the scorer can judge.
    """
    here = {
        method: float(np.mean(list(scores.values())))
        for method in roles.per_concept
        if method not in roles.circular and (scores := summary.means(method, summary.full_strength))
    }
    on_dev = {method: gain for method in here if (gain := _dev_gain(summary, method)) is not None}
    if on_dev:
        return Rival(method=max(on_dev, key=lambda name: on_dev[name]), chosen_on="dev concepts")
    if here:
        return Rival(method=max(here, key=lambda name: here[name]), chosen_on="this run")
    return None


def steerable_kinds(summary: Summary, method: str, *, floor: float) -> frozenset[str] | None:
    """Kinds of concept that `method` can steer, by its mean gain on the kind's dev concepts.

    A kind counts if that mean is at least `floor` times the mean over all dev concepts. None where
    the run has no dev results by its own scorer, or where the method's gain on all dev concepts is
    not above 0.
    """
    with suppress(HtbenchError), Store.read(summary.store.folder / "tuning") as store:
        dev = Summary(store)
        gains = dev.means(method, summary.full_strength) if dev.scorer == summary.scorer else {}
        mean = float(np.mean(list(gains.values()))) if gains else 0.0
        if mean <= 0:
            return None
        by_kind = defaultdict(list)
        for concept, gain in gains.items():
            if concept in dev.facts.concepts:
                by_kind[dev.facts.concepts[concept].kind].append(gain)
        return frozenset(
            kind for kind, values in by_kind.items() if np.mean(values) >= floor * mean
        )
    return None


def _dev_gain(summary: Summary, method: str) -> float | None:
    """Mean gain on dev concepts at the run's full strength, as choosing strengths recorded it."""
    choice = summary.facts.tuned.get(method)
    points = [row for row in choice.curve if len(row) == 3] if choice else []
    return next(
        (
            gain
            for strength, gain, _ in points
            if strength == summary.full_strength and np.isfinite(gain)
        ),
        None,
    )
