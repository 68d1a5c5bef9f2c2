"""The toy model and a toy encoder as plug-ins, for whole runs in milliseconds.

See the fixture `toy_plugins`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL.Image import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from htbench.core import registry
from htbench.core.content import digest
from htbench.run import plan, runner
from htbench.run.plan import RunOptions
from htbench.steering.model import Request
from kit.toy import Toy

METADATA = """[htbench.models]
toy = kit.toy_plugin:ToyModel
[htbench.encoders]
toy-clip = kit.toy_plugin:ToyEncoder
"""


class ToyModel(Toy):
    """The toy model with faults that variables of the environment ask for.

    It appends the number of images of a batch to the file `TOY_LOG`, has the `TOY_ILLS` (`memory`,
    `black`), fails on the prompt `TOY_FEARS`, and ends its process once if there is a file
    `TOY_POISON`.
    """

    scorer = "toy-clip"

    def __init__(self, device: str) -> None:
        super().__init__()

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        ills = os.environ.get("TOY_ILLS", "")
        if "memory" in ills and len(requests) > 2:
            message = "not enough memory: you tried to allocate 12345 bytes."
            raise RuntimeError(f"DefaultCPUAllocator: {message}")
        if (poison := Path(os.environ.get("TOY_POISON", "/dev/null"))).is_file():
            poison.unlink()
            os._exit(1)
        if any(request.prompt == os.environ.get("TOY_FEARS") for request in requests):
            raise ValueError("afraid of this prompt")
        images = super().generate(requests)
        if log := os.environ.get("TOY_LOG"):
            with Path(log).open("a") as file:
                file.write(f"{len(set(map(id, requests)))}\n")
        return [image.point(lambda level: 0) for image in images] if "black" in ills else images


class ToyEncoder:
    """An encoder that embeds images by their pixels, and texts by a digest of their words."""

    name, revision, width, scale = "toy-clip", digest("toy-clip"), 48, 10.0

    def __init__(self, device: str) -> None:
        self._device = device

    def images(self, images: Sequence[Image]) -> Tensor:
        pixels = torch.stack(
            [pil_to_tensor(image.convert("RGB").resize((4, 4))).flatten() for image in images]
        )
        return torch.nn.functional.normalize(pixels / 255 - 0.45, dim=1)

    def texts(self, texts: Sequence[str]) -> Tensor:
        seeds = [int(digest(text), 16) % 2**63 for text in texts]
        rows = [torch.randn(48, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.nn.functional.normalize(torch.stack(rows), dim=1)


def install(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Install these plug-ins in `folder` and put it on the path of Python.

    In this process and in those that it starts.
    """
    about = folder / "toy-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(METADATA)
    tests = Path(__file__).parents[1]
    patch.syspath_prepend(str(folder))
    path = [str(folder), str(tests), os.environ.get("PYTHONPATH", "")]
    patch.setenv("PYTHONPATH", os.pathsep.join(path))
    registry.plugins.cache_clear()


def run_plan(settings: dict[str, object], folder: Path, log: Path) -> None:
    """Run a plan, with the file `log` as the model's `TOY_LOG`."""
    os.environ["TOY_LOG"] = str(log)
    torch.set_num_threads(1)
    runner.run(plan.build(settings), folder, RunOptions(reuse=False))
