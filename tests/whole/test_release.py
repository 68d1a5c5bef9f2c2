"""A release: the wheel has every file and runs from where it is installed, the metadata agree."""

import os
import subprocess
import sys
import tomllib
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONTENT = ("baselines", "concepts", "judges", "reports")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def python(*words: str, cwd: Path, path: str = "") -> str:
    """The output of a command of Python, which must succeed."""
    answer = subprocess.run(
        [sys.executable, *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed, without what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    python("-m", "pip", "install", *options, str(wheel), cwd=folder)
    return folder


def files(name: str) -> set[str]:
    """All files in a folder of the checkout, but for what Python writes there."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_all_code_weights_cards_and_templates_and_nothing_else(wheel: Path) -> None:
    names = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    content = {f"htbench/_content/{file}" for name in CONTENT for file in files(name)}
    assert names == files("htbench") | content


def test_the_wheel_states_version_licence_and_extras(wheel: Path) -> None:
    archive = ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = HeaderParser().parsestr(archive.read(name).decode())
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["License-Expression"] == PROJECT["license"]
    assert set(metadata.get_all("Provides-Extra") or ()) == set(PROJECT["optional-dependencies"])
    assert {Path(file).name for file in metadata.get_all("License-File") or ()} == {
        "LICENSE",
        "NOTICE",
    }


def test_an_installed_wheel_runs_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    say = "import htbench; print(htbench.__file__)"
    assert Path(python("-c", say, cwd=tmp_path, path=str(installed)).strip()).is_relative_to(
        installed
    )
    version = python("-m", "htbench", "--version", cwd=tmp_path, path=str(installed))
    assert PROJECT["version"] in version


def test_an_installed_wheel_lists_its_own_content(installed: Path, tmp_path: Path) -> None:
    def listed(kind: str) -> str:
        return python("-m", "htbench", "list", kind, cwd=tmp_path, path=str(installed))

    assert "hypertransport " in listed("methods")
    assert "emoji-full" in listed("plans")
    assert "local" in listed("judges")


def read_yaml(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text("utf-8"))
    return content


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_the_judge_server_is_the_one_that_the_judge_asks() -> None:
    services = read_yaml("compose.yaml")["services"]
    card = tomllib.loads((ROOT / "judges" / "local" / "card.toml").read_text("utf-8"))
    assert services["htbench"]["environment"] == {
        card["endpoint"]["url_variable"]: card["endpoint"]["url"].replace("localhost", "judge")
    }


@pytest.mark.parametrize("form", ["bug", "idea", "bundle"])
def test_every_question_of_an_issue_has_a_name_and_a_label(form: str) -> None:
    questions = read_yaml(f".github/ISSUE_TEMPLATE/{form}.yml")["body"]
    names = [question["id"] for question in questions]
    assert len(set(names)) == len(names) > 0
    assert all(question["attributes"]["label"] for question in questions)


def test_a_release_is_published_after_its_tests_and_without_a_password() -> None:
    jobs = read_yaml(".github/workflows/release.yml")["jobs"]
    commands = [step.get("run", "") for step in jobs["build"]["steps"]]
    assert commands.index("tox") < commands.index("python -m build")
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "password" not in str(jobs["publish"])
