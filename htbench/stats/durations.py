"""Durations and the savings of amortisation: medians with intervals, speed-ups, break-even."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from htbench.stats.estimates import sign_flip

_MAX_DRAWS = 1 << 21
"""Number of resampled values that are held in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Quartiles:
    """Median and quartiles of durations in seconds."""

    median: float
    low: float
    """First quartile."""
    high: float
    """Third quartile."""
    n: int


def quartiles(seconds: ArrayLike) -> Quartiles | None:
    """Median and quartiles; None for no sample."""
    sample = np.asarray(seconds, float)
    if not sample.size:
        return None
    low, median, high = np.quantile(sample, [0.25, 0.5, 0.75])
    return Quartiles(median=float(median), low=float(low), high=float(high), n=int(sample.size))


@dataclass(frozen=True, kw_only=True)
class Amortisation:
    """Training once and predicting, compared with fitting each concept; all in seconds."""

    training: float
    """C, the one-off cost."""
    fit: float
    """c, one per-concept fit."""
    predict: float
    """h, one prediction."""
    generate: float
    """g, one image."""

    def speedup(self, images: int = 0) -> float:
        """Speed-up S(m) = (c + m g) / (h + m g) for a user who makes m `images` of one concept."""
        return (self.fit + images * self.generate) / (self.predict + images * self.generate)

    @property
    def break_even(self) -> float:
        """Number of concepts after which training pays off, N* = C / (c - h).

        Infinite where a prediction costs no less than a fit, NaN where C is.
        """
        saved = self.fit - self.predict
        return self.training / saved if saved > 0 else math.inf


NOISY_ABOVE, INVALID_ABOVE = 0.10, 0.25
"""Interquartile range over median, above which a sample of durations is noisy or invalid."""
MIN_SAMPLES = 10


@dataclass(frozen=True, kw_only=True)
class DurationSummary:
    """Summary of durations in seconds, for a report."""

    median: float
    low: float
    high: float
    """95 % interval of the median, by order statistics; NaN for fewer than 6 samples."""
    first_quartile: float
    third_quartile: float
    p90: float
    n: int

    @property
    def noise(self) -> float:
        """Interquartile range over median."""
        width = self.third_quartile - self.first_quartile
        return width / self.median if self.median else math.inf

    @property
    def quality(self) -> Literal["steady", "few", "noisy", "invalid"]:
        """Grade of the sample, by its noise and, with fewer than 10 samples, by its size."""
        if self.noise > INVALID_ABOVE:
            return "invalid"
        if self.noise > NOISY_ABOVE:
            return "noisy"
        return "few" if self.n < MIN_SAMPLES else "steady"


def summarise_durations(seconds: ArrayLike) -> DurationSummary | None:
    """Median with its interval, quartiles, ninth decile; None for no sample.

    References:
        David, Nagaraja. Order Statistics. 2003. Section 7.1.
    """
    sample = np.sort(np.asarray(seconds, float).ravel())
    n = len(sample)
    if not n:
        return None
    # chance that of n fair coins at most k show heads
    below = np.cumsum([math.comb(n, k) for k in range(n // 2)]) / 2**n
    rank = int((below <= 0.025).sum())
    low, high = (sample[rank - 1], sample[n - rank]) if rank else (math.nan, math.nan)
    first, median, third, p90 = np.quantile(sample, [0.25, 0.5, 0.75, 0.9])
    return DurationSummary(
        median=float(median),
        low=float(low),
        high=float(high),
        first_quartile=float(first),
        third_quartile=float(third),
        p90=float(p90),
        n=n,
    )


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ScaledPart:
    """A part of a cost: `factor` times the mean of pieces that were measured."""

    factor: float
    seconds: tuple[float, ...]

    @property
    def value(self) -> float:
        """Seconds of the part; NaN without pieces."""
        return self.factor * float(np.mean(self.seconds)) if self.seconds else math.nan


@dataclass(frozen=True, kw_only=True)
class ScaledCost:
    """A cost in seconds that is extrapolated from measured pieces, such as some training steps."""

    parts: tuple[ScaledPart, ...] = ()

    @property
    def value(self) -> float:
        """The cost; 0 without parts."""
        return math.fsum(part.value for part in self.parts)

    def draw(self, random: np.random.Generator, rounds: int) -> NDArray[np.float64]:
        r"""Draws of the cost given its pieces, shape (rounds,); NaN if a part has fewer than 3.

        A part is :math:`f (\bar x + t\,s / \sqrt n)` with t of Student's distribution, so that
        few pieces give a wide interval; it is at least 0.
        """
        total = np.zeros(rounds)
        for part in self.parts:
            n = len(part.seconds)
            if n < MIN_PIECES:
                return np.full(rounds, math.nan)
            error = float(np.std(part.seconds, ddof=1)) / math.sqrt(n)
            mean = np.mean(part.seconds) + error * random.standard_t(n - 1, rounds)
            total += part.factor * np.maximum(mean, 0)
        return total

    def interval(self, *, seed: int = 0, rounds: int = 10_000) -> "Interval":
        """The cost with its 95 % interval."""
        return _interval(self.value, self.draw(np.random.default_rng(seed), rounds))


MIN_PIECES = 3
"""Fewest measured pieces, or samples, that an interval is made of."""
UNKNOWN_COST = ScaledCost(parts=(ScaledPart(factor=1.0, seconds=()),))
"""A cost that was not measured: NaN."""


@dataclass(frozen=True, kw_only=True)
class Saving:
    """The savings of amortisation, from raw samples in seconds.

    Values are those of `Amortisation` for the samples' medians; percentile intervals resample the
    samples. With fewer than 3 samples of any quantity there is no interval (NaN).
    """

    training: float | ScaledCost
    """C, the one-off cost: known, or with the uncertainty of what it was extrapolated from."""
    fit: tuple[float, ...]
    predict: tuple[float, ...]
    generate: tuple[float, ...]
    seed: int = 0
    rounds: int = 2000

    def speedup(self, images: int = 0) -> Interval:
        """Speed-up S(m)."""
        fit, predict, generate = self._medians
        return _interval(
            self.point_estimate.speedup(images),
            (fit + images * generate) / (predict + images * generate),
        )

    @property
    def break_even(self) -> Interval:
        """Break-even point N*; infinite where a prediction costs no less than a fit.

        NaN where C is not known.
        """
        fit, predict, _ = self._medians
        saved, training = fit - predict, self._training_draws
        return _interval(
            self.point_estimate.break_even,
            np.where(saved <= 0, np.inf, training / np.where(saved <= 0, 1, saved)),
        )

    @property
    def cost(self) -> Interval:
        """C with its 95 % interval."""
        return _interval(self.point_estimate.training, self._training_draws)

    @cached_property
    def point_estimate(self) -> Amortisation:
        """`Amortisation` by the samples' medians."""
        fit, predict, generate = (
            float(np.median(sample)) for sample in (self.fit, self.predict, self.generate)
        )
        training = self.training.value if isinstance(self.training, ScaledCost) else self.training
        return Amortisation(training=training, fit=fit, predict=predict, generate=generate)

    @cached_property
    def _training_draws(self) -> NDArray[np.float64]:
        if isinstance(self.training, ScaledCost):
            return self.training.draw(np.random.default_rng([self.seed, 1]), self.rounds)
        return np.full(self.rounds, self.training)

    @cached_property
    def _medians(self) -> list[NDArray[np.float64]]:
        random = np.random.default_rng(self.seed)
        samples = [
            np.asarray(sample if len(sample) >= MIN_PIECES else [math.nan], float)
            for sample in (self.fit, self.predict, self.generate)
        ]
        return [_resampled_medians(sample, random, self.rounds) for sample in samples]


def _resampled_medians(
    sample: NDArray[np.float64], random: np.random.Generator, rounds: int
) -> NDArray[np.float64]:
    """Medians of resamples; drawn in pieces, since all of them at once may take gigabytes."""
    n = len(sample)
    step = max(1, _MAX_DRAWS // n)
    return np.concatenate(
        [
            np.median(sample[random.integers(0, n, (min(step, rounds - start), n))], 1)
            for start in range(0, rounds, step)
        ]
    )


def _interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    if np.isnan(resampled).any():
        return Interval(value=value, low=math.nan, high=math.nan)
    low, high = np.quantile(resampled, [0.025, 0.975], method="nearest")
    return Interval(value=value, low=float(low), high=float(high))


@dataclass(frozen=True, kw_only=True)
class CacheProbe:
    """A test whether a concept that was asked for before is answered faster than a new one."""

    ratio: float
    """Geometric mean over concepts of the first time over the repeated time."""
    p: float
    """One-sided p."""
    n: int
    """Number of concepts."""

    @property
    def caches(self) -> bool:
        """True if answers are cached: repeats are faster by more than a tenth, at p < 0.01."""
        return self.p < 0.01 and self.ratio > 1.1


def probe_cache(
    new: Sequence[float], repeated: Sequence[float], *, seed: int = 0, rounds: int = 10_000
) -> CacheProbe | None:
    """A paired sign-flip test on logarithms of durations; None for no pair.

    Each concept is compared with itself, so that concepts may differ in their cost.

    References:
        Good. Permutation, Parametric and Bootstrap Tests of Hypotheses. 2005.
    """
    if not len(new):
        return None
    logs = np.log(np.asarray(new, float)) - np.log(np.asarray(repeated, float))
    return CacheProbe(
        ratio=float(np.exp(logs.mean())),
        p=sign_flip(logs, greater=True, seed=seed, rounds=rounds),
        n=len(logs),
    )
