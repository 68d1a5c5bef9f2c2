"""The researcher's overview of a served study: who began, who came back, who finished, and when."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from htbench.core import content
from htbench.core.tables import TextTable
from htbench.study.ask.page import csp_hash
from htbench.study.collect.sessions import Session

State = Literal["not begun", "begun", "overdue", "finished"]
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Participant:
    """The progress of the participant of one sheet. Times are in UTC; empty: not yet."""

    sheet: int
    link: str
    trials: int
    answers: int = 0
    began: str = ""
    visits: int = 0
    """Number of times that the page was opened, the first included."""
    returned: str = ""
    """Time of the last visit after the first."""
    saved: str = ""
    """Time at which the last new answer was saved."""
    finished: str = ""
    spare: str = ""
    """A link for somebody else to the same sheet, once the participant is overdue."""

    @property
    def state(self) -> State:
        """The progress in a word."""
        if self.finished:
            return "finished"
        return "overdue" if self.spare else "begun" if self.began else "not begun"


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The participants of a study in the order of their sheets."""

    study: str
    """The name of the study's folder."""
    participants: Sequence[Participant]
    overdue_hours: float
    """Hours without an answer or a visit after which a participant is overdue."""

    @property
    def sentence(self) -> str:
        """The numbers of participants who began and finished, and of answers."""
        began = sum(bool(each.began) for each in self.participants)
        finished = sum(bool(each.finished) for each in self.participants)
        answers = sum(each.answers for each in self.participants)
        total = len(self.participants)
        overdue = sum(each.state == "overdue" for each in self.participants)
        late = f", {overdue:,} overdue" if overdue else ""
        return (
            f"{began:,} of {total:,} began, {finished:,} finished{late}; "
            f"answers so far: {answers:,}"
        )

    def table(self) -> TextTable:
        """The progress of each participant with the link."""
        return TextTable(
            columns=("link", "sheet", "state", "answers", "visits", "last answer (UTC)"),
            rows=[
                (
                    each.link,
                    str(each.sheet),
                    each.state,
                    f"{each.answers} of {each.trials}",
                    str(each.visits),
                    minute(each.saved),
                )
                for each in self.participants
            ],
        )

    def html(self, *, common_link: str) -> str:
        """The page, which a browser loads again every half minute."""
        hours = f"{self.overdue_hours:g} hour{'s' if self.overdue_hours != 1 else ''}"
        return _template().render(
            overview=self, common_link=common_link, minute=minute, overdue=hours
        )


def build(
    study: str,
    *,
    links: Mapping[int, str],
    spares: Mapping[int, str],
    trials: Sequence[int],
    sessions: Iterable[Session],
    overdue_hours: float,
) -> Overview:
    """The overview of a study, from the links and the numbers of trials of all sheets.

    `spares` are the spare links of the sheets whose participants are overdue.
    """
    known = {session.sheet: session for session in sessions}
    participants = [
        _participant(
            known.get(sheet), sheet=sheet, link=link, spare=spares.get(sheet, ""), trials=number
        )
        for (sheet, link), number in zip(links.items(), trials, strict=True)
    ]
    return Overview(study=study, participants=participants, overdue_hours=overdue_hours)


def policy() -> str:
    """The content security policy of the page."""
    source = (content.folder("reports") / "studies" / "overview.html").read_text(encoding="utf-8")
    (style,) = _STYLE.findall(source)
    return (
        f"default-src 'none'; style-src 'sha256-{csp_hash(style)}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def minute(time: str) -> str:
    """A time to the minute, without the time zone: 2026-11-02 10:05."""
    return time[:16].replace("T", " ")


def _participant(
    session: Session | None, *, sheet: int, link: str, spare: str, trials: int
) -> Participant:
    if session is None:
        return Participant(sheet=sheet, link=link, trials=trials)
    visits = session.visits
    return Participant(
        sheet=sheet,
        link=link,
        trials=trials,
        answers=len(session.answers),
        began=visits[0].time if visits else session.saved,
        visits=len(visits),
        returned=visits[-1].time if len(visits) > 1 else "",
        saved=session.saved,
        finished=session.finished,
        spare=spare,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(content.folder("reports") / "studies"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("overview.html")
