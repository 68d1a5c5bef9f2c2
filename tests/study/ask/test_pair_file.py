"""Studies of pairs in a file, as the page of `htbench play` saves it."""

import json
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from kit import served_study
from kit.in_process import issue
from PIL import Image

from htbench.study import manifest
from htbench.study.answer import Key
from htbench.study.ask import page
from htbench.study.ask.pair_file import PickedPair, PickedPicture

FEW = ("--raters", "2", "--votes", "2", "--checks", "0", "--sentinels", "1", "--repeats", "0")


def pair(
    one: str = "prompt@1", other: str = "mean-shift@1", *, colours: str = "red blue", **values: Any
) -> PickedPair:
    """A pair of two pictures of one colour each, named METHOD@STRENGTH."""
    made = []
    for side, colour in zip((one, other), colours.split(), strict=True):
        file = BytesIO()
        Image.new("RGB", (8, 8), colour).save(file, "PNG")
        method, _, strength = side.rpartition("@")
        made.append(PickedPicture.of(method, float(strength), file.getvalue()))
    plain = {"prompt": "horse", "seed": 3, "concept": "companion/lemon", "words": "with lemon"}
    return PickedPair(**{**plain, "pictures": tuple(made), **values})


def write(folder: Path, pairs: Sequence[PickedPair]) -> str:
    lines = "".join(f"{each.model_dump_json()}\n" for each in pairs)
    (folder / "pairs.jsonl").write_text(lines, encoding="utf-8")
    return str(folder / "pairs.jsonl")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of three pairs at one strength, one of them with the unsteered picture."""
    file = write(
        tmp_path,
        [
            pair(),
            pair("lineas@1", "none@0", seed=4, colours="green white"),
            pair(concept="words/in red", words="in red", families=("red",)),
        ],
    )
    ended = issue("study", "export", file, "--study", str(tmp_path / "study"), *FEW)
    assert ended.code == 0, ended.shown
    return tmp_path / "study"


def names(study: Path) -> set[frozenset[str]]:
    votes = [item for item in Key.read(study / "key.csv").values() if item.kind == "vote"]
    return {frozenset((item.left, item.right)) for item in votes}


def test_a_study_shows_the_pairs_of_the_file_and_no_others(study: Path) -> None:
    assert names(study) == {frozenset(("prompt", "mean-shift")), frozenset(("lineas", "none"))}
    shown = {(trial["prompt"], trial["concept"]) for trial in page.read(study).sheets[0]}
    assert shown == {("horse", "with lemon"), ("horse", "in red")}


def test_the_families_and_the_strength_of_the_file_are_kept_for_the_report(study: Path) -> None:
    kept = manifest.read(study)
    assert kept.families == {"companion/lemon": (), "words/in red": ("red",)}
    assert (kept.strength, kept.run) == (1.0, "")


def test_a_served_study_of_picked_pairs_is_answered_imported_and_reported(study: Path) -> None:
    with served_study.serving(study) as server:
        for sheet, link in server.site.links.participants.items():
            given = served_study.answers(study, sheet)
            reply = served_study.post(server.server_port, link, given, rater=f"person-{sheet}")
            assert reply.status == 200, reply.body
    files = map(str, sorted((study / "collected").glob("*.json")))
    own = ("--study", str(study))
    read = issue("study", "import", *files, *own, "--secret", str(study.with_name("secret")))
    assert read.code == 0, read.shown
    assert "8 answers of 2 people" in read.shown
    assert issue("study", "report", *own, "--rounds", "100").code == 0


def test_a_study_of_one_pair_is_rehearsed_and_reported(tmp_path: Path) -> None:
    study, rehearsal = str(tmp_path / "study"), str(tmp_path / "rehearsal")
    own = ("--study", rehearsal)
    commands = (
        ("export", write(tmp_path, [pair()]), "--study", study, *FEW),
        ("rehearse", "--study", study, "--to", rehearsal, "--bots", "0"),
        ("import", *(f"{rehearsal}/answers-00{k}.csv" for k in (1, 2)), *own),
        ("report", *own, "--rounds", "100"),
    )
    for words in commands:
        ended = issue("study", *words)
        assert ended.code == 0, ended.shown
    assert "prompt over mean-shift" in ended.shown or "mean-shift over prompt" in ended.shown


def test_pictures_at_several_strengths_are_named_with_them(tmp_path: Path) -> None:
    file = write(tmp_path, [pair(), pair("prompt@0.5", "none@0", seed=4)])
    assert issue("study", "export", file, "--study", str(tmp_path / "s"), *FEW).code == 0
    assert names(tmp_path / "s") == {
        frozenset(("prompt@1", "mean-shift@1")),
        frozenset(("prompt@0.5", "none@0")),
    }


def test_two_strengths_of_a_method_make_a_study_of_strengths(tmp_path: Path) -> None:
    file = write(tmp_path, [pair("prompt@0.5", "prompt@1"), pair("none@0", "prompt@1")])
    own = ("--study", str(tmp_path / "s"), "--task", "strength", *FEW)
    assert issue("study", "export", file, *own).code == 0
    assert names(tmp_path / "s") == {
        frozenset(("prompt@0.5", "prompt@1")),
        frozenset(("prompt@0", "prompt@1")),
    }


def test_identical_pictures_are_asked_about_only_where_strengths_are_compared(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, [pair("prompt@0.5", "prompt@1", colours="red red")])
    strengths = ("--study", str(tmp_path / "s"), "--task", "strength", *FEW)
    assert issue("study", "export", file, *strengths).code == 0
    ended = issue("study", "export", file, "--study", str(tmp_path / "p"), *FEW)
    assert (ended.code, "has no two different pictures" in ended.shown) == (2, True)
    assert not (tmp_path / "p").exists()


def changed(**values: object) -> str:
    return json.dumps({**json.loads(pair().model_dump_json()), **values})


GOOD = pair().model_dump_json()
NO_PICTURE = [{"method": "a", "strength": 1, "png": png} for png in ("AAAA", "AAAB")]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("", "has no two different pictures"),
        ("{", "row 1 of file of pairs"),
        ("[1]", "row 1 of file of pairs"),
        (f"{GOOD}\n\n{GOOD}", "row 3 of file of pairs .*: it is the pair of row 1 again"),
        (changed(seed=2**70), "row 1 .*seed: "),
        (changed(prompt="a\x00"), "row 1 .*prompt: "),
        (changed(more=1), "row 1 .*more: Extra inputs"),
        (changed(pictures=[]), "row 1 .*pictures"),
        (changed(pictures=NO_PICTURE), "both pictures are of a@1"),
        (
            changed(pictures=[{**NO_PICTURE[0], "method": "b"}, NO_PICTURE[1]]),
            "'the picture of b' cannot be read as a picture",
        ),
        (
            changed(pictures=[{**NO_PICTURE[0], "png": "é"}, {**NO_PICTURE[1], "method": "b"}]),
            "the picture of 'a' is no base64",
        ),
        (f"{GOOD}\n{changed(seed=4, words='x')}", "row 2 .*had other words in a row before"),
        (GOOD.replace('"seed":3', '"seed":NaN'), "row 1 .*not a finite number"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_and_nothing_is_written(
    lines: str, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(lines, encoding="utf-8")
    ended = issue("study", "export", str(file), "--study", str(tmp_path / "study"))
    assert ended.code == 2
    assert re.search(says, ended.shown), ended.shown
    assert len(ended.shown.splitlines()) <= 2
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--method", "prompt"), "--method chooses among the pictures of a run"),
        (("--against", "prompt"), "--against chooses"),
        (("--strength", "1"), "--strength chooses"),
        (("--pairs", "200"), "--pairs chooses"),
        (("--task", "rating"), "--task rating shows no pairs"),
        (("--task", "strength"), "row 1 .* not of two strengths of one method"),
    ],
)
def test_options_that_the_file_leaves_no_choice_for_are_refused(
    words: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    ended = issue("study", "export", write(tmp_path, [pair()]), *words)
    assert (ended.code, bool(re.search(says, ended.shown))) == (2, True), ended.shown


def test_a_file_that_is_not_there_is_told_from_a_run(tmp_path: Path) -> None:
    ended = issue("study", "export", str(tmp_path / "pair.jsonl"))
    assert (ended.code, "no file of pairs" in ended.shown) == (2, True), ended.shown
