"""The page of judgements, beside a run's report and its pictures: `RUN/judgements.html`."""

import re
from dataclasses import dataclass

from markupsafe import Markup

from htbench.core.errors import UsageError
from htbench.report import html
from htbench.report.judgements import Judgement
from htbench.report.once import once
from htbench.report.sections import judges, people
from htbench.run.store import read_image
from htbench.run.summary import Summary

PAGE = "judgements.html"
_FILE = re.compile(r"[0-9a-f]{32}\.png")
_SMALL = 192
"""Pictures with a smaller side in pixels are shown enlarged, with crisp pixels."""
_POLICY = html.ContentPolicy(images="'self'", script_files=("judgements.js",))


@dataclass(frozen=True, kw_only=True)
class LinkedPicture:
    """A picture of a method, with the address of its file at native size."""

    method: str
    address: str
    """Relative to the page; empty where there is no picture."""
    width: int = 0
    """In pixels; likewise `height`."""
    height: int = 0

    @property
    def is_small(self) -> bool:
        """True if the page shows it larger than it is."""
        return self.width < _SMALL


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A judgement with what the page shows beside it."""

    judgement: Judgement
    concept: str
    """Words of the concept."""
    pictures: tuple[LinkedPicture, LinkedPicture]

    @property
    def states(self) -> str:
        """The filters that the entry passes, by name, separated by spaces."""
        named = {
            "judges": self.judgement.judges_disagree,
            "people": self.judgement.people_disagree,
            "orders": self.judgement.is_inconsistent,
            "asked": bool(self.judgement.people),
        }
        return " ".join(name for name, is_so in named.items() if is_so)

    @property
    def criteria(self) -> list[str]:
        """The criteria of its verdicts, each once."""
        return sorted({each.criterion for each in self.judgement.judges})


@once
def render(summary: Summary) -> str:
    """The page as text; empty where no judge has compared pictures."""
    section = once(judges.collect)(summary)
    shown = section.judgements
    if shown is None:
        return ""
    tones = {name: k for k, name in enumerate(sorted(summary.methods), start=1)}
    entries = [_entry(summary, each) for each in shown.shown]
    text = (
        html.templates(tones)
        .get_template("judgements.html")
        .render(
            judgements_style=html.read_files("judgements.css"),
            run=summary.store.folder.resolve().name,
            entries=entries,
            judgements=shown,
            judges=sorted({each.judge for one in shown.shown for each in one.judges}),
            methods=sorted({name for one in shown.shown for name in one.pairing[:2]}),
            criteria=sorted({name for entry in entries for name in entry.criteria}),
            has_people=bool(once(people.collect)(summary).studies),
            strengths=len({one.strength for one in shown.shown}),
        )
    )
    return html.fill_marks(text, _POLICY)


def link(up: str = "") -> str:
    """A paragraph with a link to the page, which is `up` from the page that it stands on."""
    return Markup(
        '<p><a href="{}">Read the verdicts beside their pictures</a>, with the reasons and '
        "replies of each judge.</p>"
    ).format(f"{up}{PAGE}")


def _entry(summary: Summary, judgement: Judgement) -> Entry:
    one, two, concept, *_ = judgement.pairing
    facts = summary.facts.concepts
    words = facts[concept].text if concept in facts else ""
    first, second = judgement.files
    return Entry(
        judgement=judgement,
        concept=words or concept,
        pictures=(_picture(summary, one, first), _picture(summary, two, second)),
    )


def _picture(summary: Summary, method: str, name: str | None) -> LinkedPicture:
    """The picture, whose name in a damaged ledger may be anything."""
    if name is None or not _FILE.fullmatch(name):
        return LinkedPicture(method=method, address="")
    try:
        png = read_image(summary.store.image_path(name))
    except UsageError:
        return LinkedPicture(method=method, address="")
    width, height = (int.from_bytes(png[k : k + 4]) for k in (16, 20))
    return LinkedPicture(method=method, address=f"images/{name}", width=width, height=height)
