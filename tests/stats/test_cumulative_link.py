"""The cumulative link model, against statsmodels, integration and planted truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from statsmodels.miscmodels.ordinal_model import OrderedModel

from htbench.stats import cumulative_link
from htbench.stats.cumulative_link import Ratings, fit, influence, refit

CUTS = np.array([-2, -0.7, 0.7, 2])
EFFECTS = np.array([1.0, 0.2, -0.4, -0.8])


def planted(
    *, answers: int = 1500, concepts: int = 40, people: int = 15, spread: float = 1.0, seed: int = 0
) -> Ratings:
    random = np.random.default_rng(seed)
    method, concept = random.integers(4, size=answers), random.integers(concepts, size=answers)
    person = random.integers(people, size=answers)
    on_concept, on_person = (random.normal(0, spread, size) for size in (concepts, people))
    latent = EFFECTS[method] + on_concept[concept] + on_person[person]
    return Ratings(
        answer=np.digitize(latent + random.logistic(size=answers), CUTS),
        method=method,
        concept=concept,
        person=person,
        categories=5,
        methods=4,
        concepts=concepts,
        people=people,
    )


def alone(ratings: Ratings) -> Ratings:
    """The same answers by one person about one concept."""
    nothing = np.zeros(len(ratings), int)
    return replace(ratings, concept=nothing, person=nothing, concepts=1, people=1)


def test_without_random_effects_it_is_the_ordered_model_of_statsmodels() -> None:
    ratings = alone(planted(spread=0))
    found = fit(ratings, prior=0)
    design = pd.get_dummies(ratings.method, drop_first=True).astype(float)
    model = OrderedModel(ratings.answer, design, distr="logit")
    oracle = model.fit(method="bfgs", disp=False, gtol=1e-8)
    assert found.effects[1:] - found.effects[0] == pytest.approx(
        oracle.params.to_numpy()[:3], abs=1e-5
    )
    thresholds = model.transform_threshold_params(oracle.params.to_numpy())[1:-1]
    assert found.thresholds - found.effects[0] == pytest.approx(thresholds, abs=1e-5)


def test_two_answers_and_two_methods_are_the_log_odds_of_their_counts() -> None:
    counts = {(0, 0): 10, (0, 1): 30, (1, 0): 25, (1, 1): 15}
    rows = [key for key, number in counts.items() for _ in range(number)]
    method, answer = np.array(rows).T
    nothing = np.zeros(len(rows), int)
    found = fit(
        Ratings(
            answer=answer, method=method, concept=nothing, person=nothing,
            categories=2, methods=2, concepts=1, people=1,
        ),
        prior=0,
    )  # fmt: skip
    assert found.effects[0] - found.effects[1] == pytest.approx(np.log(30 / 10 * 25 / 15))


def test_the_spread_of_people_is_that_of_the_integrated_likelihood() -> None:
    ratings = planted(answers=600, concepts=1, people=30, seed=4)
    found = fit(ratings, prior=0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)

    def likelihood(spread: float) -> float:
        """Exact in the effects of people, at the other parameters of the fit."""
        shift = found.effects[ratings.method][:, None] + spread * nodes
        edges = np.concatenate([[-np.inf], found.thresholds, [np.inf]])
        chance = expit(edges[ratings.answer + 1][:, None] - shift)
        chance = np.log(chance - expit(edges[ratings.answer][:, None] - shift))
        by_person = np.zeros((ratings.people, len(nodes)))
        np.add.at(by_person, ratings.person, chance)
        highest = by_person.max(1, keepdims=True)
        return float((np.log(np.exp(by_person - highest) @ weights) + highest[:, 0]).sum())

    grid = found.person_spread * np.linspace(0.7, 1.3, 61)
    best = grid[np.argmax([likelihood(spread) for spread in grid])]
    assert found.person_spread == pytest.approx(best, rel=0.1)


def test_planted_effects_and_spreads_are_found() -> None:
    found = fit(planted(answers=6000, concepts=60, people=40, seed=1))
    assert found.effects == pytest.approx(EFFECTS, abs=0.2)
    assert [found.concept_spread, found.person_spread] == pytest.approx([1, 1], abs=0.3)


def test_every_concept_twice_is_every_answer_twice_with_effects_of_their_own() -> None:
    ratings = planted(answers=400, concepts=10, people=6, seed=2)
    whole = fit(ratings)
    doubled = Ratings(
        answer=np.tile(ratings.answer, 2),
        method=np.tile(ratings.method, 2),
        concept=np.concatenate([ratings.concept, ratings.concept + 10]),
        person=np.tile(ratings.person, 2),
        categories=5,
        methods=4,
        concepts=20,
        people=6,
    )
    spread = replace(whole, concepts=np.tile(whole.concepts, 2))
    once = refit(doubled, spread, np.ones(20), np.ones(6))
    assert refit(ratings, whole, np.full(10, 2.0), np.ones(6)) == pytest.approx(once, abs=1e-3)


def test_influences_sum_to_the_change_by_the_weight_of_a_concept() -> None:
    ratings = planted(answers=400, concepts=10, people=6, seed=3)
    whole = fit(ratings)
    moved = influence(ratings, whole)
    step = np.ones(10)
    step[4] += 0.01
    change = (refit(ratings, whole, step, np.ones(6)) - whole.effects) / 0.01
    predicted = moved.answers[ratings.concept == 4].sum(0) + moved.concepts[4]
    assert predicted == pytest.approx(change, abs=0.02)


def test_a_method_with_the_highest_answer_alone_is_bounded_by_the_prior() -> None:
    ratings = alone(planted(spread=0))
    highest = replace(ratings, answer=np.where(ratings.method == 2, 4, ratings.answer))
    found = fit(highest)
    assert np.isfinite(found.effects).all()
    assert found.effects.argmax() == 2


def test_an_answer_that_nobody_gave_leaves_the_others_as_they_are() -> None:
    ratings = alone(planted(spread=0))
    gapped = replace(ratings, answer=np.where(ratings.answer == 2, 1, ratings.answer))
    merged = np.where(gapped.answer > 2, gapped.answer - 1, gapped.answer)
    fewer = replace(gapped, answer=merged, categories=4)
    assert fit(gapped).effects == pytest.approx(fit(fewer).effects, abs=0.01)


def test_probabilities_of_answers_sum_to_one() -> None:
    found = fit(alone(planted()))
    assert found.probabilities(1).sum() == pytest.approx(1)


def test_one_kind_of_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="two kinds"):
        cumulative_link.fit(replace(planted(), categories=1))
