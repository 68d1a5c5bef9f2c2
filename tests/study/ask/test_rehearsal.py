"""Rehearsals: from export to report with simulated people."""

import json
from collections import Counter
from pathlib import Path

import pytest
from kit import judged_run

from htbench.core.errors import Refused, UsageError
from htbench.study.analyse import publish, writeup
from htbench.study.ask import export, rehearsal
from htbench.study.ask.options import StudyOptions
from htbench.study.ask.rehearsal import RehearsalSummary
from htbench.study.collect import intake, profile
from htbench.study.collect.privacy import Pseudonyms, load_or_create_secret


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged_run.build(
        tmp_path_factory.mktemp("run") / "run", prompts=("a cat", "a house", "a tree")
    )


@pytest.fixture(scope="module")
def study(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "study"
    export.write(run, folder, StudyOptions(pairs=200, raters=20, votes=5, size=16))
    return folder


@pytest.fixture(scope="module")
def made(study: Path) -> RehearsalSummary:
    found = rehearsal.write(study, study.with_name("rehearsal"), bots=3)
    how = profile.find("htbench")
    intake.import_answers(
        found.files,
        study.with_name("rehearsal"),
        profile=how,
        key=None,
        secret=study.with_name("secret"),
        rules=None,
    )
    return found


def test_the_planted_best_is_found_and_bots_alone_are_left_out(
    study: Path, made: RehearsalSummary
) -> None:
    found = writeup.write(study.with_name("rehearsal"), rounds=100)
    (criterion,) = found.criteria
    assert criterion.ranking
    assert criterion.ranking.entries[0].name == made.order[0]
    names = Pseudonyms(secret=load_or_create_secret(study.with_name("secret"), shared_folder=study))
    bots = {names.pseudonym(f"rehearsal-{number:03}") for number in (18, 19, 20)}
    assert {rater for step in found.flow.steps for rater in step.gone} == bots


def test_the_whole_sheets_were_answered(made: RehearsalSummary, study: Path) -> None:
    lines = sum(len(path.read_text().splitlines()) - 1 for path in made.files)
    assert lines == made.answers == 20 * 58


def test_a_rehearsal_says_so_and_stays_out_of_the_run(
    run: Path, study: Path, made: RehearsalSummary
) -> None:
    folder = study.with_name("rehearsal")
    writeup.write(folder, run, rounds=100)
    assert (
        (folder / "report.md").read_text().startswith("**A rehearsal: these answers are made up.**")
    )
    assert json.loads((folder / "report.json").read_text())["rehearsal"] is True
    assert not (run / publish.FOLDER).exists()


def test_made_up_answers_do_not_get_into_a_study(study: Path, made: RehearsalSummary) -> None:
    with pytest.raises(Refused, match="made up"):
        intake.import_answers(
            made.files,
            study,
            profile=profile.find("htbench"),
            key=None,
            secret=study.with_name("secret"),
            rules=None,
        )
    assert not (study / "answers.csv").exists()


def test_one_seed_makes_one_rehearsal(study: Path, tmp_path: Path, made: RehearsalSummary) -> None:
    again = rehearsal.write(study, tmp_path / "again", bots=3)
    assert [path.read_bytes() for path in again.files] == [path.read_bytes() for path in made.files]


def test_careful_people_tie_now_and_then_and_follow_instructions(
    study: Path, tmp_path: Path
) -> None:
    found = rehearsal.write(study, tmp_path / "careful", bots=0, seed=3)
    choices = Counter(
        line.split(",")[5] for path in found.files for line in path.read_text().splitlines()[1:]
    )
    assert 0.05 < choices["tie"] / found.answers < 0.15


def test_a_folder_with_something_in_it_is_not_written_over(
    study: Path, made: RehearsalSummary
) -> None:
    with pytest.raises(UsageError, match="not empty"):
        rehearsal.write(study, study.with_name("rehearsal"))


def test_more_bots_than_people_are_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="30 bots"):
        rehearsal.write(study, tmp_path / "bots", bots=30)


@pytest.mark.parametrize(("raters", "bots"), [(3, 0), (8, 2), (20, 3)])
def test_bots_fit_the_number_of_people(tmp_path: Path, raters: int, bots: int) -> None:
    run = judged_run.build(tmp_path / "run", methods=("none", "good"))
    options = StudyOptions(pairs=8, raters=raters, votes=3, checks=0, repeats=0, size=8)
    export.write(run, tmp_path / "study", options)
    assert rehearsal.write(tmp_path / "study", tmp_path / "rehearsal").bots == bots
