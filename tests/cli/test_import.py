"""`htbench import`: from pictures to a ranked and judged report."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from kit import foreign_pictures
from kit.commands import imports_torch
from typer.testing import CliRunner

from htbench import open as open_run
from htbench.cli import app
from htbench.core.errors import HtbenchError
from htbench.run.store import Store


@dataclass(frozen=True)
class Answer:
    """The end of a command, with the line of its error."""

    returncode: int
    stdout: str
    stderr: str


def htbench(*words: str, cwd: Path) -> Answer:
    """A command in this process, so that torch is loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        ended = CliRunner().invoke(app, list(words), prog_name="htbench")
    error = ended.exception
    if isinstance(error, HtbenchError):
        return Answer(error.exit_code, ended.stdout, f"{ended.stderr}{error}")
    assert error is None or isinstance(error, SystemExit), error
    return Answer(ended.exit_code, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sixty pictures, three of them bad, and their scored run."""
    folder = tmp_path_factory.mktemp("home")
    rows = foreign_pictures.make(folder / "made elsewhere")
    foreign_pictures.spoil(folder / "made elsewhere", rows)
    foreign_pictures.write_table(folder / "made elsewhere" / "pictures.csv", rows)
    return folder


@pytest.fixture(scope="module")
def answer(home: Path) -> Answer:
    words = ("import", "made elsewhere/pictures.csv", "--scorer", "emoji-clip-b")
    return htbench(*words, cwd=home)


def page(home: Path, run: str) -> str:
    return (home / "runs" / run / "report.html").read_text(encoding="utf-8")


def test_sixty_pictures_become_a_ranked_report_that_names_the_bad_ones(
    answer: Answer, home: Path
) -> None:
    assert answer.returncode == 3, answer.stderr
    assert "1–3     1  " in answer.stdout
    for name in ("prompt edit/in blue tones panda 2.jpg", "lora/in blue tones panda 2.jpg"):
        assert name in " ".join(answer.stdout.split())
        assert name in page(home, "pictures")
    assert "pictures that could not be used: 3" in answer.stderr


def test_the_run_is_judged_exported_and_studied_like_any_other(answer: Answer, home: Path) -> None:
    judged = htbench("judge", "pictures", "--criterion", "presence", "--pairs", "20", cwd=home)
    assert judged.returncode == 0, judged.stderr
    assert "Judges" in page(home, "pictures")
    for words in (
        ["export", "pictures", "--to", "csv"],
        ["export", "pictures", "--to", "datasets"],
        ["study", "export", "pictures", "--study", "asked", "--pairs", "5"],
        ["diff", "pictures", "pictures"],
        ["check", "run", "pictures"],
    ):
        done = htbench(*words, cwd=home)
        assert done.returncode == 0, (words, done.stderr)


def test_a_second_import_and_scoring_add_nothing(answer: Answer, home: Path) -> None:
    again = htbench("import", "made elsewhere/pictures.csv", "--scorer", "emoji-clip-b", cwd=home)
    assert "0 cells added, 69 in all" in again.stderr
    assert "emoji-clip-b: 0 cells scored" in again.stderr


def test_runs_of_several_programs_become_one_report(home: Path) -> None:
    rows = foreign_pictures.make(home / "several")
    for method in ("lora", "controlnet"):
        kept = [row for row in rows if row["method"] in (method, "none")]
        foreign_pictures.write_table(home / "several" / f"{method}.csv", kept)
        assert htbench("import", f"several/{method}.csv", cwd=home).returncode == 0
    merged = htbench("report", "lora", "controlnet", "--out", "both", cwd=home)
    assert merged.stderr == ""
    assert "lora" in merged.stdout
    assert "controlnet" in merged.stdout


@pytest.fixture(scope="module")
def unpaired(home: Path) -> Answer:
    """An import of pictures without unsteered ones, with the times that they took."""
    rows = foreign_pictures.make(home / "unpaired", unsteered=False)
    timed = [{**row, "seconds": f"{1 + number % 3}"} for number, row in enumerate(rows)]
    foreign_pictures.write_table(home / "unpaired" / "unpaired.csv", timed)
    return htbench("import", "unpaired/unpaired.csv", "--scorer", "emoji-clip-b", cwd=home)


def test_without_unsteered_pictures_their_columns_are_absent_and_it_is_said_once(
    unpaired: Answer, home: Path
) -> None:
    assert unpaired.returncode == 0, unpaired.stderr
    assert "Ranked by presence" in unpaired.stdout
    assert "Kept" not in unpaired.stdout
    assert "Gain" not in unpaired.stdout
    text = page(home, "unpaired")
    assert text.count("No picture has an unsteered counterpart") == 1
    assert "Image preservation</th>" not in text
    table = (home / "runs" / "unpaired" / "leaderboard.csv").read_text(encoding="utf-8")
    assert "presence_low" in table
    assert "concept_gain" not in table
    assert "image_preservation" not in table
    assert "training_seconds" not in table


def test_the_report_claims_nothing_that_is_not_known_of_imported_pictures(
    unpaired: Answer, home: Path
) -> None:
    text = page(home, "unpaired")
    for sentence in (
        "is independent of all methods",
        "No method of this run was trained",
        "The same plan, model and machine give the same images",
        "No cell is dropped",
    ):
        assert sentence not in text
    sections = re.findall(r'<section id="([a-z-]+)"', text)
    assert not {"claims", "speed", "strengths"} & set(sections)


def test_the_times_of_pictures_are_a_column_where_they_are_told(
    unpaired: Answer,
    answer: Answer,
    home: Path,
) -> None:
    assert "Time: per image." in unpaired.stdout
    assert "Time" not in answer.stdout.replace("No times", "")
    rows = csv.DictReader((home / "runs" / "unpaired" / "leaderboard.csv").open(encoding="utf-8"))
    assert {row["image_seconds"] for row in rows} == {"2.0"}


def test_a_run_without_pairs_is_judged_exported_and_scored_again(
    unpaired: Answer, home: Path
) -> None:
    for words in (
        ["judge", "unpaired", "--criterion", "presence", "--pairs", "20"],
        ["report", "unpaired", "--wide"],
        ["export", "unpaired", "--to", "latex"],
        ["score", "unpaired", "--scorer", "emoji-clip-a"],
    ):
        done = htbench(*words, cwd=home)
        assert done.returncode == 0, (words, done.stderr)


def test_what_is_not_known_is_missing_in_python_and_json_and_not_zero(
    unpaired: Answer, home: Path
) -> None:
    board = open_run(home / "runs" / "unpaired").leaderboard()
    assert board["presence"].notna().all()
    assert board[["concept_gain", "concept_seconds", "training_seconds"]].isna().all(axis=None)
    lines = htbench("report", "unpaired", "--json", cwd=home).stdout.splitlines()
    assert "cost" not in {json.loads(line)["event"] for line in lines}


def test_torch_is_not_imported_until_pictures_are_scored(home: Path) -> None:
    rows = foreign_pictures.make(home / "plain")[:4]
    table = foreign_pictures.write_table(home / "plain" / "plain.csv", rows)
    assert not imports_torch("import", str(table), "--runs-dir", str(home / "elsewhere"))


def test_a_watched_folder_has_a_row_per_step_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    samples = tmp_path / "samples"

    def sample(step: int) -> None:
        path = samples / f"step-{step}" / "panda-0.png"
        path.parent.mkdir(parents=True)
        foreign_pictures.picture("lora", "in a storm", "panda", step).save(path)

    sample(100)
    words = ["import", "samples", "--pattern", "step-{step}/{prompt}-{seed}.png", "--watch"]
    words += ["--set", "method=mine", "--set", "concept=in a storm", "--every", "0.1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "htbench", *words, "--scorer", "emoji-clip-b"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    page = tmp_path / "runs" / "samples" / "report.html"
    wait_for(lambda: page.exists() and "mine step 100" in page.read_text("utf-8"), process)
    sample(200)
    wait_for(lambda: "mine step 200" in page.read_text("utf-8"), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "mine step 100" in out
    assert "mine step 200" in out
    with Store.read(page.parent) as store:
        assert len({cell for cell, *_ in store.scores()}) == 2


def wait_for(condition: "object", process: "subprocess.Popen[str]") -> None:
    """Wait until a condition holds, as long as the process lives."""
    assert callable(condition)
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["folder"], "a folder needs a pattern"),
        (["a.csv", "--pattern", "{seed}.png"], "--pattern is for folders"),
        (["a.csv", "--watch"], "--watch is for folders"),
        (["a.txt"], "neither a folder nor a table"),
        (["a.csv", "--set", "sed=1"], "did you mean 'seed'"),
        (["a.csv", "--set", "seed"], "has no value"),
        (["a.csv", "--scorer", "emoji-clip-c"], "did you mean"),
        (["gone.csv"], "no table of pictures"),
    ],
)
def test_a_wrong_command_is_one_line(words: list[str], problem: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.csv").write_text("file,method\n")
    answer = htbench("import", *words, cwd=tmp_path)
    assert answer.returncode == 2
    assert problem in answer.stderr
    assert not (tmp_path / "runs").exists()
