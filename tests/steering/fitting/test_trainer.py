"""Training resumes to the bit."""

from pathlib import Path

import pytest
import torch
from kit.small_training import RECIPE, Regression
from safetensors.torch import load_file
from torch import Tensor

from htbench.steering.fitting.trainer import Trainer


class Stopped(Exception):
    pass


def weights(folder: Path | None, out: Path, *, stop: int | None = None) -> dict[str, Tensor]:
    def interrupt(line: str) -> None:
        if stop is not None and line.startswith(f"step {stop}/"):
            raise Stopped

    trainer = Trainer(Regression(), RECIPE, folder)
    trainer.run(save_every=0, log_every=5, log=interrupt)
    trainer.export(out)
    return load_file(out)


def test_the_same_recipe_twice_gives_the_same_weights(tmp_path: Path) -> None:
    first, second = weights(None, tmp_path / "a"), weights(None, tmp_path / "b")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_stopped_in_the_middle_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = weights(None, tmp_path / "a")
    with pytest.raises(Stopped):
        weights(tmp_path / "checkpoints", tmp_path / "b", stop=25)
    resumed = weights(tmp_path / "checkpoints", tmp_path / "b")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    task = Regression()
    before = task.loss(1000).item()
    trainer = Trainer(task, RECIPE, None)
    trainer.run(log=lambda _: None)
    trainer.use_average()
    assert task.loss(1000).item() < before / 2


def test_the_pace_rises_then_falls_to_nothing() -> None:
    pace = [RECIPE.rate_factor(step) for step in range(60)]
    assert pace[0] < pace[10] == 1.0 > pace[59] > 0
