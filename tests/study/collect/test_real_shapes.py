"""Files in the shapes in which programs and published studies have them."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from htbench.core.errors import HtbenchError, UsageError
from htbench.study import answer
from htbench.study.analyse import writeup
from htbench.study.collect import detect, intake, profile
from htbench.study.collect.profile import Profile

KEY = "item,concept,left,right\ni1,c1,a,b\ni2,c2,b,a\ni3,c3,a,b\n"
METHODS = ("DALLE", "SDXL", "Midjourney")


def take(folder: Path, *files: Path, key: bool = False) -> list[answer.Answer]:
    """Import files by the profile that is guessed from the first."""
    if key:
        (folder / "key.csv").write_text(KEY)
    intake.import_answers(
        files,
        folder / "study",
        profile=guessed(files[0]),
        key=folder / "key.csv" if key else None,
        secret=folder / "study.secret",
        rules=None,
    )
    return list(answer.read(folder / "study" / "answers.csv"))


def guessed(file: Path) -> Profile:
    return detect.detect_profile(file).profile


def refusal(folder: Path, text: str, *, name: str = "ratings.csv", key: bool = False) -> str:
    (folder / name).write_text(text)
    with pytest.raises(HtbenchError) as caught:
        take(folder, folder / name, key=key)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def imagenhub(folder: Path) -> list[Path]:
    """Three raters of three methods on 40 samples, as ImagenHub publishes them."""
    random = np.random.default_rng(7)
    files = []
    for rater in (1, 2, 3):
        lines = ["\t".join(("uid", *METHODS))]
        for sample in range(40):
            pairs = random.choice([0, 0.5, 1], size=(len(METHODS), 2))
            comma = ", " if sample % 9 == 0 else ","
            cells = (f"[{one:g}{comma}{two:g}]" for one, two in pairs)
            lines.append("\t".join((f"sample_{sample}.jpg", *cells)))
        files.append(folder / f"Text-To-Image_rater{rater}.tsv")
        files[-1].write_text("\n".join(lines) + "\n")
    return files


def test_every_answer_of_imagenhub_s_raters_is_kept(tmp_path: Path) -> None:
    take(tmp_path, *imagenhub(tmp_path))
    flow = writeup.write(tmp_path / "study", rounds=100).flow
    assert len(flow.kept) == flow.steps[0].answers == 3 * 40 * 2 * 3


def test_preferences_of_imagenhub_s_raters_are_those_that_pandas_counts(tmp_path: Path) -> None:
    files = imagenhub(tmp_path)
    take(tmp_path, *files)
    result = writeup.write(tmp_path / "study", rounds=100)
    shown = {
        (each.name, *sorted((one.one, one.two))): one.forced.value
        if one.one < one.two
        else 1 - one.forced.value
        for each in result.criteria
        for one in each.preferences
    }
    tables = pd.concat([pd.read_csv(file, sep="\t", index_col="uid") for file in files])
    for k, criterion in enumerate(("consistency", "quality")):
        scores = tables.map(lambda cell, k=k: json.loads(cell)[k])
        for one, two in combinations(sorted(METHODS), 2):
            wins = (np.sign(scores[one] - scores[two]) + 1) / 2
            assert shown.pop((criterion, one, two)) == pytest.approx(wins.mean())
    assert not shown


def long_table(random: np.random.Generator, *, people: int = 3) -> pd.DataFrame:
    """A person's score of each method on each item, with the rows in any order."""
    rows = [
        (method, f"item_{item}", str(90000 + person), "Does it fit?", int(random.integers(1, 6)))
        for method in ("alpha", "beta", "gamma")
        for item in range(8)
        for person in range(people)
    ]
    table = pd.DataFrame(rows, columns=["model_type", "item_id", "worker_id", "question", "answer"])
    return table.sample(frac=1, random_state=0)


def test_long_ratings_give_the_pairs_that_pandas_merges(tmp_path: Path) -> None:
    table = long_table(np.random.default_rng(3))
    table.to_csv(tmp_path / "ratings.csv", index=False)
    rows = take(tmp_path, tmp_path / "ratings.csv")
    both = table.merge(table, on=["item_id", "worker_id", "question"])
    both = both[both.model_type_x < both.model_type_y]
    wins = {
        pair: (group.answer_x > group.answer_y).sum() + (group.answer_x == group.answer_y).sum() / 2
        for pair, group in both.groupby(["model_type_x", "model_type_y"])
    }
    assert {
        pair: sum(row.value or 0 for row in rows if (row.left, row.right) == pair) for pair in wins
    } == wins
    assert len(rows) == len(both) == 8 * 3 * 3
    assert {row.criterion for row in rows} == {"Does it fit?"}


@pytest.mark.parametrize(
    "head",
    [
        "rater,item,method,score",
        "annotator,prompt_id,model,rating",
        "participant_id\tsample_id\tsystem\tpoints",
        "Participant,Item,Model,Rating",
    ],
)
def test_long_ratings_are_told_by_what_their_columns_mean(head: str, tmp_path: Path) -> None:
    comma = "\t" if "\t" in head else ","
    lines = [comma.join(("person-one", f"cat{k}", "ab"[k % 2], "4")) for k in range(4)]
    lines += [comma.join(("person-one", f"cat{k}", "ba"[k % 2], "2.5")) for k in range(4)]
    (tmp_path / "ratings.txt").write_text("\n".join([head, *lines]) + "\n")
    rows = take(tmp_path, tmp_path / "ratings.txt")
    assert [(row.left, row.right) for row in rows] == 4 * [("a", "b")]
    assert sorted(row.choice for row in rows) == ["left", "left", "right", "right"]


def test_rules_on_sides_exclude_nobody_from_long_ratings(tmp_path: Path) -> None:
    lines = [f"person-one,cat{k},{m},{s}" for k in range(40) for m, s in (("a", 5), ("b", 1))]
    (tmp_path / "long.csv").write_text("\n".join(["rater,item,method,score", *lines]) + "\n")
    take(tmp_path, tmp_path / "long.csv")
    assert len(writeup.write(tmp_path / "study", rounds=100).flow.kept) == 40


def test_a_method_that_one_person_scored_twice_is_named_with_its_row(tmp_path: Path) -> None:
    text = "rater,item,method,score\nperson-one,cat,a,1\nperson-one,cat,b,2\nperson-one,cat,a,3\n"
    assert "row 4 of" in refusal(tmp_path, text)
    assert "'a' has the scores 1 and 3" in refusal(tmp_path, text)


def test_scores_with_a_comma_before_their_decimals_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("rater;item;method;score\nperson-one;cat;a;4,5\nperson-one;cat;b;4,25\n")
    (row,) = take(tmp_path, path)
    assert (row.left, row.right, row.choice) == ("a", "b", "left")


@pytest.mark.parametrize("score", ["good", "nan", "1e999", '"1,000"', '"1,2,3"'])
def test_a_score_that_is_no_number_is_named_with_its_row(score: str, tmp_path: Path) -> None:
    text = f"rater,item,method,score\nperson-one,cat,a,1\nperson-one,cat,b,{score}\n"
    assert f"score '{score.strip(chr(34))}' is no number" in refusal(tmp_path, text)


def test_ratings_of_one_method_alone_have_no_pairs(tmp_path: Path) -> None:
    text = "rater,item,method,score\nperson-one,cat,a,1\nperson-two,cat,a,2\n"
    assert "no answers in ratings.csv" in refusal(tmp_path, text)


def state(person: str, labels: dict[str, object]) -> str:
    """Potato's file of one annotator."""
    facts = {
        "user_id": person,
        "instance_id_ordering": [*labels, "never-shown"],
        "current_instance_index": len(labels),
        "instance_id_to_label_to_value": labels,
        "instance_id_to_span_to_value": {},
    }
    return json.dumps(facts, indent=2)


PAIRS = [{"schema": "preference", "name": "A"}, True]
LABELS = {
    "pairs": {"i1": [PAIRS], "i2": [[{"schema": "preference", "name": "B"}, "true"]], "i3": []},
    "objects": {"i1": {"preference": {"A": "true"}}, "i2": {"preference": {"B": "B"}}, "i3": {}},
    "values": {
        "i1": [[{"schema": "pairwise", "name": "selection"}, "A"]],
        "i2": {"pairwise": {"selection": "B"}},
    },
}


@pytest.mark.parametrize("form", LABELS)
def test_the_state_of_a_potato_annotator_is_read(form: str, tmp_path: Path) -> None:
    files = []
    for person in ("person-one", "person-two"):
        (tmp_path / person).mkdir()
        files.append(tmp_path / person / "user_state.json")
        files[-1].write_text(state(person, dict(LABELS[form])))
    rows = take(tmp_path, *files, key=True)
    assert sorted((row.concept, row.choice, row.position) for row in rows) == [
        ("c1", "left", 1),
        ("c1", "left", 1),
        ("c2", "right", 2),
        ("c2", "right", 2),
    ]
    assert len({row.rater for row in rows}) == 2


def test_potato_s_lines_of_annotated_instances_are_read(tmp_path: Path) -> None:
    lines = [
        {
            "user_id": "person-one",
            "instance_id": item,
            "displayed_text": "a cat",
            "label_annotations": {"preference": {letter: "true"}},
            "span_annotations": {},
            "behavioral_data": {"time_string": "Time spent: 0d 0h 0m 3s "},
        }
        for item, letter in (("i1", "A"), ("i2", "B"), ("i3", "tie"))
    ]
    path = tmp_path / "annotated_instances.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    rows = take(tmp_path, path, key=True)
    assert sorted((row.concept, row.choice) for row in rows) == [
        ("c1", "left"),
        ("c2", "right"),
        ("c3", "tie"),
    ]


def test_potato_s_columns_of_labels_are_read(tmp_path: Path) -> None:
    head = "user_id\tinstance_id\tpreference:::A\tpreference:::B"
    lines = ["person-one\ti1\ttrue\t", "person-one\ti2\t\ttrue", "person-one\ti3\t\t"]
    (tmp_path / "annotated_instances.tsv").write_text("\n".join([head, *lines]) + "\n")
    rows = take(tmp_path, tmp_path / "annotated_instances.tsv", key=True)
    assert sorted((row.concept, row.choice) for row in rows) == [("c1", "left"), ("c2", "right")]


def test_two_labels_of_one_pair_are_named(tmp_path: Path) -> None:
    text = state("person-one", {"i1": {"preference": {"A": "true", "B": "true"}}})
    assert "choice 'A B'" in refusal(tmp_path, text, name="user_state.json", key=True)


def test_a_schema_of_another_name_says_what_is_missing(tmp_path: Path) -> None:
    text = state("person-one", {"i1": {"mood": {"A": "true"}}})
    said = refusal(tmp_path, text, name="user_state.json", key=True)
    assert "no column for choice" in said


def test_labels_that_are_no_potato_s_are_named(tmp_path: Path) -> None:
    text = state("person-one", {"i1": "A"})
    said = refusal(tmp_path, text, name="user_state.json", key=True)
    assert "annotations are not as Potato has them" in said


def test_a_participants_file_of_prolific_is_not_taken_for_answers(tmp_path: Path) -> None:
    path = tmp_path / "prolific_export.csv"
    path.write_text("Submission id,Participant id,Status\n1,person-one,APPROVED\n")
    with pytest.raises(UsageError, match="like no known platform"):
        guessed(path)


def table_text(head: list[str], *rows: list[object]) -> str:
    """A table with every cell quoted, as MTurk and jsPsych write theirs."""
    lines = [
        ",".join(f'"{str(cell).replace(chr(34), chr(34) * 2)}"' for cell in row)
        for row in (head, *rows)
    ]
    return "\r\n".join(lines) + "\r\n"


OF_ALL = ["trial_type", "trial_index", "time_elapsed", "rt", "stimulus", "task", "item"]
JSPSYCH = {
    "6": (["internal_node_id", "button_pressed", "subject_id"], "html-button-response", (0, 1)),
    "7": (["internal_node_id", "response", "prolific_pid"], "html-button-response", (0, 1)),
    "8": (
        ["plugin_version", "response", "participant_id"],
        "image-keyboard-response",
        ("ArrowLeft", "ArrowRight"),
    ),
}
"""Columns of each version beside those of all, the plugin, and the responses left and right."""


@pytest.mark.parametrize("version", JSPSYCH)
def test_each_version_of_jspsych_is_read(version: str, tmp_path: Path) -> None:
    own, plugin, responses = JSPSYCH[version]
    rows = [
        [plugin, k, 9, 1500, "<p>", "pair", f"i{k + 1}", "0.0-3.0", response, "person-one"]
        for k, response in enumerate(responses)
    ]
    path = tmp_path / "data.csv"
    path.write_text(table_text([*OF_ALL, *own], *rows))
    assert guessed(path).name == "jspsych"
    found = take(tmp_path, path, key=True)
    assert sorted((each.concept, each.choice, each.rt_ms) for each in found) == [
        ("c1", "left", 1500),
        ("c2", "right", 1500),
    ]


@pytest.mark.parametrize(
    ("time", "mail", "when"),
    [
        ("Timestamp", "Username", "2026/11/02 11:00:00 AM GMT+1"),
        ("Zeitstempel", "Nutzername", "2026/11/02 11:00:00 AM GMT+1"),
        ("Horodateur", "Nom d'utilisateur", "2026/11/02 5:00:00 AM GMT-5"),
        ("Marca temporal", "Dirección de correo electrónico", "2026/11/02 7:00:00 AM GMT-3"),
        ("タイムスタンプ", "ユーザー名", "2026/11/02 7:00:00 PM GMT+9"),
    ],
)
def test_google_forms_of_each_language_give_the_same_rows(
    time: str, mail: str, when: str, tmp_path: Path
) -> None:
    questions = [f"[i000000{k}] ?" for k in (1, 2)]
    path = tmp_path / "answers.csv"
    path.write_text(
        table_text([time, mail, *questions], [when, "mara@example.org", "Left", "Right"]),
        encoding="utf-8",
    )
    (tmp_path / "key.csv").write_text(KEY.replace("\ni", "\ni000000"))
    intake.import_answers(
        [path],
        tmp_path / "study",
        profile=guessed(path),
        key=tmp_path / "key.csv",
        secret=tmp_path / "study.secret",
        rules=None,
    )
    rows = list(answer.read(tmp_path / "study" / "answers.csv"))
    assert sorted((each.concept, each.choice) for each in rows) == [("c1", "left"), ("c2", "right")]
    assert {each.time for each in rows} == {"2026-11-02T10:00:00"}


MTURK = ["HITId", "AssignmentId", "WorkerId", "AssignmentStatus", "SubmitTime", "Input.item1"]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("Answer.choice1", "left"),
        ("Answer.choice1.label", "Left"),
        ("Answer.taskAnswers", '[{"choice1":{"left":true,"right":false}}]'),
        ("Answer.taskAnswers", '[{"choice1":{"label":"Left"}}]'),
    ],
)
def test_each_form_of_mturk_gives_the_same_row(column: str, cell: str, tmp_path: Path) -> None:
    own = ["H", "A", "AWORKER7", "Approved", "Mon Nov 02 02:00:00 PST 2026", "i1"]
    rejected = ["H", "B", "AWORKER8", "Rejected", "Mon Nov 02 02:00:00 PST 2026", "i1"]
    path = tmp_path / "batch.csv"
    path.write_text(
        table_text(
            [*MTURK, column, "Approve", "Reject"], [*own, cell, "", ""], [*rejected, cell, "", "x"]
        )
    )
    (row,) = take(tmp_path, path, key=True)
    assert (row.concept, row.choice, row.time) == ("c1", "left", "2026-11-02T10:00:00")


LABELS_OF_STUDIO: dict[str, object] = {
    "JSON": [
        {
            "id": 1,
            "data": {"item": "i1"},
            "annotations": [
                {
                    "completed_by": 7,
                    "was_cancelled": False,
                    "lead_time": 2.5,
                    "created_at": "2026-11-02T10:00:00.123456Z",
                    "result": [
                        {
                            "from_name": "comparison",
                            "type": "pairwise",
                            "value": {"selected": "left"},
                        }
                    ],
                }
            ],
        }
    ],
    "JSON_MIN": [
        {
            "item": "i1",
            "id": 1,
            "annotator": 7,
            "annotation_id": 3,
            "created_at": "2026-11-02T10:00:00.123456Z",
            "updated_at": "2026-11-02T10:00:00.123456Z",
            "lead_time": 2.5,
            "choice": "Left",
        }
    ],
}


@pytest.mark.parametrize("form", [*LABELS_OF_STUDIO, "CSV"])
def test_each_export_of_label_studio_gives_the_same_row(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"project.{'csv' if form == 'CSV' else 'json'}"
    if form == "CSV":
        head = ["annotation_id", "annotator", "choice", "created_at", "id", "item", "lead_time"]
        row: list[object] = [3, 7, "Left", "2026-11-02T10:00:00.123456Z", 1, "i1", 2.5]
        path.write_text(table_text(head, row))
    else:
        path.write_text(json.dumps(LABELS_OF_STUDIO[form]))
    assert form == "JSON" or guessed(path).name == "label-studio"
    (tmp_path / "key.csv").write_text(KEY)
    intake.import_answers(
        [path],
        tmp_path / "study",
        profile=profile.find("label-studio"),
        key=tmp_path / "key.csv",
        secret=tmp_path / "study.secret",
        rules=None,
    )
    (found,) = answer.read(tmp_path / "study" / "answers.csv")
    assert (found.concept, found.choice, found.rt_ms) == ("c1", "left", 2500)
    assert found.time == "2026-11-02T10:00:00"
