"""Requests against what is obtained, by hand and by the beta distribution."""

import numpy as np
import pytest
from scipy.stats import beta

from htbench.stats import reach


def test_shares_are_parts_of_the_way_to_the_target() -> None:
    shares = reach.obtained_shares(
        np.array([[0.5, 0.25, 0.0], [0.3, 0.4, 0.7]]), np.array([0.5, 0.3]), np.array([0.0, 0.5])
    )
    assert shares == pytest.approx(np.array([[0, 0.5, 1], [0, 0.5, 2]]))


def test_a_target_that_asks_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="unsteered value"):
        reach.obtained_shares(np.ones((1, 2)), np.array([0.5]), np.array([0.5]))


def test_the_error_is_the_mean_distance_over_requests() -> None:
    shares = np.array([[0.5, 1.0], [0.0, 0.6]])
    assert reach.request_errors(shares, [0.5, 1.0]) == pytest.approx([0, 0.45])


def test_nine_of_ten_concepts_reach_the_reachable_share() -> None:
    largest = np.arange(10) / 10
    shares = np.stack([np.zeros(10), largest], axis=1)
    assert reach.reachable_share(shares) == pytest.approx(0.1)
    assert (largest >= 0.1).mean() == 0.9
    assert reach.reachable_share(shares[:1] - 5) == 0
    assert np.isnan(reach.reachable_share(np.zeros((0, 3))))


@pytest.mark.parametrize(("failures", "trials"), [(0, 12), (3, 12), (11, 12)])
def test_the_bound_is_the_quantile_of_the_beta_distribution(failures: int, trials: int) -> None:
    expected = beta.ppf(0.95, failures + 1, trials - failures)
    assert reach.failure_bound(failures, trials) == pytest.approx(expected, abs=1e-9)


def test_the_bound_is_one_if_all_fail_and_unknown_without_trials() -> None:
    assert reach.failure_bound(4, 4) == 1
    assert np.isnan(reach.failure_bound(0, 0))


def test_the_bound_is_exceeded_in_at_most_one_sample_of_twenty() -> None:
    random = np.random.default_rng(0)
    failures = random.binomial(15, 0.3, 2000)
    missed = np.mean([reach.failure_bound(int(number), 15) < 0.3 for number in failures])
    assert missed <= 0.06
