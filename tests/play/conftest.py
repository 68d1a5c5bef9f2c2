"""An engine on the toy model, and its site behind a client that sends no real requests."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
import torch
from kit.toy import Toy
from PIL import Image
from starlette.testclient import TestClient
from torch import Tensor

from htbench.play.engine import Engine
from htbench.play.site import PlaySite
from htbench.steering import baseline
from htbench.steering.concept import Concept, ConceptSet

METHODS = ("prompt", "mean-shift", "linear-act-tokens", "prompt-interp")


class Colours:
    """Reads the mean colour of images; a text's vector follows from its letters."""

    name, revision, width, scale = "colours", "1", 3, 10.0

    def images(self, images: Sequence[Image.Image]) -> Tensor:
        means = [torch.tensor(image.resize((1, 1)).getpixel((0, 0))).float() for image in images]
        return torch.nn.functional.normalize(torch.stack(means) + 1, dim=-1)

    def texts(self, texts: Sequence[str]) -> Tensor:
        vectors = [torch.tensor([len(text), text.count("e"), 1.0]) for text in texts]
        return torch.nn.functional.normalize(torch.stack(vectors), dim=-1)


@pytest.fixture
def engine(lemon: Concept, tmp_path: Path) -> Engine:
    concepts = ConceptSet(
        name="fruit",
        version="1",
        licence="",
        about="",
        splits={"train": (), "dev": (lemon,), "test": ()},
        prompts=("horse",),
    )
    cards = {name: baseline.load_card(name) for name in METHODS}
    toy = Toy()
    return Engine(toy, toy, Colours(), cards, concepts, tmp_path)


@pytest.fixture
def site(engine: Engine) -> Iterator[PlaySite]:
    site = PlaySite(engine, token="token", names=frozenset({"127.0.0.1:1"}))
    yield site
    site.stop()


@pytest.fixture
def client(site: PlaySite) -> TestClient:
    return TestClient(site.app, base_url="http://127.0.0.1:1")


@pytest.fixture
def red_png() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()
