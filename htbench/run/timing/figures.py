"""Figures of a session of `htbench time`: seconds per concept, their phases, and the time that
amortised methods save against fitting each concept."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from htbench.core.errors import Refused
from htbench.run.store import Sample, Store
from htbench.stats import durations

SHARED_CONDITIONS = ("machine", "device", "threads", "dtype", "model", "revision", "process")
"""Conditions that all times of one ratio share."""
MIN_REPEATS = 7
"""Fewest repeated concepts with which a sign-flip test can reach p < 0.01."""


@dataclass(frozen=True, kw_only=True)
class TimingSeries:
    """Durations in seconds and the conditions they were measured under."""

    seconds: tuple[float, ...]
    conditions: Mapping[str, object]


def saving(
    *,
    training: durations.ScaledCost,
    fit: TimingSeries,
    predict: TimingSeries,
    generate: TimingSeries,
) -> durations.Saving:
    """The saving of a method with the one-off cost `training`, under the conditions of `predict`.

    Raises:
        Refused: if the times are not of the same machine, number format and model settings.
    """
    for name in SHARED_CONDITIONS:
        values = [series.conditions.get(name) for series in (fit, predict, generate)]
        if any(value != values[0] for value in values):
            distinct = ", ".join(map(repr, dict.fromkeys(map(str, values))))
            raise Refused(
                f"times of different {name} make no ratio: {distinct}",
                remedy="Time them together.",
            )
    return durations.Saving(
        training=training, fit=fit.seconds, predict=predict.seconds, generate=generate.seconds
    )


@dataclass(frozen=True, kw_only=True)
class TimesTogether:
    """Times of a method's fits of several concepts side by side."""

    concepts: int
    """Concepts in one fit."""
    seconds: tuple[float, ...]
    """Seconds per concept: those of a fit with all steps, divided by its concepts, and those of
    installing a map."""
    concept: durations.DurationSummary
    """Summary of `seconds`."""
    scale: float
    """Number of steps of a fit per measured step; 1: it was measured in full."""


@dataclass(frozen=True, kw_only=True)
class MethodTimes:
    """One method's times in a session."""

    method: str
    kind: str
    concept: durations.DurationSummary
    """Seconds from a concept to a steered model, in full."""
    seconds: tuple[float, ...]
    """The samples of `concept`: fitting or predicting with all steps, and installing."""
    phases: dict[str, durations.DurationSummary]
    """Phases of a concept, as measured: not scaled."""
    memory: dict[str, int]
    """Peak bytes of each phase while warming up."""
    image: durations.DurationSummary | None
    """A steered image, installing left out."""
    scale: float
    """Number of steps of a fit per measured step; 1: it was measured in full."""
    steps: int
    """Steps of a whole fit or training; 0: it has none."""
    training: Mapping[str, Any]
    """Measurement of the training cost C; see `protocol.TrainingCost`."""
    recorded: Mapping[str, Any]
    """Record of a shipped training, which may be of another machine."""
    published: bool
    """True if the method's card has published figures."""
    published_speed_up: str
    """The speed-up over fits that the method's card quotes from its paper; empty: none."""
    probe: durations.CacheProbe | None
    together: TimesTogether | None
    """Fits of several concepts side by side; None where there are none."""

    @property
    def amortised(self) -> bool:
        """True if the method was trained beforehand."""
        return self.cost > 0

    @property
    def cost(self) -> float:
        """The one-off cost C of training, in seconds."""
        return float(self.training.get("seconds") or 0.0)

    @property
    def training_cost(self) -> durations.ScaledCost:
        """C with the pieces that it was extrapolated from."""
        parts = self.training.get("parts")
        if not parts:  # a session that kept no pieces
            parts = [{"factor": 1.0, "seconds": [self.cost]}] if self.cost else []
        return durations.ScaledCost(
            parts=tuple(
                durations.ScaledPart(factor=part["factor"], seconds=tuple(part["seconds"]))
                for part in parts
            )
        )

    @property
    def cost_interval(self) -> durations.Interval:
        """C with its 95 % interval; NaN ends where too few pieces were measured."""
        return self.training_cost.interval()


@dataclass(frozen=True, kw_only=True)
class SavingComparison:
    """An amortised method against one that fits each concept."""

    amortised: MethodTimes
    per_concept: MethodTimes
    saving: durations.Saving
    together: int = 1
    """Number of concepts that were fitted side by side; 1: each by itself."""

    @property
    def fit(self) -> str:
        """The name of the fit, with the number of concepts side by side."""
        more = f", {self.together} side by side" if self.together > 1 else ""
        return self.per_concept.method + more


@dataclass(frozen=True)
class Session:
    """The samples and facts of one call of `htbench time`."""

    samples: Sequence[Sample]
    facts: Mapping[str, Any]

    @property
    def conditions(self) -> Mapping[str, object]:
        """The machine, the model and its settings."""
        return dict(self.facts.get("conditions") or {})

    @cached_property
    def method_times(self) -> list[MethodTimes]:
        """Times of each method, in the order of the command."""
        methods = self.facts.get("methods") or {}
        entries = (self._method_times(method, facts) for method, facts in methods.items())
        return [times for times in entries if times]

    @cached_property
    def image_seconds(self) -> tuple[float, ...]:
        """Samples of g: the seconds of an unsteered image, its prompt encoded already."""
        return self._phase_seconds("", "image", "generate")

    @cached_property
    def comparisons(self) -> list[SavingComparison]:
        """Every amortised method against every one that fits each concept, the slowest first."""
        fits = sorted(
            (
                times
                for times in self.method_times
                if not times.amortised and times.kind == "per-concept"
            ),
            key=lambda times: -times.concept.median,
        )
        if not self.image_seconds:
            return []
        return [
            SavingComparison(
                amortised=times,
                per_concept=fit,
                saving=saving(
                    training=times.training_cost,
                    fit=self._series(fit),
                    predict=self._series(times),
                    generate=self._image_series,
                ),
            )
            for times in self.method_times
            if times.amortised
            for fit in fits
        ]

    @cached_property
    def comparisons_together(self) -> list[SavingComparison]:
        """Every amortised method against the fits of several concepts side by side."""
        return [
            replace(
                each,
                saving=saving(
                    training=each.amortised.training_cost,
                    fit=TimingSeries(seconds=together.seconds, conditions=self.conditions),
                    predict=self._series(each.amortised),
                    generate=self._image_series,
                ),
                together=together.concepts,
            )
            for each in self.comparisons
            if (together := each.per_concept.together)
        ]

    @cached_property
    def model_phases(self) -> dict[str, durations.DurationSummary]:
        """Phases of the model alone: loading it, encoding a prompt, generating an image."""
        works = {
            "load": ("load", "load"),
            "encode-prompts": ("image", "encode-prompts"),
            "generate": ("image", "generate"),
        }
        phases = {
            name: durations.summarise_durations(self._phase_seconds("", work, phase))
            for name, (work, phase) in works.items()
        }
        return {name: duration for name, duration in phases.items() if duration}

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
        samples: dict[tuple[str, str], list[Sample]] = defaultdict(list)
        for sample in self.samples:
            samples[sample.method, sample.work].append(sample)
        return samples

    def _method_times(self, method: str, facts: Mapping[str, Any]) -> MethodTimes | None:
        scale = float(facts.get("scale") or 1.0)
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
            kind=str(facts.get("kind") or ""),
            concept=whole,
            seconds=tuple(rounds.values()),
            phases={name: duration for name, duration in measured.items() if duration},
            memory={s.phase: s.memory for s in rows if s.phase and s.memory and not s.round},
            image=durations.summarise_durations(self._phase_seconds(method, "image", "generate")),
            scale=scale,
            steps=int(facts.get("steps") or 0),
            training=dict(facts.get("training") or {}),
            recorded=dict(facts.get("recorded") or {}),
            published=bool(facts.get("published")),
            published_speed_up=str(facts.get("published_speed_up") or ""),
            probe=self._cache_probe(method),
            together=self._times_together(method, dict(facts.get("together") or {})),
        )

    def _times_together(self, method: str, facts: Mapping[str, Any]) -> TimesTogether | None:
        rows = self._samples_by_work.get((method, "together"), [])
        concepts, scale = int(facts.get("concepts") or 0), float(facts.get("scale") or 1.0)
        if not rows or not concepts:
            return None
        fits = {s.round: s.seconds for s in rows if not s.phase}
        for sample in rows:
            if sample.phase == "fit":
                fits[sample.round] += (scale - 1) * sample.seconds
        install = durations.summarise_durations(self._phase_seconds(method, "image", "install"))
        seconds = tuple(
            fit / concepts + (install.median if install else 0.0) for fit in fits.values()
        )
        summary = durations.summarise_durations(seconds)
        if summary is None:
            return None
        return TimesTogether(concepts=concepts, seconds=seconds, concept=summary, scale=scale)

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


def latest(store: Store, *, revision: str | None = None) -> Session | None:
    """The last session of a run, or of a model of `revision` in it; None if there is none."""
    found = [
        session
        for session in _sessions(store)
        if revision is None or session.conditions.get("revision") == revision
    ]
    return found[-1] if found else None


def latest_of_models(store: Store) -> list[Session]:
    """The last session of each model of a run that timed something, the model timed first first."""
    by_model = {
        (session.conditions.get("model"), session.conditions.get("weights")): session
        for session in _sessions(store)
        if session.method_times
    }
    return list(by_model.values())


def _sessions(store: Store) -> list[Session]:
    """All sessions, the earliest first."""
    sessions = store.facts().get("timing")
    if not isinstance(sessions, dict):
        return []
    return [Session(store.samples(name), facts) for name, facts in sessions.items()]


def caveats(session: Session) -> list[str]:
    """Caveats about the figures of a session, in sentences."""
    sentences = [
        f"{times.method} answers a concept that it has seen {times.probe.ratio:.1f} times as fast "
        f"(p = {times.probe.p:.2g}): it keeps its answers, so its time of a concept holds for new "
        "ones alone."
        for times in session.method_times
        if times.probe and times.probe.caches
    ]
    if session.conditions.get("weights") == "tiny":
        sentences.insert(0, "Weights are tiny: this is a rehearsal, and its figures mean nothing.")
    sentences += _noise_caveats(session)
    again = (session.facts.get("schedule") or {}).get("again")
    if again is not None and again < MIN_REPEATS:
        sentences.append(
            f"There was time for {again} repeated concepts, too few to tell whether a method keeps "
            "its answers."
        )
    sentences += _machine_caveats(session)
    for times in session.method_times:
        sentences += _scale_caveats(times)
    if session.facts.get("interrupted"):
        sentences.append("The session was interrupted: its last round may lack methods.")
    untimed = session.facts.get("untimed") or {}
    return [*sentences, *(f"{method} was not timed: {why}" for method, why in untimed.items())]


def _noise_caveats(session: Session) -> list[str]:
    bad: dict[str, list[str]] = defaultdict(list)
    for times in session.method_times:
        if times.concept.median >= 1e-3:
            bad[times.concept.quality].append(times.method)
    words = {
        "invalid": "vary by more than 25 % of their median, and mean nothing",
        "noisy": "vary by more than 10 % of their median",
        "few": f"are of fewer than {durations.MIN_SAMPLES} rounds",
    }
    return [
        f"Times of {', '.join(bad[quality])} {text}."
        for quality, text in words.items()
        if bad[quality]
    ]


def _machine_caveats(session: Session) -> list[str]:
    sentences = []
    before = session.facts.get("before") or {}
    load, cores = (before.get("load") or [0.0])[0], before.get("cores") or math.inf
    if load > 0.5:
        sentences.append(
            "The machine did other things when the timing began: "
            f"a load of {load:g} on {cores} cores."
        )
    if session.facts.get("forgets") is False:
        sentences.append(
            "The model keeps encoded prompts and cannot be told to forget them: "
            "encoding counts where a prompt is met for the first time alone."
        )
    if other := (session.facts.get("protocol") or {}).get("encoder"):
        sentences.append(
            f"Methods that learn once read concepts with {other}, "
            "not with the model's own conditioner."
        )
    return sentences


def _scale_caveats(times: MethodTimes) -> list[str]:
    sentences = []
    if times.amortised and (measured := times.training.get("measured")):
        sentences.append(
            f"C of {times.method} was measured by an earlier session under the same conditions, "
            f"at {measured}."
        )
    if times.scale != 1:
        sentences.append(
            f"A fit of {times.method} was measured over a part of its steps; "
            f"that part counts {times.scale:g} times."
        )
    if times.together:
        together, part = times.together, ""
        if together.scale != 1:
            part = f", over a part of its steps that counts {together.scale:g} times"
        sentences.append(
            f"{times.method} was also measured on {together.concepts} concepts side by side{part}, "
            f"in {together.concept.n} fits before the rounds."
        )
    training = times.training
    concepts, of_concepts = training.get("concepts"), training.get("of_concepts")
    steps, of_steps = training.get("steps"), training.get("of_steps")
    if times.amortised and (concepts != of_concepts or steps != of_steps):
        part = f" and {steps} of {of_steps:,} steps" if of_steps else ""
        sentences.append(
            f"C of {times.method} is scaled from {concepts} of {of_concepts:,} concepts{part}, "
            "learnt here for their time alone."
        )
    return sentences
