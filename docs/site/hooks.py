"""Events of mkdocs: pages from outside of docs, links, formulas, and a check of what is loaded."""

import posixpath
import re
from html import unescape
from pathlib import Path
from typing import Any

import api
import methods
from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security-policy.md": "SECURITY.md",
    "model-card.md": "htbench/models/emoji/MODEL_CARD.md",
}
"""Pages of the site that lie outside of docs, with their path in the repository."""
MADE = {"methods.md": methods.page, "api.md": api.page}
"""Pages of the site that are made of cards, docstrings and tables, with their function."""
_LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=(?:#[^)\s]*)?\))")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_LOADED = re.compile(
    r"""<(?!a\b)[a-z]+\b[^>]*\b(?:src|srcset|data|action|href)=["']?(?:https?:)?//[^"'\s>]*"""
    r"""|(?:@import\s*["']?|url\(\s*["']?)(?:https?:)?//[^"'\s)]*""",
    re.IGNORECASE,
)


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are not in docs. The README is the start page, not the list of pages."""
    contents = files.get_file_from_path("README.md")
    assert contents, "docs/README.md"
    contents.dest_uri = "pages.html"
    for name, source in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        wide = "---\nhide: [navigation]\n---\n" if name == "index.md" else ""
        files.append(File.generated(config, name, content=wide + text))
    for name, page in MADE.items():
        files.append(File.generated(config, name, content=page(ROOT)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Lead links between files of the repository to the pages of the site."""
    name = page.file.src_uri
    here = posixpath.dirname(OUTSIDE.get(name, f"docs/{name}"))
    pages = {source: target for target, source in OUTSIDE.items()}

    def lead(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(here, link[1]))
        target = pages.get(path, path.removeprefix("docs/"))
        return posixpath.relpath(target, posixpath.dirname(name) or ".")

    return _LINK.sub(lead, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Write formulas as MathML, which browsers show without a script."""

    def formula(match: re.Match[str]) -> str:
        display = "block" if match[1] == "div" else "inline"
        return (
            f"<{match[1]} class=formula>{convert(unescape(match[2]), display=display)}</{match[1]}>"
        )

    return _FORMULA.sub(formula, html)


def on_post_build(*, config: Any) -> None:
    """Refuse a site of which a page or style would load something from another address."""
    site = Path(config.site_dir)
    found = [
        f"{path.relative_to(site)}: {match[0][-200:]}"
        for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")])
        for match in _LOADED.finditer(path.read_text(encoding="utf-8"))
    ]
    if found:
        raise PluginError("loaded from another address:\n" + "\n".join(found))
