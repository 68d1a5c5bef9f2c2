"""The page of a study: one HTML file with style, script and trials, which loads only pictures."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from htbench.core import content, reading
from htbench.core.errors import Missing, UsageError
from htbench.study import records
from htbench.study.task import PAIRS, TaskName

FILE = Path("page") / "index.html"
Trial = dict[str, str]
"""Item, concept, prompt, the choice that a check asks for, and the files of both pictures.

Of pictures that are not a pair, `left` has all files, separated by spaces, and `right` none.
"""
_TRIAL_FIELDS = ("item", "concept", "prompt", "check", "left", "right")
_MAX_BYTES = 1 << 28
_NOTHING = "'none'"
_DATA = re.compile(r'<script id="data" type="application/json">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Page:
    """The content of the page."""

    sheets: Sequence[Sequence[Trial]]
    """The trials of each person."""
    question: str
    """`{prompt}` and `{concept}` stand for the words of the trial."""
    instruction: str = PAIRS.instruction
    """The question of an attention check; SIDE is left or right, or another answer."""
    consent: str
    debrief: str = ""
    """Text at the end."""
    concept: bool = True
    """True if the concept is shown."""
    ties: bool = True
    post: str = ""
    """Address that answers are also sent to."""
    done: str = ""
    """Address that people are sent to at the end."""
    task: TaskName = "pairs"
    answers: Sequence[str] = ("left", "right")
    """The decided answers to each trial."""
    labels: Sequence[str] = ()
    """The words of the answers about one picture."""
    noun: str = PAIRS.noun
    """The noun for the images of a trial, in the plural."""


_PAGE = TypeAdapter(Page)


@dataclass(frozen=True, kw_only=True)
class ServedSheet:
    """The sheet that a server gives to a participant, with the answers that it has kept so far."""

    study: str
    """The digest of the whole study."""
    number: int
    """The number of the sheet in the study, from 1."""
    session: Mapping[str, object] | None
    """The participant's identifier and answers so far; None before consent."""


@dataclass(frozen=True, kw_only=True)
class RenderedPage:
    """The page as HTML, with its content security policy for servers that send one."""

    html: str
    policy: str


def render(page: Page, *, served: ServedSheet | None = None) -> RenderedPage:
    """The page of all sheets, or with `served` that of the only one in `page`.

    Without a server it keeps its answers in the browser; with one they are sent there.

    Raises:
        UsageError: if `post` is not a web address.
    """
    folder = content.folder("reports") / "studies"
    markup, css, script = (
        (folder / f"study.{suffix}").read_text(encoding="utf-8") for suffix in ("html", "css", "js")
    )
    facts = {**asdict(page), "study": served.study if served else study_digest(page)}
    if served:
        facts["served"] = {"sheet": served.number, "session": served.session}
    data = json.dumps(facts, ensure_ascii=True, sort_keys=True)
    origins = ["'self'"] if served else []
    if page.post:
        origins.append(_web_origin(page.post))
    policy = (
        f"default-src 'none'; img-src 'self'{'' if served else ' file:'}; "
        f"style-src 'sha256-{csp_hash(css)}'; script-src 'sha256-{csp_hash(script)}'; "
        f"connect-src {' '.join(origins or [_NOTHING])}; base-uri 'none'; form-action 'none'"
    )
    values = {
        "POLICY": html.escape(policy, quote=True).replace("&#x27;", "'"),
        "CSS": css,
        "CONSENT": html.escape(page.consent),
        "DEBRIEF": html.escape(page.debrief),
        "DATA": data.replace("<", "\\u003c").replace("&", "\\u0026"),
        "JS": script,
    }
    text = re.sub("@@([A-Z]+)@@", lambda match: values[match[1]], markup)
    return RenderedPage(html=text, policy=policy)


def picture_files(trial: Trial) -> list[str]:
    """The files of all pictures of a trial, in their order."""
    return [*trial["left"].split(), *trial["right"].split()]


def question_text(page: Page, trial: Trial) -> str:
    """The question of a trial, or the instruction of an attention check."""
    if trial["check"]:
        return page.instruction.replace("SIDE", trial["check"])
    words = {"{prompt}": trial["prompt"], "{concept}": trial["concept"]}
    return re.sub(r"\{prompt\}|\{concept\}", lambda match: words[match[0]], page.question)


def study_digest(page: Page) -> str:
    """The digest by which answers name the study that they belong to."""
    return sha256(json.dumps(page.sheets, sort_keys=True).encode()).hexdigest()[:16]


def csp_hash(text: str) -> str:
    """The hash by which a content security policy allows an inline script or style."""
    return b64encode(sha256(text.encode()).digest()).decode()


def read(study: Path) -> Page:
    """The page in a study's folder.

    Raises:
        Missing: if no study was exported there.
        Refused: if its page was changed.
    """
    path = study / FILE
    if not path.exists():
        raise Missing(
            f"no page in study {str(study)!r}", remedy="Export one: htbench study export RUN"
        )
    with records.refusing("Export the study anew."):
        text = reading.read_text(path, noun="page", most=_MAX_BYTES)
        try:
            (data,) = _DATA.findall(text)
            page = _PAGE.validate_python(reading.parse_json(data))
        except ValidationError as error:
            raise _changed(path, reading.first_problem(error)) from None
        except ValueError as error:
            raise _changed(path, str(error)) from None
        if not page.sheets or not all(page.sheets):
            raise _changed(path, "a sheet has no trials")
        for number, sheet in enumerate(page.sheets, start=1):
            for trial in sheet:
                if missing := [name for name in _TRIAL_FIELDS if name not in trial]:
                    raise _changed(path, f"a trial of sheet {number} has no {missing[0]}")
    return page


def _changed(path: Path, problem: str) -> UsageError:
    return UsageError(f"{str(path)!r} is not as it was exported: {problem}")


def _web_origin(address: str) -> str:
    """The origin that the page may send to, in terms of a content security policy."""
    scheme, _, rest = address.partition("://")
    if "@" in rest.partition("/")[0]:
        raise UsageError(
            "--post has a user or password, and everybody could read it in the page",
            remedy="Give an address that takes answers without one.",
        )
    unsafe = any(char.isspace() or char in "'\";" for char in address)
    if scheme not in ("https", "http") or not rest or unsafe:
        raise UsageError(
            f"--post {address[:80]!r} is no web address",
            remedy="Write it as --post https://example.org/votes",
        )
    return f"{scheme}://{rest.partition('/')[0]}"
