"""The code in the pages under docs runs, and their tables of promises are complete."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from htbench.scorers.metric_table import METRIC_TABLE, Metric
from htbench.steering import baseline, contracts

DOCS = Path(__file__).parents[2] / "docs"
ADD = (DOCS / "add-a-method.md").read_text(encoding="utf-8")
PYTHON = (DOCS / "python.md").read_text(encoding="utf-8")
_PROGRESS = re.compile(r"htbench: [\w ]+ [\d,]+/[\d,]+(, |$)")


def file(page: str, name: str) -> str:
    """The code of a page below the comment that names it."""
    (code,) = re.findall(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```\n", page, flags=re.DOTALL)
    return str(code)


def python(*words: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else None
    return subprocess.run(
        [sys.executable, *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
    )


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the page, built and installed."""
    source, target = tmp_path_factory.mktemp("my-steering"), tmp_path_factory.mktemp("installed")
    (source / "my_steering").mkdir()
    (source / "my_steering" / "plain_mean.py").write_text(file(ADD, "plain_mean.py"))
    for name in ("my_steering/plain-mean.toml", "pyproject.toml"):
        (source / name).write_text(file(ADD, name))
    assert python("-m", "hatchling", "build", "-t", "wheel", cwd=source).returncode == 0
    (wheel,) = (source / "dist").glob("*.whl")
    options = ["--quiet", "--no-deps", "--no-index", "--target", str(target)]
    answer = python("-m", "pip", "install", *options, str(wheel), cwd=source)
    assert answer.returncode == 0, answer.stderr
    return target


def test_a_complete_method_has_at_most_25_lines() -> None:
    assert len(file(ADD, "plain_mean.py").splitlines()) <= 25


def test_two_files_in_any_folder_are_a_method(tmp_path: Path) -> None:
    for name in ("plain_mean.py", "plain-mean.toml"):
        (tmp_path / name).write_text(file(ADD, name))
    assert baseline.load_method(baseline.load_card(str(tmp_path / "plain-mean.toml"))).samples == 32


def test_an_installed_package_is_listed(installed: Path, tmp_path: Path) -> None:
    answer = python("-m", "htbench", "list", "methods", cwd=tmp_path, path=installed)
    assert "plain-mean " in answer.stdout


def test_the_method_of_the_page_keeps_every_promise(installed: Path, tmp_path: Path) -> None:
    answer = python("-m", "htbench", "check", "method", "plain-mean", cwd=tmp_path, path=installed)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.count("✓") == len(contracts.PROMISES)


def test_the_page_tells_every_promise() -> None:
    table = ADD.partition("<!-- promises -->")[2].partition("\n\n")[0]
    assert re.findall(r"^\| ([^|]+) \| ", table, flags=re.MULTILINE)[1:] == [
        contracts.name(promise) for promise in contracts.PROMISES
    ]


@pytest.mark.parametrize(
    "name", ["results.py", "steer.py", "edits.py", "learn.py", "trained.py", "algebra.py"]
)
def test_examples_in_python_run(name: str, tmp_path: Path) -> None:
    answer = python("-c", file(PYTHON, name), cwd=tmp_path)
    # a slow machine has lines of progress too
    said = [line for line in answer.stderr.splitlines() if not _PROGRESS.match(line)]
    assert (answer.returncode, said) == (0, [])


def test_the_example_in_python_has_at_most_10_statements() -> None:
    nodes = ast.walk(ast.parse(file(PYTHON, "learn.py")))
    assert sum(isinstance(node, ast.stmt) for node in nodes) <= 10


@pytest.mark.parametrize("metric", METRIC_TABLE, ids=lambda metric: metric.name)
def test_every_score_has_a_page_with_its_name_and_its_worst_value(metric: Metric) -> None:
    page = (DOCS / "metrics" / f"{metric.name.replace('_', '-')}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {metric.title}\n")
    assert f"| name in files | `{metric.name}` |" in page
    assert f"| a failed picture counts as | {metric.worst:g} |" in page


def test_every_link_between_pages_leads_to_a_file() -> None:
    links = {
        (page, target)
        for page in [
            *DOCS.rglob("*.md"),
            DOCS.parent / "README.md",
            DOCS.parent / "CONTRIBUTING.md",
            DOCS.parent / "htbench" / "models" / "emoji" / "MODEL_CARD.md",
        ]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    }
    assert [link for link in links if not (link[0].parent / link[1]).exists()] == []


def test_the_site_has_every_page_once() -> None:
    navigation = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r"(\S+\.md)$", navigation, flags=re.MULTILINE)
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert len(listed) == len(set(listed))
    assert pages <= set(listed)
