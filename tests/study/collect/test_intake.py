"""Import of votes from every platform: one table, pseudonyms, and one line per error."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from kit import study_exports as exports

from htbench.core.errors import HtbenchError, Refused, UsageError
from htbench.study import answer
from htbench.study.analyse import writeup
from htbench.study.collect import detect, intake, profile

PROFILES = (
    "htbench",
    "qualtrics",
    "prolific",
    "mturk",
    "google-forms",
    "label-studio",
    "potato",
    "jspsych",
)


def take(
    tmp_path: Path,
    name: str,
    *files: Path,
    folder: str = "study",
    secret: str = "secret",
    keyed: bool = True,
    **options: Path,
) -> intake.ImportSummary:
    if keyed:
        exports.key().write(tmp_path / "key.csv")
    how = profile.find(name)
    key = tmp_path / "key.csv" if keyed else None
    return intake.import_answers(
        files,
        tmp_path / folder,
        profile=how,
        key=key,
        secret=tmp_path / secret,
        rules=None,
        **options,
    )


def table(tmp_path: Path, folder: str = "study") -> list[answer.Answer]:
    return list(answer.read(tmp_path / folder / "answers.csv"))


def votes(
    tmp_path: Path, *lines: str, head: str = "item,choice,rater", name: str = "votes.csv"
) -> Path:
    (tmp_path / name).write_text("\n".join([head, *lines]) + "\n")
    return tmp_path / name


def refusal(tmp_path: Path, path: Path, name: str = "htbench") -> str:
    with pytest.raises(HtbenchError) as caught:
        take(tmp_path, name, path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "study" / "answers.csv").exists()
    return str(caught.value)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, list[Path]]:
    return exports.write_all(tmp_path)


@pytest.mark.parametrize("name", PROFILES)
def test_every_platform_gives_the_same_table(
    name: str, files: dict[str, list[Path]], tmp_path: Path
) -> None:
    take(tmp_path, "htbench", *files["htbench"], folder="reference")
    assert take(tmp_path, name, *files[name]).read == 40
    assert answer.content_digest(table(tmp_path)) == answer.content_digest(
        table(tmp_path, "reference")
    )


@pytest.mark.parametrize("name", PROFILES)
def test_a_platform_is_told_by_its_columns(name: str, files: dict[str, list[Path]]) -> None:
    guess = detect.detect_profile(files[name][0])
    assert (guess.profile.name, guess.unknown_choices) == (name, ())


@pytest.mark.parametrize("name", PROFILES)
def test_nothing_planted_comes_through(
    name: str, files: dict[str, list[Path]], tmp_path: Path
) -> None:
    take(tmp_path, name, *files[name])
    writeup.write(tmp_path / "study", rounds=100)
    written = list((tmp_path / "study").iterdir())
    assert {"answers.csv", "import.json", "report.md", "report.json", "votes.csv"} <= {
        path.name for path in written
    }
    for path in written:
        assert not [planted for planted in exports.SECRETS if planted.encode() in path.read_bytes()]


def test_studies_with_different_secrets_share_no_pseudonym(
    files: dict[str, list[Path]], tmp_path: Path
) -> None:
    take(tmp_path, "htbench", *files["htbench"])
    take(tmp_path, "htbench", *files["htbench"], folder="other", secret="another")
    one, other = ({row.rater for row in table(tmp_path, folder)} for folder in ("study", "other"))
    assert (len(one), len(other), one & other) == (4, 4, set())


def test_only_its_owner_reads_a_secret(files: dict[str, list[Path]], tmp_path: Path) -> None:
    take(tmp_path, "htbench", *files["htbench"])
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_secret_is_not_kept_in_the_study(files: dict[str, list[Path]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="for others to see"):
        take(tmp_path, "htbench", *files["htbench"], secret="study/secret")


def test_importing_twice_changes_no_byte(files: dict[str, list[Path]], tmp_path: Path) -> None:
    take(tmp_path, "qualtrics", *files["qualtrics"])
    before = {path.name: path.read_bytes() for path in (tmp_path / "study").iterdir()}
    assert take(tmp_path, "qualtrics", *files["qualtrics"]).new == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "study").iterdir()} == before


def test_an_export_that_grew_adds_what_is_new(tmp_path: Path) -> None:
    take(tmp_path, "htbench", votes(tmp_path, "i0000000,left,ann00"))
    assert (
        take(tmp_path, "htbench", votes(tmp_path, "i0000000,left,ann00", "i0000001,left,ann00")).new
        == 1
    )


def test_a_text_that_holds_an_identifier_is_refused(tmp_path: Path) -> None:
    path = votes(
        tmp_path,
        "cats,prompt,lineas,left,someone-17",
        "seen by someone-17,prompt,lineas,left,other-18",
        head="concept,left,right,choice,rater",
    )
    (tmp_path / "own.toml").write_text(
        profile.text("htbench").replace(
            "[choices]", 'concept = ["concept"]\nleft = ["left"]\nright = ["right"]\n[choices]'
        )
    )
    with pytest.raises(Refused, match="raw identifier"):
        take(tmp_path, str(tmp_path / "own.toml"), path, keyed=False)
    assert not (tmp_path / "study" / "answers.csv").exists()


def test_rows_of_one_file_may_have_other_numbers_of_trials(tmp_path: Path) -> None:
    """Answers packed as JSON in one cell."""
    path = tmp_path / "batch.csv"
    packed = [{"choice1": "left"}, {"choice1": "left", "choice2": "right"}, {"choice2": "tie"}]
    head = [
        "HITId",
        "AssignmentId",
        "WorkerId",
        "AssignmentStatus",
        "Input.item1",
        "Input.item2",
        "Answer.taskAnswers",
    ]
    rows = [
        ["H", "A", f"worker-{k}", "Submitted", "i0000000", "i0000001", json.dumps([each])]
        for k, each in enumerate(packed)
    ]
    path.write_bytes(exports.table(head, rows))
    assert take(tmp_path, "mturk", path).read == 4


def test_unknown_choices_are_all_named_with_their_rows(tmp_path: Path) -> None:
    path = votes(
        tmp_path,
        "i0000000,left,ann",
        "i0000001,both,ann",
        "i0000002,neither,ann",
        "i0000003,both,ann",
    )
    assert "choice 'both' (rows 3, 5); choice 'neither' (row 4)" in refusal(tmp_path, path)


def test_an_unknown_item_is_named_with_its_row(tmp_path: Path) -> None:
    assert "item 'i9999999' (row 3)" in refusal(
        tmp_path, votes(tmp_path, "i0000000,left,ann", "i9999999,left,ann")
    )


def test_a_missing_column_names_the_nearest(tmp_path: Path) -> None:
    assert "no column for rater; did you mean 'ratter'?" in refusal(
        tmp_path, votes(tmp_path, "i0000000,left,ann", head="item,choice,ratter")
    )


def test_a_doubled_header_is_refused(tmp_path: Path) -> None:
    assert "2 columns are named 'choice'" in refusal(
        tmp_path, votes(tmp_path, "i0000000,left,left", head="item,choice,choice")
    )


def test_a_row_too_short_is_named(tmp_path: Path) -> None:
    assert "row 3 of" in refusal(tmp_path, votes(tmp_path, "i0000000,left,ann", "i0000001,left"))


def test_an_open_quote_is_named(tmp_path: Path) -> None:
    assert "row 3 of" in refusal(
        tmp_path, votes(tmp_path, "i0000000,left,ann", 'i0000001,"left,ann')
    )


def test_another_encoding_is_named_with_its_row(tmp_path: Path) -> None:
    path = votes(tmp_path, "i0000000,left,ann")
    path.write_bytes(path.read_bytes() + "i0000001,left,Zoë\n".encode("latin-1"))
    assert "row 3 of" in refusal(tmp_path, path)


def test_utf_16_is_read(tmp_path: Path) -> None:
    path = votes(tmp_path, "i0000000,left,ann00")
    path.write_text(path.read_text(), encoding="utf-16")
    assert take(tmp_path, "htbench", path).new == 1


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text("")
    assert "empty" in refusal(tmp_path, tmp_path / "votes.csv")


def test_json_that_breaks_off_is_named_with_its_object(tmp_path: Path) -> None:
    (tmp_path / "votes.json").write_text(
        json.dumps([{"item": "i0000000", "choice": "left", "rater": "ann"}] * 2)[:-20]
    )
    assert "row 2 of" in refusal(tmp_path, tmp_path / "votes.json")


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    assert peak(tmp_path, 20_000) < 3e6  # a row held takes 300 bytes and more


@pytest.mark.slow
def test_a_million_rows_end_in_one_line_in_bounded_memory(tmp_path: Path) -> None:
    exports.key().write(tmp_path / "key.csv")
    few, many = (
        memory(tmp_path, broken(tmp_path, rows), said=f"row {rows + 2} of")
        for rows in (1_000, 1_000_000)
    )
    assert many - few < 32 * 1024


def memory(tmp_path: Path, path: Path, *, said: str) -> int:
    """Peak memory of the command that imports a file, in KiB."""
    command = [
        sys.executable,
        "-m",
        "htbench",
        "study",
        "import",
        str(path),
        "--key",
        str(tmp_path / "key.csv"),
        "--study",
        str(tmp_path / "study"),
    ]
    code = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, status)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
    )
    most, ended = map(int, done.stdout.split())
    assert (ended, said in done.stderr.splitlines()[0]) == (2, True)
    assert not (tmp_path / "study" / "answers.csv").exists()
    return most


def peak(tmp_path: Path, rows: int) -> float:
    """Bytes that an import takes, of a file whose last row is broken."""
    path = broken(tmp_path, rows)
    tracemalloc.start()
    try:
        assert f"row {rows + 2} of" in refusal(tmp_path, path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def broken(tmp_path: Path, rows: int) -> Path:
    """A file whose last row is too short."""
    path = tmp_path / f"{rows}.csv"
    with path.open("w") as file:
        file.write("item,choice,rater,position,rt_ms,sheet\n")
        file.writelines(f"i000000{k % 10},left,person-{k % 300},{k},2000,1\n" for k in range(rows))
        file.write("i0000001,left\n")
    return path


def test_pairs_are_derived_from_ratings(tmp_path: Path) -> None:
    path = tmp_path / "rater-one.tsv"
    path.write_text('uid\tlineas\tprompt\tnone\ncat.png\t"[1, 0.5]"\t"[0.5, 0.5]"\t\n')
    take(tmp_path, "imagenhub", path, keyed=False)
    assert {(row.criterion, row.left, row.right, row.choice) for row in table(tmp_path)} == {
        ("consistency", "lineas", "prompt", "left"), ("quality", "lineas", "prompt", "tie"),
    }  # fmt: skip


def test_people_are_joined_without_their_identifiers(
    files: dict[str, list[Path]], tmp_path: Path
) -> None:
    people = tmp_path / "prolific_export.csv"
    rows = [
        ["sub1", person, "APPROVED", "543", "NOCODE", "34", "Female"] for person in exports.PEOPLE
    ]
    people.write_bytes(
        exports.table(
            [
                "Submission id",
                "Participant id",
                "Status",
                "Time taken",
                "Completion code",
                "Age",
                "Sex",
            ],
            rows,
        )
    )
    take(tmp_path, "prolific", *files["prolific"], participants=people)
    lines = (tmp_path / "study" / "participants.csv").read_text().splitlines()
    assert {line.partition(",")[2] for line in lines[1:]} == {"APPROVED,9.1,30s,Female"}
    assert {line.partition(",")[0] for line in lines[1:]} == {row.rater for row in table(tmp_path)}


def test_a_profile_that_is_misspelt_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'qualtrics'"):
        profile.find("qualtrix")
