"""Newcomers in the tournament of a bundle: connected, few calls, and one judge alone."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import judged_run
from kit.judge_servers import Endpoint, serving
from typer.testing import CliRunner

from htbench.cli import app
from htbench.core.errors import Refused, UsageError
from htbench.judging import newcomers
from htbench.judging.card import JudgeCard
from htbench.judging.ledger import Ledger
from htbench.judging.newcomers import NewcomerDesign, newcomer_matches, newcomer_ratings
from htbench.run.store import Store

BUNDLE = ("none", "poor", "good")
CONCEPTS = 8
UNITS = [("p", 0), ("q", 0)]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(Endpoint()) as up:
        yield up


def newcomer_run(
    folder: Path, endpoint: Endpoint, *, methods: tuple[str, ...] = BUNDLE, **options: object
) -> JudgeCard:
    """A run of `methods` of a bundle, judged there, and of the newcomer `mine`; gives its judge."""
    judged_run.build(folder, methods=(*methods, "mine"), concepts=CONCEPTS)
    judge = judged_run.card(folder.parent / "judge", endpoint.url)
    judged_run.judged(folder, judge, methods=methods, **options)
    with Ledger.open(folder) as ledger:
        ledger.freeze()
    with Store.open(folder) as store:
        store.set_facts(against={"bundle": "b.zip", "sha256": "0" * 64, "methods": list(methods)})
    return judge


def design(**changes: object) -> NewcomerDesign:
    settings = {"methods": (*"abcdef", "new"), "criteria": ("x", "y"), "newcomers": ("new",)}
    return NewcomerDesign(**{**settings, "basis": "t", **changes})  # type: ignore[arg-type]


def test_each_picture_of_a_newcomer_meets_a_method_of_each_band_of_the_ranking() -> None:
    concepts = [f"c{k}" for k in range(4)]
    matches = list(newcomer_matches(design(), list("abcdef"), concepts, UNITS))
    met = Counter(
        (match.concept, match.prompt, ({match.one, match.two} - {"new"}).pop())
        for match in matches
        if match.criterion == "x"
    )
    assert set(met.values()) == {1}
    for concept in concepts:
        for prompt, _ in UNITS:
            own = sorted(key[2] for key in met if key[:2] == (concept, prompt))
            assert [name in band for name, band in zip(own, ("ab", "cd", "ef"), strict=True)] == (
                [True] * 3
            )
    assert {name for *_, name in met} == set("abcdef")
    assert len(matches) == len(concepts) * len(UNITS) * 3 * 2


def test_more_anchors_than_methods_are_all_methods() -> None:
    matches = newcomer_matches(design(anchors=9), ["a", "b"], ["c"], UNITS[:1])
    assert {name for match in matches for name in (match.one, match.two)} == {"a", "b", "new"}


def test_a_newcomer_has_the_rank_of_a_tournament_of_all_pairs(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    judge = newcomer_run(tmp_path / "run", endpoint)
    added = judged_run.judged(tmp_path / "run", judge)
    whole = judged_run.judged(tmp_path / "run", judge, pairs=10_000)
    orders = [[each.name for each in of.criteria[0].ranking.entries] for of in (added, whole)]
    assert orders[0] == orders[1] == ["good", "mine", "poor", "none"]
    assert added.tournament != whole.tournament
    assert not added.pending


@pytest.mark.parametrize("methods", [BUNDLE, ("none", "poor", "good", "fair", "fine")])
def test_calls_grow_with_the_pictures_of_the_newcomer_alone(
    tmp_path: Path, endpoint: Endpoint, methods: tuple[str, ...]
) -> None:
    judge = newcomer_run(tmp_path / "run", endpoint, methods=methods)
    before = len(endpoint.paid)
    judged_run.judged(tmp_path / "run", judge, anchors=2)
    assert len(endpoint.paid) - before == CONCEPTS * 2 * 2  # anchors, orders


def test_the_same_command_again_asks_nothing(tmp_path: Path, endpoint: Endpoint) -> None:
    judge = newcomer_run(tmp_path / "run", endpoint)
    first = judged_run.judged(tmp_path / "run", judge)
    asked = len(endpoint.paid)
    again = judged_run.judged(tmp_path / "run", judge)
    assert len(endpoint.paid) == asked
    assert again.facts() == first.facts()


def test_calls_of_the_bundle_without_a_verdict_are_not_asked(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    judge = newcomer_run(tmp_path / "run", endpoint, requests=20)
    judged = judged_run.judged(tmp_path / "run", judge)
    assert (judged.calls, judged.pending) == (20 + CONCEPTS * 3 * 2, 0)


def test_a_limit_of_requests_does_not_count_those_of_the_bundle(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    judge = newcomer_run(tmp_path / "run", endpoint)
    before = len(endpoint.paid)
    judged_run.judged(tmp_path / "run", judge, requests=5)
    assert len(endpoint.paid) - before == 5


def test_a_judge_with_another_rubric_is_refused_and_rates_apart_where_pairs_are_chosen(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    judge = newcomer_run(tmp_path / "run", endpoint)
    rubric = tmp_path / "judge" / "presence.jinja"
    rubric.write_text(rubric.read_text() + "Look twice.\n")
    with pytest.raises(Refused, match="their verdicts are not mixed") as caught:
        judged_run.judged(tmp_path / "run", judge)
    assert "scripted, card" in str(caught.value)
    apart = judged_run.judged(tmp_path / "run", judge, pairs=40)
    assert apart.calls == 80


def test_a_bundle_without_verdicts_is_refused(tmp_path: Path, endpoint: Endpoint) -> None:
    judge = newcomer_run(tmp_path / "run", endpoint)
    (tmp_path / "run" / "judge.sqlite").unlink()
    with pytest.raises(Refused, match="was judged by nobody"):
        judged_run.judged(tmp_path / "run", judge)


def test_settings_that_the_bundle_was_not_judged_with_are_refused(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    judge = newcomer_run(tmp_path / "run", endpoint)
    with pytest.raises(UsageError, match="--one-order"):
        judged_run.judged(tmp_path / "run", judge, both_orders=False)
    with pytest.raises(Refused, match="at another strength or by other criteria"):
        judged_run.judged(tmp_path / "run", judge, criteria=("quality",))


def test_the_width_of_the_rating_is_told(tmp_path: Path, endpoint: Endpoint) -> None:
    judge = newcomer_run(tmp_path / "run", endpoint)
    (rating,) = newcomer_ratings(judged_run.judged(tmp_path / "run", judge))
    assert rating.width == rating.rating.high - rating.rating.low
    assert (rating.method, rating.pairs, rating.anchors) == ("mine", CONCEPTS * 3, 3)
    assert "24 pairs with 3 methods" in str(rating)


def test_the_command_tells_the_width_and_refuses_another_bundle(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    newcomer_run(tmp_path / "run", endpoint)
    where = ["--judge", str(tmp_path / "judge"), "--runs-dir", str(tmp_path)]
    words = ["judge", "run", *where, "--no-calibrate"]
    runner = CliRunner()
    answer = runner.invoke(app, [*words, "--json"], catch_exceptions=False)
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [line["method"] for line in lines if line["event"] == "newcomer"] == ["mine"]
    missing = runner.invoke(app, [*words, "--against", "none.zip"])
    assert "none.zip" in str(missing.exception)


def test_only_methods_that_the_judge_may_rank_are_anchors() -> None:
    metadata = {"circular": ["b"], "design": {"methods": ["a", "b", "c"]}}
    basis = newcomers.Basis(id="t", metadata=metadata)
    assert newcomers.order(basis, {"a": 0.0, "b": 5.0, "c": 1.0}) == ["c", "a"]
