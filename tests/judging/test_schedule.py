"""Schedules: balanced at any length, and reproducible."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htbench.judging.schedule import CONTROLS, Design, Match, count_pairs, round_robin, swiss_round

METHODS = ("a", "b", "c", "d", "e")
CONCEPTS = [f"concept-{k}" for k in range(6)]
UNITS = [("p", 0), ("p", 1), ("q", 0)]


def design(**changes: object) -> Design:
    return Design(**{"methods": METHODS, "criteria": ("x",), "controls": 0, **changes})  # type: ignore[arg-type]


def place(match: Match) -> tuple[object, ...]:
    return match.concept, match.prompt, match.seed, frozenset((match.one, match.two))


def played(of: Design, concepts: Sequence[str] = CONCEPTS) -> list[Match]:
    return [match for match in round_robin(of, concepts, UNITS) if not match.control]


@given(methods=st.integers(2, 7), concepts=st.integers(1, 9), units=st.integers(1, 4))
def test_a_round_robin_has_every_pair_of_pictures_once(
    methods: int, concepts: int, units: int
) -> None:
    names = tuple(map(str, range(methods)))
    found = list(
        round_robin(
            design(methods=names),
            [f"c{k}" for k in range(concepts)],
            [("p", k) for k in range(units)],
        )
    )
    wanted = {
        (f"c{c}", "p", u, frozenset(pair))
        for c in range(concepts)
        for u in range(units)
        for pair in combinations(names, 2)
    }
    assert len(found) == len(wanted)
    assert set(map(place, found)) == wanted


@given(pairs=st.integers(1, 180), methods=st.integers(2, 5))
def test_any_number_of_pairs_is_balanced_over_couples_and_concepts(
    pairs: int, methods: int
) -> None:
    of = design(pairs=pairs, methods=METHODS[:methods])
    found = played(of)
    assert len(found) == count_pairs(of, len(CONCEPTS), len(UNITS))
    for counts, groups in (
        (Counter(frozenset((m.one, m.two)) for m in found), len(of.method_pairs)),
        (Counter(m.concept for m in found), len(CONCEPTS)),
    ):
        assert max(counts.values()) - (min(counts.values()) if len(counts) == groups else 0) <= 1


@given(methods=st.integers(2, 6), concepts=st.integers(1, 20), units=st.integers(1, 5))
def test_a_couple_that_meets_once_on_every_concept_meets_on_all_prompts_and_seeds_alike(
    methods: int, concepts: int, units: int
) -> None:
    of = design(
        methods=tuple(map(str, range(methods))), pairs=methods * (methods - 1) // 2 * concepts
    )
    found = Counter(
        (frozenset((m.one, m.two)), m.seed)
        for m in round_robin(
            of, [f"c{k}" for k in range(concepts)], [("p", k) for k in range(units)]
        )
    )
    counts = [found[frozenset(couple), unit] for couple in of.method_pairs for unit in range(units)]
    assert max(counts) - min(counts) <= 1


def test_half_of_all_pairs_show_the_first_method_first() -> None:
    swapped = sum(match.one > match.two for match in played(design()))
    assert 60 < swapped < 120


def test_the_seed_alone_decides() -> None:
    assert played(design(seed=3)) == played(design(seed=3))
    assert played(design(seed=3)) != played(design(seed=4))


def test_against_one_method_only_its_pairs_meet() -> None:
    assert all("b" in (match.one, match.two) for match in played(design(against="b")))
    assert len(played(design(against="b"))) == 4 * 6 * 3


def test_every_criterion_is_asked_of_every_pair() -> None:
    found = played(design(criteria=("x", "y")))
    assert Counter(match.criterion for match in found) == {"x": 180, "y": 180}


def test_controls_of_each_kind_are_spread_over_the_tournament() -> None:
    of = design(controls=6, criteria=("x", "y"), about_concept=("x",), shows="e")
    found = list(round_robin(of, CONCEPTS, UNITS))
    kinds = Counter((match.control, match.criterion) for match in found if match.control)
    assert kinds == {
        (kind, criterion): 6
        for kind in CONTROLS
        for criterion in ("x", "y")
        if (kind, criterion) != ("decoy", "y")
    }
    where = [k / len(found) for k, match in enumerate(found) if match.control]
    assert min(where) < 0.1
    assert max(where) > 0.9


def test_a_wrong_concept_is_another_one_shown_by_the_same_method() -> None:
    decoys = [
        match
        for match in round_robin(
            design(controls=6, about_concept=("x",), shows="e"), CONCEPTS, UNITS
        )
        if match.control == "decoy"
    ]
    assert all(
        match.other_concept in CONCEPTS
        and match.other_concept != match.concept
        and match.one == match.two == "e"
        for match in decoys
    )


def test_what_is_repeated_was_asked_before() -> None:
    found = list(round_robin(design(controls=6), CONCEPTS, UNITS))
    asked = {(place(match), match.one) for match in found if not match.control}
    assert all((place(match), match.one) in asked for match in found if match.control == "repeat")


def test_rounds_between_neighbours_keep_a_share_of_other_pairs_and_repeat_nothing() -> None:
    of = design(pairs=90, swiss=3)
    met: list[Match] = []
    for number in range(3):
        fresh = list(
            swiss_round(
                of,
                CONCEPTS,
                UNITS,
                number=number,
                ratings={"a": 5.0, "b": 4.0, "c": 3.0, "d": 2.0, "e": 1.0},
                past_matches=met,
            )
        )
        assert len(fresh) == 30
        near = sum(abs(ord(match.one) - ord(match.two)) == 1 for match in fresh)
        assert near < 25 if number == 0 else 21 <= near < 30
        met += fresh
    assert len(set(map(place, met))) == 90


@pytest.mark.parametrize(("methods", "concepts"), [(("a", "b"), []), (("a",), CONCEPTS)])
def test_nothing_to_compare_is_no_match(methods: tuple[str, ...], concepts: list[str]) -> None:
    assert played(design(methods=methods), concepts) == []
