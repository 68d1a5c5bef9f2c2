"""Withdrawal of a person from a study: no byte of any file has them afterwards."""

import json
from pathlib import Path

import pytest
from kit import judged_run

from htbench.cli.study import forget
from htbench.cli.study import report as write_report
from htbench.core.errors import HtbenchError, Missing, Refused, UnknownName
from htbench.study import answer
from htbench.study.ask import export
from htbench.study.ask.options import StudyOptions
from htbench.study.collect import intake, privacy, profile
from htbench.study.collect.privacy import Pseudonyms

PEOPLE = ("person-one", "person-two", "person-three", "person-four")
KEY = "item,concept,left,right\n" + "".join(f"i{k},c{k % 4},a,b\n" for k in range(12))


def votes(folder: Path, *people: str, name: str = "votes.csv") -> Path:
    rows = [
        f"i{k},{'left' if (k + len(person)) % 3 else 'right'},{person},{k + 1},{1000 + k}"
        for person in people
        for k in range(12)
    ]
    path = folder / name
    path.write_text("\n".join(["item,choice,rater,position,rt_ms", *rows]) + "\n")
    return path


def take(folder: Path, *files: Path, name: str = "htbench", **options: Path) -> None:
    (folder / "key.csv").write_text(KEY)
    intake.import_answers(
        files,
        folder / "study",
        profile=profile.find(name),
        key=folder / "key.csv" if name == "htbench" else None,
        secret=folder / "study.secret",
        rules=None,
        **options,
    )


def pseudonym(folder: Path, person: str) -> str:
    secret = privacy.load_or_create_secret(folder / "study.secret", shared_folder=folder / "study")
    return Pseudonyms(secret=secret).pseudonym(person)


def files_with(folder: Path, *words: str) -> list[str]:
    """Files, hidden ones too, whose bytes hold one of the words in UTF-8 or UTF-16."""
    coded = [word.encode(code) for word in words for code in ("utf-8", "utf-16-le", "utf-16-be")]
    paths = (path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in paths if any(word in path.read_bytes() for word in coded)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with a report, a table of people, and the file of answers beside them."""
    (tmp_path / "study").mkdir()
    people = "".join(f"{person},APPROVED,600\n" for person in PEOPLE)
    (tmp_path / "people.csv").write_text(f"Participant id,Status,Time taken\n{people}")
    given = votes(tmp_path / "study", *PEOPLE, name="given.csv")
    take(tmp_path, given, participants=tmp_path / "people.csv")
    write_report(study=tmp_path / "study", rounds=100, run=None, seed=0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("by", ["identifier", "pseudonym"])
def test_no_byte_of_the_study_has_the_person(folder: Path, by: str) -> None:
    own = pseudonym(folder, "person-two")
    before = files_with(folder / "study", "person-two", own)
    assert {"answers.csv", "participants.csv", "votes.csv", "given.csv"} <= set(before)
    forget("person-two" if by == "identifier" else own, rounds=100, seed=0)
    assert files_with(folder / "study", "person-two", own) == []


def test_what_is_left_equals_a_study_that_never_had_the_person(folder: Path) -> None:
    forget("person-two", rounds=100, seed=0)
    other = folder / "other"
    other.mkdir()
    (other / "study.secret").write_bytes((folder / "study.secret").read_bytes())
    take(other, votes(other, *(person for person in PEOPLE if person != "person-two")))
    write_report(study=other / "study", rounds=100, run=None, seed=0)
    assert [
        answer.content_digest(list(answer.read(path / "study" / "answers.csv")))
        for path in (folder, other)
    ] == 2 * [answer.content_digest(list(answer.read(other / "study" / "answers.csv")))]
    assert (folder / "study" / "votes.csv").read_bytes() == (
        other / "study" / "votes.csv"
    ).read_bytes()
    facts = [json.loads((path / "study" / "report.json").read_text()) for path in (folder, other)]
    assert facts[0]["criteria"] == facts[1]["criteria"]
    assert [each["withdrawn"] for each in facts] == [1, 0]


def test_the_report_says_only_that_one_person_withdrew(folder: Path) -> None:
    forget("person-two", rounds=100, seed=0)
    assert "\n1 person withdrew;" in (folder / "study" / "report.md").read_text()


def test_a_second_withdrawal_changes_no_byte(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forget("person-two", rounds=100, seed=0)
    study = folder / "study"
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    capsys.readouterr()
    forget("person-two", rounds=100, seed=0)
    assert capsys.readouterr().out.startswith("That person has withdrawn before")
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before


def test_the_same_export_does_not_bring_the_person_back(folder: Path) -> None:
    forget("person-two", rounds=100, seed=0)
    before = (folder / "study" / "answers.csv").read_bytes()
    take(folder, votes(folder, *PEOPLE), participants=folder / "people.csv")
    assert (folder / "study" / "answers.csv").read_bytes() == before
    assert files_with(folder / "study", "person-two", pseudonym(folder, "person-two")) == []


def test_a_name_that_begins_like_another_stays(folder: Path) -> None:
    take(folder, votes(folder, "person-two-b"))
    forget("person-two", rounds=100, seed=0)
    raters = {each.rater for each in answer.read(folder / "study" / "answers.csv")}
    assert pseudonym(folder, "person-two-b") in raters
    assert len(raters) == 4


@pytest.mark.parametrize("name", ["rater1", "rater1.tsv", "given/rater1.tsv"])
def test_a_person_who_is_a_file_is_forgotten_by_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    for number in (1, 2):
        text = f"uid\tone\ttwo\ncat.png\t[1, 1]\t[0, 0.5]\ndog.png\t[0, 1]\t[{number}, 1]\n"
        (tmp_path / "study" / f"rater{number}.tsv").write_text(text)
    take(tmp_path, *(tmp_path / "study" / f"rater{k}.tsv" for k in (1, 2)), name="imagenhub")
    forget(name, rounds=100, seed=0)
    raters = {each.rater for each in answer.read(tmp_path / "study" / "answers.csv")}
    assert raters == {pseudonym(tmp_path, "rater2")}
    assert not (tmp_path / "study" / "rater1.tsv").exists()
    assert (tmp_path / "study" / "rater2.tsv").exists()


def test_the_last_person_takes_every_result_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    take(tmp_path, votes(tmp_path, "person-one"))
    write_report(study=tmp_path / "study", rounds=100, run=None, seed=0)
    forget("person-one", rounds=100, seed=0)
    left = {path.name for path in (tmp_path / "study").iterdir()} - {".lock"}
    assert left == {"import.json", "rules.toml"}


def test_the_result_in_the_run_is_written_again_and_goes_with_the_last_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = judged_run.build(tmp_path / "runs" / "mine", prompts=("a cat", "a house"))
    export.write(run, tmp_path / "study", StudyOptions(pairs=8, raters=2, votes=2, size=16))
    key = answer.Key.read(tmp_path / "study" / "key.csv")
    shown = [name for name, item in key.items() if item.kind != "repeat"]  # always left: excluded
    rows = [f"{item},left,{person}" for person in ("person-one", "person-two") for item in shown]
    (tmp_path / "votes.csv").write_text("\n".join(["item,choice,rater", *rows]) + "\n")
    intake.import_answers(
        [tmp_path / "votes.csv"],
        tmp_path / "study",
        profile=profile.find("htbench"),
        key=None,
        secret=tmp_path / "study.secret",
        rules=None,
    )
    write_report(study=tmp_path / "study", rounds=100, run="mine", seed=0)
    (result,) = (run / "studies").iterdir()
    people = []
    for person in ("person-one", "person-two"):
        people.append(json.loads(result.read_text())["flow"][0]["people"])
        forget(person, rounds=100, seed=0)
    assert people == [2, 1]
    assert not result.exists()


def test_a_file_that_cannot_be_rewritten_stops_all(folder: Path) -> None:
    (folder / "study" / "about.toml").write_text('recruitment = "by person-two, a friend"\n')
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(Refused, match=r"about\.toml' holds the person's name"):
        forget("person-two", rounds=100, seed=0)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_an_unknown_person_names_the_nearest(folder: Path) -> None:
    own = pseudonym(folder, "person-two")
    with pytest.raises(UnknownName, match=f"no person .*; did you mean .*'{own}'"):
        forget(own[:-1], rounds=100, seed=0)


def test_without_the_secret_nobody_is_removed(folder: Path) -> None:
    (folder / "study.secret").unlink()
    with pytest.raises(Missing, match="no secret"):
        forget("person-two", rounds=100, seed=0)
    assert not (folder / "study.secret").exists()


def test_a_study_without_answers_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HtbenchError, match="no answers in study 'study'"):
        forget("person-two", rounds=100, seed=0)
    assert not (tmp_path / "study").exists()
