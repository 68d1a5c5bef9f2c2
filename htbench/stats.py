"""Estimates with intervals, tests, and what amortisation saves: numbers in, numbers out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtr, stdtrit


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over concepts with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int
    """Number of concepts."""


def over_concepts(values: Mapping[str, Sequence[float]], *, seed: int = 0, rounds: int = 10_000) -> Estimate | None:
    """Mean of the concepts' means, with the 95 % percentile interval of a bootstrap that resamples concepts; None without values.

    All of a concept's prompts and seeds stay together: they are not independent. One concept has no interval (NaN).

    References:
        Efron, Tibshirani. An Introduction to the Bootstrap. 1993.
    """
    means = np.array([np.mean(list(group)) for group in values.values() if len(group)])
    if not len(means):
        return None
    if len(means) == 1:
        return Estimate(mean=float(means[0]), low=math.nan, high=math.nan, n=1)
    drawn = resamples(len(means), seed=seed, rounds=rounds) @ means / len(means)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(mean=float(means.mean()), low=float(low), high=float(high), n=len(means))


def contrast(first: Sequence[float], second: Sequence[float], *, rounds: int = 10_000) -> Estimate | None:
    """How much higher the mean of some concepts is than that of others, with the 95 % interval of a bootstrap that resamples either; None for fewer than two.

    `n` is the number of all of them.
    """
    if min(len(first), len(second)) < 2:
        return None
    means = [resamples(len(group), seed=seed, rounds=rounds) @ np.array(group) / len(group) for seed, group in enumerate((first, second))]
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return Estimate(mean=float(np.mean(first) - np.mean(second)), low=float(low), high=float(high), n=len(first) + len(second))


@lru_cache(maxsize=4)
def resamples(n: int, *, seed: int = 0, rounds: int = 10_000) -> NDArray[np.float64]:
    """The draws of `over_concepts` for any other statistic: how often each of `n` concepts, or raters, is in each resample; (rounds, n), to read only."""
    picks = np.random.default_rng(seed).integers(0, n, (rounds, n))
    counts = np.bincount((picks + n * np.arange(rounds)[:, None]).ravel(), minlength=n * rounds).reshape(rounds, n).astype(float)
    counts.flags.writeable = False
    return counts


def tail(n: int) -> float:
    """Which quantile of resampled statistics of `n` clusters ends a 95 % interval: below 0.025, as percentiles of few clusters are too narrow.

    References:
        Hesterberg. What Teachers Should Know About the Bootstrap. 2015. https://doi.org/10.1080/00031305.2015.1089789
    """
    return float(ndtr(-math.sqrt(n / (n - 1)) * stdtrit(n - 1, 0.975))) if n > 1 else math.nan


EXACT = 20
"""Differences up to which all signs are tried."""


def sign_flip(differences: ArrayLike, *, greater: bool = False, seed: int = 0, rounds: int = 10_000) -> float:
    """Chance of a mean as far from 0 if each difference could as well have had the other sign; with `greater`, as far above 0. 1 for none.

    All signs are tried up to 20 differences, else `rounds` random ones, and the observed one counts among them.

    References:
        Phipson, Smyth. Permutation P-values Should Never Be Zero. 2010. https://doi.org/10.2202/1544-6115.1585
    """
    values = np.asarray(differences, float)
    if len(values) <= EXACT:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (rounds, len(values)))
        sums = np.append(signs @ values, values.sum())
    reached = sums if greater else np.abs(sums)
    observed = values.sum() if greater else abs(values.sum())
    return float((reached >= observed - 1e-12 * np.abs(values).sum()).mean())


def holm(ps: Sequence[float]) -> list[float]:
    """Each p adjusted for all of them, so that one below 0.05 is wrong in at most 5 % of families.

    References:
        Holm. A Simple Sequentially Rejective Multiple Test Procedure. 1979.
    """
    order = np.argsort(ps, kind="stable")
    steps = np.asarray(ps, float)[order] * np.arange(len(ps), 0, -1)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(p) for p in adjusted]


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Whether a mean difference lies within a margin around 0."""

    difference: float
    low: float
    high: float
    """90 % interval: two one-sided tests at 5 %."""
    margin: float
    p: float
    n: int

    @property
    def holds(self) -> bool:
        """Whether the difference is shown to be below the margin either way; that it is not shown does not mean that there is one."""
        return self.p < 0.05


def equivalence(differences: ArrayLike, *, margin: float) -> Equivalence | None:
    """Two one-sided t tests of concepts' differences against a margin that was stated before; None for fewer than two.

    References:
        Schuirmann. A Comparison of the Two One-Sided Tests Procedure and the Power Approach. 1987. https://doi.org/10.1007/BF01068419
    """
    if not margin > 0:
        raise ValueError(f"the margin is {margin!r}, which is not above 0")
    values = np.asarray(differences, float)
    n = len(values)
    if n < 2:
        return None
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    gap = margin - abs(mean)
    p = float(stdtr(n - 1, -gap / error)) if error else float(gap <= 0)
    wide = float(stdtrit(n - 1, 0.95)) * error
    return Equivalence(difference=mean, low=mean - wide, high=mean + wide, margin=margin, p=p, n=n)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A sample of durations in seconds."""

    median: float
    low: float
    """First quartile."""
    high: float
    """Third quartile."""
    n: int


def spread(seconds: ArrayLike) -> Spread | None:
    """Median and quartiles; None for no sample."""
    sample = np.asarray(seconds, float)
    if not sample.size:
        return None
    low, median, high = np.quantile(sample, [0.25, 0.5, 0.75])
    return Spread(median=float(median), low=float(low), high=float(high), n=int(sample.size))


@dataclass(frozen=True, kw_only=True)
class Amortisation:
    """Learning once and predicting against fitting each concept, all in seconds."""

    training: float
    """C, the one-off cost."""
    fit: float
    """c, one per-concept fit."""
    predict: float
    """h, one prediction."""
    generate: float
    """g, one image."""

    def speedup(self, images: int = 0) -> float:
        """S(m) = (c + m g) / (h + m g): how much faster a user is who makes `images` images of one concept."""
        return (self.fit + images * self.generate) / (self.predict + images * self.generate)

    @property
    def break_even(self) -> float:
        """N* = C / (c - h): from how many concepts on the training has paid; infinite where a prediction costs no less than a fit."""
        saved = self.fit - self.predict
        return self.training / saved if saved > 0 else math.inf


NOISY, INVALID = 0.10, 0.25
"""Interquartile range over median past which a sample of durations is called so."""
FEWEST = 10


@dataclass(frozen=True, kw_only=True)
class Duration:
    """A sample of durations in seconds, as a time is reported."""

    median: float
    low: float
    high: float
    """95 % interval of the median, by order statistics; NaN below 6 samples, of which no two can give it."""
    first_quartile: float
    third_quartile: float
    p90: float
    n: int

    @property
    def noise(self) -> float:
        """Interquartile range over median."""
        return (self.third_quartile - self.first_quartile) / self.median if self.median else math.inf

    @property
    def verdict(self) -> Literal["steady", "few", "noisy", "invalid"]:
        """What the sample is worth; `few` below 10 samples."""
        if self.noise > INVALID:
            return "invalid"
        return "noisy" if self.noise > NOISY else "few" if self.n < FEWEST else "steady"


def duration(seconds: ArrayLike) -> Duration | None:
    """Median with its interval, quartiles, ninth decile; None for no sample.

    References:
        David, Nagaraja. Order Statistics. 2003. Section 7.1.
    """
    sample = np.sort(np.asarray(seconds, float).ravel())
    n = len(sample)
    if not n:
        return None
    below = np.cumsum([math.comb(n, k) for k in range(n // 2)]) / 2**n  # of n fair coins, at most k show heads
    rank = int((below <= 0.025).sum())
    low, high = (sample[rank - 1], sample[n - rank]) if rank else (math.nan, math.nan)
    first, median, third, p90 = np.quantile(sample, [0.25, 0.5, 0.75, 0.9])
    return Duration(median=float(median), low=float(low), high=float(high), first_quartile=float(first), third_quartile=float(third), p90=float(p90), n=n)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Saving:
    """What amortisation saves by raw samples in seconds: `Amortisation` of their medians, with percentile intervals that resample them.

    Fewer than 3 samples of anything have no interval (NaN).
    """

    training: float
    """C, the one-off cost, which is known once and has no interval."""
    fit: tuple[float, ...]
    predict: tuple[float, ...]
    generate: tuple[float, ...]
    seed: int = 0
    rounds: int = 2000

    def speedup(self, images: int = 0) -> Interval:
        """S(m)."""
        fit, predict, generate = self._medians
        return _interval(self.point.speedup(images), (fit + images * generate) / (predict + images * generate))

    @property
    def break_even(self) -> Interval:
        """N*, infinite where a prediction costs no less than a fit."""
        fit, predict, _ = self._medians
        saved = fit - predict
        return _interval(self.point.break_even, np.where(saved <= 0, np.inf, self.training / np.where(saved <= 0, 1, saved)))

    @cached_property
    def point(self) -> Amortisation:
        """By the medians."""
        fit, predict, generate = (float(np.median(sample)) for sample in (self.fit, self.predict, self.generate))
        return Amortisation(training=self.training, fit=fit, predict=predict, generate=generate)

    @cached_property
    def _medians(self) -> list[NDArray[np.float64]]:
        random = np.random.default_rng(self.seed)
        samples = [np.asarray(sample if len(sample) > 2 else [math.nan], float) for sample in (self.fit, self.predict, self.generate)]
        return [np.median(sample[random.integers(0, len(sample), (self.rounds, len(sample)))], 1) for sample in samples]


def _interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return Interval(value=value, low=float(low), high=float(high))


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Whether concepts that were asked for before are answered faster than when they were new."""

    ratio: float
    """Geometric mean over concepts of the time when new over the time again."""
    p: float
    """One-sided."""
    n: int
    """Concepts."""

    @property
    def caches(self) -> bool:
        """Whether answers are kept: faster by more than a tenth, and not by chance."""
        return self.p < 0.01 and self.ratio > 1.1


def probe(new: Sequence[float], again: Sequence[float], *, seed: int = 0, rounds: int = 10_000) -> Probe | None:
    """A paired sign-flip test on logarithms, each concept against itself, so that concepts may differ in what they cost; None for no pair.

    References:
        Good. Permutation, Parametric and Bootstrap Tests of Hypotheses. 2005.
    """
    if not len(new):
        return None
    logs = np.log(np.asarray(new, float)) - np.log(np.asarray(again, float))
    return Probe(ratio=float(np.exp(logs.mean())), p=sign_flip(logs, greater=True, seed=seed, rounds=rounds), n=len(logs))
