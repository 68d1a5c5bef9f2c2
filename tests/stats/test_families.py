"""Families of concepts: effective numbers, errors and resamples."""

import numpy as np
import pytest

from htbench.stats.families import (
    MIN_CLUSTERS,
    Contrast,
    Families,
    corrected_t,
    uncorrected_t,
)

LOOKS = {
    "neon": ("neon",),
    "neon on dots": ("neon", "dots"),
    "neon on rings": ("neon", "rings"),
    "rings": ("rings",),
    "sepia": ("sepia",),
    "sepia on dots": ("sepia", "dots"),
    "fog": ("fog",),
    "lemon": ("lemon",),
}
MIXED = Families.of(list(LOOKS), LOOKS)


def groups(sizes: list[int]) -> Families:
    """Families of these sizes, none of which overlap."""
    labels = [str(k) for k, size in enumerate(sizes) for _ in range(size)]
    names = [f"c{k}" for k in range(len(labels))]
    return Families.of(names, {name: [label] for name, label in zip(names, labels, strict=True)})


def test_concepts_without_a_common_family_are_independent() -> None:
    found = Families.of(["a", "b", "c", "d"], {"a": ["x"], "b": ["y", "z"]})
    assert (found.are_independent, found.clusters) == (True, 4)


@pytest.mark.parametrize("size", [1, 2])
def test_one_concept_or_one_family_has_resamples_without_spread(size: int) -> None:
    assert np.isnan(groups([size]).widening)


def test_equal_families_count_as_one_cluster_each() -> None:
    assert groups([3] * 8).clusters == pytest.approx(8)


def test_a_large_family_lowers_the_effective_number() -> None:
    assert groups([20, 1, 1, 1, 1]).clusters < 5


def test_concepts_are_related_that_share_any_family() -> None:
    names, kernel = list(LOOKS), MIXED.kernel
    pairs = {(names[i], names[j]) for i, j in np.argwhere(kernel > 0) if i < j}
    assert pairs == {
        ("neon", "neon on dots"),
        ("neon", "neon on rings"),
        ("neon on dots", "neon on rings"),
        ("neon on rings", "rings"),
        ("neon on dots", "sepia on dots"),
        ("sepia", "sepia on dots"),
    }


def test_the_error_of_disjoint_families_is_that_of_cluster_sums() -> None:
    values = np.random.default_rng(0).normal(size=12)
    sums = (values - values.mean()).reshape(4, 3).sum(1)
    expected = np.sqrt((sums**2).sum() / 144 * 4 / 3)
    families = groups([3] * 4)
    found = float(families.mean.error(values))
    lowest = np.sqrt(0.5 * values.var(ddof=1) / 12)
    assert found == pytest.approx(max(expected, lowest), rel=0.01)


def test_the_squared_error_is_right_on_average_under_the_working_model() -> None:
    rng = np.random.default_rng(1)
    root = np.linalg.cholesky(MIXED.working_model)
    values = rng.normal(size=(20_000, MIXED.n)) @ root.T
    squared = (MIXED.mean.error(values) ** 2).mean()
    assert squared == pytest.approx(values.mean(1).var(), rel=0.08)


def test_the_error_of_independent_concepts_is_the_standard_one() -> None:
    values = np.random.default_rng(2).normal(size=9)
    error = Families.independent(9).mean.error(values)
    assert error == pytest.approx(values.std(ddof=1) / 3)


def test_a_contrast_of_group_means_has_the_error_of_welch() -> None:
    values = np.random.default_rng(3).normal(size=10) * np.repeat([1, 5], [4, 6])
    contrast = Contrast(
        families=Families.independent(10),
        weights=np.repeat([1 / 4, -1 / 6], [4, 6]),
        groups=np.repeat([0, 1], [4, 6]),
    )
    expected = values[:4].var(ddof=1) / 4 + values[4:].var(ddof=1) / 6
    assert contrast.error(values) ** 2 == pytest.approx(expected)


def test_a_family_is_drawn_whole() -> None:
    draws = groups([3, 2, 4]).resamples(seed=1, rounds=50)
    assert (draws[:, :3] == draws[:, :1]).all()
    assert (draws[:, 5:] == draws[:, 5:6]).all()


def test_a_concept_of_two_families_is_drawn_now_with_one_and_now_with_the_other() -> None:
    draws, names = MIXED.resamples(seed=0, rounds=4000), list(LOOKS)
    with_neon, with_dots, apart = (
        np.corrcoef(draws[:, names.index("neon on dots")], draws[:, names.index(other)])
        for other in ("neon", "sepia on dots", "lemon")
    )
    assert with_neon[0, 1] > 0.25
    assert with_dots[0, 1] > 0.1
    assert apart[0, 1] < 0


def test_the_same_seed_gives_the_same_resamples() -> None:
    first, second = (Families(MIXED.labels).resamples(seed=4, rounds=20) for _ in range(2))
    assert (first == second).all()


def test_too_few_clusters_have_no_tail() -> None:
    assert np.isnan(Families.independent(MIN_CLUSTERS - 1).tail)
    assert np.isnan(groups([5, 5]).tail)


def test_correcting_t_for_skewness_can_be_undone() -> None:
    for skewness in (-0.8, 0.0, 0.3):
        for t in (-2.5, 0.4, 3.0):
            corrected = float(corrected_t(np.array(t), np.array(skewness)))
            assert uncorrected_t(corrected, skewness) == pytest.approx(t)


def test_every_resample_has_as_many_units_as_there_are() -> None:
    assert (Families.independent(7).resamples(seed=3, rounds=50).sum(1) == 7).all()


def test_few_clusters_end_their_intervals_further_out() -> None:
    assert (
        Families.independent(5).tail
        < Families.independent(20).tail
        < Families.independent(1000).tail
        < 0.025
        < 1.01 * Families.independent(1000).tail
    )


@pytest.mark.parametrize("shared", [False, True])
def test_errors_of_differences_are_those_of_each_difference(shared: bool) -> None:
    random = np.random.default_rng(0)
    names = [f"c{k}" for k in range(12)]
    families = Families.of(
        names, {name: [f"f{k // 3}"] for k, name in enumerate(names)} if shared else None
    )
    values = random.normal(size=(50, 4, 12))
    values[:, 1] = values[:, 0]  # equal rows
    values[:, 2] = values[:, 0] + 1e-7 * values[:, 3]  # nearly equal ones
    first, second = np.triu_indices(4, 1)
    expected = families.mean.error(values[:, first] - values[:, second])
    errors = families.mean.difference_errors(values, first, second)
    np.testing.assert_allclose(errors, expected, rtol=1e-9, atol=0)
    assert (errors[:, 0] == 0).all()
