"""Ranks, ranges and tiers from scores of the same concepts."""

import numpy as np
import pytest

from htbench.stats.ranking.ranks import rank_by_scores

RANDOM = np.random.default_rng(0)
HARD = RANDOM.normal(0, 3, 40)
"""What makes a concept hard for all methods moves no rank."""


def scores(**means: float) -> dict[str, dict[str, float]]:
    return {
        name: {f"c{k}": float(HARD[k] + mean + RANDOM.normal(0, 0.5)) for k in range(40)}
        for name, mean in means.items()
    }


def test_who_is_better_on_the_same_concepts_is_told_apart_though_concepts_differ_more() -> None:
    found = rank_by_scores(scores(good=1.0, middle=0.5, poor=0.0))
    assert [(place.name, place.rank, place.rank_range, place.tier) for place in found.ranks] == [
        ("good", 1, "1", 1),
        ("middle", 2, "2", 2),
        ("poor", 3, "3", 3),
    ]
    assert found.first_tier == ("good",)


def test_equals_share_a_tier_and_their_ranks_are_a_range() -> None:
    found = rank_by_scores(scores(one=0.0, two=0.0, poor=-2.0))
    assert {place.name: (place.rank_range, place.tier) for place in found.ranks} == {
        "one": ("1–2", 1),
        "two": ("1–2", 1),
        "poor": ("3", 2),
    }


def test_the_very_same_scores_share_the_rank() -> None:
    known = scores(one=0.0, poor=-2.0)
    found = rank_by_scores({**known, "twin": known["one"]})
    assert {place.name: (place.rank, place.best) for place in found.ranks} == {
        "one": (1, 0.5),
        "twin": (1, 0.5),
        "poor": (3, 0.0),
    }


def test_ranges_are_quantiles_of_ranks_over_redrawn_concepts() -> None:
    known = scores(one=0.1, two=0.0, three=-0.05)
    table = np.array([list(of.values()) for of in known.values()])
    ranks = [
        sorted(means, reverse=True).index(means[0]) + 1
        for means in (table[:, RANDOM.integers(0, 40, 40)].mean(1).tolist() for _ in range(20_000))
    ]
    place = rank_by_scores(known).get("one")
    assert (place.highest, place.lowest) == (
        np.quantile(ranks, 0.0234, method="inverted_cdf"),
        np.quantile(ranks, 0.9766, method="inverted_cdf"),
    )
    assert place.best == pytest.approx(np.mean(np.array(ranks) == 1), abs=0.02)


def test_only_concepts_that_all_methods_have_count() -> None:
    known = scores(one=0.0, two=1.0)
    known["one"] = {
        concept: value for concept, value in known["one"].items() if concept not in ("c0", "c1")
    } | {"other": 99.0}
    found = rank_by_scores(known)
    assert (found.concepts, found.ranks[0].name) == (38, "two")


@pytest.mark.parametrize(
    "known", [{}, {"one": {"c": 1.0}}, {"one": {"c": 1.0}, "two": {"d": 1.0}}], ids=str
)
def test_nothing_in_common_is_no_ranking(known: dict[str, dict[str, float]]) -> None:
    assert rank_by_scores(known) is None


def test_one_concept_tells_nobody_apart() -> None:
    found = rank_by_scores({"one": {"c": 1.0}, "two": {"c": 0.0}})
    assert [(place.rank_range, place.tier) for place in found.ranks] == [("1–2", 1), ("1–2", 1)]
