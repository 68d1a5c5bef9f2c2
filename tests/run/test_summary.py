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


def _fail(store: Store, method: str, concept: str, number: int, kind: str = "nan") -> None:
    """Make the first `number` cells of a method at strength 1 on a concept failures."""
    keys = [
        row.image
        for row in store.rows()
        if (row.method, row.concept, row.strength) == (method, concept, 1.0)
    ]
    store.add_failure(keys[:number], Failure(kind=kind, message="broken"))


def test_a_failed_cell_has_the_worst_score_and_the_best_case_stands_beside(store: Store) -> None:
    _fail(store, "act", "lemon", 1)
    line = Summary(store).leaderboard_row("act", 1.0)
    lemon, best_lemon, lime = (0.3 - 2) / 2, (0.3 + 2) / 2, 0.5
    assert line.scores["concept_gain"].mean == pytest.approx((lemon + lime) / 2)
    assert line.best_case["concept_gain"] == pytest.approx((best_lemon + lime) / 2)
    assert line.scores["presence"].mean == pytest.approx((0.3 / 2 + 0.5) / 2)
    assert (line.done, line.failed, line.planned) == (3, 1, 4)


def test_a_concept_of_which_every_cell_failed_stays_in_the_mean(store: Store) -> None:
    _fail(store, "act", "lemon", 2)
    gain = Summary(store).leaderboard_row("act", 1.0).scores["concept_gain"]
    assert (gain.mean, gain.n) == (pytest.approx((-2 + 0.5) / 2), 2)


def test_a_file_that_was_damaged_is_no_failure_of_the_method(store: Store) -> None:
    _fail(store, "act", "lemon", 1, kind="damaged")
    line = Summary(store).leaderboard_row("act", 1.0)
    assert (line.scores["concept_gain"].mean, line.failed) == (pytest.approx(0.4), 0)
    assert line.unranked == "1 of 4 cells have no scores yet"


def test_failures_of_a_run_that_was_not_scored_yet_are_no_scores(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run") as store:
        store.plan_cells(_cells())
        store.set_facts(scorer={"id": "clip@1"})
        _fail(store, "act", "lemon", 1)
        assert Summary(store).leaderboard_row("act", 1.0).headline is None


def test_a_method_with_too_many_failures_is_listed_without_a_rank(store: Store) -> None:
    _fail(store, "hyper", "lemon", 1)
    summary = Summary(store)
    assert {line.method: line.unranked for line in summary.leaderboard} == {
        "act": "",
        "none": "",
        "hyper": "1 of 4 cells failed",
    }
    assert summary.ranks is None


def test_methods_are_compared_on_the_cells_that_both_have(store: Store) -> None:
    extra = [(name, "lemon", "a dog", 1, 1.0, Digest(f"{name} dog")) for name in ("act", "hyper")]
    store.plan_cells([*_cells(), *extra])
    image = GeneratedImage(key=Digest("hyper dog"), png=b"png")
    store.add_images([image], seconds=0.5, batch=4)
    store.add_scores([(store.rows()[-1].id, metric, "clip@1", 1.0) for metric in METRICS])
    summary = Summary(store)
    both = summary.paired_means({"act": 1.0, "hyper": 1.0})
    assert summary.means("hyper", 1.0)["lemon"] == pytest.approx((0.4 + 0.4 + 1.0) / 3)
    assert both.means["hyper"] == pytest.approx({"lemon": 0.4, "lime": 0.6})
    assert (both.means["act"], both.cells) == (pytest.approx({"lemon": 0.3, "lime": 0.5}), 4)


def test_a_failed_cell_is_compared_as_the_worst(store: Store) -> None:
    _fail(store, "act", "lemon", 1)
    store.plan_cells([*_cells(), ("act", "lemon", "a dog", 1, 1.0, Digest("not made"))])
    both = Summary(store).paired_means({"act": 1.0, "hyper": 1.0})
    assert (both.means["act"]["lemon"], both.cells) == (pytest.approx((0.3 - 2) / 2), 4)


def test_scores_by_another_encoder_do_not_count(store: Store) -> None:
    before = Summary(store).leaderboard_row("act", 1.0)
    store.add_scores((row.id, "concept_gain", "zzz", 99.0) for row in store.rows())
    assert repr(Summary(store).leaderboard_row("act", 1.0)) == repr(before)


def test_a_line_without_scores_has_no_estimate_and_comes_last_of_the_methods(store: Store) -> None:
    store.plan_cells([("new", "lemon", "a cat", 1, 1.0, Digest("new")), *_cells()])
    last = Summary(store).leaderboard[-2]  # before `none`
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


def test_a_method_without_timings_has_no_cost(store: Store) -> None:
    store.plan_cells([*_cells(), ("new", "lemon", "a cat", 1, 1.0, Digest("new"))])
    cost = Summary(store).costs[-1]
    assert (cost.method, cost.training, cost.concept, cost.amortisation) == ("new", 0.0, None, None)


def test_a_run_without_cells_has_an_empty_leaderboard(tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty") as store:
        summary = Summary(store)
        assert (summary.leaderboard, summary.costs, summary.done, summary.ranks) == (
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


def test_a_method_that_the_scorer_cannot_judge_is_listed_after_the_others(
    store: Store,
) -> None:
    store.set_facts(methods={"hyper": {"training": {"encoders": ["clip"]}}})
    assert [(line.method, line.circular) for line in Summary(store).leaderboard] == [
        ("act", False),
        ("hyper", True),
        ("none", False),
    ]


def test_choosing_a_strength_is_charged(store: Store) -> None:
    store.set_facts(tuned={"hyper": {"strength": 0.5, "seconds": 10.0}})
    summary = Summary(store)
    assert [(line.method, line.strength) for line in summary.tuned] == [("hyper", 0.5)]
    assert next(
        (cost.tuning, cost.training) for cost in summary.costs if cost.method == "hyper"
    ) == (10.0, 1000.0)
