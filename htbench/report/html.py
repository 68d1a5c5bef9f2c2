"""What stands around a page's words: style, scripts, the data they read, and the policy that lets nothing else in."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from htbench.core import content

POLICY_MARK, SWITCH_MARK, DATA_MARK = (
    Markup("<!--policy-->"),
    Markup("<!--switch-->"),
    Markup("<!--data-->"),
)
"""Marks in a page's text; text that comes from a run never holds a raw `<`."""


@dataclass(frozen=True, kw_only=True)
class ContentPolicy:
    """What a page may load from where, in the words of a content policy."""

    images: str
    scripts: str = ""
    """Besides the page's own."""
    connections: str = ""
    script_files: tuple[str, ...] = ("gallery.js",)
    """Scripts besides those of tables."""


FILE = ContentPolicy(images="data:")
FOLDER = ContentPolicy(images="'self'", scripts=" 'self'")
SERVED = ContentPolicy(
    images="'self'",
    scripts=" 'self'",
    connections="; connect-src 'self'",
    script_files=("gallery.js", "live.js"),
)
TEXT_ONLY = ContentPolicy(images="'none'", script_files=())
"""A page without pictures."""


def style() -> Markup:
    """The page's style sheet."""
    return _read("report.css", "gallery.css")


def fill_marks(
    text: str, content_policy: ContentPolicy, *, data: str = "", switch: str = ""
) -> str:
    """The page with its marks replaced; `data` is what its scripts read, `switch` leads to other pages."""
    script, css = (
        _read("report.js", *content_policy.script_files),
        text.partition("<style>")[2].partition("</style>")[0],
    )
    allowed = f"'{_hash(script)}'{content_policy.scripts}{content_policy.connections}"
    policy = f"default-src 'none'; img-src {content_policy.images}; style-src '{_hash(css)}'; script-src {allowed}; base-uri 'none'; form-action 'none'"
    return (
        text.replace(POLICY_MARK, policy, 1)
        .replace(SWITCH_MARK, switch, 1)
        .replace(DATA_MARK, f"{data}<script>{script}</script>\n", 1)
    )


def json_script(name: str, value: Mapping[str, object]) -> str:
    """Data that the page holds itself."""
    return (
        f'<script type="application/json" id="{name}">{htmlsafe_json_dumps(dict(value))}</script>\n'
    )


def _read(*names: str) -> Markup:
    return Markup("\n").join(
        Markup((content.folder("reports") / "page" / name).read_text(encoding="utf-8"))
        for name in names
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
