"""The bootstrap of answers over concepts and people."""

import numpy as np
import pytest

from htbench.stats.answer_clusters import AnswerClusters
from htbench.stats.families import Families
from htbench.stats.ranking.influence import variance

RANDOM = np.random.default_rng(0)
CONCEPTS = [f"c{k}" for k in RANDOM.integers(12, size=300)]
PEOPLE = [f"p{k}" for k in RANDOM.integers(8, size=300)]


def test_a_weight_is_the_product_of_the_draws_of_its_concept_and_its_person() -> None:
    clusters = AnswerClusters.collect(["b", "a", "b"], ["x", "x", "y"])
    weights = clusters.weights(np.array([2.0, 3.0]), np.array([1.0, 0.0]))
    assert weights.tolist() == [3, 2, 0]


def test_the_correction_is_that_of_votes() -> None:
    clusters = AnswerClusters.collect(CONCEPTS, PEOPLE)
    influence = RANDOM.normal(size=(300, 2))
    related = Families.independent(clusters.families.n)
    oracle = variance(influence, clusters.concept, clusters.person, related).correction
    assert clusters.correction(influence) == pytest.approx(oracle)


def test_intervals_of_a_mean_cover_it_where_concepts_and_people_differ() -> None:
    covered = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        concept, person = random.integers(20, size=400), random.integers(12, size=400)
        values = random.normal(size=20)[concept] + random.normal(size=12)[person]
        values = values + random.normal(size=400)
        clusters = AnswerClusters.collect(
            [f"c{k:02}" for k in concept], [f"p{k:02}" for k in person]
        )
        draws = clusters.draws(rounds=200, seed=seed)
        weights = np.array([clusters.weights(*each) for each in zip(*draws, strict=True)])
        means = weights @ values / weights.sum(1)
        mean = values.mean()
        factor = clusters.correction((values - mean)[:, None] / len(values))[0]
        found = clusters.interval(float(mean), mean + factor * (means - mean))
        covered += found.low <= 0 <= found.high
    assert covered >= 88  # of 95 expected, three standard errors below


def test_two_people_give_no_interval() -> None:
    clusters = AnswerClusters.collect(CONCEPTS, [f"p{k % 2}" for k in range(300)])
    assert np.isnan(clusters.interval(0.0, np.arange(100.0)).low)
