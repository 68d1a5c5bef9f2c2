"""What `htbench time` measured, as figures: times of a concept, their phases, and what learning once saves against fitting each."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from htbench.core.errors import Refused
from htbench.run.store import Sample, Store
from htbench.stats import durations

SHARED_CONDITIONS = ("machine", "device", "threads", "dtype", "model", "revision", "process")
"""Conditions that all times of one ratio share."""


@dataclass(frozen=True, kw_only=True)
class TimingSeries:
    """Durations in seconds and the conditions they were measured under."""

    seconds: tuple[float, ...]
    conditions: Mapping[str, object]


def saving(
    *, training: float, fit: TimingSeries, predict: TimingSeries, generate: TimingSeries
) -> durations.Saving:
    """What a method with the one-off cost `training`, paid under the conditions of `predict`, saves.

    Raises:
        Refused: if the times are not of the same machine, number format and model settings.
    """
    for name in SHARED_CONDITIONS:
        found = [series.conditions.get(name) for series in (fit, predict, generate)]
        if any(value != found[0] for value in found):
            raise Refused(
                f"times of different {name} make no ratio: {', '.join(map(repr, dict.fromkeys(map(str, found))))}",
                remedy="Time them together.",
            )
    return durations.Saving(
        training=training, fit=fit.seconds, predict=predict.seconds, generate=generate.seconds
    )


@dataclass(frozen=True, kw_only=True)
class MethodTimes:
    """One method's times in a session."""

    method: str
    kind: str
    concept: durations.DurationSummary
    """From a concept to a model that is steered, in full."""
    seconds: tuple[float, ...]
    """The samples of that: learning or predicting with all its steps, and installing."""
    phases: dict[str, durations.DurationSummary]
    """Of a concept, as they were measured: not scaled."""
    memory: dict[str, int]
    """Peak bytes of each phase while warming up."""
    image: durations.DurationSummary | None
    """A steered image, installing left out."""
    scale: float
    """How many times the measured steps a fit has; 1: it was measured in full."""
    training: Mapping[str, Any]
    """How C was found; see `timing.Shared`."""
    recorded: Mapping[str, Any]
    probe: durations.CacheProbe | None

    @property
    def amortised(self) -> bool:
        """Whether something was learnt beforehand."""
        return self.cost > 0

    @property
    def cost(self) -> float:
        """C."""
        return float(self.training.get("seconds") or 0.0)


@dataclass(frozen=True, kw_only=True)
class SavingComparison:
    """A method that learns once against one that fits each concept."""

    amortised: MethodTimes
    per_concept: MethodTimes
    saving: durations.Saving


@dataclass(frozen=True)
class Session:
    """One call of `htbench time`."""

    samples: Sequence[Sample]
    facts: Mapping[str, Any]

    @property
    def conditions(self) -> Mapping[str, object]:
        """The machine, the model and its settings."""
        return dict(self.facts.get("conditions") or {})

    @cached_property
    def method_times(self) -> list[MethodTimes]:
        """Of the methods, in the order in which they were asked for."""
        methods = self.facts.get("methods") or {}
        found = (self._method_times(method, about) for method, about in methods.items())
        return [pace for pace in found if pace]

    @cached_property
    def image_seconds(self) -> tuple[float, ...]:
        """Samples of g: an image that is not steered, its prompt encoded already."""
        return self._phase_seconds("", "image", "generate")

    @cached_property
    def comparisons(self) -> list[SavingComparison]:
        """Every method that learns once against every one that fits each concept, slowest first."""
        fits = sorted(
            (
                pace
                for pace in self.method_times
                if not pace.amortised and pace.kind == "per-concept"
            ),
            key=lambda pace: -pace.concept.median,
        )
        if not self.image_seconds:
            return []
        return [
            SavingComparison(
                amortised=pace,
                per_concept=fit,
                saving=saving(
                    training=pace.cost,
                    fit=self._series(fit),
                    predict=self._series(pace),
                    generate=self._image_series,
                ),
            )
            for pace in self.method_times
            if pace.amortised
            for fit in fits
        ]

    @cached_property
    def model_phases(self) -> dict[str, durations.DurationSummary]:
        """Phases of the model alone: loading it, encoding a prompt, an image."""
        works = {
            "load": ("load", "load"),
            "encode-prompts": ("image", "encode-prompts"),
            "generate": ("image", "generate"),
        }
        found = {
            name: durations.summarise_durations(self._phase_seconds("", work, phase))
            for name, (work, phase) in works.items()
        }
        return {name: duration for name, duration in found.items() if duration}

    @property
    def _image_series(self) -> TimingSeries:
        return TimingSeries(seconds=self.image_seconds, conditions=self.conditions)

    def _series(self, times: MethodTimes) -> TimingSeries:
        return TimingSeries(seconds=times.seconds, conditions=self.conditions)

    def _phase_seconds(self, method: str, work: str, phase: str) -> tuple[float, ...]:
        return tuple(
            s.seconds
            for s in self._samples_by_work.get((method, work), ())
            if s.phase == phase and s.round
        )

    @cached_property
    def _samples_by_work(self) -> dict[tuple[str, str], list[Sample]]:
        found: dict[tuple[str, str], list[Sample]] = defaultdict(list)
        for sample in self.samples:
            found[sample.method, sample.work].append(sample)
        return found

    def _method_times(self, method: str, about: Mapping[str, Any]) -> MethodTimes | None:
        scale = float(about.get("scale") or 1.0)
        rows = self._samples_by_work.get((method, "concept"), [])
        rounds = {s.round: s.seconds for s in rows if s.round and not s.phase}
        for sample in rows:
            if sample.round in rounds and sample.phase == "fit":
                rounds[sample.round] += (scale - 1) * sample.seconds
        for sample in self._samples_by_work.get((method, "image"), []):
            if sample.round in rounds and sample.phase == "install":
                rounds[sample.round] += sample.seconds
        whole = durations.summarise_durations(list(rounds.values()))
        if whole is None:
            return None
        names = dict.fromkeys(s.phase for s in rows if s.phase and s.round)
        measured = {
            name: durations.summarise_durations(self._phase_seconds(method, "concept", name))
            for name in names
        }
        measured["install"] = durations.summarise_durations(
            self._phase_seconds(method, "image", "install")
        )
        return MethodTimes(
            method=method,
            kind=str(about.get("kind") or ""),
            concept=whole,
            seconds=tuple(rounds.values()),
            phases={name: duration for name, duration in measured.items() if duration},
            memory={s.phase: s.memory for s in rows if s.phase and s.memory and not s.round},
            image=durations.summarise_durations(self._phase_seconds(method, "image", "generate")),
            scale=scale,
            training=dict(about.get("training") or {}),
            recorded=dict(about.get("recorded") or {}),
            probe=self._cache_probe(method),
        )

    def _cache_probe(self, method: str) -> durations.CacheProbe | None:
        new = {
            s.round: s.seconds
            for s in self._samples_by_work.get((method, "concept"), [])
            if not s.phase and s.round
        }
        again = {
            s.round: s.seconds
            for s in self._samples_by_work.get((method, "again"), [])
            if not s.phase
        }
        both = sorted(new.keys() & again.keys())
        return durations.probe_cache([new[k] for k in both], [again[k] for k in both])


def latest(store: Store) -> Session | None:
    """The last session of a run; None if nothing was timed."""
    sessions = store.facts().get("timing")
    if not isinstance(sessions, dict) or not sessions:
        return None
    name = list(sessions)[-1]
    return Session(store.samples(name), sessions[name])


def caveats(session: Session) -> list[str]:
    """What a reader must know before the figures, in sentences."""
    found = [f"{pace.method} answers a concept that it has seen {pace.probe.ratio:.1f} times as fast (p = {pace.probe.p:.2g}): it keeps its answers, so its "
             "time of a concept holds for new ones alone." for pace in session.method_times if pace.probe and pace.probe.caches]  # fmt: skip
    bad: dict[str, list[str]] = defaultdict(list)
    for pace in session.method_times:
        if pace.concept.median >= 1e-3:
            bad[pace.concept.quality].append(pace.method)
    words = {
        "invalid": "vary by more than 25 % of their median, and mean nothing",
        "noisy": "vary by more than 10 % of their median",
        "few": f"are of fewer than {durations.MIN_SAMPLES} rounds",
    }
    found += [
        f"Times of {', '.join(bad[verdict])} {text}."
        for verdict, text in words.items()
        if bad[verdict]
    ]
    before = session.facts.get("before") or {}
    load, cores = (before.get("load") or [0.0])[0], before.get("cores") or math.inf
    if load > 0.5:
        found.append(
            f"The machine did other things when the timing began: a load of {load:g} on {cores} cores."
        )
    if session.facts.get("forgets") is False:
        found.append(
            "The model keeps encoded prompts and cannot be told to forget them: encoding counts where a prompt is met for the first time alone."
        )
    if other := (session.facts.get("protocol") or {}).get("encoder"):
        found.append(
            f"Methods that learn once read concepts with {other}, not with the model's own conditioner."
        )
    for pace in session.method_times:
        if pace.scale != 1:
            found.append(
                f"A fit of {pace.method} was measured over a part of its steps; that part counts {pace.scale:g} times."
            )
        of = pace.training
        if pace.amortised and (
            of.get("concepts") != of.get("of_concepts") or of.get("steps") != of.get("of_steps")
        ):
            steps = (
                f" and {of.get('steps')} of {of.get('of_steps'):,} steps"
                if of.get("of_steps")
                else ""
            )
            found.append(
                f"C of {pace.method} is scaled from {of.get('concepts')} of {of.get('of_concepts'):,} concepts{steps}, learnt here for their time alone."
            )
    found += [
        f"{method} was not timed: {why}"
        for method, why in (session.facts.get("untimed") or {}).items()
    ]
    return found
