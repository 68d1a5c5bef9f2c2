"""Judges with known faults: each raises its own flag, and does not distort the ratings."""

from dataclasses import replace
from pathlib import Path

import pytest
from kit import judged_run
from kit.judge_servers import (
    Endpoint,
    Mind,
    by_file_size,
    fair,
    first_picker,
    form_copier,
    last_picker,
    last_reader,
    leaning,
    random_judge,
    refuser,
    serving,
    sightless,
    text_lover,
    tie_lover,
)

from htbench.judging.audit import ControlResult
from htbench.judging.leaderboard import TournamentResult
from htbench.stats.proportions import Proportion


def judged_by(mind: Mind, folder: Path, **wish: object) -> TournamentResult:
    judged_run.build(folder / "run", **({"noise": 0.6} if "pairs" not in wish else {}))  # type: ignore[arg-type]
    with serving(Endpoint(mind=mind)) as endpoint:
        return judged_run.judged(
            folder / "run", judged_run.card(folder / "judge", endpoint.url), **wish
        )


@pytest.mark.parametrize(
    ("mind", "flags"),
    [
        (fair, ()),
        (first_picker, ("first slot",)),
        (last_picker, ("last slot",)),
        (tie_lover, ("undecided",)),
        (text_lover, ("text",)),
        (random_judge, ("unstable",)),
        (refuser, ("missing",)),
        (form_copier, ("first slot",)),
        (by_file_size, ("text", "blind")),
        (sightless, ("blind", "imagines", "inconsistent")),
    ],
)
def test_exactly_the_planted_fault_is_flagged(
    mind: Mind, flags: tuple[str, ...], tmp_path: Path
) -> None:
    assert judged_by(mind, tmp_path, controls=14).criteria[0].audit.flags == flags


def test_a_judge_that_looks_at_the_last_picture_alone_contradicts_itself(tmp_path: Path) -> None:
    flags = judged_by(last_reader, tmp_path, controls=14).criteria[0].audit.flags
    assert {"imagines", "inconsistent"} <= set(flags)


def test_a_judge_that_always_picks_the_first_rates_all_alike(tmp_path: Path) -> None:
    found = judged_by(first_picker, tmp_path)
    assert max(map(abs, judged_run.ratings(found).values())) < 1e-6
    assert found.criteria[0].match_outcomes == {"inconsistent": 72}


def test_what_a_refuser_misses_is_shown_by_method(tmp_path: Path) -> None:
    found = judged_by(refuser, tmp_path).criteria[0]
    missed = found.audit.missing_by_method
    assert missed["shy"].value == 1.0
    assert all(missed[method].value == pytest.approx(1 / 3) for method in ("none", "poor", "good"))
    assert "shy" in found.unranked
    assert found.ranking
    assert set(found.ranking.rating.names) == {"none", "poor", "good"}


def test_a_liking_for_the_first_slot_moves_no_rating_beyond_chance(tmp_path: Path) -> None:
    even = judged_by(leaning(0.0), tmp_path / "even")
    biased = judged_by(leaning(0.8), tmp_path / "biased")
    ranking = even.criteria[0].ranking
    assert ranking
    assert biased.criteria[0].audit.flags == ("first slot",)
    leant = judged_run.ratings(biased)
    assert all(one.rating.low < leant[one.name] < one.rating.high for one in ranking.entries)


def test_one_order_alone_would_be_fooled(tmp_path: Path) -> None:
    judged_run.build(tmp_path / "run", methods=("none", "good"))
    with serving(Endpoint(mind=first_picker)) as endpoint:
        found = judged_run.judged(
            tmp_path / "run", judged_run.card(tmp_path / "judge", endpoint.url), both_orders=False
        )
    assert found.criteria[0].match_outcomes.keys() == {"won"}
    assert found.calls == 12


def test_an_interval_of_a_share_is_wilsons() -> None:
    low, high = Proportion(count=8, of=10).interval
    z, n, p = 1.959963984540054, 10, 0.8
    middle, half = (
        (p + z * z / (2 * n)) / (1 + z * z / n),
        z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5,
    )
    assert (low, high) == pytest.approx((middle - half, middle + half))


@pytest.mark.parametrize(
    ("right", "wrong", "fooled"), [(0, 8, True), (0, 5, False), (9, 9, False), (20, 0, False)]
)
def test_a_control_is_failed_only_where_chance_does_not_explain_it(
    right: int, wrong: int, fooled: bool
) -> None:
    assert ControlResult(right=right, wrong=wrong, other=3).fooled is fooled


def test_circles_are_counted_against_what_ratings_expect(tmp_path: Path) -> None:
    audit = judged_by(random_judge, tmp_path).criteria[0].audit
    assert audit.cycles.of > 0
    assert audit.cycles_expected == pytest.approx(0.25, abs=0.08)
    assert (
        replace(
            audit, cycles=Proportion(count=40, of=48), stable=Proportion(count=40, of=40)
        ).flags[-1]
        == "cycles"
    )


def test_a_judge_that_picks_noise_half_the_time_is_called_blind_unless_it_answers_at_random(
    tmp_path: Path,
) -> None:
    audit = replace(
        judged_by(random_judge, tmp_path, controls=14).criteria[0].audit,
        noise=ControlResult(right=10, wrong=10, other=0),
    )
    assert "blind" not in audit.flags
    assert "blind" in replace(audit, stable=Proportion(count=40, of=40)).flags
