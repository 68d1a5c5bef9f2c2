"""Templates of an exported study for other platforms, which do not reveal the methods.

They have the same sheets, and `htbench study import` reads the answers back.
"""

import csv
import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from htbench.core import content, csv_files
from htbench.core.errors import UnknownName, UsageError
from htbench.study import records
from htbench.study.ask.page import Page, Trial, picture_files, question_text, read

FOLDER = "templates"
_OPTIONS = (("left", "Left"), ("right", "Right"), ("tie", "No difference"), ("skip", "Cannot say"))
_MAX_HIT_BYTES = 65_535
"""MTurk's limit to the bytes of a HIT with its input filled in."""
_MTURK_FIELDS = ("item", "check", "concept", "prompt", "left", "right")


def write(study: Path, platform: str, *, pictures_url: str) -> list[Path]:
    """Write a study's template for a platform into the folder `templates`; gives the files' paths.

    The pictures are published at the address `pictures_url`.

    Raises:
        UnknownName: for a platform without a template.
        UsageError: if `pictures_url` is no address, if a sheet exceeds the platform's limit, or if
            the platform's template is of pairs and the study is not.
        Missing: if no study was exported there.
    """
    if platform not in _WRITERS:
        raise UnknownName("template", platform, _WRITERS)
    has_space = any(char.isspace() for char in pictures_url)
    if has_space or not pictures_url.startswith(("https://", "http://", "/")):
        raise UsageError(
            f"--pictures {pictures_url[:80]!r} is no web address",
            remedy="Write it as --pictures https://example.org/study/pictures",
        )
    page = read(study)
    if page.task not in ("pairs", "strength") and platform != "csv":
        raise UsageError(
            f"template {platform!r} is for pairs of pictures, and this study shows {page.noun}",
            remedy="Use its own page, by htbench study serve, or the template csv.",
        )
    with records.locked(study):
        return _write(
            study, _TemplateContext(page=page, base_url=f"{pictures_url.rstrip('/')}/"), platform
        )


def _write(study: Path, context: "_TemplateContext", platform: str) -> list[Path]:
    files = _WRITERS[platform](context)
    (study / FOLDER).mkdir(exist_ok=True)
    for name, text in files.items():
        content.write_whole(study / FOLDER / name, text)
    return [study / FOLDER / name for name in files]


@dataclass(frozen=True, kw_only=True)
class _TemplateContext:
    page: Page
    base_url: str

    @property
    def options(self) -> list[tuple[int, str]]:
        """The choices' numbers, which do not depend on whether ties are allowed, and labels."""
        return [
            (k, label)
            for k, (choice, label) in enumerate(_OPTIONS, start=1)
            if choice != "tie" or self.page.ties
        ]

    def trials(self, sheet: Sequence[Trial]) -> list[Trial]:
        """The trials of a sheet with their questions and full addresses of pictures."""
        return [
            {
                **trial,
                "question": question_text(self.page, trial),
                "left": self.base_url + trial["left"],
                "right": self.base_url + trial["right"],
            }
            for trial in sheet
        ]

    def render(self, name: str, **values: object) -> str:
        """A template of `reports/studies/platforms`, filled in with values escaped as HTML."""
        loader = FileSystemLoader(content.folder("reports") / "studies" / "platforms")
        environment = Environment(
            loader=loader,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        return environment.get_template(name).render(
            concept=self.page.concept, options=self.options, **values
        )


def _label_studio(context: _TemplateContext) -> dict[str, str]:
    """The labelling interface, and a task per trial; tasks are assigned by filtering on `sheet`."""
    names = ("item", "question", "concept", "prompt", "left", "right")
    tasks = [
        {"data": {"sheet": number, "position": position, **{name: trial[name] for name in names}}}
        for number, sheet in enumerate(context.page.sheets, start=1)
        for position, trial in enumerate(context.trials(sheet), start=1)
    ]
    return {
        "label-studio.xml": context.render("label-studio.xml"),
        "label-studio.json": json.dumps(tasks, indent=1, ensure_ascii=False) + "\n",
    }


def _mturk(context: _TemplateContext) -> dict[str, str]:
    """The design layout, and an input row per sheet: a HIT is a sheet."""
    page = context.page
    longest = max(map(len, page.sheets))
    texts = {
        "question": page.question,
        "check": page.instruction,
        "concept": page.concept,
        "pictures": context.base_url,
    }
    layout = context.render(
        "mturk.html",
        longest=longest,
        more=[(choice, label) for choice, label in _OPTIONS[2:] if choice != "tie" or page.ties],
        told=Markup(json.dumps(texts).replace("<", "\\u003c").replace("$", "\\u0024")),
        consent=page.consent,
    )
    rows = [
        [_cell(trial[name]) for trial in sheet for name in _MTURK_FIELDS] for sheet in page.sheets
    ]
    size = len(layout.encode()) + max(sum(len(cell.encode()) for cell in row) for row in rows)
    if size > _MAX_HIT_BYTES:
        raise UsageError(
            f"a sheet of {longest} trials makes a HIT of {size:,} bytes, "
            f"MTurk takes {_MAX_HIT_BYTES:,}",
            remedy="Export more --raters or fewer --pairs.",
        )
    header = [f"{name}{k}" for k in range(1, longest + 1) for name in _MTURK_FIELDS]
    return {"mturk.html": layout, "mturk.csv": _table(header, rows)}


def _qualtrics(context: _TemplateContext) -> dict[str, str]:
    """A survey in the advanced text format, with a block per sheet.

    Each question is named after its item and sheet, and has a timer.
    """
    sheets = [
        [
            {name: " ".join(text.split()) for name, text in trial.items()}
            for trial in context.trials(sheet)
        ]
        for sheet in context.page.sheets
    ]
    consent = " ".join(context.page.consent.split())
    return {"qualtrics.txt": context.render("qualtrics.txt", sheets=sheets, consent=consent)}


def _csv(context: _TemplateContext) -> dict[str, str]:
    """A row per trial, for any other platform: its question, its answers and its pictures."""
    page = context.page
    most = max(len(picture_files(trial)) for sheet in page.sheets for trial in sheet)
    names = [f"picture{k}" for k in range(1, most + 1)]
    choices = (*page.answers, *(["tie"] if page.ties else []), "skip")
    words = dict(zip(page.answers, page.labels, strict=False))
    answers = ";".join(f"{each}={words[each]}" if each in words else each for each in choices)
    rows = [
        [
            csv_files.cell(text)
            for text in (
                str(number), str(position), trial["item"], question_text(page, trial),
                trial["concept"], trial["prompt"], answers,
                *(context.base_url + file for file in picture_files(trial)),
            )
        ]
        for number, sheet in enumerate(page.sheets, start=1)
        for position, trial in enumerate(sheet, start=1)
    ]  # fmt: skip
    header = ["sheet", "position", "item", "question", "concept", "prompt", "answers", *names]
    return {"trials.csv": _table(header, rows)}


_WRITERS: dict[str, Callable[[_TemplateContext], dict[str, str]]] = {
    "csv": _csv,
    "label-studio": _label_studio,
    "mturk": _mturk,
    "qualtrics": _qualtrics,
}
PLATFORMS = tuple(_WRITERS)


def _cell(text: str) -> str:
    """A text escaped for an attribute of the layout, into which MTurk puts it unchanged.

    What would begin a formula in a spreadsheet begins with a character reference instead.
    """
    words = " ".join(text.split())
    if csv_files.cell(words) != words:
        return f"&#{ord(words[0])};{html.escape(words[1:])}"
    return html.escape(words)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    file = StringIO()
    lines = csv.writer(file)
    lines.writerow(header)
    lines.writerows([*row, *[""] * (len(header) - len(row))] for row in rows)
    return file.getvalue()
