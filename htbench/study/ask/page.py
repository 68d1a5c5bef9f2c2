"""What people are shown: one HTML file with its style, script and trials inside, that loads nothing but its pictures."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from htbench.core import content
from htbench.core.errors import Missing, Refused, UsageError

FILE = Path("page") / "index.html"
Trial = dict[str, str]
"""Item, concept, prompt, the choice that a check asks for, and the file names of the left and the right picture."""
_DATA = re.compile(r'<script id="data" type="application/json">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that it says."""

    sheets: Sequence[Sequence[Trial]]
    """Trials of each person."""
    question: str
    instruction: str = (
        "To show that you are reading: please choose the SIDE picture here, whatever it shows."
    )
    """Of a check, in place of the question; SIDE is left or right."""
    consent: str
    concept: bool = True
    """Whether the concept is told."""
    ties: bool = True
    post: str = ""
    """Address that answers are also sent to."""
    done: str = ""
    """Address that people are sent to at the end."""


def render(page: Page) -> str:
    """As HTML.

    Raises:
        UsageError: if `post` is no address.
    """
    folder = content.folder("reports") / "studies"
    parts = {
        name: (folder / f"study.{name}").read_text(encoding="utf-8")
        for name in ("html", "css", "js")
    }
    data = {
        **asdict(page),
        "study": sha256(json.dumps(page.sheets, sort_keys=True).encode()).hexdigest()[:16],
    }
    safe = (
        json.dumps(data, ensure_ascii=True, sort_keys=True)
        .replace("<", "\\u003c")
        .replace("&", "\\u0026")
    )
    policy = f"default-src 'none'; img-src 'self' file:; style-src 'sha256-{_csp_hash(parts['css'])}'; script-src 'sha256-{_csp_hash(parts['js'])}'; " \
             f"connect-src {_web_origin(page.post)}; base-uri 'none'; form-action 'none'"  # fmt: skip
    filled = {"POLICY": html.escape(policy, quote=True).replace("&#x27;", "'"), "CSS": parts["css"], "CONSENT": html.escape(page.consent), "DATA": safe,
              "JS": parts["js"]}  # fmt: skip
    return re.sub("@@([A-Z]+)@@", lambda found: filled[found[1]], parts["html"])


def read(study: Path) -> Page:
    """Of a study's folder.

    Raises:
        Missing: if no study was exported there.
        Refused: if its page was changed.
    """
    path = study / FILE
    if not path.is_file():
        raise Missing(
            f"no page in study {str(study)!r}", remedy="Export one: htbench study export RUN"
        )
    try:
        (text,) = _DATA.findall(path.read_text(encoding="utf-8"))
        data = json.loads(text)
        return Page(**{name: data[name] for name in Page.__dataclass_fields__})
    except (ValueError, KeyError) as error:
        raise Refused(
            f"{str(path)!r} is not as it was exported: {error}", remedy="Export the study anew."
        ) from None


def _csp_hash(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


def _web_origin(address: str) -> str:
    """Where a page may send to: one origin, or nowhere."""
    if not address:
        return "'none'"
    scheme, _, rest = address.partition("://")
    if (
        scheme not in ("https", "http")
        or not rest
        or any(char.isspace() or char in "'\";" for char in address)
    ):
        raise UsageError(
            f"--post {address[:80]!r} is no web address",
            remedy="Write it as --post https://example.org/votes",
        )
    return f"{scheme}://{rest.partition('/')[0]}"
