"""Pictures that scorers compare."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with two pictures of one size, `a.png` and `b.png`, and a smaller one."""
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        pixels = random.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    Image.new("RGB", (32, 32)).save(tmp_path / "small.png")
    return tmp_path
