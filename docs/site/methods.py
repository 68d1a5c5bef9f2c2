"""The gallery of methods, from the cards, the docstrings of their modules, and the results."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

from docstrings import with_formulas

KINDS = {
    "none": "Without steering",
    "prompt": "Prompting",
    "per-concept": "Fitted to each concept",
    "amortised": "Trained once for all concepts",
}
"""Headings, in order, by the kind of a card."""
COSTS = {
    "": "",
    "nothing": "A new concept costs nothing.",
    "prediction": "A new concept costs a forward pass of a small network.",
    "one run": "A new concept costs images of the model.",
    "optimisation": "A new concept costs images of the model, with gradients.",
}
"""Sentence by the cost of a card."""
COLUMNS = ("concept gain", "presence", "image preservation", "time per concept")
"""Columns of the table in docs/results.md that the gallery shows."""


def page(root: Path) -> str:
    """The page, in Markdown."""
    cards = [
        tomllib.loads(path.read_text(encoding="utf-8"))
        for path in sorted((root / "baselines").glob("*.toml"))
    ]
    figures = _figures((root / "docs" / "results.md").read_text(encoding="utf-8"))
    modules = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "entry-points"
    ]["htbench.methods"]
    parts = [
        "---\nhide: [navigation]\n---",
        "# Methods",
        f"All {len(cards)} baselines that are part of htbench, by the class that implements them; "
        "`htbench list methods` prints the same cards. Figures are those of [Results](results.md): "
        "60 held-out concepts of the embedded model at strength 1, with 95 % intervals. "
        "[Add a method](add-a-method.md) says how yours joins them.",
    ]
    for kind, heading in KINDS.items():
        of_kind = [card for card in cards if card["kind"] == kind]
        parts.append(f"## {heading}")
        for method in sorted({card["method"] for card in of_kind}):
            module = root / f"{modules[method].partition(':')[0].replace('.', '/')}.py"
            docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
            parts += _section(
                method, docstring, [card for card in of_kind if card["method"] == method], figures
            )
    parts += [
        "## Pictures",
        "Forty test concepts by five methods at strength 1, from the [model card](model-card.md).",
        "![Forty test concepts by five methods at strength 1](steered.webp)",
    ]
    return "\n\n".join(parts) + "\n"


def _section(
    method: str, docstring: str, cards: list[dict[str, Any]], figures: dict[str, dict[str, str]]
) -> list[str]:
    """The section of a method: its docstring, its papers, and a table of its cards."""
    text = with_formulas(docstring.partition("\nReferences:\n")[0].strip())
    cards = sorted(cards, key=lambda card: (card["name"] != method, card["name"]))
    papers = dict.fromkeys(card["paper"] for card in cards if card.get("paper"))
    listed = [
        f"- `{card['name']}`: {card['summary']} {COSTS[card.get('cost', '')]}".rstrip()
        for card in cards
    ]
    rows = [
        [f"`{card['name']}`", *(figures[card["name"]][column] for column in COLUMNS)]
        for card in cards
        if card["name"] in figures
    ]
    table = [["card", *COLUMNS], ["---", *["--:"] * len(COLUMNS)], *rows] if rows else []
    return [
        f"### {method}",
        text,
        *([f"Papers: {', '.join(f'<{paper}>' for paper in papers)}"] if papers else []),
        "\n".join(listed),
        "\n".join(f"| {' | '.join(row)} |" for row in table),
    ]


def _figures(results: str) -> dict[str, dict[str, str]]:
    """The rows of the table of all methods at full strength, by name."""
    table = results.partition("<!-- table: full strength -->")[2].partition("<!-- end -->")[0]
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\|.*\|$", table, re.MULTILINE)
    ]
    return {row[0].strip("`"): dict(zip(header, row, strict=True)) for row in rows}
