"""Processes that train together end where one alone ends."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kit.small_training import RECIPE, Regression
from kit.toy import Toy
from safetensors.torch import load_file

from htbench.core import distributed
from htbench.core.errors import UsageError
from htbench.methods.hypertransport import HyperTransport
from htbench.steering.concept import load
from htbench.steering.fitting.trainer import Trainer

TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
SMALL = [
    f"--set={each}"
    for each in ("steps=4", "targets=4", "images=2", "concepts=3", "width=16", "rank=4")
]
LEARN = """
import sys
from pathlib import Path

from htbench.core import distributed
from htbench.steering.fitting.trainer import Trainer
from kit.small_training import RECIPE, Regression


class Halves(Regression):
    def loss(self, step):
        x = self.batch(step)[distributed.shard(16)]
        return self.error(x) * len(x) * distributed.world_size() / 16


def say(line):
    if line.startswith(f"step {sys.argv[3]}/"):
        raise SystemExit


with distributed.init("cpu"):
    folder = Path(sys.argv[1]) if distributed.is_rank_0() else Path("not there")
    trainer = Trainer(Halves(), RECIPE, folder)
    trainer.run(save_every=0, log_every=5, log=say)
    if distributed.is_rank_0():
        trainer.export(Path(sys.argv[2]))
"""


def start(*words: str, cwd: Path, processes: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(TORCHRUN if processes > 1 else []), *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def train(*words: str, cwd: Path, processes: int) -> dict[str, torch.Tensor]:
    cwd.mkdir()
    command = ["-m", "htbench", "train", *words, "--model", "toy", "--limit", "5"]
    answer = start(*command, cwd=cwd, processes=processes)
    assert answer.returncode == 0, answer.stderr
    steering, _, use = answer.stdout.splitlines()
    assert use.startswith("Use it: ")
    return load_file(cwd / steering)


@pytest.mark.parametrize(
    "words",
    [
        ["hypertransport", *SMALL],
        ["regression", "--set=base=mean-shift", "--set=steps=4", "--set=concepts=3"],
    ],
    ids=lambda words: words[0],
)
def test_two_processes_learn_what_one_learns(
    words: list[str], toy_plugins: Path, tmp_path: Path
) -> None:
    one, two = (
        train(*words, cwd=tmp_path / str(processes), processes=processes) for processes in (1, 2)
    )
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], rtol=1e-3, atol=1e-5)


def test_more_processes_than_concepts_a_step_are_refused(
    model: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    with pytest.raises(UsageError, match="a step of 2 concepts cannot be shared by 3 processes"):
        HyperTransport(concepts=2).train(model, load("emoji").splits["train"][:4], seed=0)


def test_a_training_of_two_goes_on_from_what_the_first_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=":")
    (tmp_path / "learn.py").write_text(LEARN)
    for stop in (25, 0):
        start("learn.py", "kept", "resumed.safetensors", str(stop), cwd=tmp_path, processes=2)
    alone = Trainer(Regression(), RECIPE, None)
    alone.run(log=lambda _: None)
    alone.export(tmp_path / "alone.safetensors")
    whole, resumed = (load_file(tmp_path / f"{name}.safetensors") for name in ("alone", "resumed"))
    curve = (tmp_path / "kept" / "curve.jsonl").read_text()
    assert curve.count('"step": 25') == 2  # it was stopped there, and kept step 20
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, resumed[name], rtol=1e-3, atol=1e-3)
