"""Diversity over seeds, against eigenvalues and distances that are computed in another way."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from htbench.scorers.picture_sets.diversity import (
    PairwiseDistance,
    Vendi,
    pairwise_distance,
    vendi,
)
from htbench.scorers.set_scorer import PictureSet, UndefinedScore


def rows(number: int, features: int = 6, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(number, features))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def pictures(steered: np.ndarray, concept: list[int], prompt: list[int]) -> PictureSet:
    return PictureSet(
        steered=steered,
        unsteered=steered[:1],
        pair=np.zeros(len(steered), int),
        concept=np.array(concept),
        prompt=np.array(prompt),
    )


def test_the_vendi_score_of_two_pictures_follows_from_their_cosine() -> None:
    angle = 0.7
    pair = np.array([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
    large, small = (1 + math.cos(angle)) / 2, (1 - math.cos(angle)) / 2
    expected = math.exp(-large * math.log(large) - small * math.log(small))
    assert vendi(pair) == pytest.approx(expected, abs=1e-6)


def test_the_vendi_score_is_the_entropy_of_the_kernel_s_eigenvalues() -> None:
    drawn = rows(7, 4)
    eigenvalues = np.linalg.eigvalsh(drawn @ drawn.T / 7)
    entropy = -sum(value * math.log(value) for value in eigenvalues if value > 1e-12)
    assert vendi(drawn) == pytest.approx(math.exp(entropy), abs=1e-6)


def test_equal_pictures_are_one_and_orthogonal_ones_as_many_as_there_are() -> None:
    assert vendi(np.repeat(rows(1), 5, axis=0)) == pytest.approx(1, abs=1e-6)
    assert vendi(np.eye(5)) == pytest.approx(5, abs=1e-6)
    assert vendi(rows(1)) == pytest.approx(1, abs=1e-6)


def test_the_distance_between_seeds_is_the_mean_over_all_pairs() -> None:
    drawn = rows(9)
    assert pairwise_distance(drawn) == pytest.approx(pdist(drawn, "cosine").mean(), abs=1e-6)
    assert pairwise_distance(5 * drawn) == pytest.approx(pairwise_distance(drawn))


def test_a_concept_s_value_is_the_mean_over_its_prompts() -> None:
    drawn = rows(12)
    found = Vendi().measure(pictures(drawn, [0] * 6 + [1] * 6, [0, 0, 0, 1, 1, 1] * 2))
    assert found.by_concept[0] == pytest.approx((vendi(drawn[:3]) + vendi(drawn[3:6])) / 2)
    assert found.value == pytest.approx(found.by_concept.mean())


def test_prompts_that_lack_a_seed_are_left_out_and_so_is_a_concept_without_any() -> None:
    drawn = rows(8)
    found = Vendi().measure(pictures(drawn, [0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 2, 3, 3]))
    assert found.by_concept[0] == pytest.approx(vendi(drawn[:3]))
    assert math.isnan(found.by_concept[1])
    assert found.value == found.by_concept[0]


def test_the_order_of_cells_does_not_matter() -> None:
    drawn, concept, prompt = rows(12), [0] * 6 + [1] * 6, [0, 1] * 6
    order = np.random.default_rng(1).permutation(12)
    mixed = pictures(drawn[order], list(np.array(concept)[order]), list(np.array(prompt)[order]))
    one, two = (
        PairwiseDistance().measure(each) for each in (pictures(drawn, concept, prompt), mixed)
    )
    assert one.by_concept == pytest.approx(two.by_concept)


@pytest.mark.parametrize(
    ("steered", "prompt", "says"),
    [
        (rows(1), [0], "two are needed"),
        (rows(3), [0, 1, 2], "one seed per prompt"),
        (np.full((2, 4), np.nan), [0, 0], "not finite"),
        (np.zeros((2, 4)), [0, 0], "has no direction"),
    ],
)
def test_sets_without_a_diversity_say_why(
    steered: np.ndarray, prompt: list[int], says: str
) -> None:
    with pytest.raises(UndefinedScore, match=says):
        Vendi().measure(pictures(steered, [0] * len(steered), prompt))
