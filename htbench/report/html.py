"""The frame of a page: templates, style, scripts with their data, and the content policy."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from htbench.core import content
from htbench.report import charts, format
from htbench.report.current import GENERATOR

_SCRIPT_FILES = ("address.js", "report.js", "download.js")
POLICY_MARK, SWITCH_MARK, DATA_MARK, JUDGEMENTS_MARK = (
    Markup("<!--policy-->"),
    Markup("<!--switch-->"),
    Markup("<!--data-->"),
    Markup("<!--judgements-->"),
)
"""Marks that are replaced in a page's text; text from a run never holds a raw `<`."""


@dataclass(frozen=True, kw_only=True)
class ContentPolicy:
    """The sources that a page may load from, in the syntax of a content policy."""

    images: str
    scripts: str = ""
    """Sources of scripts besides the page's own."""
    connections: str = ""
    script_files: tuple[str, ...] = (
        "gallery.js",
        "gallery_address.js",
        "thumbnails.js",
        "navigation.js",
    )
    """Files of scripts that the page holds, besides those of every page."""


FILE = ContentPolicy(images="data:")
FOLDER = ContentPolicy(images="'self'", scripts=" 'self'")
SERVED = ContentPolicy(
    images="'self'",
    scripts=" 'self'",
    connections="; connect-src 'self'",
    script_files=("gallery.js", "gallery_address.js", "thumbnails.js", "navigation.js", "live.js"),
)
TEXT_ONLY = ContentPolicy(images="'none'", script_files=())
"""A page without pictures."""


def templates(tones: Mapping[str, int]) -> Environment:
    """The templates of `reports/page`, with the style sheet and the marks that `fill_marks` fills.

    `tones` are the colours of methods, 0 for all others.
    """
    environment = Environment(
        loader=FileSystemLoader(content.folder("reports") / "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(format.FILTERS)
    environment.globals.update(
        style=read_files("report.css", "charts.css", "gallery.css"),
        policy=POLICY_MARK,
        generator=GENERATOR,
        data=DATA_MARK,
        switch=SWITCH_MARK,
        judgements_link=JUDGEMENTS_MARK,
        interval=charts.interval_bar,
        swatch=lambda method: charts.swatch(tones.get(method, 0)),
        tone=lambda method: tones.get(method, 0),
    )
    return environment


def fill_marks(
    text: str,
    content_policy: ContentPolicy,
    *,
    data: str = "",
    switch: str = "",
    judgements: str = "",
) -> str:
    """The page with its marks replaced: `data` for its scripts, a `switch` to other pages, and a
    link to the page of `judgements`.
    """
    script = read_files(*_SCRIPT_FILES, *content_policy.script_files)
    images = content_policy.images
    if ' src="data:image/' in text and "data:" not in images:  # text from a run has no raw quote
        images = f"{images} data:"
    css = text.partition("<style>")[2].partition("</style>")[0]
    policy = (
        f"default-src 'none'; img-src {images}; style-src '{_hash(css)}'; "
        f"script-src '{_hash(script)}'{content_policy.scripts}{content_policy.connections}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        text.replace(POLICY_MARK, policy, 1)
        .replace(SWITCH_MARK, switch, 1)
        .replace(JUDGEMENTS_MARK, judgements, 1)
        .replace(DATA_MARK, f"{data}<script>{script}</script>\n", 1)
    )


def json_script(name: str, value: Mapping[str, object]) -> str:
    """Data in the page itself, as a script element of type JSON."""
    return (
        f'<script type="application/json" id="{name}">{htmlsafe_json_dumps(dict(value))}</script>\n'
    )


def read_files(*names: str) -> Markup:
    """The text of files in `reports/page`."""
    return Markup("\n").join(
        Markup((content.folder("reports") / "page" / name).read_text(encoding="utf-8"))
        for name in names
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
