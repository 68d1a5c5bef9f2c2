"""Worths from choices of the best of several, against closed forms and choix."""

import choix
import numpy as np
import pytest

from htbench.stats import best_of
from htbench.stats.best_of import Choices, fit


def choices(*rows: tuple[int, tuple[int, ...]], methods: int) -> Choices:
    member = np.zeros((len(rows), methods), bool)
    for number, (_, shown) in enumerate(rows):
        member[number, list(shown)] = True
    return Choices(chosen=np.array([chosen for chosen, _ in rows]), member=member)


def test_of_one_set_the_worths_are_the_logarithms_of_the_shares() -> None:
    counts = np.array([8, 4, 3])
    rows = [(k, (0, 1, 2)) for k in range(3) for _ in range(counts[k])]
    logs = np.log(counts / counts.sum())
    assert fit(choices(*rows, methods=3), prior=0) == pytest.approx(logs - logs.mean())


def test_of_different_sets_they_are_those_of_choix() -> None:
    random = np.random.default_rng(0)
    rows = []
    for _ in range(400):
        shown = tuple(map(int, random.choice(5, size=3, replace=False)))
        rows.append((max(shown, key=lambda k: -0.5 * k + random.gumbel()), shown))
    data = [(chosen, tuple(k for k in shown if k != chosen)) for chosen, shown in rows]
    oracle = choix.opt_top1(5, data)
    found = fit(choices(*rows, methods=5), prior=0)
    assert found == pytest.approx(oracle - oracle.mean(), abs=1e-4)


def test_a_weight_of_two_is_the_answer_twice() -> None:
    rows = [(0, (0, 1)), (1, (1, 2)), (2, (0, 2)), (1, (0, 1))]
    twice = fit(choices(*rows, rows[0], methods=3))
    weighted = fit(choices(*rows, methods=3), weight=np.array([2.0, 1, 1, 1]))
    assert weighted == pytest.approx(twice)


def test_a_method_that_is_always_chosen_is_bounded_by_the_prior() -> None:
    found = fit(choices(*[(0, (0, 1, 2))] * 20, methods=3))
    assert np.isfinite(found).all()
    assert found.argmax() == 0


def test_the_influence_of_an_answer_is_the_change_of_its_weight() -> None:
    random = np.random.default_rng(1)
    rows = [(int(random.integers(3)), (0, 1, 2)) for _ in range(200)]
    asked = choices(*rows, methods=3)
    weight = np.ones(200)
    weight[7] += 0.01
    worths = fit(asked, prior=0)
    change = (fit(asked, weight=weight, prior=0) - worths) / 0.01
    assert best_of.influence(asked, worths)[7] == pytest.approx(change, rel=0.02)


def test_no_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="no choice"):
        fit(Choices(chosen=np.zeros(0, int), member=np.zeros((0, 2), bool)))
