"""Results of studies of strengths, ratings, yes or no, and the best of several."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from kit import judged_run, strengths_run

from htbench.core.errors import UsageError
from htbench.core.types import label_of
from htbench.report import study_page
from htbench.report.sections import people
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.stats.psychometric import PsychometricCurve
from htbench.study.analyse import best, publish, scale, strength, writeup
from htbench.study.analyse.agreement import pair_votes_of
from htbench.study.analyse.evaluators import Evaluator
from htbench.study.analyse.tasks import compute_task
from htbench.study.answer import Answer, Pair
from htbench.study.ask import export, rehearsal
from htbench.study.ask.options import StudyOptions
from htbench.study.ask.rehearsal import RehearsalSummary
from htbench.study.collect import intake, profile
from htbench.study.exclusions import Flow, Rules, apply_rules
from htbench.study.task import find

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
TASKS = ("strength", "rating", "yes-no", "best")


def vote(
    rater: str, concept: str, choice: str, left: str, right: str = "", seed: int = 0
) -> Answer:
    return Answer(
        study="s",
        criterion="presence",
        concept=concept,
        prompt="",
        seed=seed,
        left=left,
        right=right,
        choice=choice,  # type: ignore[arg-type]
        rater=rater,
        rt_ms=2000,
    )


def flow(answers: list[Answer]) -> Flow:
    return apply_rules(answers, Rules(longest_run=0, side_p=0))


def strengths(noticed: float, *, people: int = 10, each: int = 60, seed: int = 0) -> list[Answer]:
    """Votes of people who tell a difference of `noticed` apart in three of four cases."""
    random = np.random.default_rng(seed)
    curve = PsychometricCurve(slope=0.6745 / noticed, lapses=0.0)
    votes = []
    for k in range(people * each):
        one, two = map(float, random.choice(STRENGTHS, size=2, replace=False))
        right = random.random() < curve.probability(np.array([abs(one - two)]))[0]
        labels = label_of("m", one), label_of("m", two)
        choice = "left" if (one > two) == right else "right"
        votes.append(vote(f"p{k % people}", f"c{k % 12}", choice, *labels, seed=k))
    return votes


def test_the_run_keeps_the_difference_that_people_notice_of_each_method() -> None:
    found = strength.compute(flow(strengths(0.4)))
    (kept,) = found.noticed
    (own,) = found.facts["methods"]
    assert kept.method == own["method"] == "m"
    assert kept.noticeable.low < 0.4 < kept.noticeable.high


def test_a_planted_noticeable_difference_is_within_its_interval() -> None:
    found = strength.of_method("m", strengths(0.4), rounds=200)
    assert found.noticeable.low < 0.4 < found.noticeable.high
    assert found.reach == "within"
    assert sum(level.answers for level in found.levels) == found.order.of == 600


def test_who_always_takes_the_weaker_has_strengths_in_the_wrong_order() -> None:
    votes = strengths(0.2)
    turned = [
        vote(each.rater, each.concept, {"left": "right", "right": "left"}[each.choice],
             each.left, each.right, each.seed)
        for each in votes
    ]  # fmt: skip
    found = strength.of_method("m", turned, rounds=100)
    assert found.order.interval[1] < 0.5
    assert (found.reach, found.noticeable_text) == ("above", "above 1")


def test_an_interval_ends_where_the_differences_shown_do() -> None:
    found = strength.of_method("m", strengths(0.9, people=4, each=20), rounds=200)
    assert found.noticeable.high > 1
    assert found.noticeable_text.endswith(", above 1]")


def test_one_difference_of_strengths_gives_no_noticeable_difference() -> None:
    votes = [
        each for each in strengths(0.4) if abs(float(each.left[2:]) - float(each.right[2:])) == 1
    ]
    found = strength.of_method("m", votes, rounds=100)
    assert (found.reach, found.noticeable_text) == ("one", "-")
    assert found.order.value > 0.8


def test_sides_do_not_matter() -> None:
    votes = strengths(0.4, each=20)
    swapped = [
        vote(each.rater, each.concept, {"left": "right", "right": "left"}[each.choice],
             each.right, each.left, each.seed)
        for each in votes
    ]  # fmt: skip
    one, two = (strength.of_method("m", own, rounds=0) for own in (votes, swapped))
    assert one.levels == two.levels


def ratings(*, answers: int = 900, seed: int = 0) -> list[Answer]:
    random = np.random.default_rng(seed)
    effects = {"a": 1.0, "b": 0.0, "c": -1.0}
    strict, hard = random.normal(0, 1, 12), random.normal(0, 1, 20)
    votes = []
    for k in range(answers):
        method, person, concept = str(random.choice([*effects])), k % 12, int(random.integers(20))
        latent = effects[method] + strict[person] + hard[concept] + random.logistic()
        choice = str(1 + int(np.digitize(latent, [-2, -0.7, 0.7, 2])))
        votes.append(vote(f"p{person:02}", f"c{concept:02}", choice, method, seed=k))
    return votes


def test_planted_effects_of_ratings_are_within_their_intervals() -> None:
    found = scale.compute(flow(ratings()), find("rating"), rounds=200)
    effects = {each["method"]: each["effect"] for each in found.facts["methods"]}
    assert [*effects] == ["a", "b", "c"]
    truth = {"a": 1, "b": 0, "c": -1}
    assert all(effects[name]["low"] < truth[name] < effects[name]["high"] for name in truth)


def test_a_rater_who_is_strict_does_not_move_methods() -> None:
    """One of two people gives 1 more to everything: thresholds move, and not effects."""
    random = np.random.default_rng(1)
    votes = []
    for k in range(400):
        method = "ab"[k % 2]
        value = int(np.clip(np.round(2 + (method == "a") + random.normal(0, 0.7)), 1, 4))
        votes += [
            vote("mild", f"c{k % 9}", str(value + 1), method, seed=k),
            vote("strict", f"c{k % 9}", str(value), method, seed=k),
        ]
    both = scale.compute(flow(votes), find("rating"), rounds=100).facts
    alone = scale.compute(
        flow([each for each in votes if each.rater == "mild"]), find("rating"), rounds=100
    ).facts
    effects = [each["methods"][0]["effect"]["value"] for each in (both, alone)]
    assert effects[0] == pytest.approx(effects[1], abs=0.25)
    assert both["person_spread"] > 0.5


def test_yes_and_no_are_the_log_odds_of_their_counts() -> None:
    votes = [
        vote("p", "c", choice, method, seed=k)
        for method, yes in (("a", 300), ("b", 200))
        for k, choice in enumerate(["yes"] * yes + ["no"] * (400 - yes))
    ]
    facts = scale.compute(flow(votes), find("yes-no"), rounds=100).facts
    assert facts["odds"][0]["value"] == pytest.approx(3, rel=0.02)
    assert facts["methods"][0]["counts"] == {"no": 100, "yes": 300}


def test_worths_of_the_best_are_the_ratios_of_shares() -> None:
    votes = [
        vote(f"p{k % 5}", f"c{k % 7}", str(1 + shown.index(chosen)), " | ".join(shown), seed=k)
        for k, (chosen, shown) in enumerate(
            [(name, ("b", "a", "c") if k % 2 else ("a", "b", "c"))
             for name, number in (("a", 60), ("b", 30), ("c", 10)) for k in range(number)]
        )
    ]  # fmt: skip
    facts = best.compute(flow(votes), find("best"), rounds=100).facts
    odds = {(each["one"], each["two"]): each["value"] for each in facts["odds"]}
    assert odds["a", "b"] == pytest.approx(2, rel=0.02)
    assert odds["b", "c"] == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize(
    ("task", "answers", "implied"),
    [
        (
            "rating",
            [("a", "2"), ("b", "5"), ("c", "2")],
            {("a", "b"): 0, ("a", "c"): 0.5, ("b", "c"): 1},
        ),
        ("yes-no", [("b", "yes"), ("a", "no")], {("a", "b"): 0}),
        ("best", [("c | a | b", "2")], {("a", "c"): 1, ("a", "b"): 1}),
        ("strength", [("a@0", "left")], {}),
    ],
)
def test_answers_imply_votes_on_pairs_of_pictures(
    task: str, answers: list[tuple[str, str]], implied: dict[tuple[str, str], float]
) -> None:
    votes = [vote("one", "c", choice, left) for left, choice in answers]
    found = {(pair.one, pair.two): own for pair, own in pair_votes_of(votes, find(task)).items()}
    assert found == {pair: {"one": value} for pair, value in implied.items()}


def test_a_metric_that_says_what_people_say_agrees_as_far_as_they_do() -> None:
    people, concepts = [f"p{k}" for k in range(4)], [f"c{k}" for k in range(6)]
    votes = [
        vote(person, concept, choice, method)
        for person in people
        for concept in concepts
        for method, choice in (("a", "4"), ("b", "1"))
    ]
    preferences = {Pair("presence", concept, "", 0, "a", "b"): 1.0 for concept in concepts}
    right = Evaluator(source="metric", name="right", preferences=preferences)
    wrong = Evaluator(source="judge", name="wrong", preferences=dict.fromkeys(preferences, 0.0))
    found = compute_task(flow(votes), find("rating"), evaluators=[right, wrong], rounds=20)
    shares = {each["name"]: each["accuracy"]["value"] for each in found.facts["agreement"]}
    assert shares == {"one person": 1, "right": 1, "wrong": 0}
    assert found.tables[-1].rows[-1][0] == "judge wrong"
    assert [table.is_of_methods for table in found.tables] == [True, True, False]


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, RehearsalSummary]]:
    folder = tmp_path_factory.mktemp("rehearsed")
    runs = {
        "strength": strengths_run.build(folder / "strengths"),
        "judged": judged_run.build(folder / "judged", prompts=("a cat", "a house", "a tree")),
    }
    found = {}
    for task in TASKS:
        run = runs.get(task, runs["judged"])
        options = StudyOptions(task=task, pairs=120, raters=15, votes=4, size=8)  # type: ignore[arg-type]
        export.write(run, folder / task, options)
        made = rehearsal.write(folder / task, folder / f"{task}-rehearsal", bots=2, seed=1)
        intake.import_answers(
            made.files,
            folder / f"{task}-rehearsal",
            profile=profile.find("htbench"),
            key=None,
            secret=folder / "secret",
            rules=None,
        )
        found[task] = folder / f"{task}-rehearsal", made
    return found


@pytest.mark.parametrize("task", TASKS)
def test_the_planted_best_of_a_rehearsal_is_found(
    rehearsed: dict[str, tuple[Path, RehearsalSummary]], task: str
) -> None:
    folder, made = rehearsed[task]
    result = writeup.write(folder, rounds=100)
    assert result.task
    ranked = [row[0] for row in result.task.tables[0].rows]
    if task == "strength":
        facts = result.task.facts["methods"]
        ranked = [each["method"] for each in sorted(facts, key=lambda each: -each["slope"])]
    assert ranked[0] == made.order[0]
    assert result.flow.steps[-1].people == 13


@pytest.mark.parametrize("task", TASKS)
def test_a_report_has_all_figures_and_no_votes_for_judges(
    rehearsed: dict[str, tuple[Path, RehearsalSummary]], task: str
) -> None:
    folder, made = rehearsed[task]
    result = writeup.write(folder, rounds=100)
    page = study_page.write(writeup.record(result, folder), folder, rehearsal=True).read_text()
    facts = json.loads((folder / "report.json").read_text())
    rows = list(csv.DictReader((folder / "results.csv").open()))
    text = (folder / "report.md").read_text()
    assert {each["method"] for each in facts["methods"]} == set(made.order)
    assert {row["method"] for row in rows} == set(made.order)
    assert all(name in text and name in page for name in made.order)
    assert "results.csv" in page
    assert not (folder / "votes.csv").exists()


def test_the_report_of_the_run_shows_the_result(
    rehearsed: dict[str, tuple[Path, RehearsalSummary]],
) -> None:
    folder, _ = rehearsed["rating"]
    run = folder.parent / "judged"
    result = writeup.write(folder, rounds=100)
    publish.write_to_run(result, run, study=folder, rules_changed=False)
    with Store.read(run) as store:
        (study,) = people.collect(Summary(store)).studies
    assert study.question == "presence"
    assert study.tables == list(result.task.tables if result.task else ())


def test_a_run_without_the_methods_is_refused(
    rehearsed: dict[str, tuple[Path, RehearsalSummary]], tmp_path: Path
) -> None:
    folder, _ = rehearsed["strength"]
    other = judged_run.build(tmp_path / "other", methods=("none", "shy"))
    with pytest.raises(UsageError, match="none of the study's methods"):
        writeup.write(folder, other, rounds=100)
