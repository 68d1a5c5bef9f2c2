"""Estimates with intervals, and what amortisation saves: numbers in, numbers out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


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
    picks = np.random.default_rng(seed).integers(0, len(means), (rounds, len(means)))
    low, high = np.quantile(means[picks].mean(1), [0.025, 0.975])
    return Estimate(mean=float(means.mean()), low=float(low), high=float(high), n=len(means))


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
