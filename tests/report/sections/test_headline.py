"""The cards at the head of a report, from runs with planted gain, preservation and times."""

from pathlib import Path

import pytest
from kit import report_run
from kit.planted_run import planted

from htbench import report
from htbench.report.roles import find_roles
from htbench.report.sections import claims, headline
from htbench.report.sections.headline import Card
from htbench.run.store import Store

FIT = {1.0: (0.4, 0.5)}
OWN = {1.0: (0.3, 0.6)}
BLANK = {1.0: (0.9, 0.02)}
"""Gain and image preservation at strength 1."""
STRENGTHS = (0.0, 1.0)


def cards(folder: Path) -> list[Card]:
    with report.open_run(folder) as summary:
        return headline.collect(summary, find_roles(summary, claims.load_claims()["paper"]))


def test_how_good_is_told_as_a_share_of_the_best_per_concept_method(tmp_path: Path) -> None:
    curves = {"prompt": FIT, "lineas": FIT, "hypertransport": OWN, "linear-act": BLANK}
    good, _, _ = cards(planted(tmp_path / "run", curves, strengths=STRENGTHS))
    assert (good.number, good.unit) == (
        "75 %",
        "of the concept gain of the best per-concept method",
    )
    assert good.sentences == [
        "hypertransport gains +.30, lineas +.40 (a significant difference).",
        "They keep .60 and .50 of the image.",
        "Prompting gains +.40 and keeps .50.",
    ]


def test_where_strengths_were_chosen_methods_are_compared_where_both_keep_as_much(
    tmp_path: Path,
) -> None:
    curves = {
        "lineas": {0.5: (0.1, 0.8), 1.0: (0.3, 0.4)},
        "hypertransport": {0.5: (0.05, 0.9), 1.0: (0.25, 0.4)},
    }
    folder = planted(tmp_path / "run", curves, strengths=(0.0, 0.5, 1.0))
    with Store.open(folder) as store:
        store.set_facts(tuned={"lineas": {"strength": 0.5}, "hypertransport": {"strength": 1.0}})
    good, _, _ = cards(folder)
    # At .5: lineas is at .25 and hypertransport at .21, each between its two strengths.
    assert good.number == "84 %"
    assert good.sentences[:2] == [
        "hypertransport gains +.21, lineas +.25 (a significant difference).",
        "Both keep .50 of the image, between strengths that were run.",
    ]


def test_how_much_cheaper_is_told_for_the_concept_and_with_ten_images(tmp_path: Path) -> None:
    curves = {"lineas": FIT, "hypertransport": OWN}
    _, cheaper, _ = cards(planted(tmp_path / "run", curves, strengths=STRENGTHS))
    assert cheaper.number == "3,420×"
    assert cheaper.sentences == [
        "hypertransport needs 12.8 ms (h), lineas 43.7 s (c): the quickest per-concept method "
        "that is as good here.",
        "With ten images of each concept it is 125× faster: S(10).",
        "When its training of 23.0 min pays off was not measured in this run.",
    ]


def test_how_sure_tells_concepts_interval_and_that_the_model_is_small(tmp_path: Path) -> None:
    curves = {"lineas": FIT, "hypertransport": OWN}
    _, _, sure = cards(planted(tmp_path / "run", curves, strengths=STRENGTHS))
    assert (sure.number, sure.unit) == ("12", "concepts")
    assert sure.sentences[0] == "A gain is known to about ±.05 (95 % interval)."
    assert sure.sentences[-1] == (
        "The model is emoji, a small model of our own: results say little about large generators."
    )


def test_a_large_model_is_named_without_a_warning(tmp_path: Path) -> None:
    folder = planted(tmp_path / "run", {"lineas": FIT}, strengths=STRENGTHS)
    with Store.open(folder) as store:
        store.set_facts(model={"name": "dmd2"})
    assert cards(folder)[2].sentences[-1] == "The model is dmd2."


@pytest.mark.parametrize("methods", [{"lineas": FIT}, {"lineas": FIT, "hypertransport": BLANK}])
def test_without_a_ranked_method_that_is_trained_once_two_cards_say_so(
    tmp_path: Path, methods: dict[str, dict[float, tuple[float, float]]]
) -> None:
    good, cheaper, _ = cards(planted(tmp_path / "run", methods, strengths=STRENGTHS))
    missing = "No method that is trained once for all concepts is ranked in this run."
    assert (good.sentences[-1], cheaper.sentences) == (missing, [missing])


def test_a_run_without_times_says_so(tmp_path: Path) -> None:
    folder = report_run.build(
        tmp_path / "run", methods=("none", "lineas", "hypertransport"), timed=False, size=8
    )
    assert cards(folder)[1].sentences == [
        "hypertransport was not timed beside a per-concept method."
    ]


def test_a_run_without_scores_has_cards_without_numbers(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", methods=("none", "lineas"), scored=False, size=8)
    assert [card.number for card in cards(folder)] == ["", "", "12"]


def test_too_few_independent_concepts_are_told_instead_of_an_interval(tmp_path: Path) -> None:
    folder = planted(tmp_path / "run", {"lineas": FIT}, strengths=STRENGTHS)
    with Store.open(folder) as store:
        concepts = store.facts()["concepts"].items()
        store.set_facts(concepts={name: {**fact, "families": ["neon"]} for name, fact in concepts})
    assert cards(folder)[2].sentences[0].endswith("too few for intervals.")


def test_a_run_without_a_ranked_method_says_so(tmp_path: Path) -> None:
    folder = planted(tmp_path / "run", {"lineas": BLANK}, strengths=STRENGTHS)
    assert cards(folder)[2].sentences[0] == "No method is ranked."
