"""A run on a tiny twin, from the command line's settings to the report."""

from pathlib import Path

import pytest
from kit.tiny_twins import SIZE
from typer.testing import CliRunner

from htbench.cli import app
from htbench.core.errors import UsageError
from htbench.models.published.generators import GENERATORS, Generator
from htbench.run import plan, runner
from htbench.run.store import Store
from htbench.run.summary import METRICS

LOADED = ["--model-option", f"size={SIZE}", "--model-option", "dtype=float32", "--device", "cpu"]


def htbench(*words: str) -> str:
    answer = CliRunner().invoke(app, words, catch_exceptions=False)
    assert answer.exit_code == 0
    return answer.stdout


@pytest.mark.parametrize("preset", GENERATORS.values(), ids=GENERATORS)
def test_a_twin_is_run_scored_timed_and_reported(
    preset: Generator, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.toml").write_text(
        'name = "few"\nmethod = "mean-shift"\nsummary = "of few images"\n[settings]\nsamples = 2\n'
    )
    words = [
        "--model",
        preset.name,
        "--weights",
        str(folders[preset.family]),
        *LOADED,
        "--method",
        "prompt",
        "--method",
        "few.toml",
        "--name",
        "twin",
    ]
    htbench(
        "run",
        *words,
        "--limit",
        "1",
        "--prompts",
        "2",
        "--strength",
        "1",
        "--batch",
        "4",
        "--scorer",
        "emoji-clip-b",
    )
    htbench("time", *words, "--rounds", "3", "--minutes", "0")
    with Store.read(tmp_path / "runs" / "twin") as store:
        model, timing = store.facts()["model"], store.facts()["timing"]
        assert len(store.scores()) == 6 * len(METRICS)
    assert (model["timesteps"], model["size"]) == (
        ", ".join(map(str, preset.timesteps)),
        f"{SIZE} x {SIZE}",
    )
    assert [session["untimed"] for session in timing.values()] == [{}]
    page = (tmp_path / "runs" / "twin" / "report.html").read_text(encoding="utf-8")
    assert preset.licence in page
    assert 'id="time"' in page


def test_every_command_takes_a_folder_of_weights(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    words = ["--model", "nitro-1-pixart", "--weights", str(folders["pixart-sigma"]), *LOADED]
    htbench(
        "steer",
        *words,
        "--method",
        "prompt",
        "--concept",
        "with lemon",
        "--prompt",
        "cat",
        "--strength",
        "0,1",
        "--out",
        "strip.png",
    )
    assert (tmp_path / "strip.png").is_file()
    learning = [
        "--set",
        "steps=1",
        "--set",
        "concepts=2",
        "--set",
        "encoder=emoji-clip-a",
        "--limit",
        "2",
    ]
    assert "Use it" in htbench("train", "hypertransport", *words, *learning)
    assert "keeps every promise" in htbench("check", "method", "none", *words)


def test_a_model_with_weights_of_its_own_offers_no_choice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="offers no choice of 'weights'"):
        runner.run(
            plan.build({"weights": "random"}), tmp_path / "run", plan.run_options({"device": "cpu"})
        )
