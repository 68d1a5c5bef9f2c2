"""The same forty answers as each platform exports them, with planted identifiers of people.

None of those may be imported.
"""

import csv
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from htbench.study.answer import Item, Key

PEOPLE = (
    "5f3a9c0d1e2b4a6c7d8e9f01",
    "A2XKQ7WORKERB9",
    "mara.k@example.org",
    "60aa11bb22cc33dd44ee55ff",
)
MAIL, ADDRESS, PLACE, TALK = (
    "jo.doe@mail.example",
    "203.0.113.77",
    "52.5200066",
    "I live at 12 Elm Street",
)
SECRETS = (*PEOPLE, MAIL, ADDRESS, PLACE, TALK)
METHODS = ("prompt", "lineas", "none")
CHOICES = ("left", "right", "tie", "left")
NUMBER = {"left": 0, "right": 1, "tie": 2}
QUALTRICS = (
    "StartDate",
    "EndDate",
    "Status",
    "IPAddress",
    "Progress",
    "Duration (in seconds)",
    "Finished",
    "RecordedDate",
    "ResponseId",
    "RecipientEmail",
    "LocationLatitude",
    "DistributionChannel",
)
"""Qualtrics' own columns, before those of the questions."""


def key() -> Key:
    """Ten items, one of them a check."""
    items = [
        Item(
            item=f"i{k:07x}",
            criterion="presence",
            concept=f"style/{k % 5}",
            prompt='a cat, "quoted"\non a mat',
            seed=k,
            left=METHODS[k % 3],
            right=METHODS[(k + 1) % 3],
            kind="check" if k == 7 else "vote",
            expected="left" if k == 7 else "",
        )
        for k in range(10)
    ]
    return Key({item.item: item for item in items})


def answers() -> list[tuple[str, str, str, int]]:
    """Person, item, choice and position of every answer."""
    return [
        (person, item, CHOICES[(p + k) % 4], k + 1)
        for p, person in enumerate(PEOPLE)
        for k, item in enumerate(key())
    ]


def write_all(folder: Path) -> dict[str, list[Path]]:
    """Files by profile."""
    exports = {
        "htbench": htbench(),
        "qualtrics": qualtrics(),
        "prolific": prolific(),
        "mturk": mturk(),
        "google-forms": google_forms(),
        "label-studio": label_studio(),
        "potato": potato(),
        "jspsych": jspsych(),
    }
    paths: dict[str, list[Path]] = {}
    for name, files in exports.items():
        paths[name] = []
        for k, data in enumerate(files):
            path = folder / f"{name}-{k}{'.json' if data[:1] == b'[' else '.csv'}"
            path.write_bytes(data)
            paths[name].append(path)
    return paths


def choices_of(person: str) -> dict[str, str]:
    """The choices of a person by item."""
    return {item: choice for rater, item, choice, _ in answers() if rater == person}


def htbench() -> list[bytes]:
    rows = [
        [item, choice, person, 1500, position, "2026-11-02T10:00:00Z", 3]
        for person, item, choice, position in answers()
    ]
    return [table(["item", "choice", "rater", "rt_ms", "position", "time", "sheet"], rows)]


def qualtrics() -> list[bytes]:
    """A byte order mark, CRLF, three header rows with a newline inside quotes.

    Among the rows are a preview and an unfinished response.
    """
    items = list(key())
    timed = [name for item in items for name in (item, f"t_{item}_Page Submit")]
    columns = [*QUALTRICS, *timed, "comments", "PROLIFIC_PID"]
    texts = [f"Which picture shows it better?\n({name})" for name in columns]
    ids = [json.dumps({"ImportId": name}) for name in columns]
    rows: list[Sequence[object]] = [columns, texts, ids]
    began, ended = "2026-11-02 10:00:00", "2026-11-02 10:09:00"
    responses = [("True", "IP Address", person) for person in PEOPLE]
    responses += [
        ("True", "Survey Preview", "preview-person"),
        ("False", "IP Address", "left-early"),
    ]
    for finished, status, person in responses:
        own = choices_of(person)
        cells = [cell for item in items for cell in (own.get(item, "left").title(), "2.25")]
        meta = [began, ended, status, ADDRESS, "100", "540", finished, ended, "R_1x", MAIL, PLACE]
        rows.append([*meta, "anonymous", *cells, TALK, person])
    return ["\ufeff".encode() + table(rows[0], rows[1:], end="\r\n")]


def prolific() -> list[bytes]:
    rows = [[person, "sess1", "stud1", item, choice, TALK] for person, item, choice, _ in answers()]
    return [table(["PROLIFIC_PID", "SESSION_ID", "STUDY_ID", "item", "choice", "feedback"], rows)]


def mturk() -> list[bytes]:
    """Answers packed as a crowd form does it: two assignments of five trials per person."""
    ids = ["HITId", "AssignmentId", "WorkerId"]
    meta = [*ids, "AssignmentStatus", "AcceptTime", "SubmitTime"]
    inputs = [f"Input.item{k}" for k in range(1, 6)]
    rows = []
    for person in PEOPLE:
        own = list(choices_of(person).items())
        for half in (own[:5], own[5:]):
            packed: dict[str, object] = {
                f"choice{k}": {side: side == choice for side in NUMBER}
                for k, (_, choice) in enumerate(half, start=1)
            }
            packed["comment"] = TALK
            times = ["Mon Nov 02 02:00:00 PST 2026"] * 2
            items = [item for item, _ in half]
            rows.append(["H1", "A1", person, "Approved", *times, *items, json.dumps([packed])])
    return [table([*meta, *inputs, "Answer.taskAnswers"], rows)]


def google_forms() -> list[bytes]:
    labels = {"left": "left picture", "right": "right picture", "tie": "No difference"}
    rows = []
    for person in PEOPLE:
        own = choices_of(person)
        cells = [labels[own[item]] for item in key()]
        rows.append(["2026/11/02 10:00:00 AM UTC", person, *cells, TALK])
    questions = [f"[{item}] Which picture shows it better?" for item in key()]
    return [table(["Timestamp", "Participant id", *questions, "Anything else?"], rows)]


def label_studio() -> list[bytes]:
    """Raw JSON, with people by number and e-mail; one annotation per item was cancelled."""
    tasks = []
    for k, (id_, item) in enumerate(key().items()):
        annotations = [
            _annotation(p, person, CHOICES[(p + k) % 4]) for p, person in enumerate(PEOPLE)
        ]
        cancelled = {**annotations[0], "was_cancelled": True, "result": []}
        data = {"item": id_, "text": item.prompt}
        tasks.append({"id": k, "data": data, "annotations": [*annotations, cancelled]})
    return [json.dumps(tasks).encode()]


def _annotation(number: int, person: str, choice: str) -> dict[str, object]:
    value = {"choices": [choice]}
    return {
        "id": 1,
        "completed_by": {"id": number, "email": person},
        "was_cancelled": False,
        "lead_time": 2.5,
        "created_at": "2026-11-02T10:00:00.123Z",
        "result": [{"from_name": "choice", "to_name": "pair", "type": "choices", "value": value}],
    }


def potato() -> list[bytes]:
    letter = {"left": "A", "right": "B", "tie": "tie"}
    rows = [[item, person, letter[choice]] for person, item, choice, _ in answers()]
    return [table(["instance_id", "user_id", "preference.label"], rows)]


def jspsych() -> list[bytes]:
    """A file per person, with rows that are not trials."""
    meta = ["trial_type", "trial_index", "time_elapsed", "internal_node_id", "rt", "stimulus"]
    head = [*meta, "response", "task", "item", "subject_id"]
    files = []
    for person in PEOPLE:
        comment = json.dumps({"Q0": TALK})
        survey = ["survey-text", 0, 900, "0.0-0.0", "812", "", comment, "", "", person]
        trials = [
            _trial(position, choice, item, person)
            for rater, item, choice, position in answers()
            if rater == person
        ]
        files.append(table(head, [survey, *trials]))
    return files


def _trial(position: int, choice: str, item: str, person: str) -> list[object]:
    meta = ["html-button-response", position, 999, "0.0-1.0", "1500", "<p>\n</p>"]
    return [*meta, NUMBER[choice], "pair", item, person]


def table(head: Sequence[object], rows: Sequence[Sequence[object]], *, end: str = "\n") -> bytes:
    file = StringIO()
    lines = csv.writer(file, lineterminator=end)
    lines.writerow(head)
    lines.writerows(rows)
    return file.getvalue().encode()
