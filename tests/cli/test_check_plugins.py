"""`htbench check model`, `check encoder` and `check judge`: ticks, crosses and exit codes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from htbench.cli import app

CODE = """\
from kit.toy import Toy


class Seedless(Toy):
    def __init__(self, device):
        super().__init__()

    def _run(self, prompts, seeds, tap):
        return super()._run(prompts, [1] * len(seeds), tap)
"""


@pytest.fixture
def seedless(tmp_path: Path) -> Iterator[Path]:
    """The card of a model that ignores seeds; its module is forgotten afterwards."""
    paths = list(sys.path)
    (tmp_path / "seedless.py").write_text(CODE)
    (tmp_path / "seedless.toml").write_text('name = "seedless"\nmodel = "seedless:Seedless"\n')
    yield tmp_path / "seedless.toml"
    sys.path[:] = paths
    sys.modules.pop("seedless", None)


def test_a_broken_promise_of_a_model_is_named_and_ends_with_5(seedless: Path) -> None:
    answer = CliRunner().invoke(app, ["check", "model", str(seedless)])
    assert answer.exit_code == 1
    assert "✓ it makes an image\n" in answer.stdout
    assert "✗ different seeds give different images: three seeds do not" in answer.stdout
    assert str(answer.exception) == "seedless breaks 1 promise"
    assert getattr(answer.exception, "exit_code", None) == 5


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["model", "emojy"], "no model 'emojy'; did you mean 'emoji'"),
        (["model", "./none.toml"], "no card file './none.toml'"),
        (["encoder", "emoji-clip"], "no encoder 'emoji-clip'; did you mean 'emoji-clip-"),
        (["model", "emoji", "--model-option", "size=512"], "offers no choice of 'size'"),
        (["judge", "clipp"], "no judge 'clipp'; did you mean 'clip'?"),
        (["judge", "./none"], "no judge in './none'"),
    ],
)
def test_what_is_not_there_is_one_line(words: list[str], problem: str) -> None:
    answer = CliRunner().invoke(app, ["check", *words])
    assert problem in str(answer.exception)
