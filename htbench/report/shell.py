"""What stands around a page's words: style, scripts, the data they read, and the policy that lets nothing else in."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from htbench import content

POLICY, DATA = Markup("<!--policy-->"), Markup("<!--data-->")
"""Marks in a page's text; text that comes from a run never holds a raw `<`."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a page may load from where, in the words of a content policy."""

    images: str
    scripts: str = ""
    """Besides the page's own."""
    connections: str = ""
    """With them the page looks whether the run has gone on, and reloads itself."""


FILE = Access(images="data:")
FOLDER = Access(images="'self'", scripts=" 'self'")
SERVED = Access(images="'self'", scripts=" 'self'", connections="; connect-src 'self'")


def style() -> Markup:
    """The page's style sheet."""
    return _read("report.css", "gallery.css")


def script() -> Markup:
    """What makes tables sort and the gallery show."""
    return _read("report.js", "gallery.js")


def bind(text: str, access: Access, source: Mapping[str, str], shards: str = "") -> str:
    """The page with its marks replaced; `source` tells its script where pictures are."""
    scripts = [script(), *([_read("live.js")] if access.connections else [])]
    allowed = " ".join(f"'{_hash(one)}'" for one in scripts) + access.scripts + access.connections
    policy = f"default-src 'none'; img-src {access.images}; style-src '{_hash(style())}'; script-src {allowed}; base-uri 'none'; form-action 'none'"
    data = f'<script type="application/json" id="gallery-source">{htmlsafe_json_dumps(dict(source))}</script>\n{shards}'
    own = "".join(f"<script>{one}</script>\n" for one in scripts)
    return text.replace(POLICY, policy, 1).replace(DATA, data + own, 1)


def inline(number: int, shard: Mapping[str, object]) -> str:
    """A part of the gallery's data, for a page that holds it."""
    return f'<script type="application/json" id="shard-{number}">{htmlsafe_json_dumps(dict(shard))}</script>\n'


def _read(*names: str) -> Markup:
    return Markup("\n").join(Markup((content.folder("reports") / name).read_text(encoding="utf-8")) for name in names)


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
