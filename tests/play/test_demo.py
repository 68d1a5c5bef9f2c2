"""The page that needs no server."""

import json
import re
from pathlib import Path

import pytest

from htbench.core.errors import UsageError
from htbench.play import demo
from htbench.play.demo import Grid
from htbench.play.engine import Engine

GRID = Grid(concepts=["with lemon"], prompts=["horse"], methods=["prompt", "mean-shift"])


def test_every_picture_of_the_grid_is_in_the_page(engine: Engine, tmp_path: Path) -> None:
    text = demo.write(engine, tmp_path / "demo", grid=GRID).read_text(encoding="utf-8")
    data = re.search(r'id="play-demo">(.*?)</script>', text)
    assert data
    pictures = json.loads(data[1])["pictures"]
    asked = {
        json.dumps(["horse", 0, method, "with lemon", strength], separators=(",", ":"))
        for method in GRID.methods
        for strength in (-0.5, -0.25, 0.25, 0.5, 0.75, 1, 1.25, 1.5)
    }
    assert set(pictures) == {'["horse",0]', *asked}


def test_a_page_that_is_too_large_is_refused_before_it_is_written(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "MAX_BYTES", 1000)
    with pytest.raises(UsageError, match="bytes, and 1,000 is the limit"):
        demo.write(engine, tmp_path / "demo", grid=GRID)
    assert not (tmp_path / "demo").exists()
