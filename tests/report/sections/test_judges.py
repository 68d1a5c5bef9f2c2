"""Judges and people on the page: tournaments by judges with known faults, and an imported study."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from kit import judged_run, known_answers, study_people
from kit.html_page import Page
from kit.judge_servers import Endpoint, Mind, by_file_size, fair, first_picker, refuser, serving
from kit.posted_study import study

from htbench import report
from htbench.judging.audit import MEANING
from htbench.study.analyse import publish
from htbench.study.analyse.result import compute_result
from htbench.study.exclusions import Rules, apply_rules


def page(folder: Path) -> Page:
    return Page(report.write(folder).read_text(encoding="utf-8"))


def judged_by(mind: Mind, folder: Path, **wish: object) -> Page:
    judged_run.build(folder / "run", concepts=6)
    with serving(Endpoint(mind=mind)) as endpoint:
        judged_run.judged(folder / "run", judged_run.card(folder / "judge", endpoint.url), **wish)
    return page(folder / "run")


@pytest.fixture(scope="module")
def fairly(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return judged_by(fair, tmp_path_factory.mktemp("fair"), controls=6)


def test_a_fair_judge_ranks_methods_as_they_were_planted_and_has_no_flags(fairly: Page) -> None:
    said = fairly.text.partition("openai scripted")[2]
    assert "no flags" in said
    ranked = re.findall(r"(\w+) [\d–]+ tier", said)
    assert (ranked[0], ranked[-1], len(ranked)) == ("good", "none", 4)


def test_a_judge_that_was_asked_no_known_pairs_decides_no_claim(fairly: Page) -> None:
    assert "not calibrated" in fairly.text
    assert "so it decides no claim" in fairly.text


def test_a_judge_that_cannot_tell_right_from_wrong_has_its_accuracy_and_no_ranking(
    tmp_path: Path,
) -> None:
    folder = judged_run.build(tmp_path / "run", concepts=3)
    with serving(Endpoint(mind=by_file_size)) as endpoint:
        card = judged_run.card(tmp_path / "judge", endpoint.url)
        judged_run.calibrate(folder, card)
        judged_run.judged(folder, card)
    said = page(folder).text.partition("openai scripted")[2]
    assert re.search(r"calibration failed .* right in \d+ of 30 known pairs", said)
    assert re.search(r"concept present or absent \d+ of 10", said)
    assert "Not ranked: the judge failed its calibration" in said
    assert "Win rates by verdicts that do not count: " in said


def test_every_flag_of_the_audit_is_listed_with_its_evidence_or_as_not_tested(
    fairly: Page,
) -> None:
    said = fairly.text.partition("Evidence")[2].partition("Win rates with their intervals")[0]
    table, _, untested = said.partition("has no such questions: ")
    shown = {flag for flag, meaning in MEANING.items() if f"{flag} no {meaning}" in table}
    assert set(MEANING) - shown == {"first slot", "last slot"}
    assert untested.startswith("first slot and last slot.")
    assert "the picture won in 6 of 6 controls and lost in 0" in table


def test_the_matrix_and_the_robustness_of_the_ranking_are_there(fairly: Page) -> None:
    assert "Win rates with their intervals" in fairly.text
    assert re.search(r"Removing \d+ votes? \([\d.]+ %\) would put \w+ first.", fairly.text)
    assert all(
        f"{name} good" in fairly.text
        for name in ("ties: drop", "ties: davidson", "prior: 0.1", "prior: 1.5")
    )


def test_a_planted_fault_is_flagged_on_the_page(tmp_path: Path) -> None:
    seen = judged_by(first_picker, tmp_path)
    assert "flagged: first slot" in seen.text
    assert "the first picture won 100 % [" in seen.text


def test_the_ranking_of_a_judge_with_a_flag_is_struck_through(tmp_path: Path) -> None:
    seen = judged_by(first_picker, tmp_path)
    classes = [attributes.get("class", "") for _, attributes in seen.tags]
    assert "its ranking is struck through: do not rely on it" in seen.text
    assert {"struck", "name end struck"} <= set(classes)


def test_the_ranking_of_a_judge_without_flags_is_not_struck_through(fairly: Page) -> None:
    assert not [each for _, each in fairly.tags if "struck" in each.get("class", "")]


def test_verdicts_that_are_missing_are_told_by_method_and_reason(tmp_path: Path) -> None:
    said = judged_by(refuser, tmp_path).text
    assert "Not ranked: no verdict on any picture of shy" in said
    assert re.search(r"poor \d\S* tier \d .*? 33.3 % \d+ refus", said)


def test_without_judges_and_studies_the_page_names_the_commands(tmp_path: Path) -> None:
    said = page(judged_run.build(tmp_path / "run", concepts=2)).text
    assert "No judge has compared the images in pairs. htbench judge run" in said
    assert "Nobody has compared the images in a study. htbench study export run" in said


def test_a_damaged_ledger_is_one_line_and_the_rest_of_the_page_is_there(tmp_path: Path) -> None:
    folder = judged_run.build(tmp_path / "run", concepts=2)
    (folder / "judge.sqlite").write_bytes(b"nothing of the kind" * 100)
    seen = page(folder)
    assert "The ledger of judges cannot be read" in seen.text
    assert "gallery" in {attributes.get("id") for _, attributes in seen.tags}


def test_what_people_said_is_on_the_page_as_text(tmp_path: Path) -> None:
    folder = judged_run.build(tmp_path / "run", concepts=2)
    (folder / "studies").mkdir()
    (folder / "studies" / "a.json").write_text(
        json.dumps(
            {**study("good", "poor", (0.66, 0.6, 0.7)), "study": "<script>alert(1)</script>"}
        )
    )
    seen = page(folder)
    assert "<script>alert(1)</script>" in seen.text
    assert "120 votes by 20 people on 40 pairs" in seen.text
    assert ".66 [.60, .70]" in seen.text


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"version": 2}', '{"version": 1, "study": "x"}', "\udcff"]
)
def test_a_damaged_study_is_one_line(tmp_path: Path, text: str) -> None:
    folder = judged_run.build(tmp_path / "run", concepts=2)
    (folder / "studies").mkdir()
    (folder / "studies" / "a.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "The study a.json is damaged, or of another version" in page(folder).text


def test_a_judge_that_comes_later_is_on_the_next_page_beside_the_first(tmp_path: Path) -> None:
    folder = judged_run.build(tmp_path / "run", concepts=3)
    with serving(Endpoint(mind=fair)) as endpoint:
        card = judged_run.card(tmp_path / "judge", endpoint.url)
        judged_run.judged(folder, card)
        assert "openai second" not in page(folder).text
        judged_run.judged(folder, card.with_model("second"))
    text = page(folder).text
    assert "openai scripted" in text
    assert "Agreement with openai second on presence: the same choice in 100 % of" in text


def test_judges_that_passed_are_pooled(tmp_path: Path) -> None:
    folder = judged_run.build(tmp_path / "run", concepts=3)
    with serving(Endpoint()) as endpoint:
        card = judged_run.card(tmp_path / "judge", endpoint.url)
        endpoint.mind = known_answers.knowing(card)
        for name in ("first", "second"):
            judged_run.calibrate(folder, card.with_model(name))
            judged_run.judged(folder, card.with_model(name))
    said = page(folder).text.partition("Panel: presence")[2]
    assert re.search(r"over the 18 pairs .* differ on 0 % .* of the 18 that they decide", said)
    assert re.findall(r"(\w+) [\d–]+ tier", said)[0] == "good"


def test_what_a_study_leaves_in_its_run_is_read_whole(tmp_path: Path) -> None:
    run, made = judged_run.build(tmp_path / "run", concepts=2), tmp_path / "my-study"
    made.mkdir()
    answers = study_people.study(np.random.default_rng(0), concepts=12, each=10, raters=6)
    publish.write_to_run(
        compute_result(apply_rules(answers, Rules()), rounds=100),
        run,
        study=made,
        rules_changed=True,
    )
    seen = page(run).text
    assert "my-study" in seen
    assert "The rules of exclusion were changed after the first answers were imported." in seen
    assert "120 votes by 6 people" in seen
    assert re.findall(r"(\w) [\d–]+ tier", seen.partition("my-study")[2])[0] == "a"  # planted best


def test_a_study_leaves_the_votes_on_each_pair_without_names_of_people(tmp_path: Path) -> None:
    run, made = judged_run.build(tmp_path / "run", concepts=2), tmp_path / "my-study"
    made.mkdir()
    answers = study_people.study(np.random.default_rng(1), concepts=6, each=10, raters=5)
    flow = apply_rules(answers, Rules())
    path = publish.write_to_run(
        compute_result(flow, rounds=100), run, study=made, rules_changed=False
    )
    text = path.read_text(encoding="utf-8")
    counted: Counter[tuple[str, int, str]] = Counter()
    for pair in json.loads(text)["criteria"][0]["pair_votes"]:
        for side, votes in (("one", pair["for_one"]), ("two", pair["for_two"])):
            counted[pair["concept"], pair["seed"], pair[side]] += votes
    assert +counted == Counter(
        (each.concept, each.seed, each.left if each.choice == "left" else each.right)
        for each in flow.kept
    )
    assert not [each.rater for each in answers if f'"{each.rater}"' in text]
