"""The cumulative link model of ratings: answers in order, whose steps need not be equal."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import expit

PRIOR = 0.5
"""Number of pseudo-answers per method, spread evenly over the answers."""
_MAX_STEPS, _LEAST_STEP, _TOLERANCE = 100, 1e-8, 1e-9
_TIGHT, _RIDGE = 1e12, 1e-6
"""Penalties that hold effects that are left out at 0, and the mean of methods near 0, of which only
differences are determined."""
_SPREADS = (1e-3, 8.0)
"""The least and the largest standard deviation of effects that is fitted, in logits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ratings:
    """Ratings of methods, one per row."""

    answer: Int[np.ndarray, " answers"]
    """0 for the lowest of `categories` answers."""
    method: Int[np.ndarray, " answers"]
    concept: Int[np.ndarray, " answers"]
    person: Int[np.ndarray, " answers"]
    categories: int
    methods: int
    concepts: int
    people: int

    def __len__(self) -> int:
        return len(self.answer)

    @property
    def size(self) -> int:
        """Number of effects: of methods, then of concepts, then of people."""
        return self.methods + self.concepts + self.people

    @cached_property
    def columns(self) -> Int[np.ndarray, "answers three"]:
        """Indices of the effects of each answer: its method, its concept and its person."""
        concept = self.methods + self.concept
        return np.stack([self.method, concept, self.methods + self.concepts + self.person], axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class CumulativeLinkFit:
    r"""A fit of :math:`\mathrm{logit}\,P(y \le k) = \theta_k - \mu_m - u_c - v_p`.

    The effects u of concepts and v of people are normal with mean 0. Two methods differ by
    :math:`e^{\mu_1 - \mu_2}` in the odds of an answer above any k.

    References:
        McCullagh. Regression Models for Ordinal Data. 1980.
        https://doi.org/10.1111/j.2517-6161.1980.tb01109.x
        Tutz, Hennevogl. Random Effects in Ordinal Regression Models. 1996.
        https://doi.org/10.1016/0167-9473(96)00004-7
    """

    effects: Float[np.ndarray, " methods"]
    """:math:`\\mu`, in logits, of mean 0."""
    thresholds: Float[np.ndarray, " cuts"]
    """:math:`\\theta`, rising: one fewer than there are answers."""
    concepts: Float[np.ndarray, " concepts"]
    people: Float[np.ndarray, " people"]
    """A person with an effect above 0 gives higher answers."""
    concept_spread: float
    """Standard deviation of the effects of concepts; likewise `person_spread`. 0: left out."""
    person_spread: float
    prior: float

    def probabilities(self, method: int) -> Float[np.ndarray, " answers"]:
        """The chance of each answer about a method's picture, of a typical concept and person."""
        below = expit(self.thresholds - self.effects[method])
        return np.diff(np.concatenate([[0.0], below, [1.0]]))


def fit(ratings: Ratings, *, prior: float = PRIOR) -> CumulativeLinkFit:
    """The fit of maximum likelihood, by Laplace's approximation where there are random effects.

    Effects of concepts or people are left out where there are fewer than two of them. The prior
    keeps methods with the highest or the lowest answer alone, and answers that nobody gave, finite.

    Raises:
        ValueError: for fewer than two answers to choose from, or no rating.
    """
    if ratings.categories < 2 or not len(ratings):
        raise ValueError("a cumulative link model needs ratings of two kinds or more")
    several = np.array([ratings.concepts > 1, ratings.people > 1])
    parameters = _start(ratings)
    spreads = np.where(several, 0.5, 0.0)
    if several.any():

        def loss(logs: np.ndarray) -> float:
            nonlocal parameters
            given = np.zeros(2)
            given[several] = np.exp(logs)
            problem = _Problem(ratings, given, prior)
            parameters = problem.solve(parameters)
            return problem.laplace(parameters)

        low, high = np.log(_SPREADS)
        found = minimize(
            loss,
            np.log(spreads[several]),
            method="Nelder-Mead",
            bounds=[(low, high)] * int(several.sum()),
            options={"xatol": 1e-3, "fatol": 1e-5, "maxfev": 200},
        )
        spreads[several] = np.exp(found.x)
    problem = _Problem(ratings, spreads, prior)
    return _fit(ratings, problem.solve(parameters), spreads, prior)


def refit(
    ratings: Ratings,
    whole: CumulativeLinkFit,
    by_concept: Float[np.ndarray, " concepts"],
    by_person: Float[np.ndarray, " people"],
) -> Float[np.ndarray, " methods"]:
    """The effects of methods in a resample, at the spreads of the whole.

    A concept that was drawn twice counts as two concepts with equal answers; likewise people.
    """
    spreads = np.array([whole.concept_spread, whole.person_spread])
    problem = _Problem(ratings, spreads, whole.prior, by_concept, by_person)
    parameters = problem.solve(_parameters(whole), tolerance=1e-5)
    effects = parameters[_cuts(ratings) : _cuts(ratings) + ratings.methods]
    return np.asarray(effects - effects.mean())


@dataclass(frozen=True, kw_only=True, eq=False)
class Influence:
    """First-order change of the effects of methods by the weights of answers and of clusters."""

    answers: Float[np.ndarray, "answers methods"]
    concepts: Float[np.ndarray, "concepts methods"]
    people: Float[np.ndarray, "people methods"]


def influence(ratings: Ratings, whole: CumulativeLinkFit) -> Influence:
    """The influence of each answer, and of the penalties of each concept's and person's effect."""
    problem = _Problem(ratings, np.array([whole.concept_spread, whole.person_spread]), whole.prior)
    parameters = _parameters(whole)
    cuts, first = _cuts(ratings), _cuts(ratings) + ratings.methods
    spread = np.linalg.pinv(problem.hessian(parameters), hermitian=True)
    centred = spread[:, cuts:first] - spread[:, cuts:first].mean(1, keepdims=True)
    by_cut, by_shift = (each[: len(ratings)] for each in problem.scores(parameters))
    on_effects = centred[cuts:][ratings.columns].sum(1)
    answers = by_cut @ centred[:cuts] + by_shift[:, None] * on_effects
    pull = -problem.penalty * parameters
    on_clusters = pull[first:, None] * centred[first:]
    return Influence(
        answers=answers,
        concepts=on_clusters[: ratings.concepts],
        people=on_clusters[ratings.concepts :],
    )


class _Problem:
    """The penalised likelihood at given spreads.

    Parameters are thresholds, effects of methods, of concepts and of people. Pseudo-answers, those
    of the prior, follow the answers; the last effect stands for their concept and person, and is 0.
    """

    def __init__(
        self,
        ratings: Ratings,
        spreads: np.ndarray,
        prior: float,
        by_concept: np.ndarray | None = None,
        by_person: np.ndarray | None = None,
    ) -> None:
        self._ratings, self._spreads = ratings, spreads
        self._cuts, self._size = _cuts(ratings), ratings.size + 1
        concepts = np.ones(ratings.concepts) if by_concept is None else by_concept
        people = np.ones(ratings.people) if by_person is None else by_person
        penalties = [
            np.where(counts > 0, counts, 1) / spread**2
            if spread > 0
            else np.full(len(counts), _TIGHT)
            for counts, spread in ((concepts, spreads[0]), (people, spreads[1]))
        ]
        ridge = np.full(ratings.methods, _RIDGE)
        self.penalty = np.concatenate([np.zeros(self._cuts), ridge, *penalties])
        method, answer = np.divmod(
            np.arange(ratings.methods * ratings.categories), ratings.categories
        )
        nobody = np.full(len(method), ratings.size)
        self._answer = np.concatenate([ratings.answer, answer])
        self._columns = np.concatenate(
            [ratings.columns, np.stack([method, nobody, nobody], axis=1)]
        )
        self._weight = np.concatenate(
            [
                concepts[ratings.concept] * people[ratings.person],
                np.full(len(method), prior / ratings.categories),
            ]
        )
        used = self._weight > 0
        self._answer, self._columns = self._answer[used], self._columns[used]
        self._weight = self._weight[used]
        self._pairs = (self._columns[:, :, None] * self._size + self._columns[:, None, :]).ravel()
        cut = np.arange(self._cuts)
        self._is_upper = (self._answer[:, None] == cut).astype(float)
        self._is_lower = (self._answer[:, None] == cut + 1).astype(float)

    def loss(self, parameters: np.ndarray) -> float:
        """The negative penalised log-likelihood; infinite for thresholds out of order."""
        chance = self._chances(parameters)[0]
        if (chance <= 0).any():
            return math.inf
        penalty = 0.5 * float((self.penalty * parameters**2).sum())
        return penalty - float((self._weight * np.log(chance)).sum())

    def solve(self, parameters: np.ndarray, *, tolerance: float = _TOLERANCE) -> np.ndarray:
        """The parameters of the least loss, by Newton's method with halved steps."""
        loss = self.loss(parameters)
        for _ in range(_MAX_STEPS):
            gradient = self.gradient(parameters)
            step = np.linalg.solve(self.hessian(parameters), gradient)
            if float(gradient @ step) < tolerance:
                break
            size = 1.0
            while size > _LEAST_STEP and not (fresh := self.loss(parameters - size * step)) < loss:
                size /= 2
            if size <= _LEAST_STEP:
                break
            parameters, loss = parameters - size * step, fresh
        return parameters

    def gradient(self, parameters: np.ndarray) -> np.ndarray:
        """The gradient of the loss."""
        by_cut, by_shift = self.scores(parameters)
        on_effects = np.bincount(
            self._columns.ravel(), np.repeat(self._weight * by_shift, 3), minlength=self._size
        )
        return np.asarray(
            self.penalty * parameters
            - np.concatenate([self._weight @ by_cut, on_effects[: self._ratings.size]])
        )

    def scores(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of each answer's log-likelihood by thresholds, and by the sum of effects."""
        chance, upper, lower = self._chances(parameters)
        to_upper, to_lower = upper * (1 - upper) / chance, lower * (1 - lower) / chance
        by_cut = to_upper[:, None] * self._is_upper - to_lower[:, None] * self._is_lower
        return by_cut, to_lower - to_upper

    def hessian(self, parameters: np.ndarray) -> np.ndarray:
        """The matrix of second derivatives of the loss."""
        cuts, size, weight = self._cuts, self._ratings.size, self._weight
        chance, upper, lower = self._chances(parameters)
        above, below = upper * (1 - upper), lower * (1 - lower)
        # second derivatives of -log chance by the upper and the lower threshold of an answer
        uu = weight * ((above / chance) ** 2 - above * (1 - 2 * upper) / chance)
        ll = weight * ((below / chance) ** 2 + below * (1 - 2 * lower) / chance)
        ul = -weight * above * below / chance**2
        total = np.diag(self.penalty)
        cross = self._is_upper.T @ (ul[:, None] * self._is_lower)
        total[:cuts, :cuts] += cross + cross.T
        total[:cuts, :cuts] += np.diag(uu @ self._is_upper + ll @ self._is_lower)
        moved = (uu + ul)[:, None] * self._is_upper + (ll + ul)[:, None] * self._is_lower
        for cut in range(cuts):
            mixed = -np.bincount(
                self._columns.ravel(), np.repeat(moved[:, cut], 3), minlength=size + 1
            )
            total[cuts:, cut] += mixed[:size]
            total[cut, cuts:] += mixed[:size]
        pairs = np.bincount(
            self._pairs, np.repeat(uu + ll + 2 * ul, 9), minlength=self._size**2
        ).reshape(self._size, self._size)
        total[cuts:, cuts:] += pairs[:size, :size]
        return total

    def laplace(self, parameters: np.ndarray) -> float:
        """The negative log of the likelihood in which effects are integrated out, but a constant.

        It is Laplace's approximation around the parameters of the least loss.
        """
        first = self._cuts + self._ratings.methods
        counts = (self._ratings.concepts, self._ratings.people)
        free = np.repeat(self._spreads > 0, counts)
        block = self.hessian(parameters)[first:, first:][np.ix_(free, free)]
        volume = float(np.linalg.slogdet(block)[1]) / 2
        scale = sum(
            count * math.log(spread)
            for count, spread in zip(counts, self._spreads, strict=True)
            if spread > 0
        )
        return self.loss(parameters) + volume + scale

    def _chances(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The chance of each answer, and those of answers up to it and below it."""
        shift = np.append(parameters[self._cuts :], 0.0)[self._columns].sum(1)
        edges = np.concatenate([[-np.inf], parameters[: self._cuts], [np.inf]])
        above, below = edges[self._answer + 1] - shift, edges[self._answer] - shift
        upper, lower = expit(above), expit(below)
        # from the other end where both are near 1, and their difference would lose digits
        chance = np.where(below > 0, expit(-below) - expit(-above), upper - lower)
        return chance, upper, lower


def _cuts(ratings: Ratings) -> int:
    return ratings.categories - 1


def _start(ratings: Ratings) -> np.ndarray:
    """Thresholds that give the shares of all answers, and no effects."""
    counts = np.bincount(ratings.answer, minlength=ratings.categories) + 0.5
    below = np.cumsum(counts / counts.sum())[:-1]
    return np.concatenate([np.log(below / (1 - below)), np.zeros(ratings.size)])


def _parameters(whole: CumulativeLinkFit) -> np.ndarray:
    return np.concatenate([whole.thresholds, whole.effects, whole.concepts, whole.people])


def _fit(
    ratings: Ratings, parameters: np.ndarray, spreads: np.ndarray, prior: float
) -> CumulativeLinkFit:
    cuts, first = _cuts(ratings), _cuts(ratings) + ratings.methods
    effects = parameters[cuts:first]
    return CumulativeLinkFit(
        effects=effects - effects.mean(),
        thresholds=parameters[:cuts] - effects.mean(),
        concepts=parameters[first : first + ratings.concepts],
        people=parameters[first + ratings.concepts :],
        concept_spread=float(spreads[0]),
        person_spread=float(spreads[1]),
        prior=prior,
    )
