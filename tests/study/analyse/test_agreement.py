"""Agreement of judges and metrics with people: checked against other implementations."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kit import judged_run
from kit.judge_servers import Endpoint, fair, serving
from kit.study_people import answered, study
from statsmodels.stats.inter_rater import cohens_kappa

from htbench.core.errors import UsageError
from htbench.report.sections import people
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.study.analyse import publish, writeup
from htbench.study.analyse.agreement import (
    PairVotes,
    ceiling,
    collect_pair_votes,
    majority_agreement,
)
from htbench.study.analyse.evaluators import read_evaluators
from htbench.study.analyse.reliability import gwet_ac1
from htbench.study.answer import Key, Pair
from htbench.study.ask import export
from htbench.study.ask.options import StudyOptions
from htbench.study.collect import intake, profile
from htbench.study.exclusions import Rules, apply_rules


def pair(concept: int, seed: int = 0) -> Pair:
    return Pair("overall", f"c{concept:02}", "", seed, "a", "b")


def by_chance(number: int, *, ties: bool = True) -> tuple[dict[Pair, float], PairVotes]:
    """Verdicts, and votes of three people a pair that lean to them."""
    random, values = np.random.default_rng(7), (0.0, 0.5, 1.0) if ties else (0.0, 1.0)
    verdicts = {pair(k % 12, k): float(random.choice(values)) for k in range(number)}
    return verdicts, {
        each: {
            f"r{k}": value if random.random() < 0.6 else float(random.choice(values))
            for k in range(3)
        }
        for each, value in verdicts.items()
    }


@pytest.mark.parametrize("ties", [True, False])
def test_kappa_and_ac1_are_those_of_others(ties: bool) -> None:
    verdicts, people = by_chance(400, ties=ties)
    found = majority_agreement("judge", "j", verdicts, people)
    sides = [
        (np.sign(verdicts[each] - 0.5), np.sign(round(np.mean(list(votes.values())) - 0.5, 9)))
        for each, votes in people.items()
    ]
    table = np.array(
        [[sum(side == (one, two) for side in sides) for two in (1, 0, -1)] for one in (1, 0, -1)]
    )
    counts = np.array(
        [
            [
                side.count(value)
                for value in ((1, 0, -1) if table[1].any() or table[:, 1].any() else (1, -1))
            ]
            for side in sides
        ],
        float,
    )
    assert found
    assert found.kappa.value == pytest.approx(cohens_kappa(table).kappa)
    assert found.ac1.value == pytest.approx(gwet_ac1(counts))
    assert found.accuracy.value == pytest.approx(
        np.mean([one == two for one, two in sides if one and two])
    )


def test_intervals_resample_concepts() -> None:
    people = {pair(concept, seed): {"r": 1.0} for concept in range(12) for seed in range(50)}
    verdicts = {each: float(each.concept < "c06") for each in people}
    found = majority_agreement("metric", "m", verdicts, people)
    assert found
    assert (found.accuracy.value, found.compared) == (0.5, 600)
    assert found.accuracy.high - found.accuracy.low > 0.5  # 600 independent pairs would have 0.08


def test_intervals_are_for_new_people_where_several_voted() -> None:
    odd = {f"r{k}": float(k < 4) for k in range(5)}
    people = {pair(concept, seed): odd for concept in range(20) for seed in range(5)}
    found = majority_agreement("metric", "m", dict.fromkeys(people, 1.0), people)
    person = ceiling(people)
    assert found
    assert person
    assert found.accuracy.value == 1
    assert person.accuracy.high - person.accuracy.low > 0.5  # four against one, always the same


def test_one_concept_has_no_interval() -> None:
    found = majority_agreement("metric", "m", {pair(1): 1.0}, {pair(1): {"r": 1.0}})
    assert found
    assert np.isnan(found.accuracy.low)


def test_the_ceiling_is_one_person_with_the_majority_of_the_others() -> None:
    people = {pair(1): {"r0": 1.0, "r1": 1.0, "r2": 0.0}, pair(2): {"r0": 0.0}}
    found = ceiling(people)
    assert found
    assert (found.compared, found.accuracy.value) == (
        3,
        0.0,
    )  # r0 and r1 meet a tie, r2 is against both others


def test_a_judge_that_is_one_of_the_people_reaches_the_ceiling() -> None:
    people = collect_pair_votes(study(np.random.default_rng(4), concepts=30, each=20, raters=1))
    crowd = {
        each: {f"r{k}": vote for k in range(3)}
        for each, votes in people.items()
        for vote in votes.values()
    }
    judge = majority_agreement(
        "judge", "j", {each: votes["r0"] for each, votes in crowd.items()}, crowd
    )
    most = ceiling(crowd)
    assert judge
    assert most
    assert judge.accuracy.value == most.accuracy.value == 1


def test_repeats_and_refusals_are_no_votes() -> None:
    rows = [*answered("one", "lsl"), *answered("one", "rrr", kind="repeat", swapped=True)]
    assert sorted(votes["one"] for votes in collect_pair_votes(rows).values()) == [1, 1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a judge and a metric that see colours, and a score of which lower is better."""
    folder = judged_run.build(tmp_path_factory.mktemp("runs") / "run")
    with serving(Endpoint(mind=fair)) as server:
        judged_run.judged(folder, judged_run.card(folder.parent / "judge", server.url))
    with Store.open(folder) as store:
        store.set_facts(gauges=[{"id": "stains@1", "name": "stains", "better": "lower"}])
        rows = store.rows()
        skill = {row.id: judged_run.SKILL[row.method] for row in rows}
        store.add_scores((row.id, "concept_gain", "emoji-clip-b@1", skill[row.id]) for row in rows)
        store.add_scores((row.id, "stains", "stains@1", -skill[row.id]) for row in rows)
    return folder


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of the run, in which people see the better picture four times out of five."""
    made, dice = tmp_path_factory.mktemp("studies") / "study", np.random.default_rng(2)
    export.write(run, made, StudyOptions(pairs=40, raters=6, votes=3, size=32))
    lines = ["item,choice,rater,rt_ms"]
    for item in Key.read(made / "key.csv").values():
        better = (
            "left"
            if judged_run.SKILL.get(item.left, -1) > judged_run.SKILL.get(item.right, -1)
            else "right"
        )
        other = {"left": "right", "right": "left"}[better]
        for k in range(3):
            mistaken = not item.expected and dice.random() >= 0.8
            choice = other if mistaken else item.expected or better
            lines.append(f"{item.item},{choice},person-{k},2000")
    (made / "votes.csv").write_text("\n".join(lines) + "\n")
    intake.import_answers(
        [made / "votes.csv"],
        made,
        profile=profile.find("htbench"),
        key=None,
        secret=made.parent / "secret",
        rules=None,
    )
    return made


def test_judges_and_metrics_of_the_run_are_held_against_people(run: Path, folder: Path) -> None:
    (criterion,) = writeup.write(folder, run, rounds=100).criteria
    assert [(each.source, each.name) for each in criterion.agreement] == [
        ("person", "one person"),
        ("judge", "openai scripted"),
        ("metric", "Concept gain, emoji-clip-b"),
        ("metric", "stains"),
    ]
    assert min(each.accuracy.value for each in criterion.agreement[1:]) > 0.75
    assert "| metric stains |" in (folder / "report.md").read_text()


def test_what_a_study_found_lies_in_the_run_s_folder(run: Path, folder: Path) -> None:
    writeup.write(folder, run, rounds=100)
    writeup.write(folder, run, rounds=100)
    (path,) = (run / publish.FOLDER).iterdir()
    facts = json.loads(path.read_text())
    (criterion,) = facts["criteria"]
    assert (facts["version"], facts["study"], facts["strength"]) == (1, "study", 1.0)
    assert criterion["sentinels"]["count"] == criterion["sentinels"]["of"] > 0
    assert {each["name"] for each in criterion["standings"]} == set(judged_run.SKILL)
    assert criterion["agreement"][0]["accuracy"].keys() == {"value", "low", "high"}


def test_the_report_of_the_run_reads_what_the_study_left_there(run: Path, folder: Path) -> None:
    writeup.write(folder, run, rounds=100)
    with Store.read(run) as store:
        section = people.collect(Summary(store))
    assert not section.problems
    (criterion,) = section.studies[0].criteria
    assert criterion.catch_trials.count == criterion.catch_trials.of > 0


def test_no_pseudonym_is_in_the_run_s_folder(run: Path, folder: Path) -> None:
    found = writeup.write(folder, run, rounds=100)
    (path,) = (run / publish.FOLDER).iterdir()
    assert not [answer.rater for answer in found.flow.unique if answer.rater in path.read_text()]


def test_another_run_is_refused(folder: Path, tmp_path: Path) -> None:
    other = judged_run.build(tmp_path / "other", prompts=("a tree",))
    with pytest.raises(UsageError, match="none of the study's pairs"):
        writeup.write(folder, other, rounds=100)


def test_only_pictures_of_the_study_s_strength_are_compared(run: Path) -> None:
    pairs = {
        Pair("presence", concept, judged_run.PROMPTS[0], 0, "good", "poor")
        for concept in ("colour/red",)
    }
    with pytest.raises(UsageError, match="none of the study's pairs"):
        read_evaluators(run, pairs, strength=0.5)


def test_noise_that_is_preferred_too_often_is_told() -> None:
    rows = [
        replace(row, right="noise")
        for row in answered("one", "lr", kind="sentinel", expected="left")
    ]
    assert apply_rules(rows, Rules(failed_sentinels=1, answered=0)).steps[-1].people == 0
    assert apply_rules(rows, Rules(failed_sentinels=2, answered=0)).steps[-1].people == 1
