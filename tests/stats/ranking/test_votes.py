"""Sums of votes."""

import numpy as np
from kit.planted import planted


def test_a_tally_of_concepts_and_raters_is_that_of_votes_weighted_one_by_one() -> None:
    random = np.random.default_rng(0)
    cast = planted(random, concepts=7, each=30, raters=5)
    assert cast.rater is not None
    by_concept, by_rater = random.integers(0, 4, (11, 7)), random.integers(0, 3, (11, 5))
    together = cast.crossed_tally(by_concept, by_rater, groups=cast.concept, others=cast.rater)
    weights = by_concept[:, cast.concept] * by_rater[:, cast.rater]
    one_by_one = cast.tally(weights, groups=np.arange(len(cast)))
    np.testing.assert_allclose(together.wins, one_by_one.wins)
    np.testing.assert_allclose(together.ties, one_by_one.ties)
