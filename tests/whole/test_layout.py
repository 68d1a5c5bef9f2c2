"""The layout of the code, which no single folder owns: mirrored by tests, named in the docs."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE, TESTS = ROOT / "htbench", ROOT / "tests"


def folders(root: Path) -> set[str]:
    """Folders with code below `root`, by their path from there."""
    parents = {path.parent.relative_to(root) for path in root.rglob("*.py")}
    return {parent.as_posix() for parent in parents} - {"."}


def imported_modules(path: Path) -> list[str]:
    """The imports of a file as dotted names: modules, and names in modules."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module or ''}.{alias.name}" for alias in node.names]
    return names


def test_every_folder_of_tests_is_one_of_the_package() -> None:
    mirrored = {name for name in folders(TESTS) if name.split("/")[0] not in ("kit", "whole")}
    assert mirrored - folders(PACKAGE) == set()


def test_the_page_on_architecture_names_every_folder() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    top = {name for name in folders(PACKAGE) if "/" not in name}
    assert [name for name in sorted(top) if f"`htbench/{name}/`" not in page] == []
    parts = {name.rpartition("/")[2] for name in folders(PACKAGE) - top}
    assert [name for name in sorted(parts) if f"{name}/`" not in page] == []


def test_no_test_file_imports_from_another() -> None:
    borrowed = [
        (path.name, name)
        for path in TESTS.rglob("*.py")
        for name in imported_modules(path)
        if any(part.startswith("test_") for part in name.split("."))
    ]
    assert borrowed == []


def test_every_module_is_in_a_folder_that_says_what_it_is_part_of() -> None:
    loose = {path.name for path in PACKAGE.glob("*.py")}
    assert loose == {"__init__.py", "__main__.py"}


def test_no_files_import_each_other_in_a_circle() -> None:
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }
    imports = {
        module: {name if name in paths else name.rpartition(".")[0] for name in names}
        for module, path in paths.items()
        if module != "htbench" and (names := imported_modules(path))
    }
    TopologicalSorter({module: names & paths.keys() for module, names in imports.items()}).prepare()
