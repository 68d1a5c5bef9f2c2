"""Methods compared concept by concept."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from htbench.core.errors import UnknownName
from htbench.stats.paired import compare, score_agreement

RANDOM = np.random.default_rng(0)
EASY = {f"c{k}": float(value) for k, value in enumerate(RANDOM.normal(0, 1, 30))}
BETTER = {concept: value + 1 + 0.3 * float(RANDOM.normal()) for concept, value in EASY.items()}
ALIKE = {concept: value + 0.01 * float(RANDOM.normal()) for concept, value in EASY.items()}


def test_a_method_that_is_better_on_each_concept_is_called_so() -> None:
    (found,) = compare({"new": BETTER, "old": EASY})
    assert (found.conclusion, found.win_rate, found.difference.n) == ("higher", 1, 30)
    assert found.difference.mean == pytest.approx(1, abs=0.2)


def test_concepts_pair_so_that_how_hard_they_are_does_not_matter() -> None:
    shuffled = dict(zip(EASY, reversed(list(BETTER.values())), strict=True))
    (paired,), (unpaired,) = (
        compare({"new": BETTER, "old": EASY}),
        compare({"new": shuffled, "old": EASY}),
    )
    assert paired.difference.high - paired.difference.low < 0.5 * (
        unpaired.difference.high - unpaired.difference.low
    )


def test_a_family_is_adjusted_and_one_against_a_reference_is_smaller() -> None:
    slightly = {concept: score + 0.01 * BETTER[concept] for concept, score in ALIKE.items()}
    scores = {"a": slightly, "b": EASY, "c": ALIKE}
    everything, against = compare(scores), compare(scores, reference="b")
    assert [len(everything), len(against)] == [3, 2]
    for family in (everything, against):
        surest = min(family, key=lambda pair: pair.difference.p)
        assert surest.p == pytest.approx(len(family) * surest.difference.p)


def test_a_match_needs_a_margin_and_is_not_a_missing_star() -> None:
    assert [
        compare({"a": ALIKE, "b": EASY}, margin=margin)[0].conclusion for margin in (0.1, None)
    ] == ["equivalent", "undecided"]


def test_few_concepts_decide_nothing_either_way() -> None:
    few = {concept: BETTER[concept] for concept in ("c0", "c1")}
    assert compare({"a": few, "b": EASY}, margin=0.05)[0].conclusion == "undecided"


def test_methods_without_a_common_concept_are_not_compared() -> None:
    assert compare({"a": {"x": 1.0}, "b": {"y": 1.0}}) == []


def test_a_reference_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'lineas'"):
        compare({"lineas": EASY}, reference="linaes")


def test_the_same_both_ways_agree_wholly() -> None:
    found = score_agreement(EASY, EASY, margin=0.1)
    assert (found.concordance, found.correlation, found.equivalence.holds) == (
        pytest.approx(1),
        pytest.approx(1),
        True,
    )


def test_concordance_is_lins_and_a_shift_lowers_it_alone() -> None:
    found = score_agreement(BETTER, EASY)
    x, y = np.array(list(BETTER.values())), np.array(list(EASY.values()))
    assert found.concordance == pytest.approx(
        2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    )
    assert found.correlation == pytest.approx(spearmanr(x, y).statistic)
    assert found.low < found.concordance < found.high < found.correlation


def test_two_concepts_have_no_agreement() -> None:
    assert score_agreement({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0}) is None
