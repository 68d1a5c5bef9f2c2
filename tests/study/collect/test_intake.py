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
from htbench.study.collect import detect, intake, privacy, profile
from htbench.study.collect.privacy import Pseudonyms

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


@pytest.mark.parametrize("delimiter", ["\t", ";", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_delimiters_and_encodings_of_spreadsheets_are_told(
    delimiter: str, encoding: str, tmp_path: Path
) -> None:
    path = votes(tmp_path, 'i0000000,left,"ann, 00"', "i0000001,right,ben00")
    lines = ["item,choice,rater".replace(",", delimiter)]
    lines += [f"i0000000{delimiter}left{delimiter}ann, 00; or so"] if delimiter != ";" else []
    lines += [f"i0000001{delimiter}right{delimiter}ben00, too"]
    path.write_bytes("\r\n".join(lines).encode(encoding))
    assert take(tmp_path, "htbench", path).new == len(lines) - 1


@pytest.mark.parametrize("told", ["sep=;", "SEP=|", '"sep=\t"'])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_that_tells_excel_the_delimiter_is_no_header(
    told: str, end: str, tmp_path: Path
) -> None:
    mark = told.strip('"')[-1]
    rows = [line.replace(",", mark) for line in ("item,choice,rater", "i0000000,left,ann00")]
    path = tmp_path / "votes.csv"
    path.write_bytes(end.join([told, *rows]).encode("utf-8-sig"))
    assert detect.detect_profile(path).profile.delimiter == mark
    assert take(tmp_path, "htbench", path).new == 1


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-32"])
def test_rarer_encodings_of_unicode_are_told(encoding: str, tmp_path: Path) -> None:
    path = votes(tmp_path, "i0000000,left,ann00")
    path.write_bytes(path.read_text().encode(encoding))
    assert take(tmp_path, "htbench", path).new == 1


def test_a_printed_profile_has_the_delimiter_of_the_file(tmp_path: Path) -> None:
    path = votes(
        tmp_path, "i0000000;left;ann00;1;2;3", head="item;choice;rater;rt_ms;position;sheet"
    )
    own = tmp_path / "own.toml"
    own.write_text(detect.text(detect.detect_profile(path)))
    assert profile.find(str(own)).delimiter == ";"


def test_forms_in_other_languages_are_told_by_their_questions(tmp_path: Path) -> None:
    path = votes(
        tmp_path,
        "02.11.2026 10:00:00,ann00,left picture",
        head="Zeitstempel,Participant id,[i0000000] Which picture?",
    )
    assert detect.detect_profile(path).profile.name == "google-forms"
    assert take(tmp_path, "google-forms", path).new == 1


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-02T10:00:00Z", "2026-11-02T10:00:00"),
        ("13/02/2026 10:00:00", "2026-02-13T10:00:00"),
        ("02/13/2026 10:00", "2026-02-13T10:00:00"),
        ("13.02.2026 10:00:00", "2026-02-13T10:00:00"),
        ("02/03/2026 10:00:00", ""),
        ("02/02/2026 10:00:00", "2026-02-02T10:00:00"),
        ("Mon Nov 02 02:00:00 PST 2026", "2026-11-02T10:00:00"),
        ("Wed Jul 01 03:00:00 PDT 2026", "2026-07-01T10:00:00"),
        ("Wed Jul 01 03:00:00 EST 2026", ""),
        ("2026/11/02 10:00:00 AM UTC", "2026-11-02T10:00:00"),
        ("2026/11/02 3:30:00 PM GMT+5:30", "2026-11-02T10:00:00"),
        ("2026/11/02 2:00:00 AM GMT-8", "2026-11-02T10:00:00"),
        ("2026/11/02 10:00:00 AM GMT+99", ""),
        ("0001-01-01T00:00:00+14:00", ""),
        ("9999-12-31T23:59:59-12:00", ""),
        ("99999999-01-01", ""),
        ("x" * 1000, ""),
    ],
)
def test_times_are_read_or_left_out_but_not_guessed(text: str, time: str, tmp_path: Path) -> None:
    path = votes(tmp_path, f"i0000000,left,ann00,{text}", head="item,choice,rater,time")
    take(tmp_path, "htbench", path)
    assert [row.time for row in table(tmp_path)] == [time]


@pytest.mark.parametrize("column", ["position", "rt_ms"])
@pytest.mark.parametrize(
    "value", ["1e30", "-1", "nan", "inf", "-inf", "9" * 23, "9" * 5000, "1.5e"]
)
def test_an_impossible_number_is_named_with_its_row(
    column: str, value: str, tmp_path: Path
) -> None:
    path = votes(tmp_path, f"i0000000,left,ann,{value}", head=f"item,choice,rater,{column}")
    assert "row 2 of" in refusal(tmp_path, path)


def test_a_seed_of_23_digits_is_named_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        profile.text("htbench").replace(
            "[choices]",
            'concept = ["concept"]\nleft = ["left"]\nright = ["right"]\nseed = ["seed"]\n[choices]',
        )
    )
    path = votes(tmp_path, f"c,a,b,left,ann00,{9**23}", head="concept,left,right,choice,rater,seed")
    with pytest.raises(UsageError, match=r"row 2 of .*seed"):
        take(tmp_path, str(tmp_path / "own.toml"), path, keyed=False)


def test_a_cell_of_megabytes_that_nobody_needs_is_accepted(tmp_path: Path) -> None:
    path = votes(tmp_path, f"i0000000,left,ann00,{'x' * 3_000_000}", head="item,choice,rater,note")
    assert take(tmp_path, "htbench", path).new == 1


def test_a_cell_of_megabytes_that_is_read_is_named_with_its_row(tmp_path: Path) -> None:
    path = votes(tmp_path, f"i0000000,left,{'x' * 3_000_000}")
    assert "row 2 of" in (said := refusal(tmp_path, path))
    assert len(said) < 1000


def test_ten_thousand_columns_are_read(tmp_path: Path) -> None:
    more = [f"column {k}" for k in range(10_000)]
    path = votes(
        tmp_path,
        ",".join(["i0000000", "left", "ann00", *more]),
        head=",".join(["item", "choice", "rater", *more]),
    )
    assert take(tmp_path, "htbench", path).new == 1


def test_a_header_may_be_doubled_where_nobody_needs_it(tmp_path: Path) -> None:
    path = votes(tmp_path, "i0000000,left,ann00,x,y", head="item,choice,rater,note,note")
    assert take(tmp_path, "htbench", path).new == 1


@pytest.mark.parametrize(
    "row",
    [
        {"annotations": [1], "data": {}},
        {"annotations": [{"result": None}], "data": {}},
        {"annotations": [{"result": [{"from_name": [1], "value": 1}]}], "data": {}},
        {"item": "\ud800", "choice": "left", "rater": "ann"},
        {"\ud800": "i"},
        [1],
    ],
)
def test_an_object_that_is_no_answer_is_named(row: object, tmp_path: Path) -> None:
    (tmp_path / "votes.json").write_text(json.dumps([row]))
    assert "row 1 of" in refusal(tmp_path, tmp_path / "votes.json")


def test_a_template_of_a_column_runs_and_pads_nothing(tmp_path: Path) -> None:
    own = profile.find("mturk").model_copy(
        update={"fields": {"rater": ("{trial:>9999999999}", "{trial.__class__}", "{", "WorkerId")}}
    )
    assert own.columns_of("rater", {"trial": "1"})[:3] == [
        "{trial:>9999999999}", "{trial.__class__}", "{",
    ]  # fmt: skip


@pytest.mark.parametrize("line", ['delimiter = "::"', 'delimiter = "\\n"', "trials = '('"])
def test_a_profile_that_makes_no_sense_is_one_line(line: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(f"{line}\n{profile.text('htbench')}")
    with pytest.raises(UsageError) as caught:
        profile.find(str(tmp_path / "own.toml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["file", "key", "rules", "participants"])
def test_a_folder_a_wrong_name_and_an_archive_are_one_line(name: str, tmp_path: Path) -> None:
    good = votes(tmp_path, "i0000000,left,ann00")
    exports.key().write(tmp_path / "key.csv")
    archive = tmp_path / "votes.zip"
    archive.write_bytes(b"PK\x03\x04 and so on")
    for wrong in (tmp_path, tmp_path / "vote.csv", tmp_path / "no" / "votes.csv", archive):
        options: dict[str, Path | None] = {"key": tmp_path / "key.csv", "rules": None}
        options |= {name: wrong} if name != "file" else {}
        with pytest.raises(HtbenchError) as caught:
            intake.import_answers(
                [wrong if name == "file" else good],
                tmp_path / "study",
                profile=profile.find("htbench"),
                secret=tmp_path / "secret",
                **options,  # type: ignore[arg-type]
            )
        assert caught.value.exit_code in (2, 4)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "planted",
    [
        "john@example.org",
        '"john doe"@example.org',
        "john@[203.0.113.7]",
        "\uff4a\uff4f\uff48\uff4e\uff20\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45\uff0e\uff4f\uff52\uff47",
        "jöhn@exämple.org",
        "203.0.113.77",
        "2001:db8::8a2e:370:7334",
        "[FE80::1%eth0]",
        "2001:0DB8:85A3:0000:0000:8A2E:0370:7334",
        "\uff12001:db8::1",
        "SOMEONE-\u00c9-17",
        "someone-e\u0301-17",
        "some\u200bone-\u00e9-17",
        "\uff53omeone-\u00e9-17",
    ],
)
def test_addresses_and_identifiers_are_found_in_every_form(planted: str) -> None:
    with pytest.raises(Refused, match="'prompt'"):
        privacy.refuse_identifiers([("prompt", f"seen by {planted} today")], ["someone-\u00e9-17"])


@pytest.mark.parametrize(
    "text", ["std::vector", "a::b", "at 10:30", "method@1.0", "16:9 or 4:3", "1.2.3", "e-mail @ me"]
)
def test_other_texts_are_taken_for_no_address(text: str) -> None:
    privacy.refuse_identifiers([("prompt", text)], ["someone-17"])


def test_the_name_of_a_study_is_no_leak(tmp_path: Path) -> None:
    privacy.refuse_identifiers([("study", "rater1")], ["rater1"])


def test_a_secret_shows_in_no_file_or_message(files: dict[str, list[Path]], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0123456789abcdef" * 4)
    take(tmp_path, "htbench", *files["htbench"])
    made = Pseudonyms(
        secret=privacy.load_or_create_secret(tmp_path / "secret", shared_folder=tmp_path / "s")
    )
    assert "0123456789abcdef" not in repr(made)
    for path in (tmp_path / "study").iterdir():
        assert b"0123456789abcdef" not in path.read_bytes()


@pytest.mark.parametrize("size", [0, 31, 1 << 17])
def test_a_secret_too_short_or_too_long_is_one_line(size: int, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * size)
    with pytest.raises(UsageError, match="secret"):
        privacy.load_or_create_secret(tmp_path / "secret", shared_folder=tmp_path / "study")


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
