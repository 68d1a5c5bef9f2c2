"""The default ranking of a run, from runs with planted gain and image preservation."""

from pathlib import Path

import pytest
from kit.planted_run import planted

from htbench.run.store import Store
from htbench.run.summary import Summary

GENTLE = {0.5: (0.1, 0.9), 1.0: (0.2, 0.7)}
ROUGH = {0.5: (0.3, 0.6), 1.0: (0.4, 0.3)}
BLANK = {0.5: (0.4, 0.5), 1.0: (0.9, 0.02)}
"""Gain and image preservation by strength; the last paints a blank tile at strength 1."""
STRENGTHS = (0.0, 0.5, 1.0)


def names(summary: Summary) -> list[str]:
    return [line.method for line in summary.leaderboard]


def test_a_method_that_destroys_the_images_has_no_rank_whatever_its_gain(tmp_path: Path) -> None:
    run = planted(
        tmp_path / "run", {"blank": BLANK, "gentle": GENTLE, "rough": ROUGH}, strengths=STRENGTHS
    )
    with Store.read(run) as store:
        summary = Summary(store)
        assert names(summary) == ["rough", "gentle", "blank", "none"]
        assert summary.ranks.get("blank") is None
        assert summary.leaderboard[2].unranked == "keeps almost nothing of the image (.02)"
        assert summary.ranked_by == "concept gain at strength 1"


def test_methods_rank_at_the_strengths_that_were_chosen_on_dev_concepts(tmp_path: Path) -> None:
    run = planted(
        tmp_path / "run", {"blank": BLANK, "gentle": GENTLE, "rough": ROUGH}, strengths=STRENGTHS
    )
    chosen = {"blank": 0.5, "gentle": 1.0, "rough": 0.5}
    with Store.open(run) as store:
        store.set_facts(tuned={name: {"strength": at} for name, at in chosen.items()})
        summary = Summary(store)
        assert names(summary) == ["blank", "rough", "gentle", "none"]
        assert {line.method: line.strength for line in summary.leaderboard[:3]} == chosen
        assert summary.ranked_by == "concept gain at the strength chosen on dev concepts"


def test_a_method_without_a_chosen_strength_is_left_out_of_such_a_ranking(tmp_path: Path) -> None:
    run = planted(
        tmp_path / "run", {"gentle": GENTLE, "rough": ROUGH, "late": ROUGH}, strengths=STRENGTHS
    )
    with Store.open(run) as store:
        store.set_facts(tuned={name: {"strength": 0.5} for name in ("gentle", "rough")})
        left_out = Summary(store).ranking.left_out
    assert left_out == {"late": "no strength was chosen for it on dev concepts"}


def test_a_fit_that_destroys_the_images_is_no_fit_of_equal_quality(tmp_path: Path) -> None:
    run = planted(
        tmp_path / "run",
        {"linear-act": BLANK, "lineas": ROUGH, "hypertransport": GENTLE},
        strengths=STRENGTHS,
    )
    with Store.read(run) as store:
        (cost,) = (each for each in Summary(store).costs if each.comparisons)
    assert cost.comparisons[0].fit == "lineas"


@pytest.mark.parametrize("kept", [0.11, 0.5])
def test_a_method_that_keeps_a_tenth_is_ranked(tmp_path: Path, kept: float) -> None:
    run = planted(
        tmp_path / "run", {"one": {1.0: (0.9, kept)}, "gentle": GENTLE}, strengths=(0.0, 1.0)
    )
    with Store.read(run) as store:
        assert names(Summary(store)) == ["one", "gentle", "none"]
