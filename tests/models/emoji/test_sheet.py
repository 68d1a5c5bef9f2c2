"""The sheet of a world: a labelled tile of every value."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from htbench.models.emoji import sheet
from htbench.models.emoji.worlds import SHIPPED


def test_every_value_has_a_tile() -> None:
    groups = sheet.values_by_heading(SHIPPED)
    tiles = [fact for group in groups.values() for _, facts in group for fact in facts.items()]
    for kind in ("style", "frame", "weather"):
        assert {value for name, value in tiles if name == kind} == set(SHIPPED.values[kind])
    shown = " ".join(value for name, value in tiles if name == "background").split()
    assert set(shown) == {*SHIPPED.colours, *SHIPPED.patterns}


def test_a_command_writes_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "sheet.png"
    monkeypatch.setattr("sys.argv", ["sheet", "--background", "navy", str(out)])
    sheet.main()
    with Image.open(out) as picture:
        levels = np.asarray(picture)
    assert levels.shape[1] == 16 * 68 + 8
    assert len(np.unique(levels.reshape(-1, 3), axis=0)) > 1000
