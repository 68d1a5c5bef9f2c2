"""Leaderboards from votes: intervals that cover, tiers, ranges of ranks, and what they hang on."""

import json
from dataclasses import replace

import numpy as np
import pytest
from kit.planted import planted, truth

from htbench.core.errors import UnknownName
from htbench.stats.ranking.bootstrap import resample_votes
from htbench.stats.ranking.bradley_terry import fit
from htbench.stats.ranking.leaderboard import rank
from htbench.stats.ranking.robustness import robustness, sensitivity
from htbench.stats.ranking.votes import DisconnectedVotes, Votes


def votes(*rows: tuple[str, str, float | None, str], **columns: object) -> Votes:
    first, second, outcome, concept = zip(*rows, strict=True)
    return Votes.collect(first=first, second=second, outcome=outcome, concept=concept, **columns)


def naive(voted: Votes) -> Votes:
    """As if each vote were on a concept of its own."""
    return replace(
        voted,
        concepts=tuple(map(str, range(len(voted)))),
        concept=np.arange(len(voted)),
        raters=(),
        rater=None,
    )


def coverage(simulations: int, *, raters: int, rounds: int = 200, honest: bool = True) -> float:
    """Share of 95 % intervals of ratings that hold the truth."""
    expected, random, held = (
        truth(np.hypot(1.0, 0.7) if raters else 1.0),
        np.random.default_rng(5),
        [],
    )
    for seed in range(simulations):
        voted = planted(random, concepts=40, each=20, raters=raters)
        voted = voted if honest else naive(voted)
        rating = fit(voted)
        drawn = resample_votes(voted, rating, rounds=rounds, seed=seed)
        found = [drawn.interval(rating.ratings[k], drawn.ratings[:, k]) for k in range(3)]
        held += [one.low <= value <= one.high for one, value in zip(found, expected, strict=True)]
    return float(np.mean(held))


def test_intervals_cover_and_naive_ones_do_not() -> None:
    assert (
        coverage(25, raters=20, rounds=100) > 0.86
    )  # of 75 intervals, three standard errors below 0.95; the slow test has 900
    assert coverage(25, raters=20, rounds=100, honest=False) < 0.86


@pytest.mark.slow
@pytest.mark.parametrize("raters", [0, 20])
def test_intervals_cover_as_often_as_they_claim(raters: int) -> None:
    assert 0.92 <= coverage(300, raters=raters) <= 0.98
    assert coverage(100, raters=raters, honest=False) < 0.85


PLANTED = planted(np.random.default_rng(0), concepts=60, each=40)


def test_who_was_planted_best_is_first_and_in_a_tier_of_its_own() -> None:
    found = rank(PLANTED, rounds=300)
    assert [(one.name, one.rank, one.tier, one.rank_range) for one in found.entries] == [
        ("a", 1, 1, "1"),
        ("b", 2, 2, "2"),
        ("c", 3, 3, "3"),
    ]
    assert found.entries[0].best > 0.99
    assert not found.warnings


def test_equals_share_a_tier_and_their_ranks_are_a_range() -> None:
    random = np.random.default_rng(3)
    first = random.integers(0, 3, 600)
    voted = replace(
        planted(random, concepts=30, each=20),
        first=first,
        second=(first + random.integers(1, 3, 600)) % 3,
        outcome=random.integers(0, 2, 600).astype(float),
    )
    found = rank(voted, rounds=300)
    assert {one.tier for one in found.entries} == {1}
    assert found.entries[0].highest < found.entries[0].lowest


def test_told_apart_all_pairs_at_once_is_harder_than_one_by_one() -> None:
    found = rank(PLANTED, rounds=300)
    draws = resample_votes(PLANTED, found.rating, rounds=300, seed=0)
    gap = draws.interval(0.0, draws.ratings[:, 0] - draws.ratings[:, 1])
    assert found.pairwise_tests[0].gap.high - found.pairwise_tests[0].gap.low > gap.high - gap.low


def test_three_concepts_that_agree_tell_nobody_apart() -> None:
    found = rank(votes(*[("a", "b", 1, concept) for concept in "xyz"]), rounds=100)
    assert found.pairwise_tests[0].p == pytest.approx(0.25, abs=0.04)
    assert found.entries[1].tier == 1


def test_twelve_concepts_that_agree_do() -> None:
    assert (
        rank(votes(*[("a", "b", 1, concept) for concept in "cdefghijklmn"]), rounds=100)
        .entries[1]
        .tier
        == 2
    )


def test_who_nearly_always_wins_is_in_a_tier_of_its_own() -> None:
    random = np.random.default_rng(0)
    chances = {("a", "b"): 0.97, ("a", "c"): 0.97, ("b", "c"): 0.6}
    rows = [
        (*pair, int(random.random() < chance), concept)
        for concept in "cdefghijklmn"
        for pair, chance in chances.items()
        for _ in range(4)
    ]
    assert [(one.name, one.tier) for one in rank(votes(*rows), rounds=300).entries] == [
        ("a", 1),
        ("b", 2),
        ("c", 2),
    ]


def test_one_concept_has_a_ranking_and_no_interval() -> None:
    found = rank(votes(("a", "b", 1, "x"), ("a", "b", 0, "x"), ("a", "b", 1, "x")), rounds=50)
    assert (found.entries[0].name, found.entries[0].rank_range, found.entries[1].tier) == (
        "a",
        "1–2",
        1,
    )
    assert np.isnan(
        [found.entries[0].rating.low, found.entries[0].best, found.win_rates.low[0, 1]]
    ).all()
    assert found.warnings == (
        "Only 1 independent clusters of concepts: no intervals, and nothing is told apart.",
    )


def test_a_win_rate_of_one_has_the_interval_of_concepts_that_all_agree() -> None:
    found = rank(votes(*[("a", "b", 1, concept) for concept in "vwxyz"] * 2), rounds=50).win_rates
    assert (found.rate[0, 1], found.low[0, 1], found.high[1, 0]) == (
        1,
        pytest.approx(0.025**0.2),
        pytest.approx(1 - 0.025**0.2),
    )
    assert (found.votes[0, 1], found.concepts[0, 1]) == (10, 5)


def test_the_matrix_counts_wins_ties_and_votes() -> None:
    found = rank(
        votes(("a", "b", 1, "x"), ("b", "a", 0.5, "y"), ("a", "b", None, "y"), ("b", "c", 1, "x")),
        rounds=50,
    )
    assert (
        found.win_rates.wins[0, 1],
        found.win_rates.ties[1, 0],
        found.win_rates.votes[0, 1],
        found.win_rates.rate[0, 1],
    ) == (1, 1, 2, 0.75)
    assert np.isnan(found.win_rates.rate[0, 2])
    assert found.missing == 1


def test_the_average_win_rate_counts_opponents_alike() -> None:
    found = rank(
        votes(*[("a", "b", 1, "x")] * 9, ("a", "c", 0, "x"), ("b", "c", 1, "y")), rounds=50
    )
    assert next(one for one in found.entries if one.name == "a").win_rate.value == 0.5


def test_who_lost_to_nobody_is_said_to_be_held_by_the_prior() -> None:
    found = rank(
        votes(("a", "b", 1, "x"), ("a", "c", 1, "y"), ("b", "c", 1, "z"), ("c", "b", 1, "x")),
        rounds=50,
    )
    assert found.entries[0].limit == "above"
    assert any(warning.startswith("a lost to nobody") for warning in found.warnings)
    assert found.unbounded_draws == 50


EVEN = tuple(
    (one, two, outcome, f"c{k}")
    for k in range(4)
    for one, two, outcome in (("a", "b", k % 2), ("c", "d", k % 2), ("a", "c", 1), ("b", "d", 1))
)
"""Two groups of equals: a and b, and c and d, who never beat one of the first."""


def test_no_rating_of_two_groups_of_one_size_is_quoted() -> None:
    found = rank(votes(*EVEN), rounds=50)
    limits = {entry.name: entry.limit for entry in found.entries}
    assert limits == {"a": "above", "b": "above", "c": "below", "d": "below"}
    (warning,) = (each for each in found.warnings if "prior's choice" in each)
    assert sorted(warning.partition(" ever beat one of ")[0][len("nobody of ") :].split(", ")) == [
        "c",
        "d",
    ]
    assert "beat nobody" not in warning


def test_three_groups_in_a_line_are_each_told_from_the_next() -> None:
    lower = [("e", "f", k % 2, f"c{k}") for k in range(4)] + [("d", "e", 1, "c0")]
    found = rank(votes(*EVEN, *lower), rounds=50)
    assert all(entry.limit for entry in found.entries)
    assert sum("ever beat one of" in each for each in found.warnings) == 3


def test_who_beat_one_below_is_not_said_to_have_beaten_nobody() -> None:
    rows = [("a", "b", k % 2, "x") for k in range(2)] + [("a", "c", 1, "y"), ("c", "d", 1, "z")]
    found = rank(votes(*rows), rounds=50)
    (middle,) = (each for each in found.warnings if each.startswith("c "))
    assert middle.startswith("c met no equal")
    assert any(each.startswith("d beat nobody") for each in found.warnings)


def test_a_group_larger_than_the_other_keeps_its_ratings() -> None:
    rows = [("a", "e", k % 2, f"c{k}") for k in range(4)]
    limits = {e.name: e.limit for e in rank(votes(*EVEN, *rows), rounds=50).entries}
    assert limits == {"a": None, "b": None, "e": None, "c": "below", "d": "below"}


def test_a_ranking_is_the_same_again_and_whatever_the_order_of_rows() -> None:
    rows = [("ab"[k % 2], "ba"[k % 2], float(k % 3 > 0), f"c{k % 5}") for k in range(30)]
    assert (
        rank(votes(*rows, names="ab"), rounds=50).facts()
        == rank(votes(*rows[::-1], names="ab"), rounds=50).facts()
    )


def test_facts_are_json() -> None:
    found = rank(votes(("a", "b", 1, "x")), rounds=50).facts()
    assert json.loads(json.dumps(found, allow_nan=False))["standings"][0]["name"] == "a"


def test_few_votes_decide_a_close_race_and_their_number_is_right() -> None:
    close = votes(*[("a", "b", 1, "x")] * 6, *[("a", "b", 0, "x")] * 4)
    found = robustness(close)
    assert (found.votes, found.challenger, found.share) == (3, "b", 0.3)


def test_where_one_vote_decides_there_is_a_vote_without_which_the_challenger_is_first() -> None:
    close = planted(np.random.default_rng(1), concepts=10, each=12)
    found = robustness(close)
    without = [fit(close.where(np.arange(len(close)) != k)) for k in range(len(close))]
    assert found.votes == 1
    assert found.challenger in {one.names[one.order[0]] for one in without} - {
        close.names[fit(close).order[0]]
    }


def test_no_votes_decide_where_there_is_no_other_way() -> None:
    assert robustness(votes(("a", "b", 1, "x"), ("a", "b", 1, "x"))) is None


def test_the_concept_that_decides_is_found() -> None:
    rows = (
        [("a", "b", 1, "odd")] * 9
        + [("b", "a", 1, f"c{k}") for k in range(8)]
        + [("a", "b", 1, f"c{k}") for k in range(3)]
    )
    found = {one.name: one for one in sensitivity(votes(*rows))}
    assert (
        found["without concept odd"].leader,
        found["without concept odd"].tau,
        found["without concept odd"].rank_change,
    ) == ("b", -1, 1)
    assert {"ties: drop", "ties: davidson", "prior: 0.1", "prior: 1.5"} < found.keys()


def test_a_rater_and_a_judge_are_left_out_too() -> None:
    rows = [("a", "b", 1, "x"), ("a", "b", 1, "y"), ("b", "a", 1, "x")]
    names = [
        one.name
        for one in sensitivity(votes(*rows, rater=["p", "q", "q"], judge=["big", "big", "small"]))
    ]
    assert names[-2:] == ["without rater p", "without judge big"]


def test_votes_without_a_concept_or_among_some_are_what_is_left() -> None:
    voted = votes(("a", "b", 1, "x"), ("b", "c", 1, "y"), ("a", "c", 1, "y"))
    assert len(voted.without("concept", "x")) == 2
    assert voted.among(["c", "a"]).tally().wins.tolist() == [[0, 0], [1, 0]]
    with pytest.raises(DisconnectedVotes):
        voted.without("concept", "y").check()


def test_a_name_that_is_not_there_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'lineas'"):
        votes(("lineas", "none", 1, "x")).among(["lineaz"])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("a", "a", 1, "x"), "'a' meets itself"),
        (("a", "b", 1.2, "x"), "an outcome is between"),
        (("a", "b", -1, "x"), "an outcome is between"),
    ],
)
def test_votes_that_make_no_sense_are_refused(row: tuple[str, str, float, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        votes(row)


def test_raters_widen_what_concepts_alone_say() -> None:
    voted = planted(np.random.default_rng(2), concepts=40, each=20, raters=6, rater_sd=1.5)
    wide, narrow = (
        rank(one, rounds=200).entries[0].rating
        for one in (voted, replace(voted, raters=(), rater=None))
    )
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)
