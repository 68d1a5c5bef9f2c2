"""The pages of a served study, and what is kept of the requests of participants."""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from htbench.core import reading
from htbench.core.errors import Refused, UsageError
from htbench.study import manifest, task
from htbench.study.ask import page
from htbench.study.collect import log, privacy
from htbench.study.collect.privacy import Pseudonyms
from htbench.study.collect.sessions import (
    MAX_RATER_CHARS,
    GivenAnswer,
    Session,
    SessionFiles,
    Visit,
)
from htbench.study.serve import overview
from htbench.study.serve.links import MAX_SPARE, TOKEN_LENGTH, Links, SheetLink
from htbench.study.serve.overview import Overview
from htbench.study.serve.places import Places
from htbench.study.serve.rate_limit import RateLimit

MAX_BODY_BYTES = 1 << 16
MAX_POSTS_AT_ONCE, POSTS_PER_SECOND = 60, 5.0
"""Requests of one link: so many at once, and so many more in each second."""
OVERDUE_HOURS = 24.0
"""Hours without an answer or a visit after which a participant is overdue."""
_MAX_ANSWERS = 200
_TEXT, _JSON, _HTML = "text/plain; charset=utf-8", "application/json", "text/html; charset=utf-8"
_ADDRESS = re.compile(rf"/([jpr]/[^/]{{1,{4 * TOKEN_LENGTH}}})(?:/(.{{0,100}}))?", re.DOTALL)
_PICTURE = re.compile(r"pictures/([0-9a-f]{1,64}\.png)")
_CODE_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Letters and digits that nobody takes for another."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer to a request."""

    status: int = 200
    body: bytes = b""
    content_type: str = _TEXT
    headers: Mapping[str, str] = field(default_factory=lambda: {"Cache-Control": "no-store"})


class Refusal(Exception):
    """A request is refused, with its status and one line for whoever reads the reply."""

    def __init__(self, status: int, line: str, **headers: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def reply(self) -> Reply:
        """The reply of one line."""
        return Reply(
            status=self.status,
            body=f"{self.status} {self.line}\n".encode(),
            headers={"Cache-Control": "no-store", **self.headers},
        )


class _PostedAnswers(BaseModel):
    """A request of the page: consent, a visit, or answers that the server may not have yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    visit: str = Field(pattern=r"^[0-9a-f]{16}$")
    rater: str = Field(default="", max_length=MAX_RATER_CHARS)
    """Empty: the server draws a code."""
    answers: tuple[GivenAnswer, ...] = Field(default=(), max_length=_MAX_ANSWERS)


class StudySite:
    """An exported study by the paths of its pages.

    A participant who has begun, not finished, and neither answered nor come back for
    `overdue_hours` is overdue: somebody else may take the sheet by its next spare link.

    Raises:
        Missing: if no study was exported to the folder `study`.
        Refused: if its page, its log or a kept session is damaged.
    """

    def __init__(self, study: Path, *, secret: Path, overdue_hours: float = OVERDUE_HOURS) -> None:
        self._study, self._page = study, page.read(study)
        self._overdue_hours = overdue_hours
        self._digest = page.study_digest(self._page)
        self._task = task.find(self._page.task)
        key = privacy.load_or_create_secret(secret, shared_folder=study)
        self._names = Pseudonyms(secret=key)
        self.links = Links(secret=key, study=self._digest, sheets=len(self._page.sheets))
        self.sessions = SessionFiles(study)
        self._limit = RateLimit(per_second=POSTS_PER_SECOND, burst=MAX_POSTS_AT_ONCE)
        self._places = Places(self.links.sheets)
        self._withdrawn = _WithdrawnPeople(study, self._names)
        trials = [trial for sheet in self._page.sheets for trial in sheet]
        texts = {trial[name] for trial in trials for name in ("concept", "prompt", "item")}
        self._texts = "\n".join(sorted(texts))
        self._withdrawn.refresh()
        self.overview("")

    def overview(self, base_url: str) -> Overview:
        """The progress of all participants, with links that begin with `base_url`."""
        sessions = {session.sheet: session for _, session in self.sessions.all()}
        current = {
            sheet: SheetLink(sheet, own.link if own else self.sessions.first_link(sheet))
            for sheet in self.links.participants
            for own in (sessions.get(sheet),)
        }
        spares = {sheet: SheetLink(sheet, each.link + 1) for sheet, each in sessions.items()}
        return overview.build(
            self._study.resolve().name,
            links={sheet: base_url + self.links.path(link) for sheet, link in current.items()},
            spares={
                sheet: base_url + self.links.path(link)
                for sheet, link in spares.items()
                if self._may_replace(sessions[sheet])
            },
            trials=[len(sheet) for sheet in self._page.sheets],
            sessions=sessions.values(),
            overdue_hours=self._overdue_hours,
        )

    def _may_replace(self, session: Session) -> bool:
        """True if the participant is overdue, and the sheet has a spare link left."""
        if session.finished or session.link >= MAX_SPARE:
            return False
        last = max([session.saved, *(visit.time for visit in session.visits)])
        try:
            waited = datetime.now(UTC) - datetime.fromisoformat(last)
        except (ValueError, TypeError):  # a file that a hand has edited
            return False
        return waited > timedelta(hours=self._overdue_hours)

    def _check_link(self, link: SheetLink, session: Session | None) -> None:
        """Refuse a link by which somebody else has the sheet, or may not have it yet."""
        if session is None:
            is_valid = link.number == self.sessions.first_link(link.sheet)
        else:
            is_next = link.number == session.link + 1
            is_valid = link.number == session.link or (is_next and self._may_replace(session))
        if not is_valid:
            raise Refusal(409, "another participant has this sheet now; ask for another link")

    def get(self, path: str, *, query: str, base_url: str) -> Reply:
        """The reply to a request for a page or a picture; the page reads the query itself.

        Raises:
            Refusal: for a path without a valid token, or one that is not there.
            HtbenchError: if a file of the study is damaged.
        """
        if path == "/favicon.ico":
            return Reply(status=204)
        link, rest = self._resolve(path)
        if path == f"/{self.links.common}":
            return self._lead(query)
        if rest is None:
            place = f"{path.rpartition('/')[2]}/{query and f'?{query}'}"
            return Reply(status=308, headers={"Location": place, "Cache-Control": "no-store"})
        if path == f"/{self.links.researcher}":
            text = self.overview(base_url).html(common_link=f"{base_url}{self.links.common}")
            return _html(text, overview.policy())
        if link is not None and not rest:
            return self._participant_page(link)
        picture = _PICTURE.fullmatch(rest)
        if link is None or picture is None:
            raise Refusal(404, "there is no such page")
        return self._picture(link.sheet, picture[1])

    def post(self, path: str, body: bytes) -> Reply:
        """The reply to answers of a participant, which are on the disk by then.

        Raises:
            Refusal: for a request that is not accepted; nothing is written.
            HtbenchError: if the participant's file is damaged.
            OSError: if the disk does not take the answers.
        """
        link, rest = self._resolve(path)
        if link is None or rest != "answers":
            raise Refusal(405, "this address takes no answers", Allow="GET, HEAD")
        if not self._limit.take(link.sheet):
            raise Refusal(429, "too many requests; wait a second", Retry_After="1")
        posted = self._parse(body, link.sheet)
        session = self.sessions.update(
            link.sheet, lambda before: self._change(before, posted, link)
        )
        saved = {each.position: each.revision for each in session.answers}
        text = json.dumps({"rater": session.rater, "saved": saved})
        return Reply(body=text.encode(), content_type=_JSON)

    def _change(self, before: Session | None, posted: _PostedAnswers, link: SheetLink) -> Session:
        """The session of a sheet with what was posted; the lock of the sessions is held."""
        self._check_link(link, before)
        if before and before.link != link.number:
            before = None  # somebody else takes the place of a participant who is overdue
        rater = posted.rater.strip()
        if before and rater and rater != before.rater:
            raise Refusal(409, "another participant has begun with this link; ask for a new one")
        if rater and self._withdrawn.has(rater):
            raise Refusal(410, "this participant has withdrawn; nothing is kept")
        if not before and rater:
            self._check_rater(rater)
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        session = before or Session(
            study=self._digest,
            sheet=link.sheet,
            rater=rater or _new_code(),
            visits=(),
            link=link.number,
        )
        trials = len(self._page.sheets[link.sheet - 1])
        return session.with_visit(Visit(id=posted.visit, time=now)).with_answers(
            posted.answers, trials=trials, now=now
        )

    def _parse(self, body: bytes, sheet: int) -> _PostedAnswers:
        """The answers in the body of a request, which fit the sheet."""
        try:
            posted = _PostedAnswers.model_validate(reading.parse_json(body))
        except ValidationError as error:
            raise Refusal(400, f"no answers: {_field(error)} is not as it should be") from None
        except ValueError:
            raise Refusal(400, "no answers: the body is no JSON") from None
        trials = self._page.sheets[sheet - 1]
        for each in posted.answers:
            if each.position > len(trials) or trials[each.position - 1]["item"] != each.item:
                raise Refusal(400, f"trial {each.position} of this sheet is not that item")
            if each.choice == "tie" and not self._page.ties:
                raise Refusal(400, "this study has no ties")
            if not self._task.allows(each.choice, len(self._page.answers)):
                raise Refusal(400, f"this study has no answer {each.choice!r}")
        return posted

    def _check_rater(self, rater: str) -> None:
        """Refuse an identifier that the import of the whole study would be refused for."""
        is_usable = rater.isprintable() and not rater.startswith(manifest.REHEARSAL_PREFIX)
        try:
            privacy.refuse_identifiers([("texts", self._texts)], [rater])
        except Refused:
            is_usable = False
        if not is_usable:
            raise Refusal(400, "this participant id cannot be used; ask for another link")

    def _lead(self, query: str) -> Reply:
        """Lead a person to a sheet of their own, by the identifier in the query."""
        given = dict(parse_qsl(query, max_num_fields=100, errors="replace"))
        rater = (given.get("PROLIFIC_PID") or given.get("rater") or "").strip()
        if not rater or len(rater) > MAX_RATER_CHARS:
            raise Refusal(
                400, "this link needs your id at its end: ?PROLIFIC_PID=... or ?rater=..."
            )
        if self._withdrawn.has(rater):
            raise Refusal(410, "this participant has withdrawn; nothing is kept")
        self._check_rater(rater)
        sheet = self._places.take(
            rater,
            lambda: {each.sheet: each.rater for _, each in self.sessions.all()},
            lambda: [each.sheet for _, each in self.sessions.all() if self._may_replace(each)],
        )
        if sheet is None:
            raise Refusal(409, "all places of this study are taken; thank you for coming")
        session = self.sessions.read(sheet)
        if session is None:
            number = self.sessions.first_link(sheet)
        else:
            number = session.link + (session.rater != rater)
        path = self.links.path(SheetLink(sheet, number))
        place = f"../../{path}?{urlencode({'rater': rater})}"
        return Reply(status=303, headers={"Location": place, "Cache-Control": "no-store"})

    def _participant_page(self, link: SheetLink) -> Reply:
        sheet, session = link.sheet, self.sessions.read(link.sheet)
        self._check_link(link, session)
        if session and session.link != link.number:
            session = None
        known = session.model_dump(include={"rater", "answers"}, mode="json") if session else None
        rendered = page.render(
            replace(self._page, sheets=[self._page.sheets[sheet - 1]]),
            served=page.ServedSheet(study=self._digest, number=sheet, session=known),
        )
        return _html(rendered.html, f"{rendered.policy}; frame-ancestors 'none'")

    def _picture(self, sheet: int, name: str) -> Reply:
        trials = self._page.sheets[sheet - 1]
        if not any(name in page.picture_files(trial) for trial in trials):
            raise Refusal(404, "there is no such picture")
        folder = (self._study / page.FILE).parent / "pictures"
        try:
            data = reading.read_bytes(folder / name, within=folder)
        except UsageError:
            raise Refusal(404, "there is no such picture") from None
        cache = {"Cache-Control": "private, max-age=31536000, immutable"}
        return Reply(body=data, content_type="image/png", headers=cache)

    def _resolve(self, path: str) -> tuple[SheetLink | None, str | None]:
        """The link of a path, None for the researcher's, and what follows the token and a slash;
        None without a slash.
        """
        match = _ADDRESS.fullmatch(path)
        if not match:
            raise Refusal(404, "there is no such page; open the whole link that you were sent")
        own = f"{match[1]}/"
        is_known = own in self.links.by_path or own in (self.links.researcher, self.links.common)
        if not is_known:
            raise Refusal(403, "this link is not one of this study; ask for yours")
        return self.links.by_path.get(own), match[2]


class _WithdrawnPeople:
    """The people who have withdrawn, read again when the study's log changes."""

    def __init__(self, study: Path, names: Pseudonyms) -> None:
        self._study, self._names = study, names
        self._state: tuple[int, int, int] | None = None
        self._marks: frozenset[str] = frozenset()

    def has(self, rater: str) -> bool:
        """True if the person with this identifier has withdrawn."""
        self.refresh()
        return self._names.mark(self._names.pseudonym(rater)) in self._marks

    def refresh(self) -> None:
        """Read the log if it has changed."""
        try:
            status = (self._study / log.FILE).stat()
        except FileNotFoundError:
            self._state, self._marks = None, frozenset()
            return
        state = status.st_ino, status.st_mtime_ns, status.st_size
        if state != self._state:
            read = log.ImportLog.read(self._study)
            self._state, self._marks = state, frozenset(read.withdrawn if read else ())


def _html(text: str, policy: str) -> Reply:
    return Reply(
        body=text.encode(),
        content_type=_HTML,
        headers={"Cache-Control": "no-store", "Content-Security-Policy": policy},
    )


def _new_code() -> str:
    """A code for a participant, short enough to be written down: `h7kq-2mxr`."""
    letters = "".join(secrets.choice(_CODE_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def _field(error: ValidationError) -> str:
    return ".".join(map(str, error.errors()[0]["loc"]))[:100] or "it"
