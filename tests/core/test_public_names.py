"""The names that users import from htbench itself."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import htbench

ROOT = Path(__file__).parents[2]


def for_type_checkers() -> dict[str, str]:
    """The names that type checkers read: public names and where they come from."""
    source = ast.parse(Path(htbench.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in source.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: f"{node.module}:{alias.name}".removeprefix("htbench.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_all_names_come_from_where_type_checkers_think() -> None:
    assert for_type_checkers() == htbench._ORIGINS


def test_all_names_are_listed_in_order() -> None:
    assert htbench.__all__ == sorted(htbench._ORIGINS)


def test_every_name_can_be_had() -> None:
    assert [name for name in htbench.__all__ if getattr(htbench, name) is None] == []


def test_a_name_that_is_not_there_is_no_attribute() -> None:
    assert not hasattr(htbench, "Affin")


def test_importing_htbench_imports_nothing_else() -> None:
    code = "import sys, htbench; print([m for m in sys.modules if 'htbench.' in m or m == 'torch'])"
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert answer.stdout == "[]\n"


def test_pages_import_from_htbench_itself() -> None:
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]
    inner = [
        line for page in pages for line in re.findall(r"^from htbench\..* import.*$", page, re.M)
    ]
    assert inner == []


def test_every_name_is_in_the_page_on_python() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert [name for name in htbench.__all__ if f"`{name}`" not in page] == []
