"""Templates for other platforms, whose exports are read as the same answers as the page's."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from kit import judged_run
from kit import study_exports as exports

from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.study import answer
from htbench.study.ask import export, page, platforms
from htbench.study.ask.options import StudyOptions
from htbench.study.collect import detect, intake

WEB = "https://pictures.example/study"
CHOICES = ("left", "right", "tie", "skip")
LABELS = {"left": "Left", "right": "Right", "tie": "No difference", "skip": "Cannot say"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, folder = (
        judged_run.build(tmp_path_factory.mktemp("run") / "run"),
        tmp_path_factory.mktemp("study") / "study",
    )
    export.write(
        run,
        folder,
        StudyOptions(
            pairs=24, raters=5, votes=3, size=32, question='Which is "nearer" & <better>?'
        ),
    )
    for platform in platforms.PLATFORMS:
        platforms.write(folder, platform, pictures_url=WEB)
    return folder


def person(sheet: int) -> str:
    return f"person-{sheet}@example.org"


def chosen(sheet: int, item: str) -> str:
    """A pseudo-random answer."""
    return CHOICES[(sheet + int(item[1:], 16)) % 4]


def said(study: Path, tmp_path: Path, name: str, text: str, ending: str = "csv") -> str:
    """Digest of what was answered, after an import of a file whose platform is guessed."""
    path = tmp_path / f"{name}.{ending}"
    path.write_text(text, encoding="utf-8", newline="")
    how = detect.detect_profile(path).profile
    assert how.name == name
    intake.import_answers(
        [path],
        tmp_path / name,
        profile=how,
        key=study / "key.csv",
        secret=tmp_path / "secret",
        rules=None,
    )
    return answer.content_digest(list(answer.read(tmp_path / name / "answers.csv")))


def of_page(study: Path) -> str:
    rows = [
        [
            "x",
            number,
            person(number),
            k,
            trial["item"],
            chosen(number, trial["item"]),
            2000,
            "2026-11-02T10:00:00Z",
        ]
        for number, sheet in enumerate(page.read(study).sheets, start=1)
        for k, trial in enumerate(sheet, start=1)
    ]
    return exports.table(
        ["study", "sheet", "rater", "position", "item", "choice", "rt_ms", "time"], rows, end="\r\n"
    ).decode()


def annotated(study: Path) -> list[dict[str, object]]:
    """Tasks as Label Studio gives them back."""
    tasks = json.loads((study / "templates" / "label-studio.json").read_text())
    for k, task in enumerate(tasks):
        label = LABELS[chosen(task["data"]["sheet"], task["data"]["item"])]
        result = {
            "value": {"choices": [label]},
            "id": "x",
            "from_name": "choice",
            "to_name": "left",
            "type": "choices",
            "origin": "manual",
        }
        done = {
            "id": k,
            "was_cancelled": False,
            "ground_truth": False,
            "created_at": "2026-11-02T10:00:00.123456Z",
            "lead_time": 2.5,
            "result": [result],
        }
        task.update(
            id=k,
            annotations=[
                {**done, "completed_by": {"id": 7, "email": person(task["data"]["sheet"])}}
            ],
            drafts=[],
            predictions=[],
        )
    return list(tasks)


def short(tasks: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    """The same as JSON_MIN and CSV have it."""
    for task in tasks:
        ((done,), data) = task["annotations"], dict(task["data"])  # type: ignore[misc, call-overload]
        more = {
            "id": task["id"],
            "choice": done["result"][0]["value"]["choices"][0],
            "annotator": done["completed_by"]["email"],
        }
        yield {
            **data,
            **more,
            "annotation_id": done["id"],
            **{name: done[name] for name in ("created_at", "lead_time")},
            "updated_at": done["created_at"],
        }


def test_label_studio_as_json(study: Path, tmp_path: Path) -> None:
    assert said(study, tmp_path, "label-studio", json.dumps(annotated(study)), "json") == said(
        study, tmp_path, "htbench", of_page(study)
    )


def test_label_studio_as_json_min(study: Path, tmp_path: Path) -> None:
    assert said(
        study, tmp_path, "label-studio", json.dumps(list(short(annotated(study)))), "json"
    ) == said(study, tmp_path, "htbench", of_page(study))


def test_label_studio_as_csv(study: Path, tmp_path: Path) -> None:
    rows = list(short(annotated(study)))
    text = exports.table(list(rows[0]), [list(row.values()) for row in rows]).decode()
    assert said(study, tmp_path, "label-studio", text) == said(
        study, tmp_path, "htbench", of_page(study)
    )


def test_label_studio_s_interface_shows_what_tasks_have(study: Path) -> None:
    tree = ElementTree.parse(study / "templates" / "label-studio.xml")
    asked = {value[1:] for tag in tree.iter() if (value := tag.get("value", "")).startswith("$")}
    assert asked == {"question", "concept", "prompt", "left", "right"}
    assert [tag.get("value") for tag in tree.iter("Choice")] == list(LABELS.values())
    assert all(
        asked <= task["data"].keys()
        for task in json.loads((study / "templates" / "label-studio.json").read_text())
    )


def survey(study: Path) -> list[str]:
    """Names of the questions about pairs."""
    return re.findall(r"\[\[ID:(i\w+)\]\]", (study / "templates" / "qualtrics.txt").read_text())


def answered_survey(study: Path, *, numbers: bool) -> str:
    """Three header rows, and a row a person, who saw the questions of one sheet."""
    meta = [
        "StartDate",
        "EndDate",
        "Status",
        "IPAddress",
        "Progress",
        "Duration (in seconds)",
        "Finished",
        "RecordedDate",
        "ResponseId",
        "DistributionChannel",
    ]
    names = survey(study)
    timers = ("First Click", "Last Click", "Page Submit", "Click Count")
    columns = [
        *meta,
        "consent",
        *(name for each in names for name in (each, *(f"t_{each}_{timer}" for timer in timers))),
        "PROLIFIC_PID",
    ]
    rows: list[list[object]] = [
        [f"What of\n{name}?" for name in columns],
        [json.dumps({"ImportId": f"QID{k}"}) for k, _ in enumerate(columns)],
    ]
    for sheet in range(1, 6):
        own: dict[str, object] = dict(
            zip(
                meta,
                (
                    "2026-11-02 10:00:00",
                    "2026-11-02 10:09:00",
                    0,
                    "203.0.113.9",
                    100,
                    540,
                    1,
                    "2026-11-02 10:09:01",
                ),
                strict=False,
            )
        )
        for each in names:
            item, _, number = each.partition("_")
            if int(number) == sheet:
                choice = chosen(sheet, item)
                own |= {
                    each: CHOICES.index(choice) + 1 if numbers else LABELS[choice],
                    f"t_{each}_Page Submit": 2.5,
                }
        own |= {
            "ResponseId": f"R_{sheet}",
            "DistributionChannel": "anonymous",
            "consent": 1,
            "PROLIFIC_PID": person(sheet),
        }
        rows.append([own.get(column, "") for column in columns])
    return "\ufeff" + exports.table(columns, rows, end="\r\n").decode()


@pytest.mark.parametrize("numbers", [True, False])
def test_qualtrics(study: Path, tmp_path: Path, numbers: bool) -> None:
    assert said(study, tmp_path, "qualtrics", answered_survey(study, numbers=numbers)) == said(
        study, tmp_path, "htbench", of_page(study)
    )


def test_times_of_qualtrics_come_along(study: Path, tmp_path: Path) -> None:
    said(study, tmp_path, "qualtrics", answered_survey(study, numbers=True))
    assert {each.rt_ms for each in answer.read(tmp_path / "qualtrics" / "answers.csv")} == {2500}


def test_a_question_of_qualtrics_has_a_name_of_its_own(study: Path) -> None:
    assert len(set(survey(study))) == len(survey(study)) == sum(map(len, page.read(study).sheets))


def test_a_choice_s_number_stays_where_ties_are_not_allowed(tmp_path: Path) -> None:
    """Or `cannot say` would come back as a tie."""
    export.write(
        judged_run.build(tmp_path / "run", concepts=3),
        tmp_path / "study",
        StudyOptions(pairs=3, raters=2, votes=1, size=16, ties=False),
    )
    (path,) = platforms.write(tmp_path / "study", "qualtrics", pictures_url=WEB)
    assert "[[Choice:4]]\nCannot say" in path.read_text()
    assert "No difference" not in path.read_text()


def batch(study: Path) -> str:
    """A row an assignment, with the input and all answers of a sheet."""
    with (study / "templates" / "mturk.csv").open(newline="", encoding="utf-8") as file:
        inputs = list(csv.DictReader(file))
    head = [
        "HITId",
        "HITTypeId",
        "AssignmentId",
        "WorkerId",
        "AssignmentStatus",
        "AcceptTime",
        "SubmitTime",
        "WorkTimeInSeconds",
    ]
    rows = []
    for sheet, row in enumerate(inputs, start=1):
        packed = {}
        for k in range(1, len(row) // 6 + 1):
            if item := row[f"item{k}"]:
                packed |= {
                    f"choice{k}": chosen(sheet, item),
                    f"rt{k}": "2000",
                    f"position{k}": str(k),
                }
        times = ["Mon Nov 02 02:00:00 PST 2026"] * 2
        rows.append(
            [
                f"H{sheet}",
                "T",
                f"A{sheet}",
                person(sheet),
                "Submitted",
                *times,
                "300",
                *row.values(),
                json.dumps([packed]),
            ]
        )
    return exports.table(
        [*head, *(f"Input.{name}" for name in inputs[0]), "Answer.taskAnswers"], rows
    ).decode()


def test_mturk(study: Path, tmp_path: Path) -> None:
    assert said(study, tmp_path, "mturk", batch(study)) == said(
        study, tmp_path, "htbench", of_page(study)
    )


def test_mturk_s_layout_and_input_have_the_same_names(study: Path) -> None:
    names = re.findall(r"\$\{(\w+)\}", (study / "templates" / "mturk.html").read_text())
    with (study / "templates" / "mturk.csv").open(newline="") as file:
        assert next(csv.reader(file)) == names


def test_a_hit_that_mturk_would_not_take_is_refused(tmp_path: Path) -> None:
    study = tmp_path / "study"
    trial = {
        "item": "i1234567",
        "concept": "in red",
        "prompt": "a cat " * 40,
        "check": "",
        "left": "a.png",
        "right": "b.png",
    }
    (study / "page").mkdir(parents=True)
    (study / page.FILE).write_text(
        page.render(page.Page(sheets=[[trial] * 200], question="Which?", consent="")).html
    )
    with pytest.raises(UsageError, match=r"200 trials makes a HIT of .* MTurk takes 65,535"):
        platforms.write(study, "mturk", pictures_url=WEB)


def test_no_template_tells_methods_or_which_trials_are_repeats(study: Path) -> None:
    written = b"".join(path.read_bytes() for path in (study / "templates").iterdir())
    hidden = [*judged_run.SKILL, "repeat", "sentinel", "noise", "expected"]
    assert not [
        name
        for name in hidden
        if re.search(rb"\b" + name.encode() + rb"\b", written.replace(b"display: none", b""))
    ]


def test_words_are_escaped_where_they_are_markup(study: Path) -> None:
    assert (
        "Which is &#34;nearer&#34; &amp; &lt;better&gt;?"
        in (study / "templates" / "qualtrics.txt").read_text()
    )
    assert "<better>" not in (study / "templates" / "mturk.html").read_text()


def test_pictures_are_where_they_are_published(study: Path) -> None:
    shown = {path.name for path in (study / "page" / "pictures").iterdir()}
    tasks = json.loads((study / "templates" / "label-studio.json").read_text())
    assert {task["data"][side] for task in tasks for side in ("left", "right")} == {
        f"{WEB}/{name}" for name in shown
    }


def test_what_is_no_platform_names_the_nearest(study: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'qualtrics'"):
        platforms.write(study, "qualtric", pictures_url=WEB)


@pytest.mark.parametrize("address", ["pictures", "example.org/a", "https://example.org/a b"])
def test_what_is_no_address_is_refused(study: Path, address: str) -> None:
    with pytest.raises(UsageError, match="no web address"):
        platforms.write(study, "mturk", pictures_url=address)


def test_a_study_that_was_not_exported_has_no_template(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no page"):
        platforms.write(tmp_path, "mturk", pictures_url=WEB)
