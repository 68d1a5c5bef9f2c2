"""An exported study for other platforms, in forms whose answers `htbench study import` reads back: the same sheets, and nothing that tells a method."""

import csv
import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from htbench.core import content
from htbench.core.errors import UnknownName, UsageError
from htbench.study.ask.page import Page, Trial, read

FOLDER = "templates"
_OPTIONS = (("left", "Left"), ("right", "Right"), ("tie", "No difference"), ("skip", "Cannot say"))
_MAX_HIT_BYTES = 65_535
"""Bytes of a HIT with its input filled in, which MTurk takes at most."""
_MTURK_FIELDS = ("item", "check", "concept", "prompt", "left", "right")


def write(study: Path, platform: str, *, pictures_url: str) -> list[Path]:
    """Write a study's template for a platform, with pictures at the address `pictures_url`, into `templates` beside its page, and give the files' paths.

    Raises:
        UnknownName: for a platform that there is no template for.
        UsageError: if `pictures_url` is no address, or a sheet is longer than the platform takes.
        Missing: if no study was exported there.
    """
    if platform not in _WRITERS:
        raise UnknownName("template", platform, _WRITERS)
    if not pictures_url.startswith(("https://", "http://", "/")) or any(
        char.isspace() for char in pictures_url
    ):
        raise UsageError(
            f"--pictures {pictures_url[:80]!r} is no web address",
            remedy="Write it as --pictures https://example.org/study/pictures",
        )
    files = _WRITERS[platform](
        _TemplateContext(page=read(study), base_url=f"{pictures_url.rstrip('/')}/")
    )
    (study / FOLDER).mkdir(exist_ok=True)
    for name, text in files.items():
        (study / FOLDER / name).write_text(text, encoding="utf-8", newline="")
    return [study / FOLDER / name for name in files]


@dataclass(frozen=True, kw_only=True)
class _TemplateContext:
    page: Page
    base_url: str

    @property
    def options(self) -> list[tuple[int, str]]:
        """Labels of the choices by the number that stands for each, whether ties are allowed or not."""
        return [
            (k, label)
            for k, (choice, label) in enumerate(_OPTIONS, start=1)
            if choice != "tie" or self.page.ties
        ]

    def trials(self, sheet: Sequence[Trial]) -> list[Trial]:
        """With what is asked, and whole addresses."""
        return [
            {
                **trial,
                "question": self._question_text(trial),
                **{side: self.base_url + trial[side] for side in ("left", "right")},
            }
            for trial in sheet
        ]

    def render(self, name: str, **values: object) -> str:
        """A file of `reports/studies/platforms` filled in, all values escaped as HTML."""
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

    def _question_text(self, trial: Trial) -> str:
        return (
            self.page.instruction.replace("SIDE", trial["check"])
            if trial["check"]
            else self.page.question
        )


def _label_studio(context: _TemplateContext) -> dict[str, str]:
    """The labelling interface, and a task a trial; who is to do which sheet is told by filtering tasks on `sheet`."""
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
    """The design layout, and an input row a sheet: a HIT is a sheet."""
    page = context.page
    longest = max(map(len, page.sheets))
    told = {
        "question": page.question,
        "check": page.instruction,
        "concept": page.concept,
        "pictures": context.base_url,
    }
    more = [(choice, label) for choice, label in _OPTIONS[2:] if choice != "tie" or page.ties]
    told_safely = Markup(json.dumps(told).replace("<", "\\u003c").replace("$", "\\u0024"))
    layout = context.render(
        "mturk.html", longest=longest, more=more, told=told_safely, consent=page.consent
    )
    rows = [
        [_cell(trial[name]) for trial in sheet for name in _MTURK_FIELDS] for sheet in page.sheets
    ]
    size = len(layout.encode()) + max(sum(len(cell.encode()) for cell in row) for row in rows)
    if size > _MAX_HIT_BYTES:
        raise UsageError(
            f"a sheet of {longest} trials makes a HIT of {size:,} bytes, MTurk takes {_MAX_HIT_BYTES:,}",
            remedy="Export more --raters or fewer --pairs.",
        )
    return {
        "mturk.html": layout,
        "mturk.csv": _table(
            [f"{name}{k}" for k in range(1, longest + 1) for name in _MTURK_FIELDS], rows
        ),
    }


def _qualtrics(context: _TemplateContext) -> dict[str, str]:
    """A survey in the advanced text format: a block a sheet, each question named by its item and sheet, and a timer beside it."""
    sheets = [
        [
            {name: " ".join(text.split()) for name, text in trial.items()}
            for trial in context.trials(sheet)
        ]
        for sheet in context.page.sheets
    ]
    return {
        "qualtrics.txt": context.render(
            "qualtrics.txt", sheets=sheets, consent=" ".join(context.page.consent.split())
        )
    }


_WRITERS: dict[str, Callable[[_TemplateContext], dict[str, str]]] = {
    "label-studio": _label_studio,
    "mturk": _mturk,
    "qualtrics": _qualtrics,
}
PLATFORMS = tuple(_WRITERS)


def _cell(text: str) -> str:
    """For an attribute of the layout, into which MTurk puts it as it is."""
    return html.escape(" ".join(text.split()))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    file = StringIO()
    lines = csv.writer(file)
    lines.writerow(header)
    lines.writerows([*row, *[""] * (len(header) - len(row))] for row in rows)
    return file.getvalue()
