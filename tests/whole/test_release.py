"""A release: the wheel has every file and runs from where it is installed, the metadata agree."""

import os
import subprocess
import sys
import tomllib
import venv
from email.message import Message
from email.parser import HeaderParser
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

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


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    archive = ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    return HeaderParser().parsestr(archive.read(name).decode())


def test_the_wheel_states_version_licence_and_extras(metadata: Message) -> None:
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["License-Expression"] == PROJECT["license"]
    assert set(metadata.get_all("Provides-Extra") or ()) == set(PROJECT["optional-dependencies"])
    assert {Path(file).name for file in metadata.get_all("License-File") or ()} == {
        "LICENSE",
        "NOTICE",
    }


def test_torch_and_what_models_need_are_an_extra(metadata: Message) -> None:
    needed = [Requirement(line) for line in metadata.get_all("Requires-Dist") or ()]
    models = {"diffusers", "open-clip-torch", "pot", "torch", "torchvision", "transformers"}
    core = {canonicalize_name(each.name) for each in needed if each.marker is None}
    with_models = {
        canonicalize_name(each.name)
        for each in needed
        if each.marker and each.marker.evaluate({"extra": "models"})
    }
    assert core.isdisjoint(models | {"pandas"})
    assert models <= with_models


def test_the_oldest_versions_that_are_tested_are_the_lower_bounds() -> None:
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    bounds = {
        canonicalize_name(each.name): Version(limit.version)
        for each in map(Requirement, lines)
        for limit in each.specifier
        if limit.operator == ">="
    }
    _, *pins = (ROOT / "tests" / "oldest.txt").read_text("utf-8").splitlines()
    pairs = (pin.partition("==") for pin in pins)
    assert {name: Version(Version(pin).base_version) for name, _, pin in pairs} == bounds


@pytest.mark.slow
def test_in_a_fresh_environment_core_dependencies_take_less_than_250_mb(
    wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sizes are those of the files that packages have, without the byte code that pip compiles."""
    venv.create(tmp_path / "environment", symlinks=True)
    program = tmp_path / "environment" / "bin" / "python"
    install = ("install", "--quiet", "--disable-pip-version-check", str(wheel))
    python("-m", "pip", "--python", str(program), *install, cwd=tmp_path)
    (packages,) = (tmp_path / "environment" / "lib").glob("*/site-packages")
    files = {each.name: each.files or () for each in distributions(path=[str(packages)])}
    sizes = {
        name: sum((packages / file).stat().st_size for file in files[name] if file.suffix != ".pyc")
        for name in files
    }
    byte_code = sum(path.stat().st_size for path in packages.rglob("*.pyc"))
    own = sizes.pop("htbench")
    with capsys.disabled():
        for name in sorted(sizes, key=lambda name: -sizes[name])[:8]:
            print(f"\n{name:20} {sizes[name] / 1e6:6.1f} MB", end="")
        print(f"\nall {len(sizes)} dependencies  {sum(sizes.values()) / 1e6:6.1f} MB")
        print(f"htbench itself       {own / 1e6:6.1f} MB")
        print(f"byte code            {byte_code / 1e6:6.1f} MB")
    ended = subprocess.run(
        [str(program), "-m", "htbench", "run", "quickstart"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (ended.returncode, len(ended.stderr.splitlines())) == (4, 1)
    assert "pip install 'htbench[models]'" in ended.stderr
    assert sum(sizes.values()) < 250e6


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
