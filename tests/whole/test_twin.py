"""A run on a tiny twin, from the command line's settings to the report."""

from pathlib import Path

import pytest
from kit.tiny_twins import SIZE
from typer.testing import CliRunner

from htbench.cli import app
from htbench.core.errors import UsageError
from htbench.models.published.generators import GENERATORS, PublishedGenerator
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
    preset: PublishedGenerator,
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.toml").write_text(
        'name = "few"\nmethod = "mean-shift"\nsummary = "of few images"\n[settings]\nsamples = 2\n'
    )
    model = ["--model", preset.name, "--weights", str(folders[preset.family]), *LOADED]
    words = [*model, "--method", "prompt", "--method", "few.toml", "--name", "twin"]
    grid = "--limit 1 --prompts 2 --strength 1 --batch 4 --scorer emoji-clip-b"
    htbench("run", *words, *grid.split())
    htbench("time", *words, "--rounds", "3", "--minutes", "0")
    with Store.read(tmp_path / "runs" / "twin") as store:
        facts = store.facts()
        assert len(store.scores()) == 6 * len(METRICS)
    assert len(facts["model"]["timesteps"].split(", ")) == preset.step_count
    assert facts["model"]["size"] == f"{SIZE} x {SIZE}"
    assert [session["untimed"] for session in facts["timing"].values()] == [{}]
    page = (tmp_path / "runs" / "twin" / "report.html").read_text(encoding="utf-8")
    assert preset.licence in page
    assert 'id="time"' in page


def test_every_command_takes_a_folder_of_weights(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    words = ["--model", "nitro-1-pixart", "--weights", str(folders["pixart-sigma"]), *LOADED]
    steering = ["--concept", "with lemon", "--prompt", "cat", "--strength", "0,1"]
    htbench("steer", *words, "--method", "prompt", *steering, "--out", "strip.png")
    assert (tmp_path / "strip.png").is_file()
    settings = ["steps=1", "concepts=2", "encoder=emoji-clip-a"]
    training = ["--limit", "2", *(word for setting in settings for word in ("--set", setting))]
    assert "Use it" in htbench("train", "hypertransport", *words, *training)
    assert "keeps every promise" in htbench("check", "method", "none", *words)


def test_a_model_with_weights_of_its_own_offers_no_choice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="offers no choice of 'weights'"):
        runner.run(
            plan.build({"weights": "random"}), tmp_path / "run", plan.run_options({"device": "cpu"})
        )
