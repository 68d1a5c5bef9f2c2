"""The best of several: worths of methods from choices of one out of a set."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

PRIOR = 0.5
"""Number of pseudo-answers, each a choice from a set of all methods, every one equally often."""
_MAX_STEPS, _LEAST_STEP, _TOLERANCE = 100, 1e-8, 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Choices:
    """Choices of one method out of a set, one per row."""

    chosen: Int[np.ndarray, " answers"]
    """Index of the chosen method."""
    member: Bool[np.ndarray, "answers methods"]
    """True for the methods of the set."""


def fit(
    choices: Choices,
    *,
    weight: Float[np.ndarray, " answers"] | None = None,
    prior: float = PRIOR,
) -> Float[np.ndarray, " methods"]:
    r"""Worths of methods of maximum likelihood, in logits, of mean 0.

    .. math:: P(i \text{ is best of } S) = \frac{e^{w_i}}{\sum_{j \in S} e^{w_j}}

    It is the first stage of the Plackett–Luce model. The prior keeps methods that were always or
    never chosen finite.

    Raises:
        ValueError: if there is no choice.

    References:
        Luce. Individual Choice Behavior. 1959.
        Plackett. The Analysis of Permutations. 1975. https://doi.org/10.2307/2346567
        McFadden. Conditional Logit Analysis of Qualitative Choice Behavior. 1974.
    """
    answers, methods = choices.member.shape
    if not answers:
        raise ValueError("there is no choice")
    weights = np.ones(answers) if weight is None else weight
    sets, which = np.unique(choices.member, axis=0, return_inverse=True)
    wins = np.zeros(methods) + prior / methods
    np.add.at(wins, choices.chosen, weights)
    totals = np.bincount(which.ravel(), weights, minlength=len(sets))
    member = np.vstack([sets, np.ones(methods, bool)])
    totals = np.append(totals, prior)

    def loss(worths: np.ndarray) -> float:
        highest = worths.max()
        summed = np.log((np.exp(worths - highest) * member).sum(1)) + highest
        return float(totals @ summed - wins @ worths)

    worths, value = np.zeros(methods), loss(np.zeros(methods))
    for _ in range(_MAX_STEPS):
        chance = _chances(worths, member)
        expected = totals[:, None] * chance
        gradient = expected.sum(0) - wins
        information = np.diag(expected.sum(0)) - chance.T @ expected
        step = np.linalg.lstsq(information, gradient)[0]
        if float(gradient @ step) < _TOLERANCE:
            break
        size = 1.0
        while size > _LEAST_STEP and not (fresh := loss(worths - size * step)) < value:
            size /= 2
        if size <= _LEAST_STEP:
            break
        worths, value = worths - size * step, fresh
    return np.asarray(worths - worths.mean())


def influence(
    choices: Choices, worths: Float[np.ndarray, " methods"]
) -> Float[np.ndarray, "answers methods"]:
    """First-order change of the worths by the weight of each answer."""
    chance = _chances(worths, choices.member)
    information = np.diag(chance.sum(0)) - chance.T @ chance
    surprise = np.eye(len(worths))[choices.chosen] - chance
    return np.asarray(surprise @ np.linalg.pinv(information, hermitian=True))


def _chances(
    worths: Float[np.ndarray, " methods"], member: Bool[np.ndarray, "sets methods"]
) -> Float[np.ndarray, "sets methods"]:
    raised = np.exp(worths - worths.max()) * member
    return np.asarray(raised / raised.sum(1, keepdims=True))
