"""The page of the public names of Python, in the groups of the table in docs/python.md."""

import ast
import re
from pathlib import Path

_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| (.+) \|$", re.MULTILINE)


def page(root: Path) -> str:
    """The page, in Markdown with the directives of mkdocstrings."""
    table = (root / "docs" / "python.md").read_text(encoding="utf-8").partition("\n## Names\n")[2]
    origins = _origins((root / "htbench" / "__init__.py").read_text(encoding="utf-8"))
    parts = [
        "# Python API",
        "Every public name of `htbench`, from its docstring. [From Python](python.md) shows how "
        "they are used together.",
    ]
    for names, meaning in _ROW.findall(table):
        words = re.findall(r"`(\w+)`", names)
        parts.append(f"## {', '.join(words)}")
        parts.append(f"{meaning[0].upper()}{meaning[1:].rstrip('.')}.")
        for word in words:
            module, _, name = origins[word].partition(":")
            # htbench.run is a package too, which documentation tools take for the function
            is_package = (root / "htbench" / word).is_dir()
            parts.append(f"::: htbench.{f'{module}.{name}' if is_package else word}")
            parts[-1] += f"\n    options:\n      heading: htbench.{word}\n      toc_label: {word}"
    return "\n\n".join(parts) + "\n"


def _origins(source: str) -> dict[str, str]:
    """The table of `htbench/__init__.py` that tells the module of every public name."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_ORIGINS":
            return dict(ast.literal_eval(node.value))
    raise LookupError("htbench/__init__.py has no table _ORIGINS")
