"""The same forty answers in the shape of each platform's export, with identifiers planted that must not come through."""

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


def key() -> Key:
    """Ten items, one of them a check."""
    items = [
        Item(
            item=f"i{k:07x}", criterion="presence", concept=f"style/{k % 5}", prompt="a cat, \"quoted\"\non a mat", seed=k,
            left=METHODS[k % 3], right=METHODS[(k + 1) % 3], kind="check" if k == 7 else "vote", expected="left" if k == 7 else "",
        )
        for k in range(10)
    ]  # fmt: skip
    return Key({item.item: item for item in items})


def said() -> list[tuple[str, str, str, int]]:
    """Person, item, choice and position."""
    return [
        (person, item, CHOICES[(p + k) % 4], k + 1)
        for p, person in enumerate(PEOPLE)
        for k, item in enumerate(key())
    ]


def write_all(folder: Path) -> dict[str, list[Path]]:
    """Files by profile."""
    makers = {
        "htbench": htbench, "qualtrics": qualtrics, "prolific": prolific, "mturk": mturk, "google-forms": google_forms,
        "label-studio": label_studio, "potato": potato, "jspsych": jspsych,
    }  # fmt: skip
    found = {}
    for name, make in makers.items():
        found[name] = [
            folder / f"{name}-{k}{'.json' if text[:1] == b'[' else '.csv'}"
            for k, text in enumerate(make())
        ]
        for path, text in zip(found[name], make(), strict=True):
            path.write_bytes(text)
    return found


def htbench() -> list[bytes]:
    rows = [
        [item, choice, person, 1500, position, "2026-11-02T10:00:00Z", 3]
        for person, item, choice, position in said()
    ]
    return [table(["item", "choice", "rater", "rt_ms", "position", "time", "sheet"], rows)]


def qualtrics() -> list[bytes]:
    """Byte order mark, CRLF, three header rows with a newline inside quotes; one preview and one unfinished response."""
    items = list(key())
    meta = ["StartDate", "EndDate", "Status", "IPAddress", "Progress", "Duration (in seconds)", "Finished", "RecordedDate", "ResponseId",
            "RecipientEmail", "LocationLatitude", "DistributionChannel"]  # fmt: skip
    columns = [
        *meta,
        *(name for item in items for name in (item, f"t_{item}_Page Submit")),
        "comments",
        "PROLIFIC_PID",
    ]
    texts = [f"Which picture shows it better?\n({name})" for name in columns]
    ids = [json.dumps({"ImportId": name}) for name in columns]
    rows: list[list[object]] = [columns, texts, ids]
    for finished, status, people in (
        ("True", "IP Address", PEOPLE),
        ("True", "Survey Preview", ("preview-person",)),
        ("False", "IP Address", ("left-early",)),
    ):
        for person in people:
            own = {item: choice for who, item, choice, _ in said() if who == person}
            answers = [cell for item in items for cell in (own.get(item, "left").title(), "2.25")]
            times = ["2026-11-02 10:00:00", "2026-11-02 10:09:00"]
            rows.append(
                [
                    *times,
                    status,
                    ADDRESS,
                    "100",
                    "540",
                    finished,
                    times[1],
                    "R_1x",
                    MAIL,
                    PLACE,
                    "anonymous",
                    *answers,
                    TALK,
                    person,
                ]
            )
    return ["\ufeff".encode() + table(rows[0], rows[1:], end="\r\n")]


def prolific() -> list[bytes]:
    rows = [[person, "sess1", "stud1", item, choice, TALK] for person, item, choice, _ in said()]
    return [table(["PROLIFIC_PID", "SESSION_ID", "STUDY_ID", "item", "choice", "feedback"], rows)]


def mturk() -> list[bytes]:
    """Half the people with answers packed as a crowd form does it, two assignments of five trials each."""
    head = [
        "HITId",
        "AssignmentId",
        "WorkerId",
        "AssignmentStatus",
        "AcceptTime",
        "SubmitTime",
        *(f"Input.item{k}" for k in range(1, 6)),
    ]
    rows = []
    for person in PEOPLE:
        own = [(item, choice) for who, item, choice, _ in said() if who == person]
        for half in (own[:5], own[5:]):
            packed = {
                f"choice{k}": {side: side == choice for side in NUMBER}
                for k, (_, choice) in enumerate(half, start=1)
            }
            times = ["Mon Nov 02 02:00:00 PST 2026"] * 2
            rows.append(
                [
                    "H1",
                    "A1",
                    person,
                    "Approved",
                    *times,
                    *(item for item, _ in half),
                    json.dumps([{**packed, "comment": TALK}]),
                ]
            )
    return [table([*head, "Answer.taskAnswers"], rows)]


def google_forms() -> list[bytes]:
    items = list(key())
    rows = []
    for person in PEOPLE:
        own = {item: choice for who, item, choice, _ in said() if who == person}
        rows.append(
            [
                "2026/11/02 10:00:00 AM UTC",
                person,
                *(
                    f"{own[item]} picture" if own[item] != "tie" else "No difference"
                    for item in items
                ),
                TALK,
            ]
        )
    return [
        table(
            [
                "Timestamp",
                "Participant id",
                *(f"[{item}] Which picture shows it better?" for item in items),
                "Anything else?",
            ],
            rows,
        )
    ]


def label_studio() -> list[bytes]:
    """Raw JSON, one of whose annotations was cancelled; some people are known by e-mail, some by number."""
    tasks = []
    for k, (item, shown) in enumerate(key().items()):
        done = [
            {
                "id": 1, "completed_by": {"id": p, "email": person}, "was_cancelled": False, "lead_time": 2.5, "created_at": "2026-11-02T10:00:00.123Z",
                "result": [{"from_name": "choice", "to_name": "pair", "type": "choices", "value": {"choices": [CHOICES[(p + k) % 4]]}}],
            }
            for p, person in enumerate(PEOPLE)
        ]  # fmt: skip
        tasks.append(
            {
                "id": k,
                "data": {"item": item, "text": shown.prompt},
                "annotations": [*done, {**done[0], "was_cancelled": True, "result": []}],
            }
        )
    return [json.dumps(tasks).encode()]


def potato() -> list[bytes]:
    letter = {"left": "A", "right": "B", "tie": "tie"}
    return [
        table(
            ["instance_id", "user_id", "preference.label"],
            [[item, person, letter[choice]] for person, item, choice, _ in said()],
        )
    ]


def jspsych() -> list[bytes]:
    """A file a person, with rows that are no trials."""
    head = [
        "trial_type",
        "trial_index",
        "time_elapsed",
        "internal_node_id",
        "rt",
        "stimulus",
        "response",
        "task",
        "item",
        "subject_id",
    ]
    files = []
    for person in PEOPLE:
        rows: list[list[object]] = [
            ["survey-text", 0, 900, "0.0-0.0", "812", "", json.dumps({"Q0": TALK}), "", "", person]
        ]
        for who, item, choice, position in said():
            if who == person:
                rows.append(
                    [
                        "html-button-response",
                        position,
                        999,
                        "0.0-1.0",
                        "1500",
                        "<p>\n</p>",
                        NUMBER[choice],
                        "pair",
                        item,
                        person,
                    ]
                )
        files.append(table(head, rows))
    return files


def table(head: Sequence[object], rows: Sequence[Sequence[object]], *, end: str = "\n") -> bytes:
    file = StringIO()
    lines = csv.writer(file, lineterminator=end)
    lines.writerow(head)
    lines.writerows(rows)
    return file.getvalue().encode()
