"""Files of a study that are damaged, written by several commands at once, or not there."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.in_process import issue

from htbench.core.csv_files import cell
from htbench.core.errors import HtbenchError, Incomplete, Missing, UsageError
from htbench.study import answer, manifest
from htbench.study.analyse import writeup
from htbench.study.answer import Item, Key
from htbench.study.collect import intake, profile
from htbench.study.exclusions import Rules

KEY = "item,concept,left,right\ni0,c0,a,b\ni1,c1,a,b\ni2,c2,b,a\ni3,c3,b,a\n"


def votes(folder: Path, *people: str, name: str = "votes.csv") -> Path:
    (folder / "key.csv").write_text(KEY)
    rows = "".join(f"i{k},left,{person},{k + 1}\n" for person in people for k in range(4))
    (folder / name).write_text(f"item,choice,rater,position\n{rows}")
    return folder / name


def take(folder: Path, *files: Path, **options: Path) -> intake.ImportSummary:
    return intake.import_answers(
        files,
        folder / "study",
        profile=profile.find("htbench"),
        key=folder / "key.csv",
        secret=folder / "secret",
        rules=options.pop("rules", None),
        **options,
    )


@pytest.fixture
def study(tmp_path: Path) -> Path:
    take(tmp_path, votes(tmp_path, "person-one", "person-two", "person-three"))
    return tmp_path / "study"


def htbench(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "htbench", "study", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_imports_and_reports_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    files = [votes(tmp_path, f"person-{k}", name=f"{k}.csv") for k in range(4)]
    options = ("--key", str(tmp_path / "key.csv"), "--profile", "htbench")
    name = ("--study", str(tmp_path / "study"))
    imports = [htbench("import", str(file), *options, *name) for file in files]
    reports = [htbench("report", "--rounds", "100", *name) for _ in range(2)]
    said = [process.communicate()[1] for process in (*imports, *reports)]
    assert [process.returncode for process in imports] == [0] * 4, said
    assert {process.returncode for process in reports} <= {0, 4}, said
    rows = list(answer.read(tmp_path / "study" / "answers.csv"))
    assert (len(rows), len({(row.rater, row.pair) for row in rows})) == (16, 16)
    assert len(json.loads((tmp_path / "study" / "import.json").read_text())["files"]) == 4


@pytest.mark.parametrize("count", range(4))
def test_an_import_that_is_killed_between_files_is_made_good_by_the_next(
    count: int, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the file number `count` of an import takes its place."""
    whole = {path.name: path.read_bytes() for path in study.iterdir()}
    second = votes(tmp_path, "person-four", name="second.csv")
    rules = tmp_path / "rules.toml"
    rules.write_text("fastest_ms = 300\n")
    moved: list[Path] = []
    replace = Path.replace

    def kill(self: Path, target: Path) -> Path:
        moved.append(self)
        if len(moved) > count:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        if count < 3:
            with pytest.raises(KeyboardInterrupt):
                take(tmp_path, second, rules=rules)
        else:
            take(tmp_path, second, rules=rules)
    writeup.write(study, rounds=100)
    assert whole.keys() <= {path.name for path in study.iterdir()}
    take(tmp_path, second, rules=rules)
    assert len(list(answer.read(study / "answers.csv"))) == 16


def test_people_of_earlier_imports_are_kept(tmp_path: Path) -> None:
    for person in ("person-one", "person-two"):
        people = tmp_path / f"{person}-people.csv"
        people.write_text(f"Participant id,Status\n{person},APPROVED\n")
        take(tmp_path, votes(tmp_path, person, name=f"{person}.csv"), participants=people)
    assert len(intake.read_statuses(tmp_path / "study")) == 2


DAMAGES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "a table without a column": ("answers.csv", lambda text: text.replace("seed", "sad"), "seed"),
    "a choice": ("answers.csv", lambda text: text.replace(",b,left,", ",b,both,", 1), "row 2"),
    "a seed of 23 digits": ("answers.csv", lambda text: text.replace(",0,", f",{9**23},"), "row"),
    "a position of 1e30": ("answers.csv", lambda text: text.replace(",1,v", ",1e30,v"), "row"),
    "no position": ("answers.csv", lambda text: text.replace(",1,v", ",nan,v"), "row"),
    "a short row": ("answers.csv", lambda text: text + "study,overall\n", "row 14"),
    "an open quote": ("answers.csv", lambda text: text + '"study,overall\n', "row 14"),
    "an empty table": ("answers.csv", lambda text: "", "empty"),
    "a header alone": ("answers.csv", lambda text: text.splitlines()[0] + "\n", "no answers"),
    "a log that is a list": ("import.json", lambda text: "[]", "import.json"),
    "a log without rules": ("import.json", lambda text: "{}", "rules"),
    "unknown sides": ("import.json", lambda text: text.replace("shown", "seen"), "sides"),
    "files that are a list": ("import.json", lambda text: '{"rules": "", "files": [1]}', "files"),
    "a deep log": ("import.json", lambda text: "[" * 90_000, "lists"),
    "a manifest that is a list": ("export.json", lambda text: "[1, 2]", "export.json"),
    "families that are none": ("export.json", lambda text: '{"families": {"c": 1}}', "families.c"),
    "a strength that is none": ("export.json", lambda text: '{"strength": NaN}', "NaN"),
    "rules that are none": ("rules.toml", lambda text: "fastest_ms = -1\n", "fastest_ms"),
    "a rule of 5,000 digits": ("rules.toml", lambda text: f"fastest_ms = {'9' * 5000}\n", "digits"),
    "about that is no TOML": ("about.toml", lambda text: "pay = \n", "about.toml"),
    "about with a list": ("about.toml", lambda text: "pay = [1]\n", "pay"),
    "people without a status": ("participants.csv", lambda text: "rater\nx\n", "status"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_of_a_study_is_one_line_with_file_and_place(name: str, study: Path) -> None:
    file, damage, place = DAMAGES[name]
    path = study / file
    path.write_text(damage(path.read_text() if path.exists() else ""))
    with pytest.raises(HtbenchError) as caught:
        writeup.write(study, rounds=100)
    assert file in str(caught.value)
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code in (2, 5)


@pytest.mark.parametrize("file", ["answers.csv", "import.json", "rules.toml", "export.json"])
def test_a_folder_in_place_of_a_file_is_one_line(file: str, study: Path) -> None:
    (study / file).unlink(missing_ok=True)
    (study / file).mkdir()
    with pytest.raises(HtbenchError, match=r"folder|cannot be read"):
        writeup.write(study, rounds=100)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("i4,c,a", "3 cells"),
        ("i0,c,a,b", "twice"),
        ("i4,c,a,a", "meets itself"),
    ],
)
def test_a_row_of_the_key_that_is_not_valid_is_named(
    line: str, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "key.csv"
    path.write_text(f"{KEY}{line}\n")
    with pytest.raises(UsageError, match=rf"row 6 of key .*{problem}"):
        Key.read(path)


def test_a_seed_of_23_digits_in_the_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "key.csv").write_text(f"item,concept,left,right,seed\ni,c,a,b,{9**23}\n")
    with pytest.raises(UsageError, match=r"row 2 of key .*seed"):
        Key.read(tmp_path / "key.csv")


def test_a_report_of_a_study_that_is_not_there_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no answers"):
        writeup.write(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_names_that_begin_a_formula_are_quoted_in_every_table_and_read_back(
    tmp_path: Path,
) -> None:
    formula = "=HYPERLINK(1)"
    Key({"i0": Item(item="i0", concept="@c", left=formula, right="+b", prompt="\t=1")}).write(
        tmp_path / "key.csv"
    )
    (tmp_path / "votes.csv").write_text("item,choice,rater\ni0,left,person-one\n")
    take(tmp_path, tmp_path / "votes.csv")
    writeup.write(tmp_path / "study", rounds=100)
    for path in (
        tmp_path / "key.csv",
        tmp_path / "study/answers.csv",
        tmp_path / "study/votes.csv",
    ):
        with path.open(newline="") as file:
            cells = [each for row in csv.reader(file) for each in row]
        assert cell(formula) in cells
        assert not [each for each in cells if each and each[0] in "=+@\t"]
    (row,) = answer.read(tmp_path / "study/answers.csv")
    assert (row.left, row.right, row.concept, row.prompt) == (formula, "+b", "@c", "\t=1")


def test_names_are_shown_as_they_are_in_the_report(tmp_path: Path) -> None:
    hostile = "a`|<img src=x onerror=alert(1)>\x1b[31m"
    key = {f"i{k}": Item(item=f"i{k}", concept=f"c{k}", left=hostile, right="b") for k in range(4)}
    votes(tmp_path, "person-one")
    Key(key).write(tmp_path / "key.csv")
    take(tmp_path, tmp_path / "votes.csv")
    result = writeup.write(tmp_path / "study", rounds=100)
    report = (tmp_path / "study" / "report.md").read_text()
    assert "a\\`\\|&lt;img" in report
    assert "<img" not in report
    assert "\x1b" not in report
    assert "\x1b" not in writeup.headline(result.criteria[0].preferences[0])


def test_a_report_is_a_page_too_and_its_path_is_printed(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from htbench.cli.study import report

    report(study=study, rounds=100, run=None, seed=0)
    assert "study/report.html" in capsys.readouterr().out
    assert "<h1>What people preferred</h1>" in (study / "report.html").read_text()


def test_a_study_that_loses_everybody_says_by_which_rule(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from htbench.cli.study import report

    (study / "rules.toml").write_text(Rules(longest_run=2).text())
    with pytest.raises(Incomplete, match="no answer is left: the rule 'the same answer 2 times"):
        report(study=study, rounds=100, run=None, seed=0)
    assert "**No answer is left: the rule" in (study / "report.md").read_text()


def test_rules_on_sides_do_not_apply_where_sides_are_unknown(tmp_path: Path) -> None:
    lines = "".join(f'{k}.png\t"[1, 1]"\t"[0.5, 0.5]"\n' for k in range(40))
    (tmp_path / "rater1.tsv").write_text(f"uid\tbetter\tworse\n{lines}")
    intake.import_answers(
        [tmp_path / "rater1.tsv"],
        tmp_path / "rater1",
        profile=profile.find("imagenhub"),
        key=None,
        secret=tmp_path / "secret",
        rules=None,
    )
    result = writeup.write(tmp_path / "rater1", rounds=100)
    assert len(result.flow.kept) == 80


def test_everybody_who_ties_makes_no_sentence_that_is_not_so(tmp_path: Path) -> None:
    path = votes(tmp_path, "person-one", "person-two", "person-three")
    path.write_text(path.read_text().replace("left", "tie"))
    take(tmp_path, path)
    result = writeup.write(tmp_path / "study", rounds=100)
    report = (tmp_path / "study" / "report.md").read_text()
    assert "not estimable, everybody gave the same answer" in report
    assert "not known with ties dropped" in writeup.headline(result.criteria[0].preferences[0])
    assert not [word for word in ("nan", "infx", "inf]") if word in report]


def test_a_method_that_always_won_is_said_to(tmp_path: Path) -> None:
    key = {f"i{k}": Item(item=f"i{k}", concept=f"c{k}", left="a", right="b") for k in range(4)}
    path = votes(tmp_path, "person-one", "person-two", "person-three")
    Key(key).write(tmp_path / "key.csv")
    take(tmp_path, path)
    result = writeup.write(tmp_path / "study", rounds=100)
    assert "always [" in writeup.headline(result.criteria[0].preferences[0])
    assert "inf" not in (tmp_path / "study" / "report.md").read_text()


def test_one_participant_is_called_a_person(tmp_path: Path) -> None:
    votes(tmp_path, "person-one")
    words = ("study", "import", str(tmp_path / "votes.csv"), "--key", str(tmp_path / "key.csv"))
    ended = issue(*words, "--study", str(tmp_path / "study"))
    assert "4 answers of 1 person in" in " ".join(ended.shown.split())


def test_a_full_disk_ends_an_import_with_nothing_half_written(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in study.iterdir()}
    opened = Path.open

    def full(self: Path, mode: str = "r", *more: object, **options: object) -> object:
        is_written = self.name.endswith("-answers.csv") and mode == "w"
        return opened(Path("/dev/full") if is_written else self, mode, *more, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space"):
        take(tmp_path, votes(tmp_path, "person-four", name="second.csv"))
    monkeypatch.undo()
    assert (study / "answers.csv").read_bytes() == before["answers.csv"]
    assert {path.name for path in study.iterdir()} == before.keys()


def test_the_manifest_is_read_back(tmp_path: Path) -> None:
    made = manifest.Manifest(run="r", strength=0.5, families={"c": ("red", "blue")})
    manifest.write(tmp_path, made)
    assert manifest.read(tmp_path) == made


def test_the_summary_in_a_terminal_has_a_row_per_pair_and_cuts_no_name(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from htbench.cli.study import report

    monkeypatch.setenv("COLUMNS", "80")
    report(study=study, rounds=100, run=None, seed=0)
    table, _, _ = capsys.readouterr().out.partition("Report: ")
    assert "Pair" in table
    assert max(map(len, table.splitlines())) <= 80
