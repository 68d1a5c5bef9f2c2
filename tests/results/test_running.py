"""`htbench.run` does what the command does, and returns the run."""

from pathlib import Path

import pytest

import htbench
from htbench.core.errors import UnknownName

SMALL = {"methods": ["prompt"], "limit": 1, "prompts": 1, "strengths": [0, 1], "threads": 1}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_is_made_and_keeps_the_command_that_does_the_same() -> None:
    run = htbench.run("quickstart", **SMALL, name="small", tune_strength=False)
    assert run.is_complete
    assert run.sessions().command.tolist() == [
        "htbench run quickstart --method prompt --limit 1 --prompts 1 --strength 0,1 --threads 1"
        " --name small --no-tune-strength"
    ]
    assert (run.folder / "report.html").is_file()


def test_the_same_call_makes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    first = htbench.run(**SMALL)
    before = (first.folder / "run.sqlite").read_bytes()
    assert htbench.run(**SMALL) == first
    assert (first.folder / "run.sqlite").read_bytes() == before


def test_a_setting_that_does_not_exist_is_refused_with_its_remedy() -> None:
    with pytest.raises(UnknownName, match="did you mean 'methods'"):
        htbench.run(method=["prompt"])


def test_the_remedy_of_an_error_is_below_its_traceback() -> None:
    with pytest.raises(htbench.HtbenchError) as caught:
        htbench.run("quickstar")
    assert caught.value.__notes__ == [caught.value.remedy]


def test_run_can_be_called_after_its_modules_are_imported() -> None:
    import htbench.run.store

    with pytest.raises(UnknownName):
        htbench.run("quickstar")
