"""Plug-ins for version 0.1.0 are refused in one line that says what to rename, for one release."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kit.commands import htbench

METADATA = "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n"
ENTRIES = """[htbench.baselines]
theirs = theirs_cards
[htbench.models]
their-model = theirs_model:Model
[htbench.gauges]
their-scorer = theirs_scorer:Scorer
"""
CARD = 'name = "{name}"\nmethod = "theirs_{name}:Method"\nsummary = "For tests."\n'
MOVED = """from htbench.concept import Concept
from htbench.method import FitsEachConcept
"""
LEARNS = """from dataclasses import dataclass
from htbench import FitsEachConcept, Rewrite

@dataclass(frozen=True, kw_only=True)
class Method(FitsEachConcept):
    def learn(self, model, concept, *, seed):
        return Rewrite(more=concept.template, less="{prompt}")
"""
FITS = """from dataclasses import dataclass

@dataclass(frozen=True, kw_only=True)
class Method:
    def fit(self, model, concepts, *, seed, folder=None): ...
    def load(self, model, path, *, seed): ...
"""
MODEL = """class Model:
    conditioner = scorer = "emoji-clip-a"
    def __init__(self, device): ...
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed package of plug-ins for version 0.1.0."""
    folder = tmp_path_factory.mktemp("site-packages")
    about, cards = folder / "theirs-1.0.dist-info", folder / "theirs_cards"
    for path in (about, cards):
        path.mkdir()
    (about / "METADATA").write_text(METADATA)
    (about / "entry_points.txt").write_text(ENTRIES)
    for name, code in {"moved": MOVED, "learns": LEARNS, "fits": FITS}.items():
        (folder / f"theirs_{name}.py").write_text(code)
        (cards / f"{name}.toml").write_text(CARD.format(name=name))
    (cards / "__init__.py").touch()
    (folder / "theirs_model.py").write_text(MODEL)
    return folder


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["check", "method", "moved"], 4, "import what it needs from htbench itself"),
        (["check", "method", "learns"], 2, "rename its 'learn' to 'fit'"),
        (["check", "method", "fits"], 2, "rename its 'fit' to 'train'"),
        (
            ["steer", "--model", "their-model", "--concept", "with lemon", "--prompt", "a"],
            2,
            "rename its 'conditioner' to 'concept_encoder'",
        ),
    ],
)
def test_an_old_plug_in_is_told_what_to_rename(
    words: list[str], code: int, hint: str, installed: Path, tmp_path: Path
) -> None:
    answer = htbench(*words, path=installed, cwd=tmp_path)
    assert (answer.returncode, len(answer.stderr.splitlines())) == (code, 2)
    assert hint in answer.stderr


def test_a_scorer_of_the_former_group_is_still_found(installed: Path, tmp_path: Path) -> None:
    code = "from htbench.core import registry; print('their-scorer' in registry.plugins('scorers'))"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    assert answer.stdout == "True\n"
