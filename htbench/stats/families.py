"""Concepts that are not independent: families, their effective number, and resamples of them.

A concept's families are labels, such as its content words. Whatever makes `neon style` hard makes
`neon style, red dots background` hard, so scores of concepts that share a family vary together, and
an interval that takes them for independent is too narrow. A concept may have several families, and
so families overlap.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, stdtr, stdtrit

MIN_CLUSTERS = 3
"""Effective number of independent clusters below which there is no interval."""
SHARED_VARIANCE = 0.5
"""Share of a concept's variance that its families are taken to carry where a working model is
needed: for the bias of a variance, and for degrees of freedom. The variance itself is estimated
without it."""

_FLOOR = 0.5
"""Share of the variance for independent concepts that a variance is never below: the estimate for
overlapping families can be near 0, or negative, by chance. Higher floors make intervals of few
concepts wider than their 95 %."""
_CANCELLED = 1e-3
"""Share of a sum of squares below which a difference of sums has lost digits."""
_MAX_NUMBERS = 1 << 22
"""Largest number of differences that are computed at once."""
FamiliesByConcept = Mapping[str, Collection[str]]
"""Labels of the families of each concept."""
Labels = tuple[frozenset[str], ...]


@dataclass(frozen=True)
class Families:
    """The families of `n` concepts in their order, for statistics of these concepts.

    A concept without a label is a family of its own.
    """

    labels: Labels

    @classmethod
    def of(cls, concepts: Sequence[str], families: FamiliesByConcept | None = None) -> "Families":
        """The families of `concepts`; without `families`, all are independent."""
        return _families(tuple(frozenset((families or {}).get(name, ())) for name in concepts))

    @classmethod
    def independent(cls, n: int) -> "Families":
        """`n` concepts that share nothing."""
        return _families((frozenset[str](),) * n)

    @property
    def n(self) -> int:
        """Number of concepts."""
        return len(self.labels)

    @cached_property
    def incidence(self) -> Float[np.ndarray, "concepts families"]:
        """1 where a concept is of a family, else 0."""
        labels = sorted(frozenset[str]().union(*self.labels))
        rows = [[label in own for label in labels] for own in self.labels]
        columns = np.array(rows, float).reshape(self.n, len(labels))
        return np.hstack([columns, np.eye(self.n)[:, columns.sum(1) == 0]])

    @cached_property
    def kernel(self) -> Float[np.ndarray, "concepts concepts"]:
        """1 where two concepts share a family, else 0."""
        return np.asarray((self.incidence @ self.incidence.T > 0).astype(float))

    @cached_property
    def are_independent(self) -> bool:
        """True where no two concepts share a family."""
        return bool((self.incidence.sum(0) == 1).all())

    @cached_property
    def mean(self) -> "Contrast":
        """The mean over the concepts."""
        return Contrast(families=self, weights=np.full(self.n, 1 / max(self.n, 1)))

    @property
    def clusters(self) -> float:
        """Effective number of independent clusters: `n` where no family is shared."""
        return self.mean.clusters

    @cached_property
    def tail(self) -> float:
        """The quantile of resampled statistics at which a 95 % interval ends; NaN for too few.

        Below 0.025: percentile intervals of few clusters are too narrow, and resamples of
        overlapping families vary less than the statistic does.

        References:
            Hesterberg. What Teachers Should Know About the Bootstrap. 2015.
            https://doi.org/10.1080/00031305.2015.1089789
        """
        if self.clusters < MIN_CLUSTERS:
            return math.nan
        t = float(stdtrit(self.mean.degrees_of_freedom, 0.975))
        return float(ndtr(-self.widening * t))

    @cached_property
    def widening(self) -> float:
        """Standard error of a mean over that of its resamples, by the working model; NaN where
        resamples are all alike, as of one concept.
        """
        if self.n < 2:
            return math.nan
        if self.are_independent:
            return math.sqrt(self.n / (self.n - 1))
        draws = self.resamples(seed=0, rounds=2000)
        moved = (draws / draws.sum(1, keepdims=True)) @ _centred(self.n, np.zeros(self.n, int))
        spread = ((moved @ self.working_model) * moved).sum(1).mean()
        return float(math.sqrt(self.working_model.mean() / spread)) if spread else math.nan

    def resamples(
        self, *, seed: int = 0, rounds: int = 10_000
    ) -> Float[np.ndarray, "rounds concepts"]:
        """Bootstrap counts: how often each concept is in each resample; read-only.

        Families are resampled, not concepts. In each round every concept is counted to one of its
        families, larger ones more often, in an order of precedence that all concepts share; the
        families are then drawn with replacement.
        """
        return _resamples(self, seed, rounds)

    def clusterings(
        self, rng: np.random.Generator, rounds: int
    ) -> Int[np.ndarray, "rounds concepts"]:
        """A family for each concept in each round, as in `resamples`."""
        if self.are_independent:
            return np.broadcast_to(np.arange(self.n), (rounds, self.n))
        sizes = self.incidence.sum(0)
        precedence = sizes / rng.exponential(size=(rounds, len(sizes)))
        chosen = np.empty((rounds, self.n), int)
        for concept, row in enumerate(self.incidence):
            own = np.flatnonzero(row)
            chosen[:, concept] = own[precedence[:, own].argmax(1)]
        return chosen

    @cached_property
    def working_model(self) -> Float[np.ndarray, "concepts concepts"]:
        """Correlations of concepts where families carry `SHARED_VARIANCE` of their variance."""
        if self.are_independent:
            return np.eye(self.n)
        lengths = np.linalg.norm(self.incidence, axis=1, keepdims=True)
        effects = self.incidence / lengths
        shared = SHARED_VARIANCE * effects @ effects.T
        return np.asarray((1 - SHARED_VARIANCE) * np.eye(self.n) + shared)


@dataclass(frozen=True, eq=False)
class Contrast:
    r"""A weighted sum of concepts' values, :math:`\sum_i w_i y_i`, and its standard error.

    The error is that of a sum whose terms are correlated where concepts share a family, from the
    residuals of each of the `groups`, corrected for the degrees of freedom that their means take.
    Its square is never below half of that for independent concepts.

    References:
        Cameron, Gelbach, Miller. Robust Inference With Multiway Clustering. 2011.
        https://doi.org/10.1198/jbes.2010.07136
        Bell, McCaffrey. Bias Reduction in Standard Errors for Linear Regression With Multi-Stage
        Samples. 2002.
    """

    families: Families
    weights: Float[np.ndarray, " concepts"]
    groups: Int[np.ndarray, " concepts"] | None = None
    """Groups of concepts that each have a mean of their own; None: one group."""

    @cached_property
    def degrees_of_freedom(self) -> float:
        """Those of the squared error, by Satterthwaite's rule."""
        if self.families.are_independent and self.groups is None and not np.ptp(self.weights):
            return float(self.families.n - 1)  # in closed form; the matrices grow with n²
        trace = np.trace(self._moments)
        square = np.sum(self._moments * self._moments.T)
        return float(trace**2 / square) if square > 0 else 0.0

    @property
    def clusters(self) -> float:
        """Effective number of independent clusters: for a mean of independent concepts, theirs."""
        return round(self.degrees_of_freedom + 1, 6) if self.families.n > 1 else self.families.n

    def error(
        self, values: Float[np.ndarray, "*statistics concepts"]
    ) -> Float[np.ndarray, "*statistics"]:
        """The standard error of the weighted sum of each row of `values`; 0 for equal values."""
        pulls = self._pulls(values)
        variance = (pulls**2).sum(-1)
        if not self.families.are_independent:
            shared = ((pulls @ self.families.kernel) * pulls).sum(-1) / self._bias
            variance = np.maximum(_FLOOR * variance, shared)
        error, rounding = np.sqrt(variance), 1e-12 * np.abs(values).max(-1)
        return np.asarray(np.where(error > rounding, error, 0))

    def difference_errors(
        self,
        values: Float[np.ndarray, "draws contenders concepts"],
        first: Int[np.ndarray, " pairs"],
        second: Int[np.ndarray, " pairs"],
    ) -> Float[np.ndarray, "draws pairs"]:
        """`error` of the differences of pairs of rows, at the cost of the rows alone.

        The square of an error is a quadratic form of the values, taken of all pairs of rows by a
        matrix product; differences so small that little of it is left are taken by themselves.
        """
        pulls = self._pulls(values)
        within, between = _of_pairs(pulls, pulls, first, second)
        variance = within - between
        is_small = variance <= _CANCELLED * within
        if not self.families.are_independent:
            own, crossed = _of_pairs(pulls @ self.families.kernel, pulls, first, second)
            variance = np.maximum(_FLOOR * variance, (own - crossed) / self._bias)
        errors = np.asarray(np.sqrt(np.maximum(variance, 0)))
        draw, pair = np.nonzero(is_small)
        step = max(1, _MAX_NUMBERS // values.shape[-1])
        for start in range(0, len(draw), step):
            at, those = draw[start : start + step], pair[start : start + step]
            errors[at, those] = self.error(values[at, first[those]] - values[at, second[those]])
        return errors

    def skewness(
        self, values: Float[np.ndarray, "*statistics concepts"]
    ) -> Float[np.ndarray, "*statistics"]:
        """Skewness of the weighted sum, from the concepts' own values; between -1 and 1."""
        third, errors = (self._pulls(values) ** 3).sum(-1), self.error(values)
        ratio = np.divide(third, errors**3, out=np.zeros_like(third), where=errors > 0)
        return np.asarray(ratio.clip(-1, 1))

    def _pulls(
        self, values: Float[np.ndarray, "*statistics concepts"]
    ) -> Float[np.ndarray, "*statistics concepts"]:
        """Each concept's weighted residual, as large as its error is on average."""
        if self.groups is None:
            residuals = values - values.mean(-1, keepdims=True)
        else:
            residuals = values @ _centred(self.families.n, self.groups)
        return np.asarray(residuals / self._scales * self.weights)

    @cached_property
    def _residuals(self) -> Float[np.ndarray, "concepts concepts"]:
        groups = np.zeros(self.families.n, int) if self.groups is None else self.groups
        return np.asarray(_centred(self.families.n, groups) / self._scales)

    @cached_property
    def _scales(self) -> Float[np.ndarray, " concepts"]:
        """The share of a concept's error that is left in its residual."""
        groups = np.zeros(self.families.n, int) if self.groups is None else self.groups
        left = np.diag(_centred(self.families.n, groups))
        return np.asarray(np.sqrt(np.maximum(left, 1e-12)))

    @cached_property
    def _moments(self) -> Float[np.ndarray, "concepts concepts"]:
        """The matrix whose trace is the expected squared error under the working model."""
        weighted = self.weights[:, None] * self.families.kernel * self.weights
        model = self.families.working_model
        return np.asarray(weighted @ self._residuals.T @ model @ self._residuals)

    @cached_property
    def _bias(self) -> float:
        """Expected squared error over the true one, under the working model."""
        true = self.weights @ self.families.working_model @ self.weights
        return float(np.trace(self._moments) / true)


def corrected_t(
    t: Float[np.ndarray, "*statistics"], skewness: Float[np.ndarray, "*statistics"]
) -> Float[np.ndarray, "*statistics"]:
    """Studentised values without the skewness of the mean; rises with `t`.

    References:
        Hall. On the Removal of Skewness by Transformation. 1992.
        https://doi.org/10.1111/j.2517-6161.1992.tb01876.x
    """
    return np.asarray(t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6)


def uncorrected_t(value: float, skewness: float) -> float:
    """The t that `corrected_t` turns into `value`."""
    if abs(skewness) < 1e-6:
        return value
    return float(3 / skewness * (np.cbrt(1 + skewness * (value - skewness / 6)) - 1))


def upper_tail(t: float, degrees_of_freedom: float) -> float:
    """The chance of a larger t."""
    return float(stdtr(degrees_of_freedom, -t))


def _of_pairs(
    left: Float[np.ndarray, "draws contenders concepts"],
    right: Float[np.ndarray, "draws contenders concepts"],
    first: Int[np.ndarray, " pairs"],
    second: Int[np.ndarray, " pairs"],
) -> tuple[Float[np.ndarray, "draws pairs"], Float[np.ndarray, "draws pairs"]]:
    """Inner products of each row of a pair with itself, and of one with the other, added up."""
    products = left @ right.swapaxes(1, 2)
    return (
        products[:, first, first] + products[:, second, second],
        products[:, first, second] + products[:, second, first],
    )


def _centred(
    n: int, groups: Int[np.ndarray, " concepts"]
) -> Float[np.ndarray, "concepts concepts"]:
    same = groups[:, None] == groups
    return np.asarray(np.eye(n) - same / np.maximum(same.sum(1), 1))


@lru_cache(maxsize=64)
def _families(labels: Labels) -> Families:
    return Families(labels)


@lru_cache(maxsize=4)
def _resamples(families: Families, seed: int, rounds: int) -> Float[np.ndarray, "rounds concepts"]:
    rng = np.random.default_rng(seed)
    n = families.n
    if families.are_independent:
        picks = rng.integers(0, n, (rounds, n))
        flat = (picks + n * np.arange(rounds)[:, None]).ravel()
        counts = np.bincount(flat, minlength=n * rounds).reshape(rounds, n).astype(float)
    else:
        counts = np.empty((rounds, n))
        for round_, chosen in enumerate(families.clusterings(rng, rounds)):
            drawn, cluster = np.unique(chosen, return_inverse=True)
            size = len(drawn)
            counts[round_] = np.bincount(rng.integers(0, size, size), minlength=size)[cluster]
    counts.flags.writeable = False
    return counts
