"""Ratings against choix, arenakit and SciPy, and votes without a maximum of likelihood."""

import arenakit.bt
import choix
import numpy as np
import pytest
from arenakit.schema import PairCounts
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components

from htbench.stats.ranking.bradley_terry import (
    NotConverged,
    Unbounded,
    fit,
    solve,
    solve_resamples,
    strongly_connected,
)
from htbench.stats.ranking.votes import DisconnectedVotes, NoVotes, Votes, VoteTally


def votes(*rows: tuple[str, str, float | None], **columns: object) -> Votes:
    first, second, outcome = zip(*rows, strict=True) if rows else ((), (), ())
    return Votes.collect(
        first=first,
        second=second,
        outcome=outcome,
        concept=[f"c{k % 7}" for k in range(len(rows))],
        **columns,
    )


def drawn(count: int, *, size: int = 5, ties: bool = False, seed: int = 0) -> Votes:
    """Votes on contenders half a logit apart, and a circle of wins, so that all are in reach."""
    random = np.random.default_rng(seed)
    first = np.append(random.integers(0, size, count), np.arange(size))
    second = (first + np.append(random.integers(1, size, count), np.ones(size, int))) % size
    won = random.random(len(first)) < 1 / (1 + np.exp((first - second) / 2))
    outcome = np.where(ties & (random.random(len(first)) < 0.3), 0.5, won)
    outcome[-size:] = 1  # a circle of wins
    return Votes(
        names=tuple("abcdefgh"[:size]),
        first=first,
        second=second,
        outcome=outcome,
        concepts=("c",),
        concept=np.zeros(len(first), int),
    )


@pytest.mark.parametrize("ties", ["half", "drop", "davidson"])
@pytest.mark.parametrize("count", [12, 400])
def test_ratings_of_resamples_are_those_of_one_by_one(ties: str, count: int) -> None:
    voted = drawn(count, ties=True)
    rating = fit(voted, ties=ties)
    weights = np.random.default_rng(1).multinomial(len(voted), [1 / len(voted)] * len(voted), 60)
    tallies = voted.tally(weights, groups=np.arange(len(voted)))
    expected = [
        solve(VoteTally(wins=wins, ties=tied), ties=ties, prior=rating.prior)[0]
        for wins, tied in zip(tallies.wins, tallies.ties, strict=True)
    ]
    np.testing.assert_allclose(solve_resamples(tallies, rating), expected, atol=1e-6)


@given(some.integers(2, 7), some.integers(0, 2**32 - 1))
def test_wins_lead_from_each_to_every_other_as_scipy_says(size: int, seed: int) -> None:
    wins = np.random.default_rng(seed).random((size, size)) < 0.3
    tally = VoteTally(wins=(wins & ~np.eye(size, dtype=bool)) * 1.0, ties=np.zeros((size, size)))
    count, _ = connected_components(tally.wins > 0, directed=True, connection="strong")
    assert bool(strongly_connected(tally, "half")) == (count == 1)


def points(tally: VoteTally, prior: float) -> np.ndarray:
    size = len(tally.wins)
    return tally.wins + 0.5 * tally.ties + prior / (2 * (size - 1)) * (1 - np.eye(size))


@pytest.mark.parametrize("prior", [0.0, 0.5, 1.5])
def test_ratings_are_those_of_choix(prior: float) -> None:
    voted = drawn(400, ties=True)
    expected = choix.ilsr_pairwise_dense(points(voted.tally(), prior), tol=1e-12)
    np.testing.assert_allclose(
        fit(voted, prior=prior).ratings, expected - expected.mean(), atol=1e-8
    )


@pytest.mark.parametrize("ties", ["half", "drop"])
def test_ratings_are_those_of_arenakit(ties: str) -> None:
    voted = drawn(400, ties=True)
    tally = voted.tally()
    counts = PairCounts(wf=tally.wins, ws=np.zeros_like(tally.wins), tt=np.triu(tally.ties))
    expected = np.asarray(arenakit.bt.fit_bt(counts, ties=ties, prior=0).scores)
    np.testing.assert_allclose(
        fit(voted, ties=ties, prior=0).ratings, expected - expected.mean(), atol=1e-6
    )


def davidson(tally: VoteTally, prior: float) -> tuple[np.ndarray, float]:
    """Ratings and ν by SciPy, from the likelihood as Davidson writes it."""
    size = len(tally.wins)
    wins, ties = tally.wins + prior / (2 * (size - 1)) * (1 - np.eye(size)), np.triu(tally.ties)

    def loss(x: np.ndarray) -> float:
        worth, tendency = np.exp(x[:-1]), np.exp(x[-1])
        root = np.sqrt(np.outer(worth, worth))
        whole = worth[:, None] + worth + tendency * root
        return float(
            -(wins * np.log(worth[:, None] / whole)).sum()
            - (ties * np.log(tendency * root / whole)).sum()
            + x[:-1].sum() ** 2
        )

    found = minimize(loss, np.zeros(size + 1), method="BFGS", options={"gtol": 1e-7})
    return found.x[:-1] - found.x[:-1].mean(), float(np.exp(found.x[-1]))


@pytest.mark.parametrize("count", [20, 1000])
def test_davidson_is_what_scipy_finds(count: int) -> None:
    voted = drawn(count, ties=True)
    ratings, tendency = davidson(voted.tally(), 0.5)
    found = fit(voted, ties="davidson")
    np.testing.assert_allclose(found.ratings, ratings, atol=1e-6)
    assert found.tie_parameter == pytest.approx(tendency, abs=1e-5)


def test_equals_that_tie_have_the_tendency_of_their_votes() -> None:
    assert fit(votes(*[("a", "b", 0.5)] * 4), ties="davidson").tie_parameter == pytest.approx(
        4 / 0.25
    )


def test_planted_strengths_are_recovered() -> None:
    np.testing.assert_allclose(fit(drawn(20_000)).ratings, [1, 0.5, 0, -0.5, -1], atol=0.08)


def test_planted_strengths_are_recovered_among_planted_ties() -> None:
    worth, tendency = np.exp([1, 0.5, 0, -0.5, -1]), 0.8
    root = np.sqrt(np.outer(worth, worth)) * ~np.eye(5, dtype=bool)
    whole = worth[:, None] + worth + tendency * root
    wins, ties = worth[:, None] / whole * ~np.eye(5, dtype=bool), tendency * root / whole
    ratings, found = solve(VoteTally(wins=wins, ties=ties), ties="davidson", prior=0)
    np.testing.assert_allclose(
        np.append(ratings, found), np.append(np.log(worth), tendency), atol=1e-6
    )


def test_a_share_of_a_win_is_two_votes_of_its_weight() -> None:
    shares = fit(votes(("a", "b", 0.7), ("b", "a", 0.2)))
    rows = fit(
        votes(
            ("a", "b", 1), ("a", "b", 0), ("b", "a", 1), ("b", "a", 0), weight=[0.7, 0.3, 0.2, 0.8]
        )
    )
    np.testing.assert_allclose(shares.ratings, rows.ratings)


def test_an_answer_that_flips_is_half_a_win_each_and_no_tie() -> None:
    flipped = votes(("a", "b", 1), ("a", "b", 0), ("a", "b", 1), weight=[0.5, 0.5, 1])
    assert fit(flipped).ratings[0] == pytest.approx(
        fit(votes(("a", "b", 0.5), ("a", "b", 1))).ratings[0]
    )
    assert fit(flipped, ties="davidson").tie_parameter == 0


def test_who_wins_what_chance_is_by_the_difference() -> None:
    found = fit(drawn(100, ties=True), ties="davidson").win_probability
    np.testing.assert_allclose(found + found.T, 1)
    assert fit(votes(("a", "b", 1), ("a", "b", 1), ("b", "a", 1)), prior=0).win_probability[
        0, 1
    ] == pytest.approx(2 / 3)


BEATEN = [("b", "c", 1), ("c", "b", 1)]


def test_a_perfect_winner_is_finite_and_said_to_be_unbounded() -> None:
    found = fit(votes(("a", "b", 1), ("a", "c", 1), *BEATEN))
    assert found.limits == ("above", None, None)
    assert np.isfinite(found.ratings).all()
    assert found.order[0] == 0


def test_a_perfect_loser_is_finite_and_said_to_be_unbounded() -> None:
    found = fit(votes(("b", "a", 1), ("c", "a", 1), *BEATEN, names="abc"))
    assert found.limits == ("below", None, None)
    assert np.isfinite(found.ratings).all()
    assert found.order[-1] == 0


def test_one_pair_is_unbounded_both_ways() -> None:
    found = fit(votes(("a", "b", 1)))
    assert (found.limits, found.ratings[0] > 0, found.bounded) == (("above", "below"), True, False)


def test_a_chain_is_unbounded_all_along() -> None:
    assert fit(votes(("a", "b", 1), ("b", "c", 1))).limits == ("above", "both", "below")


def test_a_tie_bounds_unless_ties_are_dropped() -> None:
    tied = votes(("a", "b", 1), ("a", "b", 0.5))
    assert [fit(tied, ties=rule).bounded for rule in ("half", "davidson", "drop")] == [
        True,
        True,
        False,
    ]


def test_without_a_prior_what_is_unbounded_is_refused() -> None:
    with pytest.raises(Unbounded, match="no limit to the ratings of a, b"):
        fit(votes(("a", "b", 1)), prior=0)


def test_two_islands_are_named() -> None:
    with pytest.raises(DisconnectedVotes) as refused:
        fit(votes(("a", "b", 1), ("b", "a", 1), ("c", "d", 1)))
    assert refused.value.components == (("a", "b"), ("c", "d"))


@pytest.mark.parametrize(
    "empty", [votes(), votes(("a", "b", None)), votes(("a", "b", 1), weight=[0])]
)
def test_no_verdict_is_an_error_of_its_own(empty: Votes) -> None:
    with pytest.raises(NoVotes):
        fit(empty)


def test_a_contender_without_votes_is_an_island() -> None:
    with pytest.raises(DisconnectedVotes):
        fit(votes(("a", "b", 1), ("b", "a", 1), names=["a", "b", "c"]))


def test_a_fit_that_does_not_fit_is_an_error() -> None:
    unlinked = VoteTally(wins=np.array([[0.0, 3.0], [0.0, 0.0]]), ties=np.zeros((2, 2)))
    with pytest.raises(NotConverged):
        solve(unlinked, ties="half", prior=0)


@given(
    some.lists(
        some.tuples(
            some.integers(0, 3), some.integers(1, 3), some.sampled_from([0.0, 0.3, 0.5, 1.0])
        ),
        max_size=20,
    )
)
@settings(max_examples=40, deadline=None)
def test_whatever_else_the_votes_ratings_are_those_of_choix(
    rows: list[tuple[int, int, float]],
) -> None:
    voted = votes(
        ("a", "b", 1),
        ("c", "b", 1),
        ("d", "c", 1),
        *[("abcd"[one], "abcd"[(one + step) % 4], outcome) for one, step, outcome in rows],
    )
    expected = choix.ilsr_pairwise_dense(points(voted.tally(), 0.5), tol=1e-12)
    np.testing.assert_allclose(fit(voted).ratings, expected - expected.mean(), atol=1e-6)
