"""The numbers of a run, from a store that is filled by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from htbench.core.types import Digest
from htbench.run.store import Failure, GeneratedImage, Store
from htbench.run.summary import METRICS, Summary

GAINS = {
    ("act", 0.5): 0.1,
    ("act", 1.0): 0.3,
    ("hyper", 0.5): 0.2,
    ("hyper", 1.0): 0.4,
    ("none", 0.0): 0.0,
}


def _cells() -> list[tuple[str, str, str, int, float, Digest]]:
    return [
        (method, concept, "a cat", seed, strength, Digest(f"{method}{concept}{seed}{strength}"))
        for method, strength in sorted(GAINS, key=lambda line: (line[0] != "none", *line))
        for concept in ("lemon", "lime")
        for seed in (1, 2)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two methods and `none` on two concepts, with two images each.

    Lime gains 0.2 more than lemon; the methods take 100, 1 and 0 seconds.
    """
    with Store.open(tmp_path / "run") as store:
        store.plan_cells(_cells())
        store.set_facts(scorer={"name": "clip", "id": "clip@1"})
        store.set_facts(
            methods={
                "act": {"training": {"seconds": 0}},
                "hyper": {"training": {"seconds": 990.0}},
                "none": {"training": {"seconds": 0}},
            }
        )
        store.add_images(
            [GeneratedImage(key=row.image, png=b"png") for row in store.rows()],
            seconds=0.5,
            batch=4,
        )
        for row in store.rows():
            gain = GAINS[row.method, row.strength] + 0.2 * (row.concept == "lime")
            store.add_scores((row.id, metric, "clip@1", gain) for metric in METRICS)
        for method, seconds in {"act": 100.0, "hyper": 1.0, "none": 1e-9}.items():
            store.add_timing("towards", method, "lemon", seconds, "cpu")
            store.add_timing("towards", method, "lime", seconds, "cpu")
        yield store


def test_a_line_is_the_mean_over_concepts(store: Store) -> None:
    line = Summary(store).leaderboard_row("act", 1.0)
    assert (
        round(line.scores["concept_gain"].mean, 12),
        line.scores["concept_gain"].n,
        line.done,
        line.planned,
    ) == (0.4, 2, 4, 4)


def test_every_metric_is_on_a_line(store: Store) -> None:
    assert Summary(store).leaderboard_row("act", 1.0).scores.keys() == METRICS.keys()


def test_the_best_method_at_strength_1_comes_first(store: Store) -> None:
    assert [(line.method, line.strength) for line in Summary(store).leaderboard] == [
        ("hyper", 1.0),
        ("act", 1.0),
        ("none", 0.0),
    ]


def test_without_strength_1_the_largest_is_shown(store: Store) -> None:
    store.plan_cells(cell for cell in _cells() if cell[4] != 1.0)
    assert {line.strength for line in Summary(store).leaderboard} == {0.5, 0.0}


def test_methods_are_in_the_order_of_the_plan(store: Store) -> None:
    assert Summary(store).methods == ["none", "act", "hyper"]


def test_strengths_ascend(store: Store) -> None:
    assert Summary(store).strengths == [0.0, 0.5, 1.0]


def test_a_cell_without_all_its_scores_is_not_done(store: Store) -> None:
    store.plan_cells([*_cells(), ("act", "lemon", "a dog", 1, 1.0, Digest("new"))])
    store.add_images([GeneratedImage(key=Digest("new"), png=b"png")], seconds=0.5, batch=4)
    store.add_scores([(store.rows()[-1].id, "presence", "clip@1", 0.5)])
    assert (Summary(store).done, len(Summary(store).rows)) == (20, 21)


def test_the_denominator_is_the_planned_grid(store: Store) -> None:
    store.plan_cells([*_cells(), ("act", "lemon", "a dog", 1, 1.0, Digest("new"))])
    line = Summary(store).leaderboard_row("act", 1.0)
    assert (line.done, line.planned, line.scores["concept_gain"].n) == (4, 5, 2)


def test_a_score_that_is_not_defined_is_left_out_of_the_mean(store: Store) -> None:
    lemon = next(
        row
        for row in store.rows()
        if (row.method, row.strength, row.concept) == ("act", 1.0, "lemon")
    )
    store.add_scores([(lemon.id, "concept_gain", "clip@1", None)])
    assert Summary(store).leaderboard_row("act", 1.0).scores["concept_gain"].mean == pytest.approx(
        0.4
    )


def test_scores_by_another_encoder_do_not_count(store: Store) -> None:
    before = Summary(store).leaderboard_row("act", 1.0)
    store.add_scores((row.id, "concept_gain", "zzz", 99.0) for row in store.rows())
    assert Summary(store).leaderboard_row("act", 1.0) == before


def test_a_line_without_scores_has_no_estimate_and_comes_last(store: Store) -> None:
    store.plan_cells([("new", "lemon", "a cat", 1, 1.0, Digest("new")), *_cells()])
    last = Summary(store).leaderboard[-1]
    assert (last.method, last.scores["concept_gain"], last.done, last.planned) == (
        "new",
        None,
        0,
        1,
    )


def test_problems_are_counted(store: Store) -> None:
    rows = store.rows()
    store.add_failure([row.image for row in rows[:3]], Failure(kind="nan", message="no numbers"))
    assert [(problem.message, problem.cells) for problem in Summary(store).failures] == [
        ("no numbers", 3)
    ]


def test_the_slowest_is_a_method_that_was_not_trained(store: Store) -> None:
    assert Summary(store).slowest == "act"


def test_amortisation_is_against_the_slowest(store: Store) -> None:
    saving = next(cost for cost in Summary(store).costs if cost.method == "hyper").amortisation
    assert (saving.speedup(), saving.speedup(10), saving.break_even) == (100, 105 / 6, 10)


def test_neither_the_slowest_nor_none_saves_anything(store: Store) -> None:
    assert [
        cost.amortisation for cost in Summary(store).costs if cost.method in ("act", "none")
    ] == [None, None]


def test_a_method_without_timings_has_no_cost(store: Store) -> None:
    store.plan_cells([*_cells(), ("new", "lemon", "a cat", 1, 1.0, Digest("new"))])
    cost = Summary(store).costs[-1]
    assert (cost.method, cost.training, cost.concept, cost.amortisation) == ("new", 0.0, None, None)


def test_a_run_without_cells_has_an_empty_leaderboard(tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty") as store:
        summary = Summary(store)
        assert (summary.leaderboard, summary.costs, summary.done, summary.slowest) == (
            [],
            [],
            0,
            None,
        )


def test_black_and_constant_images_and_those_without_numbers_are_counted_by_method(
    store: Store,
) -> None:
    first, second, third = (
        row.image
        for row in store.rows()
        if row.method == "act" and row.strength == 1.0 and (row.concept, row.seed) != ("lime", 2)
    )
    pictures = [
        GeneratedImage(key=first, png=b"a", blank="black"),
        GeneratedImage(key=second, png=b"b", blank="constant"),
    ]
    store.add_images(pictures, seconds=0.5, batch=4)
    store.add_failure([third], Failure(kind="nan", message="no numbers"))
    assert Summary(store).blank_images["act"] == {"nan": 1, "black": 1, "constant": 1}


def test_a_method_that_reads_concepts_with_the_scorer_is_listed_last(store: Store) -> None:
    store.set_facts(methods={"hyper": {"training": {"encoders": ["clip"]}}})
    assert [(line.method, line.circular) for line in Summary(store).leaderboard] == [
        ("act", False),
        ("none", False),
        ("hyper", True),
    ]


def test_choosing_a_strength_is_charged(store: Store) -> None:
    store.set_facts(tuned={"hyper": {"strength": 0.5, "seconds": 10.0}})
    summary = Summary(store)
    assert [(line.method, line.strength) for line in summary.tuned] == [("hyper", 0.5)]
    assert next(
        (cost.tuning, cost.training) for cost in summary.costs if cost.method == "hyper"
    ) == (10.0, 1000.0)
