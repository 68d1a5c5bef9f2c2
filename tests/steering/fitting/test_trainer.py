"""Training resumes to the bit."""

import errno
import os
from pathlib import Path
from threading import get_native_id

import pytest
import torch
from kit.small_training import RECIPE, Regression
from kit.waits import Waits
from safetensors.torch import load_file
from torch import Tensor

from htbench.core.errors import Refused
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


def test_a_full_disk_is_told_as_such_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        weights(tmp_path, tmp_path / "out", stop=25)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    fresh = tmp_path / f".{os.getpid()}-{get_native_id()}-checkpoint.pt"
    fresh.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        weights(tmp_path, tmp_path / "out")
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not fresh.is_symlink()


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def _damage(kind: str, path: Path) -> None:
    whole = path.read_bytes()
    states = {"number": 3, "half": {"step": 3}, "code": Code()}
    state = torch.load(path, weights_only=True)
    states["elsewhere"] = {**state, "step": 10**6}
    states["another network"] = {**state, "weights": {"x": torch.zeros(1)}}
    if kind in states:
        torch.save(states[kind], path)
    else:
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "text": b"hello"}[kind])


@pytest.mark.parametrize(
    "kind", ["empty", "cut", "text", "number", "half", "code", "elsewhere", "another network"]
)
def test_a_damaged_checkpoint_is_refused_in_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Stopped):
        weights(tmp_path, tmp_path / "out", stop=25)
    _damage(kind, tmp_path / "checkpoint.pt")
    with pytest.raises(Refused, match="is damaged") as caught:
        weights(tmp_path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


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


def test_only_steps_that_are_logged_wait_for_the_device() -> None:
    trainer = Trainer(Regression(), RECIPE, None)
    with Waits() as waits:
        trainer.run(log_every=25, log=lambda _: None)
    assert waits.count == len([25, 50, RECIPE.steps])
